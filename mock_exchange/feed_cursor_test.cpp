#include "mock_exchange/feed_cursor.hpp"

#include <gtest/gtest.h>

#include <random>

namespace feedbench::mock_exchange {
namespace {

/// Sessions of three topics: a, b, c in turn, payloads of changing sizes.
std::shared_ptr<const PreparedSession> three_topics(std::size_t count) {
  SessionBuilder builder;
  const std::uint32_t topics[] = {builder.topic("a"), builder.topic("b"), builder.topic("c")};
  for (std::size_t i = 0; i < count; ++i) {
    builder.add(std::to_string(i) + std::string(i % 7 * 20, static_cast<char>('a' + i % 26)),
                static_cast<std::int64_t>(i), topics[i % 3]);
  }
  return builder.finish();
}

std::string wire(const PreparedSession& session, std::size_t index) {
  const auto bytes = session.wire(index);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string take(std::span<const iovec> ranges, std::size_t bytes) {
  std::string text;
  for (const iovec& range : ranges) {
    const std::size_t part = std::min(range.iov_len, bytes - text.size());
    text.append(static_cast<const char*>(range.iov_base), part);
  }
  return text;
}

std::size_t size_of(std::span<const iovec> ranges) {
  std::size_t bytes = 0;
  for (const iovec& range : ranges) bytes += range.iov_len;
  return bytes;
}

/// Sends everything up to `due` with a socket that takes at most `accept(asked)` bytes a call.
struct Replay {
  std::string stream;
  std::vector<SentFrame> frames;

  template <class Accept>
  void run(FeedCursor& cursor, std::uint64_t due, std::size_t bytes_max, Accept&& accept) {
    auto on_frame = [&](const SentFrame& frame) { frames.push_back(frame); };
    while (true) {
      if (const auto rest = cursor.remainder(); !rest.empty()) {
        const std::size_t bytes = std::min<std::size_t>(rest.size(), accept(rest.size()));
        stream.append(reinterpret_cast<const char*>(rest.data()), bytes);
        cursor.sent_remainder(bytes, on_frame);
        continue;
      }
      const std::uint64_t before = cursor.next();
      const auto ranges = cursor.gather(due, bytes_max);
      if (ranges.empty()) {
        if (cursor.next() == due || cursor.next() == before) return;
        continue;
      }
      const std::size_t bytes = std::min<std::size_t>(size_of(ranges), accept(size_of(ranges)));
      stream += take(ranges, bytes);
      cursor.sent(bytes, on_frame);
    }
  }
};

TEST(FeedCursor, GivesTheWholeSessionAsOneRange) {
  const auto session = three_topics(50);
  FeedCursor cursor(Selection::all(session));
  const auto ranges = cursor.gather(50, SIZE_MAX);
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges[0].iov_base, session->arena().data());
  EXPECT_EQ(ranges[0].iov_len, session->loop_bytes());
}

TEST(FeedCursor, GivesOnlyWhatIsDue) {
  const auto session = three_topics(50);
  FeedCursor cursor(Selection::all(session));
  EXPECT_TRUE(cursor.gather(0, SIZE_MAX).empty());
  EXPECT_EQ(take(cursor.gather(2, SIZE_MAX), SIZE_MAX), wire(*session, 0) + wire(*session, 1));
}

TEST(FeedCursor, SendsTheSameBytesHoweverTheSocketCutsThem) {
  const auto session = three_topics(40);
  std::string expected;
  for (int loop = 0; loop < 3; ++loop) {
    for (std::size_t i = 0; i < 40; ++i) expected += wire(*session, i);
  }
  std::mt19937 random(1);
  for (std::size_t most = 1; most < 600; most += 7) {
    FeedCursor cursor(Selection::all(session));
    Replay replay;
    replay.run(cursor, 120, 1000, [&](std::size_t) { return 1 + random() % most; });
    ASSERT_EQ(replay.stream, expected) << most;
    ASSERT_EQ(replay.frames.size(), 120U);
    for (std::uint64_t i = 0; i < 120; ++i) {
      ASSERT_EQ(replay.frames[i].sequence, i);
      ASSERT_EQ(replay.frames[i].index, i % 40);
      ASSERT_EQ(replay.frames[i].loop, i / 40);
      ASSERT_EQ(replay.frames[i].length, session->frames()[i % 40].length);
    }
  }
}

TEST(FeedCursor, CountsFramesWithoutNamingThem) {
  const auto session = three_topics(40);
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    FeedCursor named(Selection::all(session));
    FeedCursor counted(Selection::all(session));
    std::uint64_t frames_named = 0;
    std::uint64_t frames_counted = 0;
    while (named.next() < 100) {
      auto on_frame = [&](const SentFrame&) { ++frames_named; };
      auto count = [&](const SentFrame&) { ++frames_counted; };
      if (!named.remainder().empty()) {
        const std::size_t bytes = 1 + random() % named.remainder().size();
        named.sent_remainder(bytes, on_frame);
        counted.sent_remainder(bytes, count);
      } else {
        const std::size_t bytes = 1 + random() % size_of(named.gather(100, 6000));
        counted.gather(100, 6000);
        named.sent(bytes, on_frame);
        frames_counted += counted.sent_uncounted(bytes);
      }
      ASSERT_EQ(named.next(), counted.next());
      ASSERT_EQ(frames_named, frames_counted);
      ASSERT_EQ(named.remainder().data(), counted.remainder().data());
      ASSERT_EQ(named.remainder().size(), counted.remainder().size());
    }
  }
}

TEST(FeedCursor, SendsEachTopicThatIsWantedAndNoOther) {
  const auto session = three_topics(60);
  for (std::uint8_t mask = 0; mask < 8; ++mask) {
    std::string expected;
    for (std::size_t i = 0; i < 120; ++i) {
      if ((mask >> (i % 3)) & 1U) expected += wire(*session, i % 60);
    }
    const std::vector<std::uint8_t> wanted = {0, static_cast<std::uint8_t>(mask & 1U),
                                              static_cast<std::uint8_t>(mask & 2U),
                                              static_cast<std::uint8_t>(mask & 4U)};
    for (const std::size_t most : {1U, 13U, 100000U}) {
      FeedCursor cursor(Selection::some(session, wanted));
      EXPECT_EQ(cursor.selection().everything, mask == 7);
      Replay replay;
      replay.run(cursor, 120, 700, [&](std::size_t) { return most; });
      ASSERT_EQ(replay.stream, expected) << int{mask} << " " << most;
      EXPECT_EQ(cursor.next(), 120U);
    }
  }
}

TEST(FeedCursor, MergesNeighboursIntoOneRange) {
  const auto session = three_topics(60);
  FeedCursor cursor(Selection::some(session, {0, 1, 1, 0}));  // a b, not c
  EXPECT_EQ(cursor.gather(6, SIZE_MAX).size(), 2U);
}

TEST(FeedCursor, StopsAtTheMostRanges) {
  const auto session = three_topics(600);
  FeedCursor cursor(Selection::some(session, {0, 1, 0, 0}));
  EXPECT_EQ(cursor.gather(600, SIZE_MAX).size(), FeedCursor::kRangesMax);
}

TEST(FeedCursor, StopsAtTheMostFrames) {
  const auto session = three_topics(60);
  FeedCursor everything(Selection::all(session));
  EXPECT_EQ(take(everything.gather(60, SIZE_MAX, 1), SIZE_MAX), wire(*session, 0));
  FeedCursor some(Selection::some(session, {0, 0, 1, 0}));
  EXPECT_EQ(take(some.gather(60, SIZE_MAX, 1), SIZE_MAX), wire(*session, 1));
}

TEST(FeedCursor, PassesOverWhatNobodyWantsInBoundedSteps) {
  const auto session = three_topics(10);
  FeedCursor cursor(Selection::some(session, {}));
  EXPECT_TRUE(cursor.gather(UINT64_MAX, SIZE_MAX).empty());
  EXPECT_EQ(cursor.next(), FeedCursor::kScanMax);
}

TEST(FeedCursor, FinishesABegunFrameWhateverIsSelectedMeanwhile) {
  const auto session = three_topics(6);
  FeedCursor cursor(Selection::all(session));
  Replay replay;
  cursor.gather(6, SIZE_MAX);
  const std::string first = wire(*session, 0);
  replay.stream = first.substr(0, 1);
  cursor.sent(1, [](const SentFrame&) {});
  cursor.select(Selection::some(session, {0, 0, 0, 1}));
  replay.run(cursor, 6, SIZE_MAX, [](std::size_t asked) { return asked; });
  EXPECT_EQ(replay.stream, first + wire(*session, 2) + wire(*session, 5));
  EXPECT_EQ(replay.frames[0].sequence, 0U);
}

TEST(FeedCursor, StaysWhereItIsWhenNothingWasAccepted) {
  const auto session = three_topics(60);
  FeedCursor cursor(Selection::some(session, {0, 0, 1, 0}));
  const auto nobody = [](const SentFrame&) { FAIL(); };
  cursor.gather(60, SIZE_MAX);
  cursor.sent(1, nobody);  // frame 1 is begun, the others were only looked at
  EXPECT_EQ(cursor.next(), 2U);
  cursor.sent(0, nobody);  // a write of control frames alone
  EXPECT_EQ(cursor.next(), 2U);
  Replay replay;
  replay.run(cursor, 60, SIZE_MAX, [](std::size_t asked) { return asked; });
  EXPECT_EQ(replay.frames.size(), 20U);
}

TEST(FeedCursor, JoinsInTheMiddle) {
  const auto session = three_topics(6);
  FeedCursor cursor(Selection::all(session), 10);  // second loop, frame 4
  EXPECT_EQ(take(cursor.gather(11, SIZE_MAX), SIZE_MAX), wire(*session, 4));
}

/// Frames of elements of topics a, b, c: [A0,B0], [C1], [A2,B2,C2] and one frame of no topic.
std::shared_ptr<const PreparedSession> arrays() {
  SessionBuilder builder;
  const std::uint32_t a = builder.topic("a");
  const std::uint32_t b = builder.topic("b");
  const std::uint32_t c = builder.topic("c");
  const PreparedElement two[] = {{1, 2, a}, {4, 2, b}};
  builder.add("[A0,B0]", 0, two);
  builder.add("[C1]", 1, c);
  const PreparedElement three[] = {{1, 2, a}, {4, 2, b}, {7, 2, c}};
  builder.add("[A2,B2,C2]", 2, three);
  builder.add("[]", 3, kNoTopic);
  return builder.finish();
}

std::string framed(std::string_view text) {
  return std::string("\x81") + static_cast<char>(text.size()) + std::string(text);
}

TEST(FeedCursor, LeavesOutTheElementsOfAnArrayThatAreNotWanted) {
  const std::pair<std::vector<std::uint8_t>, std::string> cases[] = {
      {{0, 1, 0, 0}, framed("[A0]") + framed("[A2]") + framed("[]")},
      {{0, 0, 1, 0}, framed("[B0]") + framed("[B2]") + framed("[]")},
      {{0, 0, 0, 1}, framed("[C1]") + framed("[C2]") + framed("[]")},
      {{0, 1, 1, 0}, framed("[A0,B0]") + framed("[A2,B2]") + framed("[]")},
      {{0, 1, 0, 1}, framed("[A0]") + framed("[C1]") + framed("[A2,C2]") + framed("[]")},
      {{0, 1, 1, 1}, framed("[A0,B0]") + framed("[C1]") + framed("[A2,B2,C2]") + framed("[]")},
  };
  for (const auto& [wanted, expected] : cases) {
    for (const std::size_t most : {1U, 3U, 1000U}) {
      FeedCursor cursor(Selection::some(arrays(), wanted));
      Replay replay;
      replay.run(cursor, 4, SIZE_MAX, [&](std::size_t) { return most; });
      EXPECT_EQ(replay.stream, expected);
    }
  }
}

TEST(FeedCursor, EncodesArraysLargerThanItsScratchMemory) {
  SessionBuilder builder;
  const std::uint32_t a = builder.topic("a");
  const std::uint32_t b = builder.topic("b");
  const std::string big(600'000, 'x');
  const PreparedElement elements[] = {{1, 600'000, a}, {600'002, 1, b}};
  for (int i = 0; i < 3; ++i) builder.add("[" + big + ",y]", 0, elements);
  FeedCursor cursor(Selection::some(builder.finish(), {0, 1, 0}));
  Replay replay;
  replay.run(cursor, 3, SIZE_MAX, [](std::size_t) { return 100'000; });
  EXPECT_EQ(replay.frames.size(), 3U);
  EXPECT_EQ(replay.stream.size(), 3 * (10 + 600'002U));
}

TEST(FeedCursor, AnEmptySessionGivesNothing) {
  FeedCursor cursor(Selection::all(SessionBuilder().finish()));
  EXPECT_TRUE(cursor.gather(10, SIZE_MAX).empty());
}

}  // namespace
}  // namespace feedbench::mock_exchange
