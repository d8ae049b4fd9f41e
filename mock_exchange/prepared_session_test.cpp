#include "mock_exchange/prepared_session.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

namespace feedbench::mock_exchange {
namespace {

std::string wire_text(const PreparedSession& session, std::size_t index) {
  const auto bytes = session.wire(index);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(PreparedSession, HoldsEachFrameAsAnUnmaskedServerFrame) {
  SessionBuilder builder;
  builder.add("hello", 100, builder.topic("a"));
  builder.add(std::string(126, 'x'), 200, builder.topic("b"));
  builder.add(std::string(65536, 'y'), 250, builder.topic("a"), true);
  const auto session = builder.finish();
  ASSERT_EQ(session->frame_count(), 3U);
  EXPECT_EQ(wire_text(*session, 0), std::string("\x81\x05hello", 7));
  EXPECT_EQ(wire_text(*session, 1), std::string("\x81\x7e\x00\x7e", 4) + std::string(126, 'x'));
  EXPECT_EQ(wire_text(*session, 2),
            std::string("\x82\x7f\0\0\0\0\0\x01\0\0", 10) + std::string(65536, 'y'));
  EXPECT_EQ(session->text(1), std::string(126, 'x'));
  EXPECT_TRUE(session->frames()[2].binary);
}

TEST(PreparedSession, StandsInOneArenaWithoutGaps) {
  const auto session = synthetic_session(128, 50, 1);
  std::uint64_t end = 0;
  for (const PreparedFrame& frame : session->frames()) {
    EXPECT_EQ(frame.offset, end);
    end += frame.length;
  }
  EXPECT_EQ(end, session->loop_bytes());
}

TEST(PreparedSession, TakesTheFirstTimeOffAllAndNeverStepsBack) {
  SessionBuilder builder;
  for (const std::int64_t t_ns : {1000, 1500, 1400, 1600}) builder.add("x", t_ns, kNoTopic);
  const auto session = builder.finish();
  const auto frames = session->frames();
  EXPECT_EQ(frames[0].t_ns, 0);
  EXPECT_EQ(frames[1].t_ns, 500);
  EXPECT_EQ(frames[2].t_ns, 500);
  EXPECT_EQ(frames[3].t_ns, 600);
  EXPECT_EQ(session->span_ns(), 600);
}

TEST(PreparedSession, NamesTopicsOnce) {
  SessionBuilder builder;
  EXPECT_EQ(builder.topic(""), kNoTopic);
  EXPECT_EQ(builder.topic("a"), 1U);
  EXPECT_EQ(builder.topic("b"), 2U);
  EXPECT_EQ(builder.topic("a"), 1U);
  const auto session = builder.finish();
  ASSERT_EQ(session->topics().size(), 3U);
  EXPECT_EQ(session->topics()[2], "b");
}

TEST(PreparedSession, KeepsTheElementsOfAnArrayFrame) {
  SessionBuilder builder;
  const PreparedElement elements[] = {{1, 2, builder.topic("a")}, {4, 3, builder.topic("b")}};
  builder.add("[{},{ }]", 0, kNoTopic);
  builder.add("[{},{ }]", 0, elements);
  const auto session = builder.finish();
  const PreparedFrame& frame = session->frames()[1];
  EXPECT_EQ(frame.topic, kManyTopics);
  ASSERT_EQ(session->elements(frame).size(), 2U);
  EXPECT_EQ(session->text(1).substr(session->elements(frame)[1].offset, 3), "{ }");
}

TEST(PreparedSession, FindsTheFrameOfEveryByte) {
  SessionBuilder builder;
  for (const std::size_t size : {0, 1, 125, 126, 3})
    builder.add(std::string(size, 'x'), 0, kNoTopic);
  const auto session = builder.finish();
  for (std::uint64_t offset = 0; offset < session->loop_bytes(); ++offset) {
    const PreparedFrame& frame = session->frames()[session->frame_at(offset)];
    ASSERT_GE(offset, frame.offset);
    ASSERT_LT(offset, frame.offset + frame.length);
  }
}

TEST(PreparedSession, CountsWholeFramesBeforeAPositionOfTheEndlessStream) {
  const auto session = synthetic_session(64, 3, 1);
  const std::uint64_t frame_bytes = 66;
  EXPECT_EQ(session->frames_before(0), 0U);
  EXPECT_EQ(session->frames_before(frame_bytes - 1), 0U);
  EXPECT_EQ(session->frames_before(frame_bytes), 1U);
  EXPECT_EQ(session->frames_before(3 * frame_bytes), 3U);
  EXPECT_EQ(session->frames_before(7 * frame_bytes + 5), 7U);
  EXPECT_EQ(session->position_of(7), 7 * frame_bytes);
}

TEST(PreparedSession, RepeatsItsBytesOverTheLoops) {
  const auto session = synthetic_session(64, 3, 1);
  const auto first = session->bytes_at(10);
  const auto later = session->bytes_at(session->loop_bytes() * 5 + 10);
  EXPECT_EQ(first.data(), later.data());
  EXPECT_EQ(first.size(), session->loop_bytes() - 10);
}

TEST(PreparedSession, EmptyIsAllowed) {
  const auto session = SessionBuilder().finish();
  EXPECT_EQ(session->frame_count(), 0U);
  EXPECT_TRUE(session->bytes_at(5).empty());
  EXPECT_EQ(session->frames_before(5), 0U);
  EXPECT_EQ(session->span_ns(), 0);
}

TEST(SyntheticSession, HasUniqueAsciiFramesOfTheSizeAsked) {
  for (const std::size_t size : {40, 128, 1024, 70000}) {
    const auto session = synthetic_session(size, 20, 7);
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < session->frame_count(); ++i) {
      const std::string_view text = session->text(i);
      ASSERT_EQ(text.size(), size);
      for (const char c : text) ASSERT_TRUE(c >= ' ' && c < 127);
      EXPECT_TRUE(text.starts_with("{\"n\":")) << text;
      EXPECT_TRUE(text.ends_with("\"}")) << text;
      seen.insert(text);
    }
    EXPECT_EQ(seen.size(), 20U);
  }
}

TEST(SyntheticSession, NumbersItsFrames) {
  const auto session = synthetic_session(64, 1200, 7);
  EXPECT_TRUE(session->text(0).starts_with("{\"n\":000000000000,\"d\":\""));
  EXPECT_TRUE(session->text(1099).starts_with("{\"n\":000000001099,\"d\":\""));
}

TEST(SyntheticSession, DependsOnTheSeedAlone) {
  const auto a = synthetic_session(128, 10, 1);
  const auto b = synthetic_session(128, 10, 1);
  const auto c = synthetic_session(128, 10, 2);
  ASSERT_EQ(a->loop_bytes(), b->loop_bytes());
  EXPECT_EQ(std::memcmp(a->arena().data(), b->arena().data(), a->loop_bytes()), 0);
  EXPECT_NE(std::memcmp(a->arena().data(), c->arena().data(), a->loop_bytes()), 0);
}

}  // namespace
}  // namespace feedbench::mock_exchange
