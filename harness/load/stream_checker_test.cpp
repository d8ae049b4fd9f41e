#include "harness/load/stream_checker.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace feedbench::load {
namespace {

using mock_exchange::PreparedSession;
using ::testing::HasSubstr;

using Bytes = std::vector<std::byte>;

std::shared_ptr<const PreparedSession> session_of(std::size_t frames) {
  return mock_exchange::synthetic_session(64, frames, 5);
}

// Frames of mixed sizes: 7-bit and 16-bit lengths.
std::shared_ptr<const PreparedSession> mixed_session() {
  mock_exchange::SessionBuilder builder;
  for (int i = 0; i < 40; ++i) {
    builder.add("frame " + std::to_string(i) + std::string(static_cast<std::size_t>(i * 13), 'x'),
                i, 0);
  }
  return builder.finish();
}

Bytes wire_of(const PreparedSession& session, const std::vector<std::size_t>& order) {
  Bytes out;
  for (const std::size_t i : order) {
    const auto frame = session.wire(i % session.frame_count());
    out.insert(out.end(), frame.begin(), frame.end());
  }
  return out;
}

Bytes frames(const PreparedSession& session, std::size_t first, std::size_t last) {
  std::vector<std::size_t> order;
  for (std::size_t i = first; i < last; ++i) order.push_back(i);
  return wire_of(session, order);
}

const Mismatch& only_mismatch(const StreamChecker& checker) {
  static const Mismatch none;
  EXPECT_EQ(checker.mismatches().size(), 1U);
  return checker.mismatches().empty() ? none : checker.mismatches()[0];
}

TEST(StreamChecker, AcceptsTheStreamHoweverItIsCut) {
  const auto session = mixed_session();
  const Bytes stream = frames(*session, 0, 100);  // two and a half loops
  for (std::size_t piece = 1; piece < 700; piece += piece < 20 ? 1 : 37) {
    StreamChecker checker(session, 1);
    std::uint64_t expected_first = 0;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      const auto advance =
          checker.on_bytes(0, std::span(stream).subspan(at, std::min(piece, stream.size() - at)));
      EXPECT_EQ(advance.first, expected_first);
      expected_first = advance.last;
    }
    EXPECT_EQ(checker.frames(0), 100U) << piece;
    EXPECT_EQ(checker.frames_verified(), 100U);
    EXPECT_EQ(checker.bytes_verified(), stream.size());
    EXPECT_TRUE(checker.mismatches().empty());
  }
}

TEST(StreamChecker, AcceptsManyLoopsInOneChunk) {
  const auto session = session_of(3);
  StreamChecker checker(session, 1);
  const auto advance = checker.on_bytes(0, frames(*session, 0, 1000));
  EXPECT_EQ(advance.last, 1000U);
}

TEST(StreamChecker, FollowsEachClientByItself) {
  const auto session = session_of(8);
  StreamChecker checker(session, 2);
  checker.on_bytes(0, frames(*session, 0, 5));
  checker.on_bytes(1, frames(*session, 0, 2));
  EXPECT_EQ(checker.frames(0), 5U);
  EXPECT_EQ(checker.frames(1), 2U);
  EXPECT_EQ(checker.slowest_position(), session->position_of(2));
  EXPECT_EQ(checker.frames_verified(), 7U);
}

TEST(StreamChecker, NamesALostFrame) {
  const auto session = session_of(50);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, wire_of(*session, {0, 1, 2, 4, 5, 6}));
  const Mismatch& m = only_mismatch(checker);
  EXPECT_EQ(m.kind, MismatchKind::lost);
  EXPECT_EQ(m.sequence, 3U);
  EXPECT_EQ(m.frames, 1U);
  EXPECT_EQ(checker.frames(0), 3U);
  EXPECT_TRUE(checker.failed(0));
}

TEST(StreamChecker, CountsHowManyWereLost) {
  const auto session = session_of(50);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, wire_of(*session, {0, 20, 21, 22}));
  EXPECT_EQ(only_mismatch(checker).kind, MismatchKind::lost);
  EXPECT_EQ(only_mismatch(checker).frames, 19U);
}

TEST(StreamChecker, NamesADuplicate) {
  const auto session = session_of(50);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, wire_of(*session, {0, 1, 2, 2, 3, 4}));
  EXPECT_EQ(only_mismatch(checker).kind, MismatchKind::duplicate);
  EXPECT_EQ(only_mismatch(checker).sequence, 3U);
  EXPECT_EQ(only_mismatch(checker).frames, 1U);
}

TEST(StreamChecker, NamesTwoFramesThatChangedPlaces) {
  const auto session = session_of(50);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, wire_of(*session, {0, 1, 3, 2, 4}));
  EXPECT_EQ(only_mismatch(checker).kind, MismatchKind::reordered);
  EXPECT_EQ(only_mismatch(checker).sequence, 2U);
}

TEST(StreamChecker, NamesAnAlteredByte) {
  const auto session = session_of(50);
  Bytes stream = frames(*session, 0, 10);
  stream[session->position_of(4) + 30] ^= std::byte{1};
  for (std::size_t piece : {1U, 7U, 100U, 10000U}) {
    StreamChecker checker(session, 1);
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      checker.on_bytes(
          0, std::span(stream).subspan(at, std::min<std::size_t>(piece, stream.size() - at)));
    }
    const Mismatch& m = only_mismatch(checker);
    EXPECT_EQ(m.kind, MismatchKind::altered);
    EXPECT_EQ(m.sequence, 4U);
    EXPECT_THAT(m.expected, HasSubstr("(66 bytes)"));
    EXPECT_EQ(checker.frames(0), 4U);
  }
}

TEST(StreamChecker, BytesThatAreNoFrameAreAltered) {
  const auto session = session_of(10);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, frames(*session, 0, 2));
  const Bytes garbage(100, std::byte{0xff});
  checker.on_bytes(0, garbage);
  EXPECT_EQ(only_mismatch(checker).kind, MismatchKind::altered);
  EXPECT_EQ(only_mismatch(checker).sequence, 2U);
}

TEST(StreamChecker, GoesOnAfterAPingWhereverItStands) {
  const auto session = session_of(10);
  const Bytes ping = {std::byte{0x89}, std::byte{2}, std::byte{'h'}, std::byte{'i'}};
  Bytes stream = frames(*session, 0, 3);
  stream.insert(stream.end(), ping.begin(), ping.end());
  const Bytes rest = frames(*session, 3, 25);
  stream.insert(stream.end(), rest.begin(), rest.end());
  for (std::size_t piece : {1U, 3U, 66U, 67U, 10000U}) {
    StreamChecker checker(session, 1);
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      checker.on_bytes(
          0, std::span(stream).subspan(at, std::min<std::size_t>(piece, stream.size() - at)));
    }
    EXPECT_EQ(checker.frames(0), 25U) << piece;
    EXPECT_EQ(checker.frames_verified(), 25U) << piece;
    EXPECT_EQ(checker.bytes_verified(), stream.size() - ping.size()) << piece;
    EXPECT_EQ(checker.control_frames(), 1U);
    EXPECT_EQ(checker.clients_failed(), 0U);
    EXPECT_TRUE(checker.mismatches().empty());
  }
}

TEST(StreamChecker, TellsTheCodeOfAClose) {
  const auto session = session_of(10);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, frames(*session, 0, 2));
  checker.on_bytes(0, Bytes{std::byte{0x88}, std::byte{2}, std::byte{0x03}, std::byte{0xf5}});
  EXPECT_EQ(only_mismatch(checker).kind, MismatchKind::closed);
  EXPECT_EQ(only_mismatch(checker).close_code, 1013);
}

TEST(StreamChecker, ADifferenceAtTheVeryEndIsNamedWhenTheStreamEnds) {
  const auto session = session_of(50);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, wire_of(*session, {0, 1, 5}));
  EXPECT_TRUE(checker.failed(0));
  EXPECT_TRUE(
      checker.mismatches().empty());  // it could still turn out to be an exchange of two frames
  checker.on_end(0);
  EXPECT_EQ(only_mismatch(checker).kind, MismatchKind::lost);
}

TEST(StreamChecker, KeepsTheFirstMismatchOfAClientAlone) {
  const auto session = session_of(50);
  StreamChecker checker(session, 1);
  checker.on_bytes(0, wire_of(*session, {0, 2, 3}));
  checker.on_bytes(0, wire_of(*session, {9, 9, 9, 9}));
  EXPECT_EQ(checker.mismatches().size(), 1U);
  EXPECT_GT(checker.bytes_unverified(), 0U);
}

}  // namespace
}  // namespace feedbench::load
