#include "reference/websocket/message_parser.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "reference/websocket/testing/frames.hpp"

namespace feedbench::websocket {
namespace {

using namespace testing;  // frames

/// Writes down what the parser reports.
struct Recorder {
  std::vector<std::string> events;
  void on_message(Opcode opcode, std::span<const std::byte> payload) {
    events.push_back((opcode == Opcode::text ? "T:" : "B:") + to_string(payload));
  }
  void on_message_part(Opcode opcode, std::span<const std::byte> part, bool last) {
    events.push_back((opcode == Opcode::text ? "t:" : "b:") + to_string(part) + (last ? "." : ""));
  }
  void on_ping(std::span<const std::byte> payload) {
    events.push_back("ping:" + to_string(payload));
  }
  void on_pong(std::span<const std::byte> payload) {
    events.push_back("pong:" + to_string(payload));
  }
  void on_close(const CloseStatus& status) {
    events.push_back("close:" + std::to_string(status.code) + ":" + std::string(status.reason));
  }
};

Bytes wire_of(const std::vector<RawFrame>& frames, bool masked = true) {
  Bytes wire;
  for (const RawFrame& frame : frames) {
    const Bytes bytes = encode(frame, masked);
    wire.insert(wire.end(), bytes.begin(), bytes.end());
  }
  return wire;
}

using Events = std::vector<std::string>;

const std::vector<RawFrame>& sample_frames() {
  static const std::vector<RawFrame> frames = {text("one"),
                                               ping("p1"),
                                               text("two-", false),
                                               ping(std::string(125, 'p')),
                                               more("three-"),
                                               pong(),
                                               more("four", true),
                                               binary(std::string(300, 'b')),
                                               text(""),
                                               close_code(1000, "bye")};
  return frames;
}
const Events& sample_events() {
  static const Events events = {"T:one", "ping:p1",          "ping:" + std::string(125, 'p'),
                                "pong:", "T:two-three-four", "B:" + std::string(300, 'b'),
                                "T:",    "close:1000:bye"};
  return events;
}

TEST(MessageParser, ReportsTheSameAtEveryPairOfSplits) {
  const Bytes wire = wire_of(sample_frames());
  for (std::size_t first = 0; first <= wire.size(); first += 3) {
    for (std::size_t second = first; second <= wire.size(); second += 7) {
      Bytes copy = wire;
      const std::span<std::byte> all(copy);
      MessageParser<Role::server> parser;
      Recorder recorder;
      parser.feed(all.first(first), recorder);
      parser.feed(all.subspan(first, second - first), recorder);
      EXPECT_EQ(parser.feed(all.subspan(second), recorder).status, ParseStatus::closed);
      ASSERT_EQ(recorder.events, sample_events()) << first << ", " << second;
    }
  }
}

TEST(MessageParser, ReportsTheSameByteByByteInEitherRole) {
  Bytes masked = wire_of(sample_frames());
  MessageParser<Role::server> server;
  Recorder at_server;
  for (std::byte& b : masked) server.feed({&b, 1}, at_server);
  EXPECT_EQ(at_server.events, sample_events());

  const Bytes plain = wire_of(sample_frames(), false);
  MessageParser<Role::client> client;
  Recorder at_client;
  for (const std::byte& b : plain) client.feed({&b, 1}, at_client);
  EXPECT_EQ(at_client.events, sample_events());
}

TEST(MessageParser, HandsOutPartsAsTheyArriveWhenAsked) {
  Bytes wire = wire_of(
      {text("abc"), text("de", false), more("", false), more("f", true), binary("")}, false);
  MessageParser<Role::client, Delivery::parts> parser;
  Recorder recorder;
  parser.feed(std::span<const std::byte>(wire).first(4), recorder);
  parser.feed(std::span<const std::byte>(wire).subspan(4), recorder);
  EXPECT_EQ(recorder.events, (Events{"t:ab", "t:c.", "t:de", "t:f.", "b:."}));
}

TEST(MessageParser, ValidatesAndCountsWhatItDiscards) {
  Bytes wire =
      wire_of({text("abc"), ping("x"), binary("\xFF", false), more("y", true), text("\xC0")});
  MessageParser<Role::server, Delivery::discard> parser;
  Recorder recorder;
  const ParseResult result = parser.feed(wire, recorder);
  EXPECT_EQ(recorder.events, (Events{"ping:x"}));
  EXPECT_EQ(parser.counters().messages, 2U);
  EXPECT_EQ(parser.counters().control_frames, 1U);
  EXPECT_EQ(result.fault, Fault::invalid_utf8);
  EXPECT_EQ(result.close_code(), CloseCode::invalid_payload);
}

TEST(MessageParser, HandsOutAWholeMessageWhereItLiesWithoutCopyingIt) {
  struct Where {
    const std::byte* data = nullptr;
    void on_message(Opcode, std::span<const std::byte> payload) { data = payload.data(); }
    void on_ping(std::span<const std::byte>) {}
    void on_pong(std::span<const std::byte>) {}
    void on_close(const CloseStatus&) {}
  } where;
  Bytes wire = wire_of({text("payload")});
  MessageParser<Role::server> parser;
  parser.feed(wire, where);
  EXPECT_EQ(where.data, wire.data() + 6);
}

TEST(MessageParser, SaysTheSameAndDoesNothingAfterItHasEnded) {
  for (const std::vector<RawFrame>& frames :
       {std::vector{close_code(1000)}, std::vector{more("x", true)}}) {
    Bytes wire = wire_of(frames);
    MessageParser<Role::server> parser;
    Recorder recorder;
    const ParseResult first = parser.feed(wire, recorder);
    EXPECT_NE(first.status, ParseStatus::open);
    const Events before = recorder.events;
    Bytes after = wire_of({text("late"), ping()});
    const ParseResult second = parser.feed(after, recorder);
    EXPECT_EQ(second.status, first.status);
    EXPECT_EQ(second.fault, first.fault);
    EXPECT_EQ(recorder.events, before);
  }
}

TEST(MessageParser, CanBeStoppedFromInsideACallback) {
  struct Stopper : Recorder {
    MessageParser<Role::server>* parser = nullptr;
    void on_ping(std::span<const std::byte>) {
      events.emplace_back("ping");
      if (parser->counters().control_frames == 2) parser->stop();
    }
  } stopper;
  MessageParser<Role::server> parser;
  stopper.parser = &parser;
  Bytes wire = wire_of({ping(), ping(), ping(), text("x")});
  EXPECT_EQ(parser.feed(wire, stopper).status, ParseStatus::stopped);
  EXPECT_EQ(stopper.events.size(), 2U);
}

TEST(MessageParser, StoppedInsideOnMessageTakesNothingMore) {
  struct Stopper : Recorder {
    MessageParser<Role::client>* parser = nullptr;
    void on_message(Opcode, std::span<const std::byte>) {
      events.emplace_back("message");
      parser->stop();
    }
  } stopper;
  MessageParser<Role::client> parser;
  stopper.parser = &parser;
  const Bytes wire = wire_of({text("a"), text("b")}, false);
  EXPECT_EQ(parser.feed(wire, stopper).status, ParseStatus::stopped);
  EXPECT_EQ(stopper.events, Events{"message"});
}

TEST(MessageParser, KnowsWhetherAnEndOfStreamWouldCutSomething) {
  Bytes wire = wire_of({text("ab", false), more("c", true)});
  MessageParser<Role::server> parser;
  Recorder recorder;
  EXPECT_TRUE(parser.at_boundary());
  for (std::size_t i = 0; i < wire.size(); ++i) {
    parser.feed(std::span(wire).subspan(i, 1), recorder);
    EXPECT_EQ(parser.at_boundary(), i + 1 == wire.size()) << i;
  }
}

TEST(MessageParser, ControlFramesInsideAMessageKeepItsText) {
  // The ping's payload and a cut header pass through the same small buffer.
  const std::string euro = "\xE2\x82\xAC";
  Bytes wire = wire_of({text(euro.substr(0, 1), false), ping("\xFF\xFE"), more(euro.substr(1, 1)),
                        pong("\xFF"), more(euro.substr(2), true)});
  MessageParser<Role::server> parser;
  Recorder recorder;
  for (std::byte& b : wire) parser.feed({&b, 1}, recorder);
  EXPECT_EQ(recorder.events, (Events{"ping:\xFF\xFE", "pong:\xFF", "T:" + euro}));
}

TEST(MessageParser, IsSmallWhileIdle) {
  EXPECT_LE((sizeof(MessageParser<Role::server, Delivery::discard>)), 184U);
  EXPECT_LE((sizeof(MessageParser<Role::client, Delivery::whole>)), 208U);
}

/// Random conversations, cut at random, in both roles: what was framed comes out.
TEST(MessageParser, ReportsRandomConversationsCutAtRandom) {
  std::mt19937_64 random(99);
  for (int round = 0; round < 2000; ++round) {
    std::vector<RawFrame> frames;
    Events expected;
    bool open = false;
    std::string message;
    for (int i = 0; i < 20; ++i) {
      const std::string payload(random() % (random() % 8 == 0 ? 70000 : 140),
                                static_cast<char>('a' + random() % 26));
      if (random() % 4 == 0) {
        frames.push_back(ping(payload.substr(0, 125)));
        expected.push_back("ping:" + payload.substr(0, 125));
        continue;
      }
      const bool fin = random() % 2 == 0;
      frames.push_back({open ? 0U : 1U, payload, fin, 0});
      message += payload;
      open = !fin;
      if (fin) expected.push_back("T:" + std::exchange(message, {}));
    }
    const bool as_server = round % 2 == 0;
    Bytes wire = wire_of(frames, as_server);
    MessageParser<Role::server> server;
    MessageParser<Role::client> client;
    Recorder recorder;
    std::span<std::byte> rest(wire);
    while (!rest.empty()) {
      const std::size_t piece =
          std::min<std::size_t>(rest.size(), 1 + random() % (random() % 4 == 0 ? 9 : 40000));
      if (as_server) {
        ASSERT_EQ(server.feed(rest.first(piece), recorder).status, ParseStatus::open);
      } else {
        ASSERT_EQ(client.feed(rest.first(piece), recorder).status, ParseStatus::open);
      }
      rest = rest.subspan(piece);
    }
    ASSERT_TRUE(recorder.events == expected) << "round " << round;
  }
}

}  // namespace
}  // namespace feedbench::websocket
