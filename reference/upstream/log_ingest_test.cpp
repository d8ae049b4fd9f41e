#include "reference/upstream/log_ingest.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "reference/websocket/build_frame.hpp"
#include "transports/rings/feed_log_mapping.hpp"

namespace feedbench::upstream {
namespace {

using websocket::Opcode;

std::string frame(Opcode opcode, std::string_view payload, bool fin = true) {
  std::string out(websocket::kHeaderBytesMax + payload.size(), '\0');
  const std::size_t size = websocket::build_server_frame(std::as_writable_bytes(std::span(out)),
                                                         opcode, websocket::as_bytes(payload), fin);
  out.resize(size);
  return out;
}

struct RecordingSink {
  std::vector<std::string> controls;
  std::vector<std::string> asked;
  std::string take_out;  // a message with this payload is kept out of the stream
  void on_control(Opcode opcode, std::span<const std::byte> payload) {
    controls.push_back(std::to_string(static_cast<int>(opcode)) + ":" +
                       std::string(websocket::as_text(payload)));
  }
  bool keep(Opcode, std::span<const std::byte> payload) {
    asked.emplace_back(websocket::as_text(payload));
    return asked.back() == take_out;
  }
};

class LogIngestTest : public ::testing::Test {
 protected:
  LogIngestTest()
      : log_(*rings::FeedLogWriter::create({.ring_bytes = 1 << 16, .index_lines = 1024})),
        ingest_(log_, {.message_max_bytes = 8192}) {}

  IngestResult feed(std::string_view bytes, transports::RxStamps rx = {{3}, {1}, {2}}) {
    IngestResult all;
    while (!bytes.empty()) {
      const std::span<std::byte> space = ingest_.space();
      const std::size_t part = std::min(space.size(), bytes.size());
      std::memcpy(space.data(), bytes.data(), part);
      bytes.remove_prefix(part);
      const IngestResult result = ingest_.received(part, rx, sink_);
      all.messages += result.messages;
      if (result.fault != websocket::Fault::none) all.fault = result.fault;
    }
    return all;
  }

  /// What another ingest would be given to go on with.
  std::string unfinished() const { return std::string(websocket::as_text(ingest_.unfinished())); }

  std::string published(std::uint64_t from = 0) const {
    return {reinterpret_cast<const char*>(log_.data(from)),
            static_cast<std::size_t>(log_.head_offset() - from)};
  }

  rings::FeedLogWriter log_;
  LogIngest ingest_;
  RecordingSink sink_;
};

TEST_F(LogIngestTest, PublishesTheWireBytesOfEveryMessage) {
  const std::string wire = frame(Opcode::text, "one") + frame(Opcode::binary, "two") +
                           frame(Opcode::text, std::string(300, 'x'));
  EXPECT_EQ(feed(wire).messages, 3u);
  EXPECT_EQ(published(), wire);
  EXPECT_EQ(log_.head_sequence(), 3u);
}

TEST_F(LogIngestTest, PublishesNothingBeforeAFrameIsWholeWhereverItIsCut) {
  const std::string wire = frame(Opcode::text, std::string(200, 'y'));
  for (std::size_t cut = 1; cut < wire.size(); ++cut) {
    const std::uint64_t before = log_.head_offset();
    EXPECT_EQ(feed(std::string_view(wire).substr(0, cut)).messages, 0u) << cut;
    EXPECT_EQ(log_.head_offset(), before);
    EXPECT_EQ(feed(std::string_view(wire).substr(cut)).messages, 1u) << cut;
    EXPECT_EQ(published(before), wire);
  }
}

TEST_F(LogIngestTest, TakesControlFramesOutOfTheStreamWhereverTheyStand) {
  const std::string a = frame(Opcode::text, "a");
  const std::string b = frame(Opcode::text, std::string(500, 'b'));
  const std::string c = frame(Opcode::text, "c").substr(0, 2);  // a frame whose payload comes later
  const std::string ping = frame(Opcode::ping, "are you there");
  const std::string wire = ping + a + ping + ping + b + ping + c;
  for (std::size_t cut = 1; cut < wire.size(); ++cut) {
    const std::uint64_t before = log_.head_offset();
    sink_.controls.clear();
    feed(std::string_view(wire).substr(0, cut));
    feed(std::string_view(wire).substr(cut));
    feed("c");
    EXPECT_EQ(published(before), a + b + frame(Opcode::text, "c")) << cut;
    EXPECT_EQ(sink_.controls.size(), 4u);
    EXPECT_EQ(sink_.controls.front(), "9:are you there");
  }
}

TEST_F(LogIngestTest, PublishesAFragmentedMessageAsOneLineWhenItIsWhole) {
  const std::string wire = frame(Opcode::text, "frag", false) + frame(Opcode::ping, "") +
                           frame(Opcode::continuation, "ment", false);
  EXPECT_EQ(feed(wire).messages, 0u);
  EXPECT_EQ(log_.head_offset(), 0u);
  EXPECT_EQ(feed(frame(Opcode::continuation, "ed")).messages, 1u);
  EXPECT_EQ(published(), frame(Opcode::text, "frag", false) +
                             frame(Opcode::continuation, "ment", false) +
                             frame(Opcode::continuation, "ed"));
  EXPECT_EQ(log_.head_sequence(), 1u);
}

TEST_F(LogIngestTest, ForgetsAnUnfinishedMessageWhenTheConnectionIsLost) {
  const std::string first = frame(Opcode::text, "first");
  const std::string second = frame(Opcode::text, "second");
  feed(first + frame(Opcode::text, "half", false) + "\x80");
  ingest_.reset();
  feed(second);
  EXPECT_EQ(published(), first + second);
}

TEST_F(LogIngestTest, AsksTheSinkOnlyWhileFilteringAndDropsWhatItTakes) {
  ingest_.filtering(true);
  sink_.take_out = "login";
  feed(frame(Opcode::text, "login") + frame(Opcode::text, "data"));
  EXPECT_EQ(sink_.asked, (std::vector<std::string>{"login", "data"}));
  ingest_.filtering(false);
  feed(frame(Opcode::text, "login"));
  EXPECT_EQ(sink_.asked.size(), 2u);
  EXPECT_EQ(published(), frame(Opcode::text, "data") + frame(Opcode::text, "login"));
}

TEST_F(LogIngestTest, ReportsWhatTheVenueBrokeAndPublishesWhatCameBefore) {
  const std::string good = frame(Opcode::text, "good");
  EXPECT_EQ(feed(good + "\xC1\x01x").fault, websocket::Fault::reserved_bits);
  EXPECT_EQ(published(), good);
  ingest_.reset();
  EXPECT_EQ(feed(frame(Opcode::text, "\xFF")).fault, websocket::Fault::invalid_utf8);
  ingest_.reset();
  EXPECT_EQ(feed(frame(Opcode::text, std::string(8193, 'z'))).fault,
            websocket::Fault::message_too_big);
  EXPECT_EQ(published(), good);
}

TEST_F(LogIngestTest, GivesStageOneToTheMessageThatEndsTheChunkAndToNoOther) {
  auto reader = rings::FeedLogReader::attach(log_);
  reader.seek_oldest();
  const transports::TscInstant now = transports::TscInstant::now();
  const transports::RxStamps rx{now, now, now};
  feed(frame(Opcode::text, "a") + frame(Opcode::text, "b"), rx);
  feed(frame(Opcode::text, "c") + frame(Opcode::text, "d").substr(0, 1), rx);
  std::vector<bool> has_nic;
  rings::Frame out;
  while (reader.next(out) == rings::ReadStatus::frame)
    has_nic.push_back(out.stamps().nic.present());
  EXPECT_EQ(has_nic, (std::vector<bool>{false, true, false}));
}

TEST_F(LogIngestTest, CarriesRandomStreamsCutAnywhereManyTimesRoundTheRing) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string wire;
    std::string expected;
    for (int i = 0; i < 20; ++i) {
      const std::string payload(random() % (i == 7 ? 8000 : 300), 'q');
      if (random() % 4 == 0) {
        wire += frame(Opcode::pong, payload.substr(0, 100));
        continue;
      }
      const std::string data = frame(Opcode::text, payload);
      wire += data;
      expected += data;
    }
    const std::uint64_t before = log_.head_offset();
    for (std::size_t at = 0; at < wire.size();) {
      const std::size_t part = std::min<std::size_t>(wire.size() - at, 1 + random() % 3000);
      ASSERT_EQ(feed(std::string_view(wire).substr(at, part)).fault, websocket::Fault::none);
      at += part;
    }
    ASSERT_LE(expected.size(), log_.ring_bytes() / 2);
    ASSERT_EQ(published(before), expected) << "round " << round;
  }
}

}  // namespace
}  // namespace feedbench::upstream
