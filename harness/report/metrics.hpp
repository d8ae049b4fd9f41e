#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/measure/bootstrap.hpp"
#include "harness/report/result.hpp"

namespace feedbench::report {

/// A number that every repetition may have, known by one name in scenarios, comparisons, CSV and
/// plots.
struct Metric {
  std::string_view name;   ///< "latency_p50_ns"
  std::string_view title;  ///< "p50 latency"
  std::string_view unit;   ///< "us": what value * scale is in
  double scale = 1;        ///< from the metric's own unit to `unit`
  measure::Better better = measure::Better::lower;
};

/// All metrics: latency_p50_ns, latency_p90_ns, latency_p99_ns, latency_p999_ns, latency_p9999_ns,
/// latency_max_ns, latency_mean_ns, service_time_p50_ns, send_lag_p99_ns, frames_per_second,
/// bytes_per_second, cpu_seconds_per_million, rss_bytes_per_client.
[[nodiscard]] const std::vector<Metric>& metrics();
/// The metric of that name, or null.
[[nodiscard]] const Metric* find_metric(std::string_view name);

/// Nothing if the repetition lacks it, or has too few samples for the percentile.
[[nodiscard]] std::optional<double> metric_value(const Repetition& repetition,
                                                 std::string_view metric);

/// A metric over the valid repetitions of a case.
struct Band {
  double median = 0, low = 0, high = 0;  ///< low and high: the smallest and the largest repetition
  std::uint64_t repetitions = 0;
};
[[nodiscard]] std::optional<Band> band(const Case& measured, std::string_view metric);

/// What is to be compared. `bound` absent: only the ratio is wanted.
struct ComparisonRequest {
  std::string name;
  std::string group;
  std::string metric;
  std::optional<double> bound;
  bool bound_is_upper = true;
};

/// Compares two cases by the metric, repeat with repeat of equal number; invalid repetitions enter
/// no comparison. If fewer than half the repeats pair up, the samples are compared unpaired. A case
/// that is skipped or has no valid repetition gives a comparison without ratio, whose `words` say
/// why. errors: unknown metric: std::invalid_argument.
[[nodiscard]] Comparison compare(const ComparisonRequest& request, const Case& numerator,
                                 const Case& denominator, std::uint64_t seed);

/// The case of that name in any group, or null.
[[nodiscard]] const Case* find_case(const Result& result, std::string_view name);

}  // namespace feedbench::report
