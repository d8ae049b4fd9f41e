#include "harness/load/latency_account.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace feedbench::load {
namespace {

using mock_exchange::SendLogEntry;
using transports::TscInstant;

// A clock of one tick a nanosecond: answers are exact.
constexpr double kHz = 1e9;
constexpr std::uint64_t kMs = 1'000'000;

SendLogEntry entry(std::uint64_t intended, std::uint64_t actual) {
  SendLogEntry out;
  out.intended_tsc = intended;
  out.actual_tsc = actual;
  return out;
}

LatencyAccount account_of(std::uint64_t begin, std::uint64_t end) {
  LatencyAccount account{TickScale(kHz)};
  account.set_window(TscInstant{begin}, TscInstant{end});
  return account;
}

TEST(LatencyAccount, KnownDelaysGiveTheExactHistogram) {
  LatencyAccount account = account_of(1, 1000 * kMs);
  measure::Histogram expected;
  for (std::uint64_t i = 1; i <= 900; ++i) {
    const std::uint64_t delay = i * 137 % 5000 + 1;
    account.delivered(entry(i * kMs, i * kMs), TscInstant{i * kMs + delay});
    expected.record(static_cast<std::int64_t>(delay));
  }
  EXPECT_TRUE(account.response() == expected);
  EXPECT_TRUE(account.service() == expected);
}

TEST(LatencyAccount, AStalledGeneratorShowsInResponseAndSendLagButNotInServiceTime) {
  LatencyAccount account = account_of(1, 2000 * kMs);
  // 1,000 frames a second; the generator stands still from 500 ms to 600 ms; the system takes 20 us always.
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    const std::uint64_t intended = i * kMs;
    const std::uint64_t actual =
        intended >= 500 * kMs && intended < 600 * kMs ? 600 * kMs : intended;
    account.sent(entry(intended, actual));
    account.delivered(entry(intended, actual), TscInstant{actual + 20'000});
  }
  EXPECT_EQ(account.response().max(), static_cast<std::int64_t>(100 * kMs + 20'000));
  EXPECT_EQ(account.send_lag().max(), static_cast<std::int64_t>(100 * kMs));
  EXPECT_EQ(account.service().min(), 20'000);
  EXPECT_EQ(account.service().max(), 20'000);
  // One frame in ten was due during the stall, evenly from 0 to 100 ms late.
  EXPECT_EQ(account.response().value_at_percentile(89.9), 20'000 / 16 * 16 + 15);
  EXPECT_NEAR(static_cast<double>(account.response().value_at_percentile(95)), 50.0 * kMs,
              1.1 * kMs);
}

TEST(LatencyAccount, AStalledSystemShowsInEveryMessageScheduledInsideTheStall) {
  LatencyAccount account = account_of(1, 2000 * kMs);
  std::uint64_t late = 0;
  for (std::uint64_t i = 1; i <= 1000; ++i) {
    const std::uint64_t intended = i * kMs;
    const bool inside = intended >= 300 * kMs && intended < 400 * kMs;
    account.sent(entry(intended, intended));
    account.delivered(entry(intended, intended),
                      TscInstant{(inside ? 400 * kMs : intended) + 20'000});
    late += inside ? 1 : 0;
  }
  std::uint64_t seen = 0;
  account.response().for_each_bucket([&](const measure::Histogram::Bucket& bucket) {
    if (bucket.lowest > 100'000) seen += bucket.count;
  });
  EXPECT_EQ(late, 100U);
  EXPECT_EQ(seen, late);
  EXPECT_TRUE(account.response() == account.service());
  EXPECT_EQ(account.send_lag().max(), 0);
}

TEST(LatencyAccount, TakesFramesDueInsideTheWindowHoweverLateTheyCome) {
  LatencyAccount account = account_of(10 * kMs, 20 * kMs);
  account.delivered(entry(10 * kMs - 1, 10 * kMs - 1), TscInstant{15 * kMs});
  account.delivered(entry(10 * kMs, 10 * kMs), TscInstant{15 * kMs});
  account.delivered(entry(20 * kMs - 1, 20 * kMs - 1), TscInstant{500 * kMs});
  account.delivered(entry(20 * kMs, 20 * kMs), TscInstant{21 * kMs});
  EXPECT_EQ(account.response().count(), 2U);
}

TEST(LatencyAccount, ADeliveryBeforeItsSendIsACountedError) {
  LatencyAccount account = account_of(1, 100 * kMs);
  account.delivered(entry(5 * kMs, 5 * kMs), TscInstant{4 * kMs});
  EXPECT_EQ(account.response().count(), 0U);
  EXPECT_EQ(account.response().negative_count(), 1U);
}

TEST(RecentWrites, KnowsWhichWriteCarriedAFrame) {
  RecentWrites writes;
  EXPECT_EQ(writes.written_at(0), 0U);
  writes.add(10, TscInstant{100});
  writes.add(10, TscInstant{150});
  writes.add(30, TscInstant{200});
  EXPECT_EQ(writes.written_at(0), 100U);
  EXPECT_EQ(writes.written_at(9), 100U);
  EXPECT_EQ(writes.written_at(10), 200U);
  EXPECT_EQ(writes.written_at(29), 200U);
  EXPECT_EQ(writes.written_at(30), 0U);
}

TEST(RecentWrites, ForgetsTheFarPast) {
  RecentWrites writes;
  for (std::uint64_t i = 1; i <= 10'000; ++i) writes.add(i, TscInstant{i * 5});
  EXPECT_EQ(writes.written_at(0), 0U);
  EXPECT_EQ(writes.written_at(1000), 0U);
  EXPECT_EQ(writes.written_at(9'000), 9'001U * 5);
  EXPECT_EQ(writes.written_at(9'999), 10'000U * 5);
}

TEST(LoopMeter, SharesTimeBetweenBusyAndIdleTurnsAndKeepsTheLongest) {
  LoopMeter meter;
  meter.turn(50, true);
  meter.start(100);
  meter.turn(200, true);
  meter.turn(500, false);
  meter.turn(600, true);
  meter.stop(600);
  meter.turn(900, true);
  EXPECT_DOUBLE_EQ(meter.busy_share(), 0.4);
  EXPECT_EQ(meter.longest_ticks(), 300U);
  EXPECT_EQ(meter.turns(), 3U);
}

}  // namespace
}  // namespace feedbench::load
