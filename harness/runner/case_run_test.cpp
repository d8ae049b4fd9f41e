#include "harness/runner/case_run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <utility>

#include "harness/measure/floors.hpp"
#include "harness/runner/scratch_folder.hpp"
#include "harness/runner/throw_away_certificate.hpp"
#include "transports/available.hpp"
#include "transports/veth_site.hpp"

// The programs as they are, end to end. How fast they are is nothing these tests look at: the machine may be busy.
namespace feedbench::runner {
namespace {

using scenario::System;
using ::testing::HasSubstr;

constexpr std::int64_t kMs = 1'000'000;

class CaseRunTest : public ::testing::Test {
 protected:
  CaseRunTest() {
    const char* programs = std::getenv("FEEDBENCH_BIN");
    environment_.programs = programs != nullptr ? programs : "build/dev/bin";
    environment_.scratch = scratch_.path();
    const auto allowed = measure::allowed_cpus();
    environment_.cores = *choose_cores({}, allowed);
    run_.what.transport = "epoll";
    run_.what.venue = "raw";
    run_.what.session.kind = scenario::SessionSource::Kind::synthetic;
    run_.what.session.payload_bytes = 128;
    run_.what.session.frames = 512;
    run_.what.pace = {scenario::Pace::Kind::rate, 1000.0};
    run_.what.clients = 4;
    run_.what.wait = scenario::WaitMode::block;  // leaves the core to others where there are few
    run_.warm_up_s = 0.05;
    run_.measure_s = 0.4;
    run_.drain_s = 30;
    run_.limits.generator_lag_max = 1e9;
    run_.limits.occupancy_max = 1.0;
    run_.limits.allow_oversubscribed = true;
  }

  report::Repetition run() { return run_case(run_, environment_); }

  static void expect_whole(const report::Repetition& out) {
    EXPECT_TRUE(out.verdict.valid) << ::testing::PrintToString(out.verdict.reasons);
    EXPECT_GT(out.frames_delivered, 0U);
    EXPECT_EQ(out.counters.at("frames_missing"), 0U);
    EXPECT_EQ(out.counters.at("streams_failed"), 0U);
  }

  static std::uint64_t count_above(const measure::Histogram& histogram, std::int64_t ns) {
    std::uint64_t count = 0;
    histogram.for_each_bucket([&](const measure::Histogram::Bucket& bucket) {
      if (bucket.lowest >= ns) count += bucket.count;
    });
    return count;
  }

  ScratchFolder scratch_;
  RunEnvironment environment_;
  CaseRun run_;
};

TEST_F(CaseRunTest, FeedproxyDeliversEveryFrameAndStampsAllStages) {
  const report::Repetition out = run();
  expect_whole(out);
  ASSERT_TRUE(out.stages);
  EXPECT_EQ(out.counters.at("stage_messages_unseen"), 0U);
  EXPECT_EQ(out.counters.at("stage_messages"), 400U);
  for (std::size_t i = 0; i < measure::kStageCount; ++i) {
    const auto& stage = out.stages->at(static_cast<measure::Stage>(i));
    EXPECT_GT(stage.histogram.count(), 0U) << measure::kStageNames[i];
    EXPECT_EQ(
        stage.histogram.count() + stage.absent + stage.saturated + stage.histogram.negative_count(),
        400U)
        << measure::kStageNames[i];
  }
  ASSERT_TRUE(out.latency);
  EXPECT_EQ(out.latency->count(), 400U * 4U);
  EXPECT_EQ(out.send_lag->count(), 400U);
  EXPECT_TRUE(out.proxy_cpu_seconds);
  EXPECT_TRUE(out.other_cpu_seconds);
  EXPECT_TRUE(out.stolen_cpu_seconds);
  EXPECT_TRUE(out.rss_bytes_per_client);
}

TEST_F(CaseRunTest, TheRelayDeliversEveryFrame) {
  run_.what.system = System::relay;
  run_.what.stamps = false;
  const report::Repetition out = run();
  expect_whole(out);
  EXPECT_FALSE(out.stages);
}

TEST_F(CaseRunTest, TheBeastServerDeliversEveryFrame) {
  run_.what.system = System::beast;
  run_.what.transport = "asio";
  run_.what.stamps = false;
  expect_whole(run());
}

TEST_F(CaseRunTest, EveryRingDeliversEveryFrameFromTheExchangeToItsReader) {
  run_.what.system = System::bridge;
  run_.what.via = scenario::Via::ring;
  run_.what.stamps = false;
  for (const bool paced : {true, false}) {
    if (!paced) run_.what.pace = {scenario::Pace::Kind::max, 1.0};
    for (const auto& [ring, clients] :
         {std::pair(scenario::Ring::feed_log, 4U), std::pair(scenario::Ring::spsc, 1U),
          std::pair(scenario::Ring::hft_shm, 1U), std::pair(scenario::Ring::mirrored, 1U)}) {
      SCOPED_TRACE(to_string(ring));
      run_.what.ring = ring;
      run_.what.clients = clients;
      const report::Repetition out = run();
      expect_whole(out);
      EXPECT_EQ(out.latency.has_value(), paced);
      if (paced) {
        EXPECT_EQ(out.latency->count(), 400U * clients);
      }
      EXPECT_TRUE(out.service_time);
      EXPECT_GE(out.counters.at("system_messages_published"), out.frames_delivered / clients);
    }
  }
}

TEST_F(CaseRunTest, AReaderThatIsLappedMakesTheRunInvalid) {
  run_.what.system = System::bridge;
  run_.what.via = scenario::Via::ring;
  run_.what.stamps = false;
  run_.what.ring = scenario::Ring::hft_shm;
  run_.what.clients = 1;
  run_.what.pace = {scenario::Pace::Kind::max, 1.0};
  run_.ring_bytes = 64U << 10U;
  run_.window_bytes = 16U << 20U;  // far more than the ring: the exchange runs away from the reader
  run_.drain_s = 0.2;
  run_.what.session.payload_bytes = 4096;
  const report::Repetition out = run();
  EXPECT_FALSE(out.verdict.valid);
  EXPECT_THAT(::testing::PrintToString(out.verdict.reasons), HasSubstr("lapped"));
  EXPECT_FALSE(out.service_time);
}

TEST_F(CaseRunTest, AsFastAsPossibleNothingIsLost) {
  run_.what.pace = {scenario::Pace::Kind::max, 1.0};
  for (const System system : {System::feedproxy, System::relay}) {
    run_.what.system = system;
    const report::Repetition out = run();
    expect_whole(out);
    EXPECT_FALSE(out.latency);  // nothing is intended at a time
    EXPECT_TRUE(out.service_time);
  }
}

TEST_F(CaseRunTest, OverTlsTheSameBytesArrive) {
  ASSERT_TRUE(write_throw_away_certificate(certificate_file(environment_), key_file(environment_)));
  run_.what.tls = true;
  expect_whole(run());
}

/// The same over a veth pair, on each transport.
class OverVeth : public CaseRunTest, public ::testing::WithParamInterface<const char*> {
 protected:
  OverVeth() {
    run_.what.network = scenario::Network::veth;
    run_.what.transport = GetParam();
  }

  void SetUp() override {
    const auto site = transports::VethSite::create(transports::VethSite::Near::kernel);
    if (!site) GTEST_SKIP() << "veth: no test network here: " << site.error().message;
    for (const auto& info : transports::available_transports()) {
      if (info.name == GetParam() && !info.available)
        GTEST_SKIP() << info.name << ": not usable here: " << info.reason;
    }
  }
};

TEST_P(OverVeth, EveryFrameIsDeliveredAndEveryStageStamped) {
  const report::Repetition out = run();
  expect_whole(out);
  ASSERT_TRUE(out.stages);
  EXPECT_EQ(out.counters.at("stage_messages_unseen"), 0U);
  for (std::size_t i = 0; i < measure::kStageCount; ++i) {
    const auto& stage = out.stages->at(static_cast<measure::Stage>(i));
    EXPECT_GT(stage.histogram.count(), 0U) << measure::kStageNames[i];
  }
}

TEST_P(OverVeth, TheSameBytesArriveOverTlsAsFastAsPossible) {
  ASSERT_TRUE(write_throw_away_certificate(certificate_file(environment_), key_file(environment_),
                                           {transports::VethSite::kFarAddress}));
  run_.what.tls = true;
  run_.what.pace = {scenario::Pace::Kind::max, 1.0};
  expect_whole(run());
}

INSTANTIATE_TEST_SUITE_P(Transports, OverVeth,
                         ::testing::Values("select", "epoll", "io_uring", "xdp"),
                         [](const auto& of) { return std::string(of.param); });

TEST_F(CaseRunTest, TheBaselinesRunOverVethToo) {
  if (const auto site = transports::VethSite::create(transports::VethSite::Near::kernel); !site)
    GTEST_SKIP() << "veth: no test network here: " << site.error().message;
  run_.what.network = scenario::Network::veth;
  run_.what.stamps = false;
  for (const System system : {System::relay, System::beast, System::bridge}) {
    SCOPED_TRACE(to_string(system));
    run_.what.system = system;
    run_.what.transport = system == System::beast ? "asio" : "epoll";
    if (system == System::bridge) run_.what.via = scenario::Via::ring;
    expect_whole(run());
  }
}

TEST_F(CaseRunTest, AGeneratedAlpacaSessionIsSubscribedAndDelivered) {
  const char* source = std::getenv("FEEDBENCH_SOURCE");
  run_.what.session.kind = scenario::SessionSource::Kind::file;
  run_.what.session.path = std::filesystem::path(source != nullptr ? source : ".") /
                           "scenarios/sessions/alpaca-small.jsonl.zst";
  run_.what.venue = "alpaca";
  expect_whole(run());
}

TEST_F(CaseRunTest, AGeneratedBinanceSessionIsSubscribedAndDelivered) {
  const char* source = std::getenv("FEEDBENCH_SOURCE");
  run_.what.session.kind = scenario::SessionSource::Kind::file;
  run_.what.session.path = std::filesystem::path(source != nullptr ? source : ".") /
                           "scenarios/sessions/binance-small.jsonl.zst";
  run_.what.venue = "binance";
  expect_whole(run());
}

TEST_F(CaseRunTest, AStallOfTheGeneratorShowsInResponseAndSendLag) {
  run_.stall_at_s = 0.15;
  run_.stall_s = 0.1;
  const report::Repetition out = run();
  expect_whole(out);
  ASSERT_TRUE(out.latency);
  // 100 frames were due inside it, evenly: at least 90 of them left 9 ms late or more, for every client.
  EXPECT_GE(out.send_lag->max(), 98 * kMs);
  EXPECT_GE(out.latency->max(), 98 * kMs);
  EXPECT_GE(count_above(*out.send_lag, 9 * kMs), 90U);
  EXPECT_GE(count_above(*out.latency, 9 * kMs), 90U * 4U);
  // Service time knows nothing of it: what was measured there lies below by the very lag.
  EXPECT_LT(out.service_time->mean(), out.latency->mean());
}

TEST_F(CaseRunTest, AStallOfTheSystemShowsInEveryMessageScheduledInsideIt) {
  run_.system_stall_at_s = 0.15;
  run_.system_stall_s = 0.1;
  const report::Repetition out = run();
  expect_whole(out);
  ASSERT_TRUE(out.latency);
  EXPECT_GE(out.latency->max(), 95 * kMs);
  EXPECT_GE(count_above(*out.latency, 9 * kMs), 85U * 4U);
  EXPECT_GE(count_above(*out.service_time, 9 * kMs),
            80U * 4U);  // it is the system's time, not the generator's
}

TEST_F(CaseRunTest, AMissingRecordingMakesOneSentence) {
  run_.what.session.kind = scenario::SessionSource::Kind::file;
  run_.what.session.path = "/nonexistent.jsonl.zst";
  const report::Repetition out = run();
  EXPECT_FALSE(out.verdict.valid);
  ASSERT_EQ(out.verdict.reasons.size(), 1U);
  EXPECT_THAT(out.verdict.reasons[0], HasSubstr("/nonexistent.jsonl.zst"));
}

TEST_F(CaseRunTest, ASystemThatCannotStartMakesOneSentence) {
  environment_.programs = scratch_.path();
  std::filesystem::create_symlink(std::filesystem::path(std::getenv("FEEDBENCH_BIN")) / "feedbench",
                                  scratch_.path() / "feedbench");
  const report::Repetition out = run();
  EXPECT_FALSE(out.verdict.valid);
  ASSERT_EQ(out.verdict.reasons.size(), 1U);
  EXPECT_THAT(out.verdict.reasons[0], HasSubstr("feedproxy ended before it said \"listening\""));
}

}  // namespace
}  // namespace feedbench::runner
