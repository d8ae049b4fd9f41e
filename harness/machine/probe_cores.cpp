#include <linux/perf_event.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>

#include "harness/machine/probe_machine.hpp"
#include "harness/measure/text_files.hpp"
#include "transports/rings/descriptor.hpp"

namespace feedbench::machine {
namespace {

using measure::first_line;
using transports::explain_errno;
using transports::KernelFeature;

constexpr int kCoreNumberMax = 1 << 14;

/// "0-2,5" -> 0 1 2 5. What is not a list of cores ends it.
std::vector<int> cores_of(const std::string& list) {
  std::vector<int> cores;
  std::istringstream parts(list);
  for (std::string part; std::getline(parts, part, ',');) {
    std::istringstream text(part);
    int first = 0;
    int last = 0;
    char dash = 0;
    if (!(text >> first)) break;
    if (!(text >> dash >> last)) last = first;
    for (int core = first; core <= last && core < kCoreNumberMax; ++core) cores.push_back(core);
  }
  return cores;
}

std::vector<Siblings> siblings_within(const std::vector<int>& allowed, const std::string& root) {
  std::vector<Siblings> pairs;
  for (const int core : allowed) {
    const auto list = first_line(root + "/sys/devices/system/cpu/cpu" + std::to_string(core) +
                                 "/topology/thread_siblings_list");
    for (const int other : cores_of(list.value_or(""))) {
      if (other > core && std::ranges::find(allowed, other) != allowed.end())
        pairs.emplace_back(core, other);
    }
  }
  return pairs;
}

/// A list of cores in a file; "" when the file is empty, absent when it is not there.
std::optional<std::string> core_list(const std::string& path) {
  std::ifstream file(path);
  if (!file) return std::nullopt;
  const std::string list = first_line(path).value_or("");
  return list == "(null)" ? std::string() : list;  // which some kernels print for none
}

/// On a thread that ends at once, so that nothing is left running at that priority.
KernelFeature try_real_time() {
  KernelFeature feature{"cores.real_time",
                        "real-time scheduling",
                        "a thread that others do not interrupt (SCHED_FIFO)",
                        {},
                        {},
                        0};
  try {
    std::thread([&feature] {
      sched_param priority{};
      priority.sched_priority = 1;
      if (::sched_setscheduler(0, SCHED_FIFO, &priority) == 0) return feature.works();
      const int os_error = errno;
      feature.fails(os_error == EPERM ? "this process may not: it needs CAP_SYS_NICE or `ulimit -r`"
                                      : "refused: " + explain_errno(os_error),
                    os_error);
    }).join();
  } catch (const std::system_error& error) {
    feature.untried(error.what());
  }
  return feature;
}

KernelFeature try_cycle_counter() {
  KernelFeature feature{"cores.perf_event",
                        "processor counters",
                        "for `perf stat` to count cycles and cache misses (perf_event_open)",
                        {},
                        {},
                        0};
  perf_event_attr event{};
  event.size = sizeof(event);
  event.type = PERF_TYPE_HARDWARE;
  event.config = PERF_COUNT_HW_CPU_CYCLES;
  event.exclude_kernel = 1;
  event.exclude_hv = 1;
  const rings::Descriptor counter(
      static_cast<int>(::syscall(SYS_perf_event_open, &event, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!counter.valid()) {
    const int os_error = errno;
    if (os_error == EMFILE || os_error == ENFILE) {
      feature.untried("no descriptor is left", os_error);
    } else if (os_error == EACCES || os_error == EPERM) {
      feature.fails("this process may not: kernel.perf_event_paranoid, or CAP_PERFMON", os_error);
    } else if (os_error == ENOENT || os_error == EOPNOTSUPP) {
      feature.fails("the processor shows none here, as in most virtual machines", os_error);
    } else {
      feature.fails("refused: " + explain_errno(os_error), os_error);
    }
    return feature;
  }
  std::uint64_t cycles = 0;
  const bool counted = ::read(counter.get(), &cycles, sizeof(cycles)) == sizeof(cycles);
  counted&& cycles > 0 ? feature.works() : feature.fails("a counter opens, but stays at 0");
  return feature;
}

}  // namespace

CoreFacts probe_cores(const measure::Environment& environment, const std::string& root) {
  CoreFacts facts;
  facts.online = environment.online_cores;
  facts.allowed = measure::allowed_cpus();
  const std::string cpus = root + "/sys/devices/system/cpu/";
  facts.isolated = core_list(cpus + "isolated");
  facts.nohz_full = core_list(cpus + "nohz_full");
  facts.quota = read_cpu_quota(root);
  facts.siblings = siblings_within(facts.allowed, root);
  facts.governor = environment.cpu_governor;
  facts.idle_driver = environment.idle_driver;
  facts.guest_halt_poll_ns = environment.guest_halt_poll_ns;
  facts.hypervisor = environment.hypervisor;
  facts.hypervisor_flag = environment.hypervisor_flag;
  facts.real_time = try_real_time();
  facts.cycle_counter = try_cycle_counter();
  return facts;
}

}  // namespace feedbench::machine
