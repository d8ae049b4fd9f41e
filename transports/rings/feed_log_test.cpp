#include <gtest/gtest.h>

#include <cstring>
#include <string_view>

#include "transports/rings/feed_log_reader.hpp"
#include "transports/rings/feed_log_writer.hpp"

namespace feedbench::rings {
namespace {

void append(FeedLogWriter& writer, std::string_view text) {
  const std::uint64_t at = writer.write_position();
  const auto space = writer.reserve(text.size());
  ASSERT_EQ(space.size(), text.size());
  std::memcpy(space.data(), text.data(), text.size());
  writer.written(text.size());
  writer.stage({.offset = at, .length = static_cast<std::uint32_t>(text.size())});
}

TEST(FeedLog, HandsOutWhatWasPublishedAndNothingBefore) {
  auto writer = FeedLogWriter::create({.ring_bytes = 4096, .index_lines = 8});
  ASSERT_TRUE(writer) << writer.error().message;
  auto reader = FeedLogReader::map(writer->share_descriptor());
  ASSERT_TRUE(reader) << reader.error().message;
  Frame frame;
  EXPECT_EQ(reader->next(frame), ReadStatus::none);
  append(*writer, "hello");
  EXPECT_EQ(reader->next(frame), ReadStatus::none);
  append(*writer, "world");
  writer->publish();
  ASSERT_EQ(reader->next(frame), ReadStatus::frame);
  EXPECT_EQ(frame.sequence, 1U);
  char text[8] = {};
  EXPECT_TRUE(reader->copy(frame, std::as_writable_bytes(std::span(text))));
  EXPECT_STREQ(text, "hello");
  ASSERT_EQ(reader->next(frame), ReadStatus::frame);
  EXPECT_EQ(frame.offset, 5U);
  EXPECT_TRUE(reader->confirm(frame));
  EXPECT_EQ(reader->next(frame), ReadStatus::none);
}

}  // namespace
}  // namespace feedbench::rings
