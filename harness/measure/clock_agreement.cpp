#include "harness/measure/clock_agreement.hpp"

#include <x86intrin.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <thread>

#include "harness/measure/pinning.hpp"
#include "transports/clock.hpp"

namespace feedbench::measure {
namespace {

constexpr std::int64_t kExchangeLimitNs = 200'000'000;
constexpr std::int64_t kFar = std::numeric_limits<std::int64_t>::max() / 2;

/// Reads in order with the loads and stores around it.
std::uint64_t fenced_tsc() noexcept {
  _mm_lfence();
  const std::uint64_t ticks = __rdtsc();
  _mm_lfence();
  return ticks;
}

/// turn: written by a when odd, by b when even. answer: written by b before its turn.
struct alignas(128) Exchange {
  std::atomic<std::uint64_t> turn{0};
  std::atomic<std::uint64_t> answer{0};
  std::array<std::byte, 112> padding{};
};

void answer_all(Exchange& shared, const std::atomic<bool>& stop) {
  std::uint64_t expected = 1;
  while (!stop.load(std::memory_order_relaxed)) {
    if (shared.turn.load(std::memory_order_acquire) != expected) continue;
    shared.answer.store(fenced_tsc(), std::memory_order_relaxed);
    shared.turn.store(expected + 1, std::memory_order_release);
    expected += 2;
  }
}

std::uint64_t ask_all(Exchange& shared, std::uint64_t exchanges, ClockAgreement& bounds) {
  const std::int64_t deadline = transports::read_clock_ns(CLOCK_MONOTONIC) + kExchangeLimitNs;
  for (std::uint64_t i = 0; i < exchanges; ++i) {
    ClockExchange exchange;
    exchange.asked = fenced_tsc();
    shared.turn.store(2 * i + 1, std::memory_order_release);
    std::uint64_t spins = 0;
    while (shared.turn.load(std::memory_order_acquire) != 2 * i + 2) {
      const bool look = (++spins & 0xffff) == 0;
      if (look && transports::read_clock_ns(CLOCK_MONOTONIC) > deadline) return i;
    }
    exchange.answered = shared.answer.load(std::memory_order_relaxed);
    exchange.got = fenced_tsc();
    narrow(bounds, exchange);
  }
  return exchanges;
}

}  // namespace

void narrow(ClockAgreement& bounds, const ClockExchange& exchange) noexcept {
  const auto least = static_cast<std::int64_t>(exchange.answered - exchange.got);
  const auto most = static_cast<std::int64_t>(exchange.answered - exchange.asked);
  bounds.difference_ticks_min = std::max(bounds.difference_ticks_min, least);
  bounds.difference_ticks_max = std::min(bounds.difference_ticks_max, most);
}

std::optional<ClockAgreement> measure_clock_agreement(int cpu_a, int cpu_b,
                                                      std::uint64_t exchanges) {
  if (cpu_a == cpu_b) return std::nullopt;
  Exchange shared;
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
  ClockAgreement bounds{cpu_a, cpu_b, -kFar, kFar};
  std::uint64_t done = 0;
  std::thread b([&] {
    if (!pin_this_thread(cpu_b)) failed = true;
    if (!failed) answer_all(shared, stop);
  });
  std::thread a([&] {
    if (pin_this_thread(cpu_a)) done = ask_all(shared, exchanges, bounds);
    stop = true;
  });
  a.join();
  b.join();
  if (done == 0 || failed) return std::nullopt;
  return bounds;
}

}  // namespace feedbench::measure
