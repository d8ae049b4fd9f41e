#include "harness/machine/advice.hpp"
#include "transports/xdp/privileges.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

namespace feedbench::machine {
namespace {

constexpr double kSlowWakeNs = 10'000;
constexpr std::uint64_t kHaltPollNs = 200'000;  // what helped where it was measured
constexpr double kSlowClockReadNs = 100;
constexpr double kStolenShare = 0.01;
constexpr double kOthersCores = 0.2;
constexpr std::int64_t kLongGapNs = 1'000'000;
constexpr std::uint64_t kDescriptorsFew = 2048;
constexpr double kCoresOfARun = 2;

using Rule = void (*)(const MachineFacts&, std::vector<Advice>&);

void forbidden_io_uring(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto* ring = find(facts.transport.io_uring, "io_uring.buffer_ring");
  if (ring == nullptr || ring->available) return;
  if (ring->os_error != EPERM && ring->os_error != EACCES) return;
  advice.push_back({"transport.io_uring",
                    "fan-out pays a call a client without io_uring: allow it with `sysctl "
                    "kernel.io_uring_disabled=0` (root), or in the container's seccomp profile"});
}

void no_deferred_task_run(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto* ring = find(facts.transport.io_uring, "io_uring.buffer_ring");
  const auto* deferred = find(facts.transport.io_uring, "io_uring.defer_taskrun");
  if (ring == nullptr || deferred == nullptr) return;
  if (ring->available != true || deferred->available != false) return;
  advice.push_back({"io_uring.defer_taskrun",
                    "completions cost io_uring more without it: use Linux 6.1 or later, or epoll"});
}

/// Only where it would be worth it: an interface that is up, whose driver runs XDP programs.
void xdp_without_privileges(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto* privileges = find(facts.transport.xdp, "xdp.privileges");
  if (privileges == nullptr || privileges->available != false) return;
  for (const auto& interface : facts.transport.interfaces) {
    if (!interface.up || interface.loopback || interface.xdp_native != true) continue;
    advice.push_back(
        {"xdp.privileges",
         fmt::format("{} could carry xdp, which spares the kernel's TCP: {} (PROGRAM: feedproxy)",
                     interface.name, transports::xdp::kHowToGetThem)});
    return;
  }
}

void little_locked_memory(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto* buffers = find(facts.transport.io_uring, "io_uring.registered_buffers");
  if (buffers == nullptr || buffers->available != false || buffers->os_error != ENOMEM) return;
  advice.push_back({"memory.locked",
                    "io_uring may pin no memory: raise the limit with `ulimit -l 65536` (root)"});
}

void few_descriptors(const MachineFacts& facts, std::vector<Advice>& advice) {
  const Limit& limit = facts.memory.descriptors_max;
  if (!limit || *limit >= kDescriptorsFew) return;
  advice.push_back(
      {"memory.descriptors",
       fmt::format("about {} clients fit, the others are refused: raise the limit with "
                   "`ulimit -Hn 20000` (root)",
                   *limit)});
}

void one_core(const MachineFacts& facts, std::vector<Advice>& advice) {
  if (facts.cores.allowed.size() != 1) return;
  advice.push_back(
      {"cores.allowed",
       facts.cores.online > 1
           ? "system and load share one core: allow this process two with `taskset -c 0,1`"
           : "system and load share the one core: use a machine with two, or only `wait: block`"});
}

void small_quota(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto& cores = facts.cores.quota.cores;
  if (!cores || *cores >= kCoresOfARun) return;
  advice.push_back(
      {"cores.quota",
       fmt::format("two spinning threads are stopped when they have used {:.3g} cores' "
                   "time: raise the quota in {} to 2 cores",
                   *cores, facts.cores.quota.file)});
}

/// feedbench takes the first two cores allowed, unless a scenario says otherwise.
void siblings_in_use(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto& allowed = facts.cores.allowed;
  if (allowed.size() < 2) return;
  const Siblings taken{allowed[0], allowed[1]};
  if (std::ranges::find(facts.cores.siblings, taken) == facts.cores.siblings.end()) return;
  for (const int other : allowed) {
    if (other == taken.first || other == taken.second) continue;
    const Siblings pair{std::min(taken.first, other), std::max(taken.first, other)};
    if (std::ranges::find(facts.cores.siblings, pair) != facts.cores.siblings.end()) continue;
    advice.push_back(
        {"cores.smt",
         fmt::format("a run takes cores {} and {}, which are one physical core: set `placement: "
                     "{{system_cpu: {}, load_cpu: {}}}` in the scenario",
                     taken.first, taken.second, other, taken.first)});
    return;
  }
  advice.push_back(
      {"cores.smt", fmt::format("cores {} and {} are one physical core and slow each other: allow "
                                "this process another core",
                                taken.first, taken.second)});
}

void slow_governor(const MachineFacts& facts, std::vector<Advice>& advice) {
  if (!facts.cores.governor || *facts.cores.governor == "performance") return;
  advice.push_back({"cores.governor",
                    fmt::format("with \"{}\" a core may run slowly when a message comes: `cpupower "
                                "frequency-set -g performance` (root)",
                                *facts.cores.governor)});
}

std::int64_t longest_gap_ns(const CoreFacts& cores) {
  std::int64_t longest = 0;
  for (const auto& one : cores.jitter) longest = std::max(longest, one.longest_gap_ns);
  return longest;
}

/// Much of it, or a little that was enough to keep a spinning thread waiting when nobody else did.
bool host_takes_cores(const CoreFacts& cores) {
  const double share = cores.stolen_share.value_or(0);
  if (share > kStolenShare) return true;
  return share > 0 && longest_gap_ns(cores) > kLongGapNs &&
         cores.others_cores.value_or(0) <= kOthersCores;
}

void stolen_time(const MachineFacts& facts, std::vector<Advice>& advice) {
  if (!host_takes_cores(facts.cores)) return;
  advice.push_back({"cores.stolen",
                    "the host gives the cores to other guests, which shows in every p99: use a "
                    "dedicated host, or more repetitions"});
}

void busy_machine(const MachineFacts& facts, std::vector<Advice>& advice) {
  if (!facts.cores.others_cores || *facts.cores.others_cores <= kOthersCores) return;
  advice.push_back({"cores.others",
                    fmt::format("other programs take {:.2f} cores from a run: find them with `top` "
                                "and stop them",
                                *facts.cores.others_cores)});
}

/// Gaps that neither the host nor other programs explain: the kernel's own work, or programs that run seldom.
void long_gap(const MachineFacts& facts, std::vector<Advice>& advice) {
  const CoreFacts& cores = facts.cores;
  if (cores.jitter.empty() || cores.allowed.size() < 2) return;
  if (host_takes_cores(cores)) return;
  if (cores.others_cores.value_or(0) > kOthersCores) return;
  if (cores.isolated && !cores.isolated->empty()) return;
  const auto& worst =
      *std::ranges::max_element(cores.jitter, {}, &measure::CoreJitter::longest_gap_ns);
  if (worst.longest_gap_ns <= kLongGapNs) return;
  const int core = cores.allowed.back();
  const std::string id = cores.jitter.size() <= 8 ? fmt::format("cores.longest_gap.{}", worst.cpu)
                                                  : "cores.longest_gap.worst";
  advice.push_back(
      {id, fmt::format("a spinning thread was kept waiting: boot with `isolcpus={0}{1}` and "
                       "set `placement: {{system_cpu: {0}}}` in the scenario",
                       core, cores.nohz_full ? fmt::format(" nohz_full={}", core) : "")});
}

void slow_clock(const MachineFacts& facts, std::vector<Advice>& advice) {
  if (facts.clock.costs.read_clock_ns <= kSlowClockReadNs || !facts.clock.source) return;
  const bool offers_tsc =
      std::ranges::find(facts.clock.sources, "tsc") != facts.clock.sources.end();
  if (*facts.clock.source == "tsc") return;
  advice.push_back(
      {"clock.source",
       offers_tsc
           ? "each reading of the clock is slow: `echo tsc > /sys/devices/system/clocksource/"
             "clocksource0/current_clocksource` (root)"
           : "each reading of the clock is slow: boot with `tsc=reliable` if the machine's "
             "TSC is invariant"});
}

void slow_wake(const MachineFacts& facts, std::vector<Advice>& advice) {
  const auto& wake = facts.costs.wake;
  if (!wake || wake->latency_ns_p50 <= kSlowWakeNs) return;
  const auto& poll_ns = facts.cores.guest_halt_poll_ns;
  const bool haltpoll = poll_ns && *poll_ns < kHaltPollNs && facts.cores.idle_driver &&
                        facts.cores.idle_driver->find("haltpoll") != std::string::npos;
  advice.push_back(
      {"costs.wake",
       haltpoll ? fmt::format("use `wait: spin`, or keep idle cores awake: `echo {} > "
                              "/sys/module/haltpoll/parameters/guest_halt_poll_ns` (root)",
                              kHaltPollNs)
                : "use `wait: spin` in scenarios and `feedproxy --wait spin` where a core can be "
                  "spared"});
}

constexpr Rule kRules[] = {forbidden_io_uring,
                           no_deferred_task_run,
                           xdp_without_privileges,
                           little_locked_memory,
                           few_descriptors,
                           one_core,
                           small_quota,
                           siblings_in_use,
                           slow_governor,
                           stolen_time,
                           busy_machine,
                           long_gap,
                           slow_clock,
                           slow_wake};

}  // namespace

std::vector<Advice> advise(const MachineFacts& facts) {
  std::vector<Advice> advice;
  for (const Rule rule : kRules) rule(facts, advice);
  return advice;
}

}  // namespace feedbench::machine
