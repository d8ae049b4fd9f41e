#include "mock_exchange/schedule.hpp"

#include <gtest/gtest.h>

namespace feedbench::mock_exchange {
namespace {

using transports::TscInstant;

std::shared_ptr<const PreparedSession> session_at(std::initializer_list<std::int64_t> times_ns) {
  SessionBuilder builder;
  for (const std::int64_t t_ns : times_ns) builder.add("x", t_ns, kNoTopic);
  return builder.finish();
}

TEST(Pace, ReadsEveryForm) {
  EXPECT_EQ(parse_pace("recorded").value(), (Pace{Pace::Kind::recorded, 1}));
  EXPECT_EQ(parse_pace("x10").value(), (Pace{Pace::Kind::multiple, 10}));
  EXPECT_EQ(parse_pace("x0.5").value(), (Pace{Pace::Kind::multiple, 0.5}));
  EXPECT_EQ(parse_pace("rate:1000").value(), (Pace{Pace::Kind::rate, 1000}));
  EXPECT_EQ(parse_pace("max").value(), (Pace{Pace::Kind::max, 1}));
  for (const char* text : {"recorded", "x10", "x0.5", "rate:1000", "max"}) {
    EXPECT_EQ(to_string(parse_pace(text).value()), text);
  }
}

TEST(Pace, RefusesWhatItDoesNotUnderstandByName) {
  for (const char* text : {"", "fast", "x", "x0", "x-1", "xinf", "xnan", "x10y", "rate:", "rate:0",
                           "rate:1k", "rate:2e9", "rate:-5", "10", "Max"}) {
    const auto pace = parse_pace(text);
    ASSERT_FALSE(pace) << text;
    EXPECT_NE(pace.error().message.find(text), std::string::npos);
  }
}

TEST(Loops, ReadsANumberOrForever) {
  EXPECT_EQ(parse_loops("3").value(), 3U);
  EXPECT_EQ(parse_loops("forever").value(), kLoopForever);
  for (const char* text : {"0", "-1", "", "3x", "always"}) EXPECT_FALSE(parse_loops(text)) << text;
}

TEST(Schedule, RecordedPaceKeepsTheRecordedTimes) {
  const Schedule schedule(session_at({500, 600, 900}), Pace{});
  EXPECT_EQ(schedule.total_frames(), 3U);
  EXPECT_EQ(schedule.intended_ns(0), 0);
  EXPECT_EQ(schedule.intended_ns(1), 100);
  EXPECT_EQ(schedule.intended_ns(2), 400);
}

TEST(Schedule, MultipleDividesTheRecordedTimes) {
  const Schedule fast(session_at({0, 1000, 4000}), Pace{Pace::Kind::multiple, 10});
  EXPECT_EQ(fast.intended_ns(1), 100);
  EXPECT_EQ(fast.intended_ns(2), 400);
  const Schedule slow(session_at({0, 1000, 4000}), Pace{Pace::Kind::multiple, 0.5});
  EXPECT_EQ(slow.intended_ns(2), 8000);
}

TEST(Schedule, RateSpacesFramesEvenlyWhateverWasRecorded) {
  const Schedule schedule(session_at({0, 1, 2, 1'000'000'000}), Pace{Pace::Kind::rate, 1000}, 1000);
  EXPECT_EQ(schedule.intended_ns(0), 0);
  EXPECT_EQ(schedule.intended_ns(1), 1'000'000);
  EXPECT_EQ(schedule.intended_ns(3), 3'000'000);
  EXPECT_EQ(schedule.intended_ns(3999), 3'999'000'000);
}

TEST(Schedule, RateThatDividesNoNanosecondDoesNotDrift) {
  const Schedule schedule(session_at({0}), Pace{Pace::Kind::rate, 3}, kLoopForever);
  EXPECT_EQ(schedule.intended_ns(1), 333'333'333);
  EXPECT_EQ(schedule.intended_ns(3'000'000), 1'000'000'000'000'000);
}

TEST(Schedule, MaxIntendsEveryFrameAtTheStart) {
  const Schedule schedule(session_at({0, 1000, 4000}), Pace{Pace::Kind::max, 1}, 2);
  for (std::uint64_t i = 0; i < 6; ++i) EXPECT_EQ(schedule.intended_ns(i), 0);
}

TEST(Schedule, ALoopBeginsOneMeanGapAfterTheLastFrame) {
  const Schedule schedule(session_at({0, 100, 400}), Pace{}, 3);  // mean gap 200
  EXPECT_EQ(schedule.total_frames(), 9U);
  EXPECT_EQ(schedule.intended_ns(3), 600);
  EXPECT_EQ(schedule.intended_ns(4), 700);
  EXPECT_EQ(schedule.intended_ns(8), 1600);
}

TEST(Schedule, ALoopOfOneFrameRepeatsEachMillisecond) {
  const Schedule schedule(session_at({12345}), Pace{}, kLoopForever);
  EXPECT_EQ(schedule.total_frames(), UINT64_MAX);
  EXPECT_EQ(schedule.intended_ns(5), 5'000'000);
}

TEST(Schedule, AnEmptySessionHasNoFramesHoweverOftenItLoops) {
  const Schedule schedule(SessionBuilder().finish(), Pace{}, kLoopForever);
  EXPECT_EQ(schedule.total_frames(), 0U);
  Timeline timeline(schedule, TscInstant{100}, 1e9);
  EXPECT_EQ(timeline.advance(TscInstant{1000}), 0U);
  EXPECT_FALSE(timeline.next_due().present());
}

TEST(Timeline, MapsNanosecondsToTicksFromTheStart) {
  const Timeline timeline(Schedule(session_at({0, 1000}), Pace{}), TscInstant{5000}, 2.5e9);
  EXPECT_EQ(timeline.intended(0).ticks, 5000U);
  EXPECT_EQ(timeline.intended(1).ticks, 7500U);
}

TEST(Timeline, CountsWhatIsDueAndNamesTheNext) {
  Timeline timeline(Schedule(session_at({0, 100, 100, 300}), Pace{}), TscInstant{1000}, 1e9);
  EXPECT_EQ(timeline.advance(TscInstant{999}), 0U);
  EXPECT_EQ(timeline.next_due().ticks, 1000U);
  EXPECT_EQ(timeline.advance(TscInstant{1000}), 1U);
  EXPECT_EQ(timeline.next_due().ticks, 1100U);
  EXPECT_EQ(timeline.advance(TscInstant{1099}), 1U);
  EXPECT_EQ(timeline.advance(TscInstant{1250}), 3U);
  EXPECT_EQ(timeline.next_due().ticks, 1300U);
  EXPECT_EQ(timeline.advance(TscInstant{9999}), 4U);
  EXPECT_FALSE(timeline.next_due().present());
}

TEST(Timeline, AStallDoesNotMoveIntendedTimes) {
  Timeline stalled(Schedule(session_at({0, 100, 200, 300}), Pace{}), TscInstant{1000}, 1e9);
  stalled.advance(TscInstant{1000});
  EXPECT_EQ(stalled.advance(TscInstant{1290}), 3U);  // nobody looked for 290 ticks
  EXPECT_EQ(stalled.intended(1).ticks, 1100U);
  EXPECT_EQ(stalled.intended(2).ticks, 1200U);
  EXPECT_EQ(stalled.next_due().ticks, 1300U);
}

TEST(Timeline, MaxPaceMakesAllFramesDueAtTheStart) {
  Timeline timeline(Schedule(session_at({0, 100}), Pace{Pace::Kind::max, 1}, kLoopForever),
                    TscInstant{1000}, 1e9);
  EXPECT_EQ(timeline.advance(TscInstant{999}), 0U);
  EXPECT_EQ(timeline.advance(TscInstant{1000}), UINT64_MAX);
  EXPECT_FALSE(timeline.next_due().present());
}

}  // namespace
}  // namespace feedbench::mock_exchange
