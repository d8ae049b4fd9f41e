#pragma once

#include <cstdint>
#include <optional>

/// What single steps cost on this machine: reading a clock, a system call, waking a core. The parts that every latency
/// is made of.
namespace feedbench::measure {

/// Cost of one call each: the best of many batches, since all else is a neighbour's.
struct CallCosts {
  double read_tsc_ns = 0;
  double read_clock_ns = 0;   ///< clock_gettime(CLOCK_MONOTONIC)
  double system_call_ns = 0;  ///< the cheapest there is: getppid
  /// The step in which the TSC advances, as far as reads in a row can tell: the smallest difference of more than one tick
  /// that comes often (processors add one to a reading that would repeat the last). 0: none came often.
  std::int64_t tsc_step_ticks = 0;
};
/// On the calling thread, wherever it runs. Cost: about 5 ms. errors: none.
[[nodiscard]] CallCosts measure_call_costs();

/// From a write to an eventfd until the thread that slept in read() runs, the cores being idle before.
struct CoreWake {
  int cpu_from = 0, cpu_to = 0;
  std::uint64_t wakes = 0;
  double latency_ns_p50 = 0;
  double latency_ns_p99 = 0;
};
/// Two threads, pinned and joined. wakes: at least 1. Cost: about 0.2 ms a wake; ends after half a second with what there
/// is. Nothing where a core cannot be pinned to, or the cores are one.
[[nodiscard]] std::optional<CoreWake> measure_core_wake(int cpu_from, int cpu_to,
                                                        std::uint64_t wakes);

}  // namespace feedbench::measure
