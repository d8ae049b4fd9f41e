#include "harness/report/metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <stdexcept>

namespace feedbench::report {
namespace {

using measure::Better;
using measure::Histogram;

/// Resampling one or two ratios gives an interval that means nothing.
constexpr std::uint64_t kPairsForInterval = 3;

std::optional<double> percentile_of(const std::optional<Histogram>& histogram, double percentile) {
  if (!histogram) return std::nullopt;
  const auto value = histogram->supported_percentile(percentile);
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

/// Valid repetitions' values by the number of their repeat.
std::map<int, double> values_of(const Case& measured, std::string_view metric) {
  std::map<int, double> values;
  for (const Repetition& repetition : measured.repetitions) {
    if (!repetition.verdict.valid) continue;
    if (const auto value = metric_value(repetition, metric)) values[repetition.repeat] = *value;
  }
  return values;
}

std::string why_nothing(const Case& measured, const std::map<int, double>& values) {
  if (measured.skipped) return fmt::format("{} was skipped", measured.name);
  if (measured.repetitions.empty()) return fmt::format("{} has no repetition", measured.name);
  if (std::ranges::none_of(measured.repetitions,
                           [](const auto& one) { return one.verdict.valid; })) {
    return fmt::format("{} has no valid repetition", measured.name);
  }
  return values.empty()
             ? fmt::format("{} lacks the metric, or samples enough for it", measured.name)
             : "";
}

std::vector<double> all_of(const std::map<int, double>& values) {
  std::vector<double> all;
  for (const auto& [repeat, value] : values) all.push_back(value);
  return all;
}

}  // namespace

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> all = {
      {"latency_p50_ns", "p50 latency", "us", 1e-3, Better::lower},
      {"latency_p90_ns", "p90 latency", "us", 1e-3, Better::lower},
      {"latency_p99_ns", "p99 latency", "us", 1e-3, Better::lower},
      {"latency_p999_ns", "p99.9 latency", "us", 1e-3, Better::lower},
      {"latency_p9999_ns", "p99.99 latency", "us", 1e-3, Better::lower},
      {"latency_max_ns", "largest latency", "us", 1e-3, Better::lower},
      {"latency_mean_ns", "mean latency", "us", 1e-3, Better::lower},
      {"service_time_p50_ns", "p50 service time", "us", 1e-3, Better::lower},
      {"send_lag_p99_ns", "p99 send lag", "us", 1e-3, Better::lower},
      {"frames_per_second", "frames delivered", "1/s", 1, Better::higher},
      {"bytes_per_second", "bytes delivered", "MB/s", 1e-6, Better::higher},
      {"cpu_seconds_per_million", "CPU per million delivered", "s", 1, Better::lower},
      {"rss_bytes_per_client", "memory per client", "KiB", 1.0 / 1024, Better::lower},
  };
  return all;
}

const Metric* find_metric(std::string_view name) {
  const auto found = std::ranges::find(metrics(), name, &Metric::name);
  return found == metrics().end() ? nullptr : &*found;
}

std::optional<double> metric_value(const Repetition& repetition, std::string_view metric) {
  if (metric == "latency_p50_ns") return percentile_of(repetition.latency, 50);
  if (metric == "latency_p90_ns") return percentile_of(repetition.latency, 90);
  if (metric == "latency_p99_ns") return percentile_of(repetition.latency, 99);
  if (metric == "latency_p999_ns") return percentile_of(repetition.latency, 99.9);
  if (metric == "latency_p9999_ns") return percentile_of(repetition.latency, 99.99);
  if (metric == "service_time_p50_ns") return percentile_of(repetition.service_time, 50);
  if (metric == "send_lag_p99_ns") return percentile_of(repetition.send_lag, 99);
  if (metric == "latency_max_ns" && repetition.latency && !repetition.latency->empty()) {
    return static_cast<double>(repetition.latency->max());
  }
  if (metric == "latency_mean_ns" && repetition.latency && repetition.latency->bucket_count() > 0) {
    return repetition.latency->mean();
  }
  if (metric == "frames_per_second") return repetition.frames_per_second;
  if (metric == "bytes_per_second") return repetition.bytes_per_second;
  if (metric == "cpu_seconds_per_million") return repetition.proxy_cpu_seconds_per_million;
  if (metric == "rss_bytes_per_client") return repetition.rss_bytes_per_client;
  return std::nullopt;
}

std::optional<Band> band(const Case& measured, std::string_view metric) {
  std::vector<double> values = all_of(values_of(measured, metric));
  if (values.empty()) return std::nullopt;
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return Band{median, values.front(), values.back(), values.size()};
}

Comparison compare(const ComparisonRequest& request, const Case& numerator, const Case& denominator,
                   std::uint64_t seed) {
  const Metric* metric = find_metric(request.metric);
  if (metric == nullptr)
    throw std::invalid_argument(fmt::format("unknown metric \"{}\"", request.metric));
  Comparison comparison;
  comparison.name = request.name;
  comparison.group = request.group;
  comparison.metric = request.metric;
  comparison.numerator = numerator.name;
  comparison.denominator = denominator.name;
  comparison.bound = request.bound;
  comparison.bound_is_upper = request.bound_is_upper;

  const std::map<int, double> above = values_of(numerator, request.metric);
  const std::map<int, double> below = values_of(denominator, request.metric);
  for (const std::string& why : {why_nothing(numerator, above), why_nothing(denominator, below)}) {
    if (why.empty()) continue;
    comparison.words = "not compared: " + why;
    return comparison;
  }
  std::vector<double> paired_above;
  std::vector<double> paired_below;
  for (const auto& [repeat, value] : above) {
    if (const auto other = below.find(repeat); other != below.end()) {
      paired_above.push_back(value);
      paired_below.push_back(other->second);
    }
  }
  measure::BootstrapOptions options;
  options.seed = seed;
  const bool enough_pairs = 2 * paired_above.size() >= std::max(above.size(), below.size());
  const measure::RatioInterval interval =
      enough_pairs ? measure::bootstrap_paired_ratio(paired_above, paired_below, options)
                   : measure::bootstrap_unpaired_ratio(all_of(above), all_of(below), options);
  if (interval.pairs == 0) {
    comparison.words = "not compared: no pair of positive values";
    return comparison;
  }
  comparison.ratio = interval.ratio;
  comparison.pairs = interval.pairs;
  if (interval.pairs >= kPairsForInterval) {
    comparison.low = interval.low;
    comparison.high = interval.high;
  }
  comparison.words = interval.pairs < measure::kPairsForVerdict
                         ? std::string_view("too few pairs to tell")
                         : measure::verdict_words(interval, metric->better);
  if (request.bound) {
    comparison.met = request.bound_is_upper ? interval.ratio <= *request.bound
                                            : interval.ratio >= *request.bound;
  }
  return comparison;
}

const Case* find_case(const Result& result, std::string_view name) {
  for (const Group& group : result.groups) {
    const auto found = std::ranges::find(group.cases, name, &Case::name);
    if (found != group.cases.end()) return &*found;
  }
  return nullptr;
}

}  // namespace feedbench::report
