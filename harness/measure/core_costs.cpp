#include "harness/measure/core_costs.hpp"

#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <map>
#include <thread>
#include <vector>

#include "harness/measure/pinning.hpp"
#include "transports/clock.hpp"
#include "transports/rings/descriptor.hpp"

namespace feedbench::measure {
namespace {

using transports::read_clock_ns;

constexpr int kBatches = 60;
constexpr int kCallsPerBatch = 200;
constexpr int kStepReads = 20'000;
constexpr std::int64_t kRestNs = 150'000;  // long enough for the sleeper's core to go idle
constexpr std::int64_t kWakeLimitNs = 500'000'000;

template <class Call>
double best_cost_ns(const Call& call) {
  double best = std::numeric_limits<double>::max();
  for (int batch = 0; batch < kBatches; ++batch) {
    const std::int64_t from = read_clock_ns(CLOCK_MONOTONIC);
    for (int i = 0; i < kCallsPerBatch; ++i) call();
    const auto ns = static_cast<double>(read_clock_ns(CLOCK_MONOTONIC) - from);
    best = std::min(best, ns / kCallsPerBatch);
  }
  return best;
}

void keep(std::uint64_t value) { asm volatile("" : : "r"(value)); }

std::int64_t smallest_step() {
  std::map<std::int64_t, int> seen;
  std::uint64_t last = transports::TscInstant::now().ticks;
  for (int i = 0; i < kStepReads; ++i) {
    const std::uint64_t now = transports::TscInstant::now().ticks;
    ++seen[static_cast<std::int64_t>(now - last)];
    last = now;
  }
  for (const auto& [ticks, count] : seen) {
    if (ticks > 1 && count >= kStepReads / 50) return ticks;
  }
  return 0;
}

/// Shared by the two threads; `woken_ns` has one writer, the sleeper.
struct WakePair {
  rings::Descriptor event{::eventfd(0, EFD_CLOEXEC)};
  std::atomic<std::int64_t> woken_ns{0};
  std::atomic<bool> asleep_next{false};
};

void sleep_and_stamp(WakePair& pair, std::uint64_t wakes) {
  for (std::uint64_t i = 0; i < wakes; ++i) {
    pair.asleep_next.store(true, std::memory_order_release);
    std::uint64_t value = 0;
    if (::read(pair.event.get(), &value, sizeof(value)) != sizeof(value)) return;
    pair.woken_ns.store(read_clock_ns(CLOCK_MONOTONIC), std::memory_order_release);
    if (value > 1) return;  // told to end
  }
}

void ring(const WakePair& pair, std::uint64_t value) {
  static_cast<void>(!::write(pair.event.get(), &value, sizeof(value)));
}

/// Spins until the condition holds. returns false at the deadline.
template <class Condition>
bool spin_until(const Condition& condition, std::int64_t deadline_ns) {
  while (!condition()) {
    if (read_clock_ns(CLOCK_MONOTONIC) > deadline_ns) return false;
  }
  return true;
}

std::vector<double> wake_again_and_again(WakePair& pair, std::uint64_t wakes) {
  std::vector<double> latencies_ns;
  const std::int64_t deadline = read_clock_ns(CLOCK_MONOTONIC) + kWakeLimitNs;
  for (std::uint64_t i = 0; i < wakes; ++i) {
    if (!spin_until([&] { return pair.asleep_next.exchange(false); }, deadline)) break;
    const std::int64_t rest_until = read_clock_ns(CLOCK_MONOTONIC) + kRestNs;
    spin_until([] { return false; }, rest_until);
    pair.woken_ns.store(0, std::memory_order_relaxed);
    const std::int64_t from = read_clock_ns(CLOCK_MONOTONIC);
    ring(pair, 1);
    const auto woken = [&] { return pair.woken_ns.load(std::memory_order_acquire) != 0; };
    if (!spin_until(woken, deadline)) break;
    latencies_ns.push_back(static_cast<double>(pair.woken_ns.load() - from));
  }
  ring(pair, 2);  // a sleeper that is still there ends; else nobody reads it
  return latencies_ns;
}

}  // namespace

CallCosts measure_call_costs() {
  CallCosts costs;
  costs.read_tsc_ns = best_cost_ns([] { keep(transports::TscInstant::now().ticks); });
  costs.read_clock_ns =
      best_cost_ns([] { keep(static_cast<std::uint64_t>(read_clock_ns(CLOCK_MONOTONIC))); });
  costs.system_call_ns =
      best_cost_ns([] { keep(static_cast<std::uint64_t>(::syscall(SYS_getppid))); });
  costs.tsc_step_ticks = smallest_step();
  return costs;
}

std::optional<CoreWake> measure_core_wake(int cpu_from, int cpu_to, std::uint64_t wakes) {
  WakePair pair;
  if (cpu_from == cpu_to || !pair.event.valid()) return std::nullopt;
  std::atomic<bool> failed{false};
  std::vector<double> latencies_ns;
  std::thread sleeper([&] {
    if (pin_this_thread(cpu_to)) {
      sleep_and_stamp(pair, wakes);
    } else {
      failed = true;
    }
  });
  std::thread waker([&] {
    if (pin_this_thread(cpu_from) && !failed) {
      latencies_ns = wake_again_and_again(pair, wakes);
    } else {
      ring(pair, 2);
    }
  });
  waker.join();
  sleeper.join();
  if (latencies_ns.empty()) return std::nullopt;
  std::ranges::sort(latencies_ns);
  const std::size_t count = latencies_ns.size();
  return CoreWake{cpu_from, cpu_to, count, latencies_ns[count / 2], latencies_ns[count * 99 / 100]};
}

}  // namespace feedbench::measure
