#include <gtest/gtest.h>

#include <algorithm>
#include <list>
#include <random>
#include <string>
#include <vector>

#include "reference/websocket/handshake.hpp"
#include "reference/websocket/testing/echo_endpoint.hpp"
#include "reference/websocket/testing/frames.hpp"

/// What the public conformance suite does not test of framing and closing, in both roles. The opening handshake, which it
/// leaves out altogether, has handshake_test.cpp.
namespace feedbench::websocket::testing {
namespace {

template <class Endpoint>
class LeftOut;

template <Role kRole>
class LeftOut<std::integral_constant<Role, kRole>> : public ::testing::Test {
 protected:
  static constexpr bool kPeerMasks = kRole == Role::server;

  void send(const RawFrame& frame, MaskKey key = 0x9BD3F017U) {
    endpoint_.feed(encode(frame, kPeerMasks, key));
  }
  /// Raw header bytes; the mask bit of the second is set as the role demands, and a key is added.
  void send_header(std::string header) {
    if (kPeerMasks)
      header = std::string(header).replace(
                   1, 1, 1, static_cast<char>(static_cast<unsigned char>(header[1]) | 0x80U)) +
               "\x01\x02\x03\x04";
    endpoint_.feed(as_bytes(header));
  }
  std::vector<SentFrame> sent() {
    const SentFrames frames = read_frames(endpoint_.output());
    EXPECT_TRUE(frames.whole);
    return frames.frames;
  }
  /// The endpoint has failed: its last frame is a Close of that code, and it dropped the connection.
  void expect_failed(unsigned code) {
    ASSERT_TRUE(endpoint_.dropped());
    const auto frames = sent();
    ASSERT_FALSE(frames.empty());
    ASSERT_EQ(frames.back().opcode, Opcode::close);
    EXPECT_EQ(parse_close_payload(as_bytes(frames.back().payload)).code, code);
  }

  EchoEndpoint<kRole> endpoint_;
};

struct RoleNames {
  template <class T>
  static std::string GetName(int) {
    return T::value == Role::server ? "AsServer" : "AsClient";
  }
};
using Roles = ::testing::Types<std::integral_constant<Role, Role::server>,
                               std::integral_constant<Role, Role::client>>;
TYPED_TEST_SUITE(LeftOut, Roles, RoleNames);

std::string random_text(std::size_t bytes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string data(bytes, '\0');
  for (char& c : data) c = static_cast<char>(' ' + random() % 95);
  return data;
}

// Receiver-side masking.

TYPED_TEST(LeftOut, FramesMaskedTheWrongWayForTheRoleAreRefused) {
  this->endpoint_.feed(encode(text("Hello"), !this->kPeerMasks));
  this->expect_failed(1002);
  EXPECT_EQ(this->sent().size(), 1U);  // no echo
}

TYPED_TEST(LeftOut, WrongMaskingIsRefusedInAControlFrameAndInALaterFragmentToo) {
  this->send(text("first", false));
  this->endpoint_.feed(encode(ping("x"), !this->kPeerMasks));
  this->expect_failed(1002);
}

TYPED_TEST(LeftOut, AMaskKeyOfZeroAndEveryAlignmentOfThePayloadAreUnderstood) {
  for (const MaskKey key : {0U, 1U, 0xFF000000U, 0xFFFFFFFFU}) {
    for (std::size_t bytes = 0; bytes < 200; ++bytes) {
      this->endpoint_.clear_output();
      const std::string payload = random_text(bytes, bytes);
      // Two frames in one feed: the second begins at an address that depends on the length of the first.
      Bytes wire = encode(text(payload), this->kPeerMasks, key);
      const Bytes second = encode(binary(payload + "!"), this->kPeerMasks, ~key);
      wire.insert(wire.end(), second.begin(), second.end());
      this->endpoint_.feed(wire);
      const auto frames = this->sent();
      ASSERT_EQ(frames.size(), 2U);
      ASSERT_EQ(frames[0].payload, payload);
      ASSERT_EQ(frames[1].payload, payload + "!");
    }
  }
}

// Lengths.

TYPED_TEST(LeftOut, A16BitLengthBelow126IsRefused) {
  this->send_header(std::string("\x82\x7E\x00\x7D", 4));
  this->expect_failed(1002);
}

TYPED_TEST(LeftOut, A64BitLengthBelow65536IsRefused) {
  this->send_header(std::string("\x82\x7F\x00\x00\x00\x00\x00\x00\xFF\xFF", 10));
  this->expect_failed(1002);
}

TYPED_TEST(LeftOut, A64BitLengthWithItsTopBitSetIsRefused) {
  this->send_header(std::string("\x82\x7F\x80\x00\x00\x00\x00\x00\x00\x00", 10));
  this->expect_failed(1002);
}

TYPED_TEST(LeftOut, AHugeDeclaredLengthFailsAtItsHeaderWithoutWaitingForData) {
  this->send_header(std::string("\x82\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10));
  this->expect_failed(1009);
}

// Content above 64 KiB.

TYPED_TEST(LeftOut, LargeMessagesOfVaryingContentComeBackByteEqual) {
  for (const std::size_t bytes : {65535U, 65536U, 65537U, 200001U, 1048577U}) {
    this->endpoint_.clear_output();
    const std::string payload = random_text(bytes, bytes);
    this->send(text(payload));
    ASSERT_EQ(this->sent().size(), 1U);
    EXPECT_TRUE(this->sent()[0].payload == payload) << bytes;
  }
}

TYPED_TEST(LeftOut, FragmentedBinaryWithEveryByteValueComesBackByteEqual) {
  std::string payload;
  for (int i = 0; i < 100000; ++i) payload.push_back(static_cast<char>(i * 7 + i / 256));
  this->send(binary(payload.substr(0, 1), false));
  this->send(more(payload.substr(1, 70000)));
  this->send(ping("in between"));
  this->send(more(payload.substr(70001), true));
  const auto frames = this->sent();
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].opcode, Opcode::pong);
  EXPECT_EQ(frames[1].opcode, Opcode::binary);
  EXPECT_TRUE(frames[1].payload == payload);
}

// Limits.

template <Role kRole>
void expect_limit_kept(const ParserLimits& limits, const std::vector<RawFrame>& frames,
                       unsigned code) {
  EchoEndpoint<kRole> endpoint(limits);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    ASSERT_FALSE(endpoint.dropped()) << "before frame " << i;
    endpoint.feed(encode(frames[i], kRole == Role::server));
  }
  ASSERT_TRUE(endpoint.dropped());
  const SentFrames sent = read_frames(endpoint.output());
  ASSERT_EQ(sent.frames.size(), 1U);
  EXPECT_EQ(parse_close_payload(as_bytes(sent.frames[0].payload)).code, code);
}

TYPED_TEST(LeftOut, AMessageOverTheSizeLimitIsClosedWith1009) {
  const ParserLimits limits{.message_bytes_max = 1000};
  expect_limit_kept<TypeParam::value>(limits, {text(std::string(1001, 'x'))}, 1009);
  // Also when each of its fragments is small, and at the header of the one too many.
  expect_limit_kept<TypeParam::value>(
      limits, {text(std::string(600, 'x'), false), more(std::string(401, 'x'))}, 1009);
}

TYPED_TEST(LeftOut, AFloodOfFragmentsIsClosedWith1008) {
  const ParserLimits limits{.fragments_max = 100};
  std::vector<RawFrame> flood = {text("", false)};
  flood.resize(101, more(""));
  expect_limit_kept<TypeParam::value>(limits, flood, 1008);
}

TYPED_TEST(LeftOut, AFloodOfPingsIsAnsweredInOrderAndCounted) {
  for (int i = 0; i < 5000; ++i) this->send(ping(std::to_string(i)));
  const auto frames = this->sent();
  ASSERT_EQ(frames.size(), 5000U);
  for (int i = 0; i < 5000; ++i)
    ASSERT_EQ(frames[static_cast<std::size_t>(i)].payload, std::to_string(i));
  EXPECT_EQ(this->endpoint_.counters().control_frames, 5000U);
}

// Compression is not negotiated.

TYPED_TEST(LeftOut, ACompressedFrameIsRefusedBecauseNothingWasNegotiated) {
  RawFrame compressed = text(std::string("\xF2\x48\xCD\xC9\xC9\x07\x00", 7));
  compressed.rsv = 4;
  this->send(compressed);
  this->expect_failed(1002);
}

TYPED_TEST(LeftOut, RSV1OnAContinuationOrAControlFrameIsRefused) {
  this->send(text("x", false));
  RawFrame continuation = more("y", true);
  continuation.rsv = 4;
  this->send(continuation);
  this->expect_failed(1002);
}

// Closing, begun by us.

TYPED_TEST(LeftOut, ACloseOfOursIsCompletedByThePeersAndNotAnsweredTwice) {
  this->endpoint_.close(CloseCode::going_away, "shutting down");
  ASSERT_EQ(this->sent().size(), 1U);
  EXPECT_TRUE(this->endpoint_.closing().awaits_peer());
  EXPECT_FALSE(this->endpoint_.dropped());
  this->send(close_code(1001));
  EXPECT_EQ(this->sent().size(), 1U);
  EXPECT_TRUE(this->endpoint_.closing().clean());
  EXPECT_EQ(this->endpoint_.dropped(), TypeParam::value == Role::server);
}

TYPED_TEST(LeftOut, ClosesThatCrossEachOtherAreEnough) {
  // Two of our endpoints of opposite roles close at once; each gets the other's Close after sending its own.
  constexpr Role kOther = TypeParam::value == Role::server ? Role::client : Role::server;
  EchoEndpoint<kOther> other;
  this->endpoint_.close(CloseCode::normal);
  other.close(CloseCode::going_away);
  const Bytes ours = this->endpoint_.output();
  const Bytes theirs = other.output();
  this->endpoint_.feed(theirs);
  other.feed(ours);
  EXPECT_EQ(this->endpoint_.output(), ours);
  EXPECT_EQ(other.output(), theirs);
  EXPECT_TRUE(this->endpoint_.closing().clean());
  EXPECT_TRUE(other.closing().clean());
}

TYPED_TEST(LeftOut, WhileWaitingForThePeersCloseItsDataIsReadAndNothingIsSent) {
  this->endpoint_.close(CloseCode::normal);
  this->send(text("still on its way"));
  this->send(ping("you there?"));
  EXPECT_EQ(this->sent().size(), 1U);
  EXPECT_EQ(this->endpoint_.counters().messages, 1U);
  EXPECT_TRUE(
      this->endpoint_.closing().awaits_peer());  // what the caller's close deadline looks at
  EXPECT_FALSE(this->endpoint_.send(Opcode::text, as_bytes("too late")));
}

TYPED_TEST(LeftOut, AFaultWhileWaitingForThePeersCloseDropsWithoutASecondClose) {
  this->endpoint_.close(CloseCode::normal);
  this->send(more("orphan", true));
  EXPECT_EQ(this->sent().size(), 1U);
  EXPECT_TRUE(this->endpoint_.dropped());
}

TYPED_TEST(LeftOut, TheCloseOfAFailureSaysWhy) {
  this->send(more("orphan", true));
  const auto frames = this->sent();
  ASSERT_EQ(frames.size(), 1U);
  EXPECT_EQ(parse_close_payload(as_bytes(frames[0].payload)).reason,
            "continuation without a message to continue");
}

TYPED_TEST(LeftOut, ACloseInTheMiddleOfAMessageIsAnsweredAndTheMessageIsDropped) {
  this->send(text("first", false));
  this->send(close_code(1000));
  this->send(more("second", true));
  ASSERT_EQ(this->sent().size(), 1U);
  EXPECT_EQ(this->sent()[0].opcode, Opcode::close);
}

// Close codes in neither 7.7 nor 7.9.

TYPED_TEST(LeftOut, CloseCodes1012To1014AreRegisteredAndAnsweredInKind) {
  for (const unsigned code : {1012U, 1013U, 1014U}) {
    EchoEndpoint<TypeParam::value> endpoint;
    endpoint.feed(encode(close_code(code, "registered with IANA"), this->kPeerMasks));
    const SentFrames sent = read_frames(endpoint.output());
    ASSERT_EQ(sent.frames.size(), 1U);
    EXPECT_EQ(parse_close_payload(as_bytes(sent.frames[0].payload)).code, code);
    EXPECT_EQ(endpoint.fault(), Fault::none);
  }
}

TYPED_TEST(LeftOut, CloseCodes1015And1016AreRefused) {
  for (const unsigned code : {1015U, 1016U}) {
    EchoEndpoint<TypeParam::value> endpoint;
    endpoint.feed(encode(close_code(code), this->kPeerMasks));
    EXPECT_EQ(endpoint.fault(), Fault::close_code_invalid);
  }
}

// 3.7 and 5.2 pass on peers that have the very defect, because the Close or the silence looks the same.

TYPED_TEST(LeftOut, AReservedBitOnACloseIsAFaultAndNotAClose) {
  RawFrame frame = close_code(4001);
  frame.rsv = 7;
  this->send(frame);
  this->expect_failed(1002);  // 4001 would mean that it was taken as a Close
}

TYPED_TEST(LeftOut, AFragmentedPongIsAFaultBeforeItsSecondHalf) {
  this->send({10, "fragment1", false, 0});
  this->expect_failed(1002);
}

// Many connections.

TYPED_TEST(LeftOut, ManyConnectionsInterleavedByteByByteDoNotDisturbEachOther) {
  constexpr std::size_t kConnections = 200;
  std::list<EchoEndpoint<TypeParam::value>> endpoints(kConnections);
  std::vector<Bytes> wires;
  std::vector<std::string> payloads;
  for (std::size_t i = 0; i < kConnections; ++i) {
    payloads.push_back(random_text(20 + i, i) + "\xE2\x82\xAC");
    Bytes wire = encode(text(payloads[i].substr(0, 10 + i % 7), false), this->kPeerMasks,
                        static_cast<MaskKey>(i * 7919));
    const Bytes last = encode(more(payloads[i].substr(10 + i % 7), true), this->kPeerMasks,
                              static_cast<MaskKey>(i));
    wire.insert(wire.end(), last.begin(), last.end());
    wires.push_back(wire);
  }
  for (std::size_t at = 0; at < 400; ++at) {
    std::size_t i = 0;
    for (auto& endpoint : endpoints) {
      if (at < wires[i].size()) endpoint.feed(std::span(wires[i]).subspan(at, 1));
      ++i;
    }
  }
  std::size_t i = 0;
  for (auto& endpoint : endpoints) {
    const SentFrames sent = read_frames(endpoint.output());
    ASSERT_EQ(sent.frames.size(), 1U);
    EXPECT_EQ(sent.frames[0].payload, payloads[i++]);
  }
}

}  // namespace
}  // namespace feedbench::websocket::testing
