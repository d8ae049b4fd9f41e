#include "reference/monitor/stage_sample.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace feedbench::monitor {
namespace {

using rings::FrameStamps;
using rings::PackedStamps;
using transports::TscInstant;

TEST(StageHistogram, IsNeverFurtherOffThanAThirtiethOfTheExactQuantile) {
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> draw(9.0, 3.0);
  StageHistogram histogram;
  std::vector<std::int64_t> values;
  for (int i = 0; i < 20'000; ++i) {
    values.push_back(static_cast<std::int64_t>(draw(random)));
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double fraction : {0.01, 0.5, 0.9, 0.99}) {
    const auto rank = static_cast<std::size_t>(std::ceil(fraction * 20'000)) - 1;
    const auto exact = static_cast<double>(values[rank]);
    ASSERT_TRUE(histogram.quantile(fraction));
    EXPECT_NEAR(static_cast<double>(*histogram.quantile(fraction)), exact, exact * 0.032 + 0.5)
        << fraction;
  }
}

TEST(StageHistogram, TellsSmallValuesApartAndTakesAnyLargeOne) {
  for (const std::int64_t value : {0, 1, 15, 16, 17, 31}) {
    StageHistogram histogram;
    for (int i = 0; i < 20; ++i) histogram.record(value);
    EXPECT_EQ(histogram.quantile(0.5), value);
  }
  StageHistogram histogram;
  for (int i = 0; i < 20; ++i) histogram.record(INT64_MAX);
  EXPECT_NEAR(static_cast<double>(*histogram.quantile(0.5)), 68.7e9, 68.7e9 * 0.032);
}

TEST(StageHistogram, SaysNothingFromTooFewValues) {
  StageHistogram histogram;
  EXPECT_FALSE(histogram.quantile(0.5));
  for (int i = 0; i < 19; ++i) histogram.record(100);
  EXPECT_FALSE(histogram.quantile(0.5));
  histogram.record(100);
  EXPECT_TRUE(histogram.quantile(0.5));
  for (int i = 20; i < 999; ++i) histogram.record(100);
  EXPECT_FALSE(histogram.quantile(0.99));
  histogram.record(100);
  EXPECT_TRUE(histogram.quantile(0.99));
}

PackedStamps stamps_of(std::uint64_t nic, std::uint64_t wake, std::uint64_t handler) {
  FrameStamps all;
  all.nic = TscInstant{nic};
  all.wake = TscInstant{wake};
  all.read = TscInstant{1200};
  all.plain = TscInstant{1300};
  all.parsed = TscInstant{1340};
  all.handler = TscInstant{handler};
  return PackedStamps::pack(all);
}

TEST(StageSample, MeasuresFromEachStageToTheNextInNanoseconds) {
  StageSample sample;
  for (int i = 0; i < 20; ++i) sample.record(stamps_of(1000, 1100, 1360), 0.5);
  const std::pair<Interval, std::int64_t> expected[] = {
      {Interval::nic_wake, 50},     {Interval::wake_read, 50},      {Interval::read_plain, 50},
      {Interval::plain_parsed, 20}, {Interval::parsed_handler, 10}, {Interval::nic_handler, 180},
      {Interval::wake_handler, 130}};
  for (const auto& [interval, ns] : expected) {
    ASSERT_TRUE(sample.at(interval).histogram.quantile(0.5));
    EXPECT_NEAR(static_cast<double>(*sample.at(interval).histogram.quantile(0.5)),
                static_cast<double>(ns), static_cast<double>(ns) * 0.032);
    EXPECT_EQ(sample.at(interval).histogram.count(), 20u);
  }
  EXPECT_EQ(sample.messages, 20u);
}

TEST(StageSample, LeavesOutWhatWasNotStampedAndCountsWhatRanBackwards) {
  StageSample sample;
  sample.record(stamps_of(0, 1100, 1360), 1.0);     // no NIC stamp
  sample.record(stamps_of(1150, 1100, 1360), 1.0);  // NIC after the wake-up
  sample.record(stamps_of(1500, 1100, 1360), 1.0);  // NIC after the handler
  sample.record(PackedStamps{}, 1.0);               // none at all
  EXPECT_EQ(sample.messages, 4u);
  EXPECT_EQ(sample.at(Interval::nic_wake).histogram.count(), 0u);
  EXPECT_EQ(sample.at(Interval::nic_wake).negative, 2u);
  EXPECT_EQ(sample.at(Interval::nic_handler).histogram.count(), 1u);
  EXPECT_EQ(sample.at(Interval::nic_handler).negative, 1u);
  EXPECT_EQ(sample.at(Interval::wake_handler).histogram.count(), 3u);
  EXPECT_EQ(sample.at(Interval::wake_handler).negative, 0u);
}

StageSample sample_of(int messages) {
  StageSample sample;
  for (int i = 0; i < messages; ++i) sample.record(stamps_of(1000, 1100, 1360), 1.0);
  return sample;
}

constexpr std::int64_t kIntervalNs = 1'000'000'000;

TEST(StageWindow, IsTheLastIntervalOfABusyFeed) {
  StageWindow window;
  window.add(sample_of(2000), 9000, kIntervalNs);
  window.add(sample_of(1000), 8000, kIntervalNs);
  EXPECT_EQ(window.view().sample.messages, 1000u);
  EXPECT_EQ(window.view().published, 8000u);
  EXPECT_EQ(window.view().span_ns, kIntervalNs);
}

TEST(StageWindow, GoesBackAsFarAsAThousandMessagesTake) {
  StageWindow window;
  for (int i = 0; i < 30; ++i) window.add(sample_of(100), 100, kIntervalNs);
  EXPECT_EQ(window.view().sample.messages, 1000u);
  EXPECT_EQ(window.view().span_ns, 10 * kIntervalNs);
  EXPECT_EQ(window.view().sample.at(Interval::wake_read).histogram.count(), 1000u);
}

TEST(StageWindow, GoesBackAMinuteAtMostAndSixtyIntervals) {
  StageWindow slow;
  for (int i = 0; i < 50; ++i) slow.add(sample_of(1), 1, 2 * kIntervalNs);
  EXPECT_EQ(slow.view().span_ns, 60 * kIntervalNs);
  EXPECT_EQ(slow.view().sample.messages, 30u);
  StageWindow quick;
  for (int i = 0; i < 100; ++i) quick.add(sample_of(1), 1, kIntervalNs / 10);
  EXPECT_EQ(quick.view().sample.messages, 60u);
  StageWindow seldom;
  seldom.add(sample_of(1), 1, 600 * kIntervalNs);
  EXPECT_EQ(seldom.view().sample.messages, 1u) << "the last interval always counts";
  seldom.add(sample_of(2), 2, 600 * kIntervalNs);
  EXPECT_EQ(seldom.view().sample.messages, 2u);
}

}  // namespace
}  // namespace feedbench::monitor
