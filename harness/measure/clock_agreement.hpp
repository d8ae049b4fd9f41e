#pragma once

#include <cstdint>
#include <optional>

namespace feedbench::measure {

/// How far apart the time stamp counters of two cores may be: what b shows less what a shows at the same moment lies
/// between the two.
struct ClockAgreement {
  int cpu_a = 0, cpu_b = 0;
  std::int64_t difference_ticks_min = 0;
  std::int64_t difference_ticks_max = 0;
  /// The same counter, as far as can be seen.
  [[nodiscard]] bool agree() const noexcept {
    return difference_ticks_min <= 0 && difference_ticks_max >= 0;
  }
};

/// One exchange: core a read its counter before it asked and after it had the answer; b read its own in between.
struct ClockExchange {
  std::uint64_t asked = 0, answered = 0, got = 0;  ///< ticks of a, b, a
};
/// Narrows the bounds by one exchange: b's reading lies between a's two.
void narrow(ClockAgreement& bounds, const ClockExchange& exchange) noexcept;

/// Two spinning threads, pinned and joined, exchange readings. Cost: some milliseconds; ends after 0.2 s with what there
/// is. Nothing where a core cannot be pinned to, the cores are one, or none answered. thread: any.
[[nodiscard]] std::optional<ClockAgreement> measure_clock_agreement(int cpu_a, int cpu_b,
                                                                    std::uint64_t exchanges);

}  // namespace feedbench::measure
