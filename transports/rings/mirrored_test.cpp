#include "transports/rings/mirrored.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace feedbench::rings {
namespace {

TEST(MirroredBuffer, KeepsEveryStretchContiguousAtEveryOffset) {
  auto buffer = MirroredBuffer::create(4096);
  ASSERT_TRUE(buffer) << buffer.error().message;
  ASSERT_EQ(buffer->capacity(), 4096U);
  std::uint64_t pushed = 0;
  std::uint64_t taken = 0;
  for (std::size_t start = 0; start < 4096; ++start) {
    const auto space = buffer->writable();
    ASSERT_EQ(space.size(), 4096U);
    const std::size_t bytes = 4095;  // one short of whole, so each round starts one byte earlier
    for (std::size_t i = 0; i < bytes; ++i)
      space[i] = static_cast<std::byte>((pushed + i) * 31 >> 3);
    buffer->written(bytes);
    pushed += bytes;
    const auto data = buffer->readable();
    ASSERT_EQ(data.size(), bytes);
    for (std::size_t i = 0; i < bytes; ++i) {
      ASSERT_EQ(data[i], static_cast<std::byte>((taken + i) * 31 >> 3))
          << "round " << start << " byte " << i;
    }
    buffer->consume(bytes);
    taken += bytes;
  }
  EXPECT_TRUE(buffer->empty());
}

TEST(MirroredBuffer, RefusesASizeThatIsNoPowerOfTwoOrBelowAPage) {
  for (const std::size_t bytes :
       {std::size_t{0}, std::size_t{1}, std::size_t{2048}, std::size_t{5000}}) {
    const auto buffer = MirroredBuffer::create(bytes);
    ASSERT_FALSE(buffer);
    EXPECT_NE(buffer.error().message.find("power of two"), std::string::npos);
  }
}

TEST(MirroredBuffer, OffersNothingWhenFullAndAllWhenCleared) {
  auto buffer = MirroredBuffer::create(4096);
  ASSERT_TRUE(buffer);
  buffer->written(4096);
  EXPECT_TRUE(buffer->writable().empty());
  buffer->clear();
  EXPECT_EQ(buffer->writable().size(), 4096U);
}

TEST(MemoryFile, UsesHugePagesOrSaysWhyNot) {
  auto file = create_memory_file("huge_test", 3 << 20, {.pre_fault = true, .huge_pages = true});
  ASSERT_TRUE(file) << file.error().message;
  if (file->huge_pages_refused.empty()) {
    EXPECT_EQ(file->page_bytes, std::size_t{2} << 20);
    EXPECT_EQ(file->bytes, std::size_t{4} << 20);
  } else {
    EXPECT_EQ(file->page_bytes, 4096U);
    EXPECT_NE(file->huge_pages_refused.find("2 MiB pages"), std::string::npos);
  }
}

}  // namespace
}  // namespace feedbench::rings
