#include "harness/measure/bootstrap.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace feedbench::measure {
namespace {

bool usable(double value) { return std::isfinite(value) && value > 0; }

/// Reorders the values. values: not empty.
double median_of(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::vector<double> usable_of(std::span<const double> values) {
  std::vector<double> kept;
  std::ranges::copy_if(values, std::back_inserter(kept), usable);
  return kept;
}

void resample(const std::vector<double>& from, std::vector<double>& into, SplitMix64& random) {
  into.resize(from.size());
  for (double& value : into) value = from[random.below(from.size())];
}

/// The interval that holds `confidence` of the resampled statistics.
void take_interval(RatioInterval& interval, std::vector<double>& statistics, double confidence) {
  std::ranges::sort(statistics);
  const double tail = (1 - std::clamp(confidence, 0.0, 1.0)) / 2;
  const auto last = static_cast<double>(statistics.size() - 1);
  interval.low = statistics[static_cast<std::size_t>(std::floor(tail * last))];
  interval.high = statistics[static_cast<std::size_t>(std::ceil((1 - tail) * last))];
}

}  // namespace

RatioInterval bootstrap_paired_ratio(std::span<const double> numerators,
                                     std::span<const double> denominators,
                                     const BootstrapOptions& options) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(numerators.size(), denominators.size()); ++i) {
    if (usable(numerators[i]) && usable(denominators[i]))
      ratios.push_back(numerators[i] / denominators[i]);
  }
  RatioInterval interval;
  if (ratios.empty()) return interval;
  interval.pairs = ratios.size();
  std::vector<double> drawn = ratios;
  interval.ratio = median_of(drawn);

  SplitMix64 random(options.seed);
  std::vector<double> medians(std::max<std::uint64_t>(1, options.resamples));
  for (double& median : medians) {
    resample(ratios, drawn, random);
    median = median_of(drawn);
  }
  take_interval(interval, medians, options.confidence);
  return interval;
}

RatioInterval bootstrap_unpaired_ratio(std::span<const double> numerators,
                                       std::span<const double> denominators,
                                       const BootstrapOptions& options) {
  const std::vector<double> above = usable_of(numerators);
  const std::vector<double> below = usable_of(denominators);
  RatioInterval interval;
  if (above.empty() || below.empty()) return interval;
  interval.pairs = std::min(above.size(), below.size());
  std::vector<double> drawn_above = above;
  std::vector<double> drawn_below = below;
  interval.ratio = median_of(drawn_above) / median_of(drawn_below);

  SplitMix64 random(options.seed);
  std::vector<double> ratios(std::max<std::uint64_t>(1, options.resamples));
  for (double& ratio : ratios) {
    resample(above, drawn_above, random);
    resample(below, drawn_below, random);
    ratio = median_of(drawn_above) / median_of(drawn_below);
  }
  take_interval(interval, ratios, options.confidence);
  return interval;
}

std::string_view verdict_words(const RatioInterval& interval, Better better) noexcept {
  constexpr std::string_view kNothing = "no difference shown";
  if (interval.pairs < kPairsForVerdict) return kNothing;
  if (interval.low <= 1 && interval.high >= 1) return kNothing;
  const bool smaller = interval.high < 1;
  return smaller == (better == Better::lower) ? "faster" : "slower";
}

}  // namespace feedbench::measure
