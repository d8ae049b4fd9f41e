#include "harness/verify/verdict.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace feedbench::verify {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A run with which nothing is wrong: 2,000 frames, 20 us each.
load::LoadReport good_run() {
  load::LoadReport run;
  run.frames_sent = 2300;
  run.frames_sent_window = 2000;
  run.frames_delivered = 2000;
  run.occupancy = 0.2;
  for (int i = 0; i < 2000; ++i) {
    run.response.record(20'000 + i);
    run.service.record(19'500 + i);
    run.send_lag.record(500);
  }
  return run;
}

report::Verdict judged(const load::LoadReport& run, Circumstances circumstances = {},
                       Limits limits = {}) {
  circumstances.clients = 1;
  return judge(run, circumstances, limits);
}

void expect_invalid(const load::LoadReport& run, const std::string& words,
                    Circumstances circumstances = {}) {
  const report::Verdict verdict = judged(run, circumstances);
  EXPECT_FALSE(verdict.valid);
  EXPECT_THAT(verdict.reasons, Contains(HasSubstr(words)));
}

TEST(Verdict, AGoodRunIsValidWithoutReasons) {
  const report::Verdict verdict = judged(good_run());
  EXPECT_TRUE(verdict.valid);
  EXPECT_THAT(verdict.reasons, IsEmpty());
  EXPECT_FALSE(failed_verification(good_run()));
}

TEST(Verdict, OthersOnTheCoresAreANote) {
  Circumstances circumstances;
  circumstances.other_cores = 0.312;
  circumstances.stolen_cores = 0.15;
  const report::Verdict busy = judged(good_run(), circumstances);
  EXPECT_TRUE(busy.valid);
  EXPECT_THAT(busy.reasons,
              ElementsAre("other programs used 0.31 of a core during the run",
                          "the hypervisor gave 0.15 of a core to others during the run"));
  circumstances.other_cores = 0.05;
  circumstances.stolen_cores = 0.05;
  EXPECT_THAT(judged(good_run(), circumstances).reasons, IsEmpty());
}

TEST(Verdict, LossMakesARunInvalidAndTakesItsLatency) {
  load::LoadReport run = good_run();
  run.frames_missing = 3;
  expect_invalid(run, "loss: 3 frame(s)");
  EXPECT_TRUE(failed_verification(run));
}

TEST(Verdict, EachKindOfDifferenceIsAReason) {
  load::LoadReport run = good_run();
  run.clients_failed = 3;
  run.mismatches = {{"duplicate", {"client 1, frame 7: twice"}},
                    {"altered", {"client 2, frame 9: altered", "client 3, frame 9: altered"}}};
  expect_invalid(run, "1 stream(s) differ from what was sent (duplicate): client 1, frame 7");
  expect_invalid(run, "2 stream(s) differ from what was sent (altered): client 2");
  EXPECT_TRUE(failed_verification(run));
}

TEST(Verdict, EvictionMakesARunInvalid) {
  Circumstances circumstances;
  circumstances.evictions = 2;
  expect_invalid(good_run(), "2 client(s) were evicted", circumstances);
}

TEST(Verdict, GeneratorLagIsJudgedRelativeToTheLatency) {
  load::LoadReport run = good_run();
  run.send_lag.reset();
  for (int i = 0; i < 2000; ++i) run.send_lag.record(4'000);
  EXPECT_TRUE(judged(run).valid);
  run.send_lag.reset();
  for (int i = 0; i < 2000; ++i) run.send_lag.record(8'000);
  expect_invalid(run, "generator lag: half of the frames left more than 8.0 us late");
}

TEST(Verdict, ABusyLoadMakesAPacedRunInvalidButNotASaturatedOne) {
  load::LoadReport run = good_run();
  run.occupancy = 0.97;
  expect_invalid(run, "busy 97 %");
  run.paced = false;
  EXPECT_TRUE(judged(run).valid);
}

TEST(Verdict, AWindowInWhichNothingWasSentCountsOnlyWhileASlowSystemStillDelivers) {
  load::LoadReport run = good_run();
  run.frames_sent_window = 0;
  run.paced = false;
  EXPECT_TRUE(judged(run).valid);
  run.frames_delivered = 0;
  expect_invalid(run, "sent nothing in the measured window");
  run = good_run();
  run.frames_sent_window = 0;
  run.paced = true;
  expect_invalid(run, "sent nothing in the measured window");
}

TEST(Verdict, OversubscriptionIsAReasonUnlessAllowed) {
  Circumstances circumstances;
  circumstances.oversubscribed = true;
  expect_invalid(good_run(), "oversubscribed", circumstances);
  Limits limits;
  limits.allow_oversubscribed = true;
  const report::Verdict verdict = judged(good_run(), circumstances, limits);
  EXPECT_TRUE(verdict.valid);
  EXPECT_THAT(verdict.reasons, Contains(HasSubstr("oversubscribed")));
}

TEST(Verdict, TooFewSamplesAreAReasonAndFewANote) {
  load::LoadReport run = good_run();
  run.response.reset();
  run.response.record(20'000);
  expect_invalid(run, "only 1 latency sample(s)");
  for (int i = 0; i < 400; ++i) run.response.record(20'000);
  const report::Verdict verdict = judged(run);
  EXPECT_TRUE(verdict.valid);
  EXPECT_THAT(verdict.reasons, Contains(HasSubstr("too few for a 99th percentile")));
}

TEST(Verdict, AMissedProbeIsOnlyNoted) {
  Circumstances circumstances;
  circumstances.probe_missed = 5;
  const report::Verdict verdict = judged(good_run(), circumstances);
  EXPECT_TRUE(verdict.valid);
  EXPECT_THAT(verdict.reasons, Contains(HasSubstr("too late for 5 frame(s)")));
}

TEST(Verdict, DeliveryBeforeSendIsAReason) {
  load::LoadReport run = good_run();
  run.response.record(-5);
  expect_invalid(run, "delivered before they were sent");
}

TEST(Verdict, ASystemThatDidNotStopIsAReason) {
  Circumstances circumstances;
  circumstances.stop_problem = "feedproxy was ended by signal 11";
  expect_invalid(good_run(), "signal 11", circumstances);
}

}  // namespace
}  // namespace feedbench::verify
