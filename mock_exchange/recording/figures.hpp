#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "mock_exchange/recording/inspect.hpp"

/// The arithmetic behind inspect(): plain functions over sorted values, so that each can be checked by hand.
namespace feedbench::recording {

/// One frame as the figures see it.
struct Arrival {
  std::int64_t t_ns = 0;
  std::uint32_t bytes = 0;
};

/// Sorts the values. All zero for no value.
Quantiles quantiles_of(std::vector<double>& values);

/// The same for values given as value -> how often: exact for billions of windows that are mostly empty.
Quantiles quantiles_of(const std::map<std::uint64_t, std::uint64_t>& counts);

/// arrivals: sorted by time, at least two. Counts side by side start at the first frame; a last window that is not
/// whole is left out. O(n) whatever the span.
WindowFigures window_figures(std::span<const Arrival> arrivals, std::int64_t width_ns);

/// Sizes of clusters: frames that follow each other within `gap_ns`.
std::vector<double> cluster_sizes(std::span<const Arrival> arrivals, std::int64_t gap_ns);

/// The s of count ~ rank^-s by least squares in the logarithms. counts: most frequent first. 0 for fewer than 3.
double zipf_exponent_of(std::span<const std::pair<std::string, std::uint64_t>> counts);

}  // namespace feedbench::recording
