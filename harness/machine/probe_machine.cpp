#include "harness/machine/probe_machine.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "harness/measure/process_sample.hpp"
#include "harness/measure/text_files.hpp"
#include "transports/epoll/epoll_features.hpp"
#include "transports/io_uring/io_uring_features.hpp"
#include "transports/socket_features.hpp"
#include "transports/tls/kernel_tls_feature.hpp"
#include "transports/xdp/xdp_features.hpp"

namespace feedbench::machine {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kCoresSpunMax = 64;
constexpr double kSpinSeconds = 0.5;
constexpr std::size_t kCoresComparedMax = 8;
constexpr std::uint64_t kExchanges = 5'000;
constexpr std::uint64_t kRoundTrips = 20'000;
constexpr std::uint64_t kWakes = 300;
constexpr std::chrono::milliseconds kWatchedAtLeast{1000};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

TransportFacts probe_transports() {
  TransportFacts facts;
  facts.transports = transports::available_transports();
  facts.io_uring = transports::probe_io_uring_features();
  facts.epoll = transports::probe_epoll_features();
  facts.sockets = transports::probe_socket_features();
  facts.xdp = transports::probe_xdp_features();
  facts.kernel_tls = transports::probe_kernel_tls();
  facts.interfaces = transports::network_interfaces();
  facts.busy_poll_us = measure::number_of(measure::first_line("/proc/sys/net/core/busy_poll"));
  facts.busy_read_us = measure::number_of(measure::first_line("/proc/sys/net/core/busy_read"));
  return facts;
}

/// On all cores at once: what one core is denied then is denied to two spinning programs too.
std::vector<measure::CoreJitter> spin_on(std::vector<int> cpus) {
  if (cpus.size() > kCoresSpunMax) cpus.resize(kCoresSpunMax);
  std::vector<std::optional<measure::CoreJitter>> measured(cpus.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    threads.emplace_back(
        [&, i] { measured[i] = measure::measure_core_jitter(cpus[i], kSpinSeconds); });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<measure::CoreJitter> jitter;
  for (const auto& one : measured) {
    if (one) jitter.push_back(*one);
  }
  return jitter;
}

/// What the machine did for others between two moments.
class Watch {
 public:
  void tell(CoreFacts& cores) const {
    cores.watched_seconds = seconds_since(start_);
    const auto machine = measure::machine_cpu_time();
    const auto own = measure::process_cpu_seconds(::getpid());
    if (!machine || !machine_ || !own || !own_ || cores.online < 1) return;
    const double of_all_cores = cores.watched_seconds * cores.online;
    cores.stolen_share = (machine->stolen_seconds - machine_->stolen_seconds) / of_all_cores;
    const double others = (machine->programs_seconds - machine_->programs_seconds) - (*own - *own_);
    cores.others_cores = std::max(0.0, others / cores.watched_seconds);
  }

 private:
  Clock::time_point start_ = Clock::now();
  std::optional<measure::MachineCpuTime> machine_ = measure::machine_cpu_time();
  std::optional<double> own_ = measure::process_cpu_seconds(::getpid());
};

}  // namespace

MachineFacts probe_machine() {
  const Clock::time_point start = Clock::now();
  MachineFacts facts;
  facts.environment = measure::Environment::read();
  facts.cores = probe_cores(facts.environment);
  const Watch watch;
  facts.transport = probe_transports();
  facts.memory = probe_memory();
  facts.clock = probe_clock(facts.environment);
  facts.clock.costs = measure::measure_call_costs();
  const std::vector<int>& cpus = facts.cores.allowed;
  for (std::size_t i = 1; i < std::min(cpus.size(), kCoresComparedMax); ++i) {
    if (const auto agreement = measure::measure_clock_agreement(cpus[0], cpus[i], kExchanges))
      facts.clock.agreement.push_back(*agreement);
  }
  if (cpus.size() > 1) {
    facts.costs.bounce = measure::measure_core_bounce(cpus[0], cpus[1], kRoundTrips);
    facts.costs.wake = measure::measure_core_wake(cpus[0], cpus[1], kWakes);
  }
  facts.cores.jitter = spin_on(cpus);
  std::this_thread::sleep_until(start + kWatchedAtLeast);
  watch.tell(facts.cores);
  facts.seconds = seconds_since(start);
  return facts;
}

}  // namespace feedbench::machine
