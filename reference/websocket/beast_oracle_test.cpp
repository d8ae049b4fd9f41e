#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "reference/websocket/testing/beast_peer.hpp"
#include "reference/websocket/testing/echo_endpoint.hpp"
#include "reference/websocket/testing/frames.hpp"
#include "reference/websocket/testing/rfc6455_cases.hpp"

/// Ours against Boost.Beast, in both directions and both roles, through the whole of a connection: handshake, messages
/// cut in any way, control frames, Close; and what either of them refuses.
namespace feedbench::websocket::testing {
namespace {

constexpr Role other(Role role) { return role == Role::server ? Role::client : Role::server; }

/// Opens `beast` (the other role) against our handshake. returns false with a test failure when either refuses.
template <Role kOurRole>
bool open(BeastPeer& beast, const std::string& subprotocol = {}) {
  if constexpr (kOurRole == Role::server) {
    ServerHandshake ours({.subprotocols = {"y", "x"}});
    const std::string request = beast.take_output();
    if (ours.feed(as_bytes(request)).status != HandshakeStatus::done) {
      ADD_FAILURE() << ours.error();
      return false;
    }
    EXPECT_EQ(ours.request().target, "/target?x=1");
    EXPECT_EQ(ours.subprotocol(), subprotocol);
    beast.feed(as_bytes(ours.accept()));
  } else {
    auto ours = ClientHandshake::create({.host = "beast.example", .subprotocols = {"x", "y"}});
    beast.feed(as_bytes(ours->request()));
    const std::string response = beast.take_output();
    const HandshakeStep step = ours->feed(as_bytes(response));
    if (step.status != HandshakeStatus::done) {
      ADD_FAILURE() << ours->error();
      return false;
    }
    EXPECT_EQ(step.consumed_bytes, response.size());
    EXPECT_EQ(ours->subprotocol(), subprotocol);
  }
  EXPECT_TRUE(beast.handshake_done()) << beast.error();
  return beast.handshake_done();
}

template <class RoleConstant>
class BeastOracle : public ::testing::Test {
 protected:
  static constexpr Role kOurs = RoleConstant::value;
  static constexpr bool kWeMask = kOurs == Role::client;
};
struct RoleNames {
  template <class T>
  static std::string GetName(int) {
    return T::value == Role::server ? "OursAsServer" : "OursAsClient";
  }
};
using Roles = ::testing::Types<std::integral_constant<Role, Role::server>,
                               std::integral_constant<Role, Role::client>>;
TYPED_TEST_SUITE(BeastOracle, Roles, RoleNames);

using Events = std::vector<std::string>;

struct Recorder {
  Events events;
  void on_message(Opcode opcode, std::span<const std::byte> payload) {
    events.push_back((opcode == Opcode::text ? "T:" : "B:") + to_string(payload));
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

TYPED_TEST(BeastOracle, TheHandshakesUnderstandEachOtherWithASubprotocolAndWithout) {
  BeastPeer plain(other(this->kOurs), {});
  EXPECT_TRUE(open<TypeParam::value>(plain));
  BeastPeer chosen(other(this->kOurs), {.subprotocol = "x"});
  EXPECT_TRUE(open<TypeParam::value>(chosen, "x"));
}

std::vector<RawFrame> conversation() {
  return {text("hello"),
          ping("are you there"),
          binary(std::string("\0\xFF\x80", 3)),
          text("fragment one, ", false),
          pong("unasked"),
          more("fragment two \xE2\x82"),
          ping(),
          more("\xAC.", true),
          text(""),
          text(std::string(126, 'm'))};
}
Events conversation_events() {
  return {"T:hello",
          "ping:are you there",
          "B:" + std::string("\0\xFF\x80", 3),
          "pong:unasked",
          "ping:",
          "T:fragment one, fragment two \xE2\x82\xAC.",
          "T:",
          "T:" + std::string(126, 'm')};
}

TYPED_TEST(BeastOracle, OurFramesReachBeastInChopsOfEverySize) {
  Bytes wire;
  MaskKeys keys(3);
  for (const RawFrame& frame : conversation()) {
    const Bytes bytes = encode(frame, this->kWeMask, keys.next());
    wire.insert(wire.end(), bytes.begin(), bytes.end());
  }
  for (std::size_t chop_bytes = 1; chop_bytes <= wire.size(); ++chop_bytes) {
    BeastPeer beast(other(this->kOurs), {.read_chop_bytes = chop_bytes});
    ASSERT_TRUE(open<TypeParam::value>(beast));
    for (std::size_t at = 0; at < wire.size(); at += chop_bytes) {
      beast.feed(std::span(wire).subspan(at, std::min(chop_bytes, wire.size() - at)));
    }
    ASSERT_EQ(beast.events(), conversation_events())
        << "chops of " << chop_bytes << ": " << beast.error();
  }
}

TYPED_TEST(BeastOracle, BeastsFramesReachUsInChopsOfEverySize) {
  BeastPeer beast(other(this->kOurs), {.fragment_bytes = 16});
  ASSERT_TRUE(open<TypeParam::value>(beast));
  Events expected;
  for (const std::size_t bytes : {0U, 1U, 15U, 16U, 17U, 40U, 130U}) {
    const std::string payload(bytes, static_cast<char>('a' + bytes % 26));
    beast.send(bytes % 2 == 0, payload);
    expected.push_back((bytes % 2 == 0 ? "T:" : "B:") + payload);
    beast.send_ping("p" + std::to_string(bytes));
    expected.push_back("ping:p" + std::to_string(bytes));
  }
  beast.send_pong("unasked");
  expected.push_back("pong:unasked");
  beast.close(1001, "leaving");
  expected.push_back("close:1001:leaving");
  const Bytes wire = to_bytes(beast.take_output());
  for (std::size_t chop_bytes = 1; chop_bytes <= wire.size(); ++chop_bytes) {
    Bytes copy = wire;
    MessageParser<TypeParam::value> parser;
    Recorder recorder;
    for (std::size_t at = 0; at < copy.size(); at += chop_bytes) {
      parser.feed(std::span(copy).subspan(at, std::min(chop_bytes, copy.size() - at)), recorder);
    }
    ASSERT_EQ(recorder.events, expected) << "chops of " << chop_bytes;
    ASSERT_EQ(parser.result().status, ParseStatus::closed);
  }
}

/// Passes bytes between an endpoint of ours and Beast until neither has anything to say.
template <Role kRole>
void settle(EchoEndpoint<kRole>& ours, BeastPeer& beast) {
  for (int turn = 0; turn < 100; ++turn) {
    const std::string from_beast = beast.take_output();
    if (from_beast.empty() && ours.output().empty()) return;
    if (!ours.output().empty()) beast.feed(ours.output());
    ours.clear_output();
    ours.feed(as_bytes(from_beast));
  }
  ADD_FAILURE() << "the two never stop talking";
}

TYPED_TEST(BeastOracle, RandomMessagesOfBeastAreEchoedByUs) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 60; ++round) {
    BeastPeer beast(other(this->kOurs),
                    {.read_chop_bytes = random() % 3 == 0 ? 1 + random() % 50 : 0,
                     .fragment_bytes = random() % 2 == 0 ? 8 + random() % 500 : 0});
    ASSERT_TRUE(open<TypeParam::value>(beast));
    EchoEndpoint<TypeParam::value> ours;
    Events expected;
    for (int i = 0; i < 10; ++i) {
      std::string payload(random() % (random() % 10 == 0 ? 200000 : 300), '\0');
      const bool is_text = random() % 2 == 0;
      for (char& c : payload) c = static_cast<char>(is_text ? ' ' + random() % 95 : random());
      beast.send(is_text, payload);
      expected.push_back((is_text ? "T:" : "B:") + payload);
      if (random() % 3 == 0) {
        beast.send_ping("ping " + std::to_string(i));
        expected.push_back("pong:ping " + std::to_string(i));
      }
      if (random() % 2 == 0) settle(ours, beast);
    }
    settle(ours, beast);
    ASSERT_TRUE(beast.events() == expected) << "round " << round << ": " << beast.error();
  }
}

TYPED_TEST(BeastOracle, ACloseOfBeastIsAnsweredInKind) {
  for (const unsigned code : {1000U, 1001U, 1013U, 3000U, 4999U}) {
    BeastPeer beast(other(this->kOurs), {});
    ASSERT_TRUE(open<TypeParam::value>(beast));
    EchoEndpoint<TypeParam::value> ours;
    beast.close(code, "a reason");
    settle(ours, beast);
    EXPECT_TRUE(ours.closing().clean());
    EXPECT_EQ(ours.dropped(), this->kOurs == Role::server);
    EXPECT_TRUE(beast.close_completed()) << beast.error();
  }
}

TYPED_TEST(BeastOracle, ACloseOfOursIsAnsweredByBeastAndClean) {
  for (const unsigned code : {1000U, 1001U, 1008U, 1013U, 3000U, 4999U}) {
    BeastPeer beast(other(this->kOurs), {});
    ASSERT_TRUE(open<TypeParam::value>(beast));
    EchoEndpoint<TypeParam::value> ours;
    ours.close(static_cast<CloseCode>(code), "a reason");
    settle(ours, beast);
    EXPECT_TRUE(ours.closing().clean());
    EXPECT_TRUE(beast.ended_by_close()) << beast.error();
    EXPECT_EQ(beast.events(), Events{"close:" + std::to_string(code) + ":a reason"});
  }
}

TYPED_TEST(BeastOracle, ClosesThatCrossAreUnderstoodByBoth) {
  BeastPeer beast(other(this->kOurs), {});
  ASSERT_TRUE(open<TypeParam::value>(beast));
  EchoEndpoint<TypeParam::value> ours;
  ours.close(CloseCode::normal);
  beast.close(1001, "");
  const Bytes from_us = ours.output();
  ours.clear_output();
  ours.feed(as_bytes(beast.take_output()));
  EXPECT_TRUE(ours.output().empty());
  beast.feed(from_us);
  EXPECT_TRUE(ours.closing().clean());
  EXPECT_TRUE(beast.close_completed()) << beast.error();
}

/// What an endpoint made of a stream.
enum class Verdict { open, closed, failed };
struct Outcome {
  Verdict verdict = Verdict::open;
  Events events;
  Fault fault = Fault::none;  ///< Ours alone.
};

template <Role kRole>
Outcome our_outcome(const Bytes& wire) {
  Bytes copy = wire;
  MessageParser<kRole> parser;
  Recorder recorder;
  const ParseResult result = parser.feed(copy, recorder);
  const Verdict verdict = result.status == ParseStatus::open     ? Verdict::open
                          : result.status == ParseStatus::closed ? Verdict::closed
                                                                 : Verdict::failed;
  return {verdict, std::move(recorder.events), result.fault};
}

/// Beast in *our* role, opened by our handshake in the other.
template <Role kRole>
Outcome beast_outcome(const Bytes& wire) {
  BeastPeer beast(kRole, {});
  EXPECT_TRUE(open<other(kRole)>(beast));
  beast.feed(wire);
  const Verdict verdict = !beast.ended()           ? Verdict::open
                          : beast.ended_by_close() ? Verdict::closed
                                                   : Verdict::failed;
  return {verdict, beast.events(), Fault::none};
}

/// The one place where the two differ on purpose: Beast takes close codes from 5000 up, which no one may send, and
/// refuses 1014, which IANA has registered since.
bool differs_on_close_code(const Outcome& ours, const Outcome& beasts) {
  if (ours.fault == Fault::close_code_invalid) return beasts.verdict == Verdict::closed;
  return beasts.verdict == Verdict::failed && !ours.events.empty() &&
         ours.events.back().starts_with("close:1014:");
}

TYPED_TEST(BeastOracle, BothGiveTheSameVerdictOnEveryNumberedCase) {
  for (const NamedCase& named : rfc6455_cases()) {
    if (named.number.starts_with("9.")) continue;  // sizes, not verdicts
    const Rfc6455Case made = named.make();
    Bytes wire;
    std::vector<RawFrame> frames = made.frames;
    for (std::size_t i = 0; i < made.pieces.size(); ++i)
      frames.push_back({i == 0 ? 1U : 0U, made.pieces[i], i + 1 == made.pieces.size(), 0});
    for (const RawFrame& frame : frames) {
      const Bytes bytes = encode(frame, this->kOurs == Role::server);
      wire.insert(wire.end(), bytes.begin(), bytes.end());
    }
    const Outcome ours = our_outcome<TypeParam::value>(wire);
    const Outcome beasts = beast_outcome<TypeParam::value>(wire);
    if (named.number.starts_with("7.13.")) {  // informational: a code from 5000 up
      EXPECT_TRUE(differs_on_close_code(ours, beasts)) << named.number;
      continue;
    }
    EXPECT_EQ(ours.verdict, beasts.verdict) << named.number;
    EXPECT_TRUE(ours.events == beasts.events) << named.number;
  }
}

/// A stream of a few frames, mostly valid, with a fault or two.
Bytes random_stream(std::mt19937_64& random, bool masked) {
  Bytes wire;
  bool in_message = false;
  const std::size_t count = 1 + random() % 8;
  for (std::size_t i = 0; i < count; ++i) {
    RawFrame frame;
    const bool control = random() % 4 == 0;
    frame.payload.assign(random() % (random() % 6 == 0 ? 400 : 20), 'x');
    for (char& c : frame.payload)
      c = static_cast<char>(random() % 40 == 0 ? random() : ' ' + random() % 95);
    if (control) {
      frame.opcode = 9 + static_cast<unsigned>(random() % 2);
      if (random() % 8 == 0)
        frame = random() % 2 == 0 ? close_code(1000 + static_cast<unsigned>(random() % 20))
                                  : close_raw(frame.payload.substr(0, 3));
    } else {
      frame.opcode = in_message ? 0 : 1 + static_cast<unsigned>(random() % 2);
      frame.fin = random() % 2 == 0;
      in_message = !frame.fin;
    }
    if (random() % 40 == 0) frame.opcode = static_cast<unsigned>(random() % 16);
    if (random() % 60 == 0) frame.rsv = static_cast<unsigned>(random() % 8);
    if (random() % 60 == 0) frame.fin = !frame.fin;
    const Bytes bytes =
        encode(frame, random() % 80 == 0 ? !masked : masked, static_cast<MaskKey>(random()));
    wire.insert(wire.end(), bytes.begin(), bytes.end());
  }
  if (random() % 10 == 0) wire[random() % wire.size()] = static_cast<std::byte>(random());
  return wire;
}

TYPED_TEST(BeastOracle, WhatBeastRefusesWeRefuseAndWhatItTakesWeTake) {
  std::mt19937_64 random(2024);
  int failures = 0;
  for (int round = 0; round < 6000; ++round) {
    const Bytes wire = random_stream(random, this->kOurs == Role::server);
    const Outcome ours = our_outcome<TypeParam::value>(wire);
    const Outcome beasts = beast_outcome<TypeParam::value>(wire);
    if (ours.verdict == Verdict::failed) ++failures;
    if (differs_on_close_code(ours, beasts)) continue;
    // We may see a fault in a header or a text before Beast looks, but it must not have made more of the stream.
    if (ours.verdict != Verdict::failed || beasts.verdict != Verdict::open) {
      ASSERT_EQ(ours.verdict, beasts.verdict) << "round " << round << ": " << text_of(ours.fault);
    }
    ASSERT_EQ(ours.events, beasts.events) << "round " << round;
  }
  EXPECT_GT(failures, 600);
  EXPECT_LT(failures, 5400);
}

}  // namespace
}  // namespace feedbench::websocket::testing
