#include "harness/measure/histogram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

namespace feedbench::measure {

namespace {

/// What the range alone decides about the buckets.
struct Layout {
  int unit_magnitude = 0;
  int sub_bucket_half_magnitude = 0;
  std::size_t counts = 0;
};

Layout layout_of(const HistogramRange& range) {
  if (range.lowest_discernible < 1) {
    throw std::invalid_argument("histogram: the lowest discernible value must be at least 1");
  }
  if (range.highest_trackable / 2 < range.lowest_discernible) {
    throw std::invalid_argument(
        "histogram: the highest trackable value must be at least twice the lowest");
  }
  if (range.significant_digits < 1 || range.significant_digits > 5) {
    throw std::invalid_argument("histogram: significant digits must be 1 to 5");
  }
  std::uint64_t largest_with_unit_resolution = 2;
  for (int i = 0; i < range.significant_digits; ++i) largest_with_unit_resolution *= 10;
  const std::uint64_t sub_buckets = std::bit_ceil(largest_with_unit_resolution);
  const auto lowest = static_cast<std::uint64_t>(range.lowest_discernible);
  Layout layout;
  layout.sub_bucket_half_magnitude = std::countr_zero(sub_buckets) - 1;
  layout.unit_magnitude = static_cast<int>(std::bit_width(lowest)) - 1;
  if (layout.unit_magnitude + layout.sub_bucket_half_magnitude > 61) {
    throw std::invalid_argument("histogram: the lowest value and the digits do not fit 64 bits");
  }
  std::size_t buckets = 1;
  std::uint64_t smallest_untrackable = sub_buckets << layout.unit_magnitude;
  while (smallest_untrackable <= static_cast<std::uint64_t>(range.highest_trackable)) {
    ++buckets;
    smallest_untrackable <<= 1;
  }
  layout.counts = (buckets + 1) << layout.sub_bucket_half_magnitude;
  return layout;
}

}  // namespace

Histogram::Histogram(HistogramRange range) : range_(range) {
  const Layout layout = layout_of(range);
  unit_magnitude_ = layout.unit_magnitude;
  sub_bucket_half_magnitude_ = layout.sub_bucket_half_magnitude;
  sub_bucket_mask_ = ((std::uint64_t{2} << sub_bucket_half_magnitude_) - 1) << unit_magnitude_;
  counts_.assign(layout.counts, 0);
}

std::size_t Histogram::counts_needed(const HistogramRange& range) {
  return layout_of(range).counts;
}

void Histogram::record_outside(std::int64_t value, std::uint64_t count) noexcept {
  if (value < 0) {
    negative_count_ += count;
  } else {
    add_overflow(count, value);
    min_ = std::min(min_, value);
  }
}

void Histogram::add_overflow(std::uint64_t count, std::int64_t largest) noexcept {
  if (count == 0) return;
  overflow_count_ += count;
  max_ = std::max(max_, largest);
  if (count_ == 0) min_ = std::min(min_, largest);
}

void Histogram::add_to_bucket(std::size_t index, std::uint64_t count) noexcept {
  if (count == 0) return;
  counts_[index] += count;
  count_ += count;
  min_ = std::min(min_, value_of(index));
  max_ = std::max(max_, highest_of(index));
}

void Histogram::restore_extremes(std::int64_t min, std::int64_t max) noexcept {
  if (empty() || min < 0 || max < min) return;
  const auto same_bucket = [this](std::int64_t a, std::int64_t b) {
    const std::int64_t top = highest_of(counts_.size() - 1);
    return a <= top && b <= top ? index_of(a) == index_of(b) : a == b;
  };
  if (same_bucket(min, min_)) min_ = min;
  if (same_bucket(max, max_)) max_ = max;
}

void Histogram::merge(const Histogram& other) noexcept {
  if (range_ == other.range_) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    overflow_count_ += other.overflow_count_;
  } else {
    other.for_each_bucket([this, &other](const Bucket& bucket) {
      record(std::min(bucket.highest, other.max_), bucket.count);
    });
    if (other.overflow_count_ > 0) add_overflow(other.overflow_count_, other.max_);
  }
  negative_count_ += other.negative_count_;
  if (!other.empty()) {
    min_ = std::min(min_, other.min_);
    max_ = std::max(max_, other.max_);
  }
}

void Histogram::reset() noexcept {
  std::fill(counts_.begin(), counts_.end(), 0);
  count_ = overflow_count_ = negative_count_ = 0;
  min_ = std::numeric_limits<std::int64_t>::max();
  max_ = 0;
}

std::int64_t Histogram::value_of(std::size_t index) const noexcept {
  const std::size_t half = std::size_t{1} << sub_bucket_half_magnitude_;
  if (index < 2 * half) return static_cast<std::int64_t>(index << unit_magnitude_);
  const std::size_t bucket = (index >> sub_bucket_half_magnitude_) - 1;
  const std::size_t sub_bucket = (index & (half - 1)) + half;
  return static_cast<std::int64_t>(sub_bucket
                                   << (bucket + static_cast<std::size_t>(unit_magnitude_)));
}

std::int64_t Histogram::highest_of(std::size_t index) const noexcept {
  const std::size_t half = std::size_t{1} << sub_bucket_half_magnitude_;
  const std::size_t bucket = index < 2 * half ? 0 : (index >> sub_bucket_half_magnitude_) - 1;
  const auto width = std::uint64_t{1} << (bucket + static_cast<std::size_t>(unit_magnitude_));
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(value_of(index)) + width - 1);
}

std::int64_t Histogram::value_at_percentile(double percentile) const noexcept {
  const std::uint64_t total = count();
  if (total == 0) return 0;
  const double requested = std::clamp(percentile, 0.0, 100.0);
  if (requested <= 0) return min();
  // The product of an exact percentile and a count can come out a hair above the whole number it
  // stands for.
  constexpr double kRounding = 4 * std::numeric_limits<double>::epsilon();
  const double exact = requested / 100.0 * static_cast<double>(total) * (1 - kRounding);
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(exact)));
  std::uint64_t cumulative = 0;
  for (std::size_t index = 0; index < counts_.size(); ++index) {
    cumulative += counts_[index];
    if (cumulative >= rank) return std::min(highest_of(index), max_);
  }
  return max_;
}

std::optional<std::int64_t> Histogram::supported_percentile(double percentile) const noexcept {
  if (count() < samples_needed(percentile)) return std::nullopt;
  return value_at_percentile(percentile);
}

namespace {
double middle_of(const Histogram::Bucket& bucket) {
  return static_cast<double>(bucket.lowest + (bucket.highest - bucket.lowest + 1) / 2);
}
}  // namespace

double Histogram::mean() const noexcept {
  if (count_ == 0) return 0;
  double sum = 0;
  for_each_bucket([&sum](const Bucket& bucket) {
    sum += middle_of(bucket) * static_cast<double>(bucket.count);
  });
  return sum / static_cast<double>(count_);
}

double Histogram::stddev() const noexcept {
  if (count_ == 0) return 0;
  const double average = mean();
  double squares = 0;
  for_each_bucket([&squares, average](const Bucket& bucket) {
    const double distance = middle_of(bucket) - average;
    squares += distance * distance * static_cast<double>(bucket.count);
  });
  return std::sqrt(squares / static_cast<double>(count_));
}

bool Histogram::operator==(const Histogram& other) const noexcept {
  return range_ == other.range_ && counts_ == other.counts_ &&
         overflow_count_ == other.overflow_count_ && negative_count_ == other.negative_count_;
}

std::uint64_t samples_needed(double percentile) noexcept {
  const double beyond = 1.0 - std::clamp(percentile, 0.0, 100.0) / 100.0;
  if (beyond <= 0) return std::numeric_limits<std::uint64_t>::max();
  // Rounded before the ceiling: 10 / (1 - 0.9999) must be 100,000 and not 100,001.
  return static_cast<std::uint64_t>(std::ceil(std::round(10.0 / beyond * 1e3) / 1e3));
}

}  // namespace feedbench::measure
