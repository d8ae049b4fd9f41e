#include "mock_exchange/recording/figures.hpp"

#include <algorithm>
#include <cmath>

namespace feedbench::recording {
namespace {

/// Value at a fractional position of a sorted sequence; `at` gives the k-th value.
template <class At>
double interpolated(double position, const At& at) {
  const auto below = static_cast<std::uint64_t>(std::floor(position));
  const double fraction = position - static_cast<double>(below);
  const double low = at(below);
  return fraction == 0 ? low : low + (at(below + 1) - low) * fraction;
}

/// Counts of windows side by side, given as the windows that hold a frame, in order.
struct Bins {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> filled;  // index, count
  std::uint64_t total = 0;                                      // windows, empty ones too
};

Bins bins_of(std::span<const Arrival> arrivals, std::int64_t width_ns) {
  Bins bins;
  const std::int64_t first = arrivals.front().t_ns;
  bins.total = static_cast<std::uint64_t>((arrivals.back().t_ns - first) / width_ns);
  for (const Arrival& arrival : arrivals) {
    const auto index = static_cast<std::uint64_t>((arrival.t_ns - first) / width_ns);
    if (index >= bins.total) break;
    if (bins.filled.empty() || bins.filled.back().first != index)
      bins.filled.emplace_back(index, 0);
    ++bins.filled.back().second;
  }
  return bins;
}

/// Of each count with the next one: products of neighbours' deviations from the mean over the sum of squared deviations.
double autocorrelation_of(const Bins& bins) {
  if (bins.total < 2 || bins.filled.empty()) return 0;
  double sum = 0, squares = 0, products = 0;
  for (std::size_t i = 0; i < bins.filled.size(); ++i) {
    const auto [index, count] = bins.filled[i];
    const auto value = static_cast<double>(count);
    sum += value;
    squares += value * value;
    const bool neighbours = i > 0 && bins.filled[i - 1].first + 1 == index;
    if (neighbours) products += value * static_cast<double>(bins.filled[i - 1].second);
  }
  const auto value_at = [](std::uint64_t index, const auto& bin) {
    return bin.first == index ? static_cast<double>(bin.second) : 0.0;
  };
  const double first = value_at(0, bins.filled.front());
  const double last = value_at(bins.total - 1, bins.filled.back());
  const auto n = static_cast<double>(bins.total);
  const double mean = sum / n;
  const double covariance = products - mean * (2 * sum - first - last) + (n - 1) * mean * mean;
  const double variance = squares - n * mean * mean;
  return variance > 0 ? covariance / variance : 0;
}

}  // namespace

Quantiles quantiles_of(std::vector<double>& values) {
  Quantiles result;
  if (values.empty()) return result;
  std::sort(values.begin(), values.end());
  result.count = values.size();
  const auto n = static_cast<double>(values.size());
  for (std::size_t i = 0; i < Quantiles::kAt.size(); ++i) {
    result.values[i] =
        interpolated(Quantiles::kAt[i] * (n - 1), [&](std::uint64_t k) { return values[k]; });
  }
  double sum = 0;
  for (const double value : values) sum += value;
  result.mean = sum / n;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = std::sqrt(squares / n);
  return result;
}

Quantiles quantiles_of(const std::map<std::uint64_t, std::uint64_t>& counts) {
  Quantiles result;
  double sum = 0, squares = 0;
  for (const auto& [value, times] : counts) {
    result.count += times;
    sum += static_cast<double>(value) * static_cast<double>(times);
  }
  if (result.count == 0) return result;
  const auto n = static_cast<double>(result.count);
  result.mean = sum / n;
  for (const auto& [value, times] : counts) {
    const double off = static_cast<double>(value) - result.mean;
    squares += off * off * static_cast<double>(times);
  }
  result.deviation = std::sqrt(squares / n);
  const auto kth = [&](std::uint64_t k) {
    for (const auto& [value, times] : counts) {
      if (k < times) return static_cast<double>(value);
      k -= times;
    }
    return static_cast<double>(counts.rbegin()->first);
  };
  for (std::size_t i = 0; i < Quantiles::kAt.size(); ++i) {
    result.values[i] = interpolated(Quantiles::kAt[i] * (n - 1), kth);
  }
  return result;
}

WindowFigures window_figures(std::span<const Arrival> arrivals, std::int64_t width_ns) {
  WindowFigures figures;
  figures.width_ns = width_ns;
  std::size_t oldest = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    bytes += arrivals[i].bytes;
    while (arrivals[i].t_ns - arrivals[oldest].t_ns >= width_ns) bytes -= arrivals[oldest++].bytes;
    figures.frames_peak = std::max<std::uint64_t>(figures.frames_peak, i - oldest + 1);
    figures.bytes_peak = std::max(figures.bytes_peak, bytes);
  }
  const Bins bins = bins_of(arrivals, width_ns);
  if (bins.total == 0) return figures;
  std::map<std::uint64_t, std::uint64_t> counts;
  for (const auto& bin : bins.filled) ++counts[bin.second];
  if (bins.total > bins.filled.size()) counts[0] = bins.total - bins.filled.size();
  figures.count = quantiles_of(counts);
  if (figures.count.mean > 0) {
    figures.dispersion = figures.count.deviation * figures.count.deviation / figures.count.mean;
  }
  figures.autocorrelation = autocorrelation_of(bins);
  return figures;
}

std::vector<double> cluster_sizes(std::span<const Arrival> arrivals, std::int64_t gap_ns) {
  std::vector<double> sizes;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    if (i == 0 || arrivals[i].t_ns - arrivals[i - 1].t_ns > gap_ns) sizes.push_back(0);
    sizes.back() += 1;
  }
  return sizes;
}

double zipf_exponent_of(std::span<const std::pair<std::string, std::uint64_t>> counts) {
  if (counts.size() < 3) return 0;
  const auto n = static_cast<double>(counts.size());
  double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double x = std::log(static_cast<double>(i + 1));
    const double y = std::log(static_cast<double>(counts[i].second));
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_xy += x * y;
  }
  return -(n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
}

}  // namespace feedbench::recording
