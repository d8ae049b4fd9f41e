#include "harness/probe/stage_probe.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "reference/local/control_server.hpp"
#include "transports/rings/feed_log_writer.hpp"

namespace feedbench::probe {
namespace {

using measure::Stage;
using transports::TscInstant;

constexpr double kHz = 1e9;  // one tick a nanosecond

// A send log of `count` messages due every 1,000 ns from 10,000 on, and their deliveries 700 ns after.
struct Logs {
  explicit Logs(std::uint64_t count)
      : writer(std::move(*mock_exchange::SendLogWriter::create(count))),
        delivered(std::move(*load::DeliveryLog::create(count))) {
    for (std::uint64_t i = 0; i < count; ++i) {
      mock_exchange::SendLogEntry entry;
      entry.intended_tsc = intended(i);
      entry.actual_tsc = entry.intended_tsc + 10;
      writer.append(entry);
      delivered.set(i, TscInstant{intended(i) + 700});
    }
    writer.publish();
  }
  static std::uint64_t intended(std::uint64_t i) { return 10'000 + i * 1000; }
  mock_exchange::SendLogReader reader() const {
    return std::move(*mock_exchange::SendLogReader::map(writer.descriptor()));
  }

  mock_exchange::SendLogWriter writer;
  load::DeliveryLog delivered;
};

// All six stages, 100 ns apart, the first 50 ns after the send.
rings::PackedStamps stamps_at(std::uint64_t sent) {
  return rings::PackedStamps::pack(
      {{sent + 50}, {sent + 150}, {sent + 250}, {sent + 350}, {sent + 450}, {sent + 550}});
}

SeenStamps whole(std::uint64_t count) {
  SeenStamps out;
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(stamps_at(Logs::intended(i)));
  return out;
}

JoinedStages joined(const SeenStamps& seen, const Logs& logs, std::uint64_t begin = 0,
                    std::uint64_t end = UINT64_MAX) {
  return join_stages(seen, logs.reader(), logs.delivered, begin, end, load::TickScale(kHz));
}

TEST(JoinStages, KnownStampsGiveTheExactIntervals) {
  const Logs logs(20);
  const JoinedStages out = joined(whole(20), logs);
  EXPECT_EQ(out.messages, 20U);
  EXPECT_EQ(out.unseen, 0U);
  const std::int64_t expected[measure::kStageCount] = {50, 100, 100, 100, 100, 100, 150};
  for (std::size_t i = 0; i < measure::kStageCount; ++i) {
    const auto& stage = out.stages.at(static_cast<Stage>(i));
    EXPECT_EQ(stage.histogram.count(), 20U) << i;
    EXPECT_EQ(stage.histogram.min(), expected[i]) << i;
    EXPECT_EQ(stage.histogram.max(), expected[i]) << i;
    EXPECT_EQ(stage.absent, 0U);
  }
}

TEST(JoinStages, TakesMessagesDueInsideTheWindowAlone) {
  const Logs logs(20);
  const JoinedStages out = joined(whole(20), logs, Logs::intended(5), Logs::intended(8));
  EXPECT_EQ(out.messages, 3U);
}

TEST(JoinStages, WithoutStageOneTheMessageIsCountedAndItsTimeKeptInOnePiece) {
  const Logs logs(2);
  SeenStamps seen = whole(2);
  seen[1].back_ticks[static_cast<std::size_t>(rings::BackStage::nic)] =
      rings::PackedStamps::kAbsent;
  const JoinedStages out = joined(seen, logs);
  EXPECT_EQ(out.nic_absent, 1U);
  EXPECT_EQ(out.stages.at(Stage::sent_nic).absent, 1U);
  EXPECT_EQ(out.stages.at(Stage::nic_wake).absent, 1U);
  EXPECT_EQ(out.stages.at(Stage::wake_read).histogram.count(), 2U);
  EXPECT_EQ(out.sent_wake_no_nic.count(), 1U);
  EXPECT_EQ(out.sent_wake_no_nic.max(), 150);
}

TEST(JoinStages, ANegativeIntervalIsACountedError) {
  const Logs logs(1);
  SeenStamps seen = {stamps_at(Logs::intended(0) - 60)};  // the kernel's stamp lies before the send
  const JoinedStages out = joined(seen, logs);
  EXPECT_EQ(out.stages.at(Stage::sent_nic).histogram.negative_count(), 1U);
}

TEST(JoinStages, AStageAfterTheHandlerIsACountedError) {
  const Logs logs(1);
  SeenStamps seen = whole(1);
  seen[0].back_ticks[static_cast<std::size_t>(rings::BackStage::nic)] =
      rings::PackedStamps::kNegative;
  const JoinedStages out = joined(seen, logs);
  EXPECT_EQ(out.stages.at(Stage::nic_wake).histogram.negative_count(), 1U);
}

TEST(JoinStages, ADistanceThatDidNotFitIsSaturatedNotAbsent) {
  const Logs logs(1);
  SeenStamps seen = whole(1);
  seen[0].back_ticks[static_cast<std::size_t>(rings::BackStage::nic)] =
      rings::PackedStamps::kOverflow;
  const JoinedStages out = joined(seen, logs);
  EXPECT_EQ(out.stages.at(Stage::sent_nic).saturated, 1U);
  EXPECT_EQ(out.stages.at(Stage::nic_wake).saturated, 1U);
  EXPECT_EQ(out.nic_absent, 0U);
}

TEST(JoinStages, MessagesTheProbeDidNotSeeAreCounted) {
  const Logs logs(10);
  const JoinedStages out = joined(whole(4), logs);
  EXPECT_EQ(out.messages, 4U);
  EXPECT_EQ(out.unseen, 6U);
}

TEST(StageProbe, ReadsEveryStampOfALogHandedOverBySocket) {
  rings::FeedLogOptions options;
  options.ring_bytes = 1U << 16U;
  options.index_lines = 1024;
  auto writer_made = rings::FeedLogWriter::create(options);
  ASSERT_TRUE(writer_made) << writer_made.error().message;
  const std::string path = "/tmp/feedbench_probe_test_" + std::to_string(::getpid());
  upstream::LinkOptions link;
  link.url = {false, "127.0.0.1", 1, "/"};
  const auto parts = std::make_unique<upstream::FeedParts>(1, std::move(*writer_made), link);
  rings::FeedLogWriter* const writer = &parts->log;
  local::FeedPort port;
  local::ControlOptions control;
  control.path = path;
  auto server = local::ControlServer::create(std::move(control), port, parts.get(), {});
  ASSERT_TRUE(server) << server.error().message;
  (*server)->go();
  // This test is the data thread: it only has to say that the client is attached.
  std::atomic<bool> done{false};
  std::thread data([&] {
    while (!done) {
      for (const local::FeedCommand& command : port.commands.take()) {
        local::FeedEvent event;
        event.kind = local::FeedEvent::Kind::attached;
        event.feed = command.feed;
        event.tag = command.tag;
        port.events.post(std::move(event));
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  const auto publish = [&](std::uint64_t handler) {
    rings::FrameEntry entry;
    entry.offset = writer->write_position();
    entry.length = 10;
    entry.stamps.handler = TscInstant{handler};
    (void)writer->reserve(10);
    writer->written(10);
    writer->stage(entry);
    writer->publish();
  };
  publish(1);  // before the start: no part of the run
  auto probe = StageProbe::connect(path);
  done = true;
  data.join();
  ASSERT_TRUE(probe) << probe.error().message;
  (*probe)->mark_start();
  for (std::uint64_t i = 0; i < 500; ++i) publish(100 + i);
  (*probe)->look();
  ASSERT_EQ((*probe)->seen().size(), 500U);
  EXPECT_EQ((*probe)->seen()[0].handler_ticks, 100U);
  EXPECT_EQ((*probe)->seen()[499].handler_ticks, 599U);
  EXPECT_EQ((*probe)->missed(), 0U);
  for (std::uint64_t i = 0; i < 3000; ++i) publish(1000 + i);  // laps the index
  (*probe)->look();
  EXPECT_GT((*probe)->missed(), 0U);
  EXPECT_EQ((*probe)->seen().size(), 3500U);
  EXPECT_EQ((*probe)->seen()[3499].handler_ticks, 3999U);
}

TEST(StageProbe, SaysThatNobodyIsThere) {
  const auto probe = StageProbe::connect("/tmp/feedbench_probe_test_nobody");
  ASSERT_FALSE(probe);
  EXPECT_FALSE(probe.error().message.empty());
}

}  // namespace
}  // namespace feedbench::probe
