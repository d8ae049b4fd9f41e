#include "harness/measure/histogram.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <vector>

#include "harness/measure/bootstrap.hpp"
#include "harness/measure/stages.hpp"

namespace {
std::atomic<std::uint64_t> allocations{0};
}  // namespace

// Not inlined: GCC would take the pair for a mismatched one where it sees only half of it.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace feedbench::measure {
namespace {

constexpr HistogramRange kHour{1, 3'600'000'000,
                               3};  // an hour in us, as the published tests have it

TEST(Histogram, HasThePublishedNumberOfCounters) {
  EXPECT_EQ(Histogram(kHour).counts_size(), 23552U);
  EXPECT_EQ(Histogram({1, 3'600'000'000, 2}).counts_size(), 3328U);
}

TEST(Histogram, GivesThePublishedHighestEquivalentValues) {
  const Histogram histogram(kHour);
  const auto highest = [&](std::int64_t value) {
    return histogram.highest_of(histogram.index_of(value));
  };
  EXPECT_EQ(highest(8180), 8183);
  EXPECT_EQ(highest(8191), 8191);
  EXPECT_EQ(highest(8193), 8199);
  EXPECT_EQ(highest(9995), 9999);
  EXPECT_EQ(highest(10007), 10007);
  EXPECT_EQ(highest(10008), 10015);
  EXPECT_EQ(highest(8180 * 1024), 8183 * 1024 + 1023);
  EXPECT_EQ(highest(10008 * 1024), 10015 * 1024 + 1023);
}

TEST(Histogram, GivesThePublishedMeanAndStandardDeviation) {
  Histogram histogram(kHour);
  for (const int value : {1000, 1000, 3000, 3000}) histogram.record(value);
  EXPECT_EQ(histogram.mean(), 2000.5);
  EXPECT_EQ(histogram.stddev(), 1000.5);
}

TEST(Histogram, GivesThePublishedPercentilesOfALoadTest) {
  // A wrk2 run that an implementation's tests publish: counts by sub-bucket, latencies in us.
  Histogram histogram({1, 24LL * 60 * 60 * 1'000'000, 3});
  for (const int sub : {1295, 1392, 1432, 1435, 1489, 1493, 1536, 1553, 1560, 1574, 1591, 1615,
                        1672, 1706, 1738, 1812, 1896}) {
    histogram.record(std::int64_t{sub} << 6);
  }
  for (const int sub : {1559, 1590, 1638}) histogram.record(std::int64_t{sub} << 7);
  const std::pair<double, std::int64_t> published[] = {
      {10, 89151},    {20, 91903},  {30, 95615},    {40, 99455},  {50, 100799},   {55, 101887},
      {60, 103423},   {65, 107071}, {70, 109247},   {75, 111295}, {77.5, 116031}, {82.5, 121407},
      {87.5, 199679}, {90, 199679}, {92.5, 203647}, {95, 203647}};
  for (const auto& [percentile, value] : published) {
    EXPECT_EQ(histogram.value_at_percentile(percentile), value) << percentile;
  }
  EXPECT_EQ(histogram.value_at_percentile(100), histogram.max());
}

TEST(Histogram, MapsEveryBucketBackToItself) {
  for (const HistogramRange range : {kHour, HistogramRange{}, HistogramRange{1000, 100'000'000, 2},
                                     HistogramRange{1, 2, 1}, HistogramRange{7, 1LL << 40, 5}}) {
    const Histogram histogram(range);
    std::int64_t expected_lowest = 0;
    for (std::size_t index = 0; index < histogram.counts_size(); ++index) {
      const std::int64_t lowest = histogram.value_of(index);
      const std::int64_t highest = histogram.highest_of(index);
      ASSERT_EQ(lowest, expected_lowest) << "a gap or an overlap before bucket " << index;
      ASSERT_EQ(histogram.index_of(lowest), index);
      ASSERT_EQ(histogram.index_of(highest), index);
      expected_lowest = highest + 1;
    }
    ASSERT_GT(expected_lowest, range.highest_trackable);
  }
}

/// Samples of shapes that latencies have: narrow, heavy-tailed, two-humped.
std::vector<std::int64_t> samples_of(SplitMix64& random, std::size_t count) {
  std::vector<std::int64_t> samples(count);
  const std::uint64_t shape = random.below(3);
  for (std::int64_t& sample : samples) {
    const double unit = random.unit();
    if (shape == 0) sample = 7000 + static_cast<std::int64_t>(random.below(300));
    if (shape == 1) sample = static_cast<std::int64_t>(5000 / std::pow(1 - unit, 1.2));
    if (shape == 2)
      sample = static_cast<std::int64_t>(unit < 0.7 ? 50 + 40 * unit : 90'000 * (1 + unit));
  }
  return samples;
}

TEST(Histogram, AgreesWithExactSortedQuantilesToThreeDigits) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    SplitMix64 random(seed);
    std::vector<std::int64_t> samples = samples_of(random, 1 + random.below(20'000));
    Histogram histogram;
    for (const std::int64_t sample : samples) histogram.record(sample);
    std::ranges::sort(samples);
    for (const double percentile : {0.5, 1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 99.99, 100.0}) {
      const auto rank = static_cast<std::size_t>(
          std::max(1.0, std::ceil(percentile / 100 * static_cast<double>(samples.size()) - 1e-9)));
      const std::int64_t exact = samples[rank - 1];
      const std::int64_t shown = histogram.value_at_percentile(percentile);
      ASSERT_GE(shown, exact) << "seed " << seed << " percentile " << percentile;
      ASSERT_LE(static_cast<double>(shown), static_cast<double>(exact) * 1.001 + 1)
          << "seed " << seed << " percentile " << percentile;
    }
    ASSERT_EQ(histogram.min(), samples.front());
    ASSERT_EQ(histogram.max(), samples.back());
    ASSERT_EQ(histogram.count(), samples.size());
  }
}

TEST(Histogram, CountsValuesAboveItsRangeAsItsLargest) {
  Histogram histogram({1, 1000, 3});
  histogram.record(10, 98);
  histogram.record(5000);
  histogram.record(7000);
  EXPECT_EQ(histogram.count(), 100U);
  EXPECT_EQ(histogram.bucket_count(), 98U);
  EXPECT_EQ(histogram.overflow_count(), 2U);
  EXPECT_EQ(histogram.value_at_percentile(98), 10);
  EXPECT_EQ(histogram.value_at_percentile(99), 7000);
  EXPECT_EQ(histogram.max(), 7000);
}

TEST(Histogram, CountsNegativeValuesApart) {
  Histogram histogram;
  histogram.record(-1);
  histogram.record(INT64_MIN);
  histogram.record(5);
  EXPECT_EQ(histogram.negative_count(), 2U);
  EXPECT_EQ(histogram.count(), 1U);
  EXPECT_EQ(histogram.min(), 5);
}

TEST(Histogram, IsEmptyUntilSomethingIsRecorded) {
  Histogram histogram;
  EXPECT_TRUE(histogram.empty());
  EXPECT_EQ(histogram.value_at_percentile(50), 0);
  EXPECT_EQ(histogram.supported_percentile(50), std::nullopt);
  EXPECT_EQ(histogram.mean(), 0);
  histogram.record(0);
  EXPECT_FALSE(histogram.empty());
  EXPECT_EQ(histogram.min(), 0);
  histogram.reset();
  EXPECT_TRUE(histogram.empty());
  EXPECT_EQ(histogram, Histogram());
}

TEST(Histogram, MergesAsIfAllHadBeenRecordedInOne) {
  SplitMix64 random(11);
  Histogram one, two, both;
  for (int i = 0; i < 5000; ++i) {
    const auto value = static_cast<std::int64_t>(random.below(1'000'000)) - 10;
    (i % 3 == 0 ? one : two).record(value);
    both.record(value);
  }
  two.record(INT64_MAX);
  both.record(INT64_MAX);
  one.merge(two);
  EXPECT_EQ(one, both);
  EXPECT_EQ(one.min(), both.min());
  EXPECT_EQ(one.max(), both.max());
  Histogram coarse({1, 100'000, 2});
  coarse.merge(both);
  EXPECT_EQ(coarse.count(), both.count());
  EXPECT_EQ(coarse.negative_count(), both.negative_count());
  EXPECT_EQ(coarse.max(), both.max());
  EXPECT_EQ(coarse.min(), both.min());
}

TEST(Histogram, RestoresExactExtremesOnlyInsideTheirBuckets) {
  Histogram histogram;
  histogram.add_to_bucket(histogram.index_of(1'000'000), 1);
  EXPECT_EQ(histogram.min(), histogram.value_of(histogram.index_of(1'000'000)));
  histogram.restore_extremes(1'000'001, 1'000'003);
  EXPECT_EQ(histogram.min(), 1'000'001);
  EXPECT_EQ(histogram.max(), 1'000'003);
  histogram.restore_extremes(5, 9'000'000);
  EXPECT_EQ(histogram.min(), 1'000'001);
  EXPECT_EQ(histogram.max(), 1'000'003);
}

TEST(Histogram, ShowsNoPercentileThatRestsOnFewerThanTenSamplesBeyondIt) {
  EXPECT_EQ(samples_needed(50), 20U);
  EXPECT_EQ(samples_needed(90), 100U);
  EXPECT_EQ(samples_needed(99), 1'000U);
  EXPECT_EQ(samples_needed(99.9), 10'000U);
  EXPECT_EQ(samples_needed(99.99), 100'000U);
  Histogram histogram;
  histogram.record(5, 99'999);
  EXPECT_EQ(histogram.supported_percentile(99.99), std::nullopt);
  histogram.record(5);
  EXPECT_EQ(histogram.supported_percentile(99.99), 5);
}

TEST(Histogram, RecordsMergesAndReadsWithoutAllocating) {
  Histogram histogram, other;
  StageHistograms stages;
  const std::uint64_t before = allocations.load();
  for (std::int64_t value = 1; value < (std::int64_t{1} << 50); value *= 3) {
    histogram.record(value);
    stages.record(Stage::nic_wake, value);
    stages.record_absent(Stage::sent_nic);
  }
  histogram.record(-5);
  other.merge(histogram);
  EXPECT_GT(other.value_at_percentile(99), 0);
  EXPECT_GT(other.mean() + other.stddev(), 0);
  EXPECT_EQ(allocations.load(), before);
  EXPECT_GT(stages.at(Stage::nic_wake).histogram.count(), 0U);
  EXPECT_EQ(stages.at(Stage::sent_nic).absent, stages.at(Stage::nic_wake).histogram.count());
}

TEST(Histogram, RefusesARangeThatMakesNoSense) {
  EXPECT_THROW(Histogram({0, 100, 3}), std::invalid_argument);
  EXPECT_THROW(Histogram({100, 150, 3}), std::invalid_argument);
  EXPECT_THROW(Histogram({1, 100, 0}), std::invalid_argument);
  EXPECT_THROW(Histogram({1, 100, 6}), std::invalid_argument);
  EXPECT_THROW(Histogram({INT64_MAX / 4, INT64_MAX, 3}), std::invalid_argument);
}

}  // namespace
}  // namespace feedbench::measure
