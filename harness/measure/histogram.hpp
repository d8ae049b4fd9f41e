#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace feedbench::measure {

/// What a histogram can hold, fixed at construction.
struct HistogramRange {
  /// Values below it are told apart from each other no further than it. At least 1.
  std::int64_t lowest_discernible = 1;
  /// Values above it are counted as overflow. At least twice the lowest. Default: one hour in ns.
  std::int64_t highest_trackable = 3'600'000'000'000;
  /// Decimal digits that a recorded value keeps, 1 to 5. Three digits: never further off than 0.1
  /// %.
  int significant_digits = 3;

  constexpr bool operator==(const HistogramRange&) const = default;
};

/// Counts of values (nanoseconds in this project) with a bounded relative error, laid out as
/// HdrHistogram lays them out, so that its V2 encoding can be read and written
/// (histogram_codec.hpp). shapes: [counts_size()] counters, 270 KiB for the default range. errors:
/// a value above the range is counted in overflow_count(), a negative one in negative_count();
/// neither is
///         dropped silently. Overflowed values take part in percentiles, as the largest values;
///         negative ones do not.
/// thread: one writer; readers only when it is still.
/// source: the bucket layout published by HdrHistogram (hdrhistogram.org).
class Histogram {
 public:
  /// throws std::invalid_argument if the range makes no sense. Allocates all it ever needs.
  explicit Histogram(HistogramRange range = {});

  /// Counters that a range takes. throws std::invalid_argument if it makes no sense. No allocation.
  [[nodiscard]] static std::size_t counts_needed(const HistogramRange& range);

  /// Counts one value. Cost: a few ns, no allocation, no branch that depends on the bucket.
  void record(std::int64_t value) noexcept { record(value, 1); }

  /// Counts `count` values at once.
  void record(std::int64_t value, std::uint64_t count) noexcept {
    if (static_cast<std::uint64_t>(value) > static_cast<std::uint64_t>(range_.highest_trackable))
        [[unlikely]] {
      record_outside(value, count);
      return;
    }
    counts_[index_of(value)] += count;
    count_ += count;
    if (value < min_) min_ = value;
    if (value > max_) max_ = value;
  }

  /// Adds every count of the other. Buckets of a different range are re-recorded at their highest
  /// equivalent value.
  void merge(const Histogram& other) noexcept;
  /// Forgets everything recorded; keeps the memory.
  void reset() noexcept;
  /// Adds values known only to have lain above the range (a decoded histogram does not carry them).
  void add_overflow(std::uint64_t count, std::int64_t largest) noexcept;
  /// Adds values known only to have been negative.
  void add_negative(std::uint64_t count) noexcept { negative_count_ += count; }
  /// Adds to one bucket of counts(), as a decoder does; min() and max() become those of the bucket.
  void add_to_bucket(std::size_t index, std::uint64_t count) noexcept;
  /// Gives a decoded histogram the exact extremes it was encoded without. Ignored where they lie in
  /// other buckets than the recorded ones.
  void restore_extremes(std::int64_t min, std::int64_t max) noexcept;

  /// The value at or below which `percentile` (0 to 100) per cent of all values lie: the highest
  /// value equivalent to the bucket's, as in HdrHistogram, but never above max(). 0 if nothing was
  /// recorded. O(counts).
  [[nodiscard]] std::int64_t value_at_percentile(double percentile) const noexcept;
  /// As above, or nothing when fewer than ten samples lie beyond the percentile (p99 needs 1,000,
  /// p99.99 100,000).
  [[nodiscard]] std::optional<std::int64_t> supported_percentile(double percentile) const noexcept;

  /// All values that took part: in the buckets, and above them.
  [[nodiscard]] std::uint64_t count() const noexcept { return count_ + overflow_count_; }
  [[nodiscard]] std::uint64_t bucket_count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t overflow_count() const noexcept { return overflow_count_; }
  [[nodiscard]] std::uint64_t negative_count() const noexcept { return negative_count_; }
  [[nodiscard]] bool empty() const noexcept { return count() == 0; }

  /// The smallest and largest value recorded, exactly; 0 if none.
  [[nodiscard]] std::int64_t min() const noexcept { return empty() ? 0 : min_; }
  [[nodiscard]] std::int64_t max() const noexcept { return empty() ? 0 : max_; }
  /// Mean and standard deviation of the bucketed values (their middle), overflow left out; 0 if
  /// none.
  [[nodiscard]] double mean() const noexcept;
  [[nodiscard]] double stddev() const noexcept;

  /// One non-empty bucket of the distribution, in growing order of value.
  struct Bucket {
    std::int64_t lowest = 0;       ///< smallest value the bucket holds
    std::int64_t highest = 0;      ///< largest value the bucket holds
    std::uint64_t count = 0;       ///< values in it
    std::uint64_t cumulative = 0;  ///< values in it and in all below
  };
  /// Calls visit(const Bucket&) for every non-empty bucket.
  template <typename Visit>
  void for_each_bucket(Visit&& visit) const {
    std::uint64_t cumulative = 0;
    for (std::size_t index = 0; index < counts_.size(); ++index) {
      if (counts_[index] == 0) continue;
      cumulative += counts_[index];
      visit(Bucket{value_of(index), highest_of(index), counts_[index], cumulative});
    }
  }

  [[nodiscard]] const HistogramRange& range() const noexcept { return range_; }
  /// The raw counters in bucket order, for the codec.
  [[nodiscard]] std::span<const std::uint64_t> counts() const noexcept { return counts_; }
  [[nodiscard]] std::size_t counts_size() const noexcept { return counts_.size(); }

  /// The bucket a value of the range falls into; the smallest value of a bucket; the largest.
  [[nodiscard]] std::size_t index_of(std::int64_t value) const noexcept {
    const auto wide = static_cast<std::uint64_t>(value);
    const int magnitude = 63 - std::countl_zero(wide | sub_bucket_mask_);
    const int bucket = magnitude - unit_magnitude_ - sub_bucket_half_magnitude_;
    const auto sub_bucket = wide >> (bucket + unit_magnitude_);
    return static_cast<std::size_t>(
        (static_cast<std::uint64_t>(bucket) << sub_bucket_half_magnitude_) + sub_bucket);
  }
  [[nodiscard]] std::int64_t value_of(std::size_t index) const noexcept;
  [[nodiscard]] std::int64_t highest_of(std::size_t index) const noexcept;

  /// Equal ranges, counters, overflow and negatives.
  [[nodiscard]] bool operator==(const Histogram& other) const noexcept;

 private:
  void record_outside(std::int64_t value, std::uint64_t count) noexcept;

  HistogramRange range_;
  int unit_magnitude_ = 0;
  int sub_bucket_half_magnitude_ = 0;
  std::uint64_t sub_bucket_mask_ = 0;
  std::vector<std::uint64_t> counts_;
  std::uint64_t count_ = 0;
  std::uint64_t overflow_count_ = 0;
  std::uint64_t negative_count_ = 0;
  std::int64_t min_ = INT64_MAX;
  std::int64_t max_ = 0;
};

/// How many samples a percentile needs before it may be printed: at least ten beyond it.
[[nodiscard]] std::uint64_t samples_needed(double percentile) noexcept;

}  // namespace feedbench::measure
