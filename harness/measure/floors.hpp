#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace feedbench::measure {

/// A cache line handed to another core and back.
struct CoreBounce {
  int cpu_a = 0, cpu_b = 0;
  double round_trip_ns_p50 = 0;
  double round_trip_ns_p99 = 0;
};

/// Copying one block again and again on one core.
struct MemcpyFloor {
  std::uint64_t bytes = 0;  ///< of the block
  double gigabytes_per_second = 0;
};

/// How long a loop that does nothing but look at the clock was away.
struct CoreJitter {
  int cpu = 0;
  double seconds = 0;  ///< it spun for
  std::int64_t longest_gap_ns = 0;
  std::uint64_t gaps_over_10us = 0, gaps_over_100us = 0, gaps_over_1ms = 0;
};

/// How dear this machine was at one moment of a run. A list is empty where there was nothing to
/// measure.
struct Floors {
  std::string moment;  ///< "before" or "after" the cases
  std::vector<CoreBounce> core_bounce;
  std::vector<MemcpyFloor> memory_copy;
  std::vector<CoreJitter> jitter;
};

struct FloorsOptions {
  /// Cores the run uses. Empty: all that this process may run on, the first eight of them.
  std::vector<int> cpus;
  double jitter_seconds = 0.2;                ///< a core; all cores one after the other
  std::uint64_t bounce_round_trips = 20'000;  ///< a pair of cores
  double memcpy_seconds = 0.02;               ///< a block size
};

/// Measures all floors on threads of its own, which it pins and joins. Takes about half a second on
/// two cores. errors: a core that cannot be pinned to is left out. thread: any; the caller's own
/// thread is not moved.
[[nodiscard]] Floors measure_floors(std::string moment, const FloorsOptions& options = {});

/// Two spinning threads bounce one line; nothing if either core cannot be pinned to.
[[nodiscard]] std::optional<CoreBounce> measure_core_bounce(int cpu_a, int cpu_b,
                                                            std::uint64_t round_trips);
[[nodiscard]] std::optional<CoreJitter> measure_core_jitter(int cpu, double seconds);
/// On the calling thread, wherever it runs.
[[nodiscard]] MemcpyFloor measure_memcpy(std::uint64_t block_bytes, double seconds);

/// Cores this process may run on, ascending.
[[nodiscard]] std::vector<int> allowed_cpus();

}  // namespace feedbench::measure
