#include "harness/measure/floors.hpp"

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "harness/measure/pinning.hpp"

namespace feedbench::measure {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kCpusMeasured = 8;
constexpr std::uint64_t kTripsPerBatch =
    32;  // one reading of the clock a batch, so that it costs under 1 %
constexpr std::chrono::milliseconds kBounceLimit{
    400};  // a core shared with a spinning stranger never answers

double ns_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::nano>(to - from).count();
}

/// The line that two cores hand to each other, alone on its cache lines. Odd: b's turn. Each side writes only its turn.
struct alignas(128) Line {
  std::atomic<std::uint64_t> turn{0};
  std::array<std::byte, 120> padding{};
};

void answer(Line& line, const std::atomic<bool>& stop) {
  std::uint64_t expected = 1;
  while (!stop.load(std::memory_order_relaxed)) {
    if (line.turn.load(std::memory_order_acquire) == expected) {
      line.turn.store(expected + 1, std::memory_order_release);
      expected += 2;
    }
  }
}

std::vector<double> bounce(Line& line, std::uint64_t batches) {
  std::vector<double> round_trip_ns;
  round_trip_ns.reserve(batches);
  std::uint64_t turn = 0;
  const Clock::time_point deadline = Clock::now() + kBounceLimit;
  Clock::time_point from = Clock::now();
  for (std::uint64_t batch = 0; batch < batches; ++batch) {
    for (std::uint64_t trip = 0; trip < kTripsPerBatch; ++trip) {
      line.turn.store(turn + 1, std::memory_order_release);
      turn += 2;
      std::uint64_t spins = 0;
      while (line.turn.load(std::memory_order_acquire) != turn) {
        if ((++spins & 0xffff) == 0 && Clock::now() > deadline) return round_trip_ns;
      }
    }
    const Clock::time_point to = Clock::now();
    round_trip_ns.push_back(ns_between(from, to) / static_cast<double>(kTripsPerBatch));
    from = to;
    if (to > deadline) break;
  }
  return round_trip_ns;
}

}  // namespace

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

std::optional<CoreBounce> measure_core_bounce(int cpu_a, int cpu_b, std::uint64_t round_trips) {
  if (cpu_a == cpu_b) return std::nullopt;  // the two would take turns of a whole time slice
  Line line;
  std::atomic<bool> stop{false};
  std::atomic<int> pinned{0};
  std::atomic<bool> failed{false};
  const auto arrive = [&](int cpu) {
    if (!pin_this_thread(cpu)) failed = true;
    ++pinned;
    while (pinned.load() < 2) std::this_thread::yield();
    return !failed.load();
  };
  std::vector<double> trips;
  std::thread b([&] {
    if (arrive(cpu_b)) answer(line, stop);
  });
  std::thread a([&] {
    if (arrive(cpu_a))
      trips = bounce(line, std::max<std::uint64_t>(1, round_trips / kTripsPerBatch));
    stop = true;
  });
  a.join();
  b.join();
  if (trips.empty()) return std::nullopt;
  std::ranges::sort(trips);
  return CoreBounce{cpu_a, cpu_b, trips[trips.size() / 2], trips[trips.size() * 99 / 100]};
}

std::optional<CoreJitter> measure_core_jitter(int cpu, double seconds) {
  std::optional<CoreJitter> measured;
  std::thread spinner([&] {
    if (!pin_this_thread(cpu)) return;
    CoreJitter jitter;
    jitter.cpu = cpu;
    const Clock::time_point start = Clock::now();
    const Clock::time_point end =
        start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    Clock::time_point last = start;
    while (last < end) {
      const Clock::time_point now = Clock::now();
      const auto gap_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now - last).count();
      last = now;
      jitter.longest_gap_ns = std::max<std::int64_t>(jitter.longest_gap_ns, gap_ns);
      if (gap_ns < 10'000) continue;
      ++jitter.gaps_over_10us;
      if (gap_ns >= 100'000) ++jitter.gaps_over_100us;
      if (gap_ns >= 1'000'000) ++jitter.gaps_over_1ms;
    }
    jitter.seconds = ns_between(start, last) * 1e-9;
    measured = jitter;
  });
  spinner.join();
  return measured;
}

MemcpyFloor measure_memcpy(std::uint64_t block_bytes, double seconds) {
  std::vector<std::byte> from(block_bytes, std::byte{1});
  std::vector<std::byte> to(block_bytes, std::byte{2});
  const auto copy_once = [&] {
    std::memcpy(to.data(), from.data(), block_bytes);
    // The copy must not be seen through: its result is declared used, its source declared changed.
    asm volatile("" : : "r"(to.data()), "r"(from.data()) : "memory");
  };
  copy_once();
  const std::uint64_t copies_per_batch = std::max<std::uint64_t>(1, (1 << 20) / block_bytes);
  double best_ns_per_copy = 0;
  const Clock::time_point start = Clock::now();
  const std::chrono::duration<double> limit(seconds);
  // The best batch: the floor is what the memory can do, not what the neighbours left of it.
  do {
    const Clock::time_point from_time = Clock::now();
    for (std::uint64_t copy = 0; copy < copies_per_batch; ++copy) copy_once();
    const double ns = ns_between(from_time, Clock::now()) / static_cast<double>(copies_per_batch);
    if (best_ns_per_copy <= 0 || ns < best_ns_per_copy) best_ns_per_copy = ns;
  } while (Clock::now() - start < limit);
  return {block_bytes, static_cast<double>(block_bytes) / best_ns_per_copy};
}

Floors measure_floors(std::string moment, const FloorsOptions& options) {
  Floors floors;
  floors.moment = std::move(moment);
  std::vector<int> cpus = options.cpus.empty() ? allowed_cpus() : options.cpus;
  if (cpus.size() > kCpusMeasured) cpus.resize(kCpusMeasured);
  for (std::size_t a = 0; a < cpus.size(); ++a) {
    for (std::size_t b = a + 1; b < cpus.size(); ++b) {
      if (const auto bounced = measure_core_bounce(cpus[a], cpus[b], options.bounce_round_trips)) {
        floors.core_bounce.push_back(*bounced);
      }
    }
  }
  for (const std::uint64_t bytes :
       {std::uint64_t{128}, std::uint64_t{1024}, std::uint64_t{32} << 10, std::uint64_t{8} << 20}) {
    floors.memory_copy.push_back(measure_memcpy(bytes, options.memcpy_seconds));
  }
  for (const int cpu : cpus) {
    if (const auto jitter = measure_core_jitter(cpu, options.jitter_seconds))
      floors.jitter.push_back(*jitter);
  }
  return floors;
}

}  // namespace feedbench::measure
