#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "transports/split_mix.hpp"

namespace feedbench::measure {

/// A small deterministic generator (SplitMix64), the same on every platform for one seed.
class SplitMix64 {
 public:
  explicit SplitMix64(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept { return split_mix(state_); }
  /// Uniform in [0, bound), without bias worth naming. bound: 1 to 2^32 - 1.
  std::uint64_t below(std::uint64_t bound) noexcept { return ((next() >> 32) * bound) >> 32; }
  /// Uniform in [0, 1).
  double unit() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  std::uint64_t state_;
};

/// A ratio and how sure it is.
struct RatioInterval {
  double ratio = 0;          ///< median of the pairs' ratios
  double low = 0, high = 0;  ///< bounds of the confidence interval
  std::uint64_t pairs = 0;   ///< 0: nothing to compare, the other members mean nothing
};

struct BootstrapOptions {
  double confidence = 0.95;
  std::uint64_t resamples = 4000;
  std::uint64_t seed = 1;
};

/// Ratio of two systems measured in interleaved repeats: numerators[i] and denominators[i] were
/// taken next to each other, so what the machine did at that time divides out. shapes: [n] and [n];
/// pairs in which either is not positive and finite are left out. cost: resamples * n; thread: any;
/// deterministic for one seed.
[[nodiscard]] RatioInterval bootstrap_paired_ratio(std::span<const double> numerators,
                                                   std::span<const double> denominators,
                                                   const BootstrapOptions& options = {});

/// Ratio of the medians of two samples that are not paired. shapes: [n] and [m].
[[nodiscard]] RatioInterval bootstrap_unpaired_ratio(std::span<const double> numerators,
                                                     std::span<const double> denominators,
                                                     const BootstrapOptions& options = {});

/// Which way of a metric is good.
enum class Better : std::uint8_t { lower, higher };

/// "faster", "slower" or "no difference shown": only what the interval allows (it must lie wholly on
/// one side of 1, and rest on at least `kPairsForVerdict` pairs). Between equals a difference is
/// claimed in 6 to 7 % of comparisons (a test measures it; 5 % is nominal).
[[nodiscard]] std::string_view verdict_words(const RatioInterval& interval, Better better) noexcept;
inline constexpr std::uint64_t kPairsForVerdict = 5;

}  // namespace feedbench::measure
