#include "mock_exchange/send_log.hpp"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace feedbench::mock_exchange {
namespace {

SendLogEntry entry(std::uint32_t i) { return {i * 10U, i * 10U + 1, i, 130, 1, 0}; }

TEST(SendLog, ReaderSeesEntriesOnceTheyArePublished) {
  auto writer = SendLogWriter::create(100).value();
  const auto reader = SendLogReader::map(writer.descriptor()).value();
  EXPECT_EQ(reader.capacity(), 100U);
  writer.append(entry(0));
  writer.append(entry(1));
  EXPECT_EQ(reader.count(), 0U);
  writer.publish();
  ASSERT_EQ(reader.count(), 2U);
  EXPECT_EQ(reader[1].intended_tsc, 10U);
  EXPECT_EQ(reader[1].actual_tsc, 11U);
  EXPECT_EQ(reader[1].frame_index, 1U);
  EXPECT_EQ(reader[1].length, 130U);
}

TEST(SendLog, OverflowIsCountedAndKeepsTheFirstEntries) {
  auto writer = SendLogWriter::create(3).value();
  const auto reader = SendLogReader::map(writer.descriptor()).value();
  for (std::uint32_t i = 0; i < 5; ++i) writer.append(entry(i));
  writer.publish();
  EXPECT_EQ(reader.count(), 3U);
  EXPECT_EQ(reader.overflowed(), 2U);
  EXPECT_EQ(reader[2].frame_index, 2U);
  EXPECT_EQ(writer.count(), 5U);
}

TEST(SendLog, AnotherWriterContinuesAPassedOnLog) {
  auto made = SendLogWriter::create(10).value();
  made.append(entry(0));
  made.publish();
  auto taken = SendLogWriter::attach(made.descriptor()).value();
  taken.append(entry(1));
  taken.publish();
  const auto reader = SendLogReader::map(made.descriptor()).value();
  ASSERT_EQ(reader.count(), 2U);
  EXPECT_EQ(reader[1].frame_index, 1U);
}

TEST(SendLog, ReaderInAnotherThreadNeverSeesAHalfWrittenEntry) {
  constexpr std::uint32_t kEntries = 50'000;
  auto writer = SendLogWriter::create(kEntries).value();
  const auto reader = SendLogReader::map(writer.descriptor()).value();
  std::uint64_t wrong = 0;
  std::thread reading([&] {
    for (std::uint64_t seen = 0; seen < kEntries;) {
      const std::uint64_t count = reader.count();
      for (; seen < count; ++seen) {
        if (reader[seen].frame_index != seen || reader[seen].actual_tsc != seen * 10 + 1) ++wrong;
      }
    }
  });
  for (std::uint32_t i = 0; i < kEntries; ++i) {
    writer.append(entry(i));
    writer.publish();
  }
  reading.join();
  EXPECT_EQ(wrong, 0U);
}

TEST(SendLog, RefusesAnotherFile) {
  const int descriptor = ::memfd_create("not-a-log", MFD_CLOEXEC);
  ASSERT_GE(descriptor, 0);
  EXPECT_NE(SendLogReader::map(descriptor).error().message.find("too small"), std::string::npos);
  ASSERT_EQ(::ftruncate(descriptor, 1 << 16), 0);
  EXPECT_NE(SendLogReader::map(descriptor).error().message.find("wrong magic"), std::string::npos);
  EXPECT_FALSE(SendLogWriter::attach(descriptor));
  ::close(descriptor);
  EXPECT_FALSE(SendLogReader::map(-1));
}

TEST(SendLog, RefusesACapacityBeyondTheFile) {
  const auto writer = SendLogWriter::create(10).value();
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer.descriptor(), 0);
  ASSERT_NE(page, MAP_FAILED);
  static_cast<SendLogHeader*>(page)->capacity = 11;
  EXPECT_NE(SendLogReader::map(writer.descriptor()).error().message.find("capacity"),
            std::string::npos);
  ::munmap(page, 4096);
}

TEST(SendLog, RefusesAnImpossibleCapacity) {
  EXPECT_FALSE(SendLogWriter::create(0));
  EXPECT_FALSE(SendLogWriter::create(UINT64_MAX));
}

TEST(SendLog, GivesItsMemoryAndDescriptorBack) {
  int descriptor = -1;
  {
    auto writer = SendLogWriter::create(10).value();
    descriptor = writer.descriptor();
    const auto moved = std::move(writer);
    EXPECT_EQ(moved.descriptor(), descriptor);
  }
  EXPECT_EQ(::lseek(descriptor, 0, SEEK_CUR), -1);
}

}  // namespace
}  // namespace feedbench::mock_exchange
