#include <gtest/gtest.h>

#include "mock_exchange/recording/inspect.hpp"
#include "mock_exchange/recording/recording_reader.hpp"
#include "mock_exchange/recording/recording_writer.hpp"
#include "mock_exchange/recording/seeded_random.hpp"
#include "mock_exchange/recording/test_files.hpp"
#include "reference/venues/base64.hpp"

namespace feedbench::recording {
namespace {

using namespace testing_support;

std::string random_bytes(SeededRandom& random, std::size_t bytes_max) {
  std::string bytes(random.below(bytes_max + 1), '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.below(256));
  return bytes;
}

/// Reads a file of these bytes to its end or its first error; either is fine, anything else is not.
void read_through(const std::filesystem::path& path, std::string_view bytes) {
  write_bytes(path, bytes);
  const auto figures = inspect(path);
  if (!figures) {
    EXPECT_NE(figures.error().message.find(path.filename().string()), std::string::npos);
  } else {
    EXPECT_FALSE(to_text(*figures).empty());
    EXPECT_FALSE(to_json(*figures).empty());
  }
}

std::string good_text(SeededRandom& random) {
  std::string text;
  for (std::uint64_t lines = 1 + random.below(8); lines > 0; --lines) {
    Frame frame{
        static_cast<std::int64_t>(random.bits()), Direction::rx, random.chance(0.3), "/stream", {}};
    frame.data = frame.binary ? random_bytes(random, 60) : R"([{"T":"t","S":"A"}])";
    append_line(frame, text);
  }
  return text;
}

TEST(RecordingFuzz, RandomBytesNeverDoMoreThanFail) {
  TemporaryFolder folder;
  SeededRandom random(1);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes = random_bytes(random, 400);
    if (random.chance(0.5)) bytes.insert(0, "\x28\xb5\x2f\xfd", 4);  // begins like zstd
    read_through(folder / "random", bytes);
  }
}

TEST(RecordingFuzz, DamagedRecordingsNeverDoMoreThanFail) {
  TemporaryFolder folder;
  SeededRandom random(2);
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = good_text(random);
    if (random.chance(0.3)) bytes = zstd(bytes);
    for (std::uint64_t hits = 1 + random.below(4); hits > 0 && !bytes.empty(); --hits) {
      const std::size_t at = random.below(bytes.size());
      const std::uint64_t how = random.below(3);
      if (how == 0) bytes[at] = static_cast<char>(random.below(256));
      if (how == 1) bytes.erase(at, random.below(20));
      if (how == 2) bytes.insert(at, 1, R"("\{}[]:,)"[random.below(8)]);
    }
    read_through(folder / "damaged", bytes);
  }
}

TEST(RecordingFuzz, WhatIsWrittenIsReadBackWhateverTheBytes) {
  TemporaryFolder folder;
  SeededRandom random(3);
  for (const auto* name : {"fuzz.jsonl", "fuzz.jsonl.zst"}) {
    auto writer = RecordingWriter::create(folder / name);
    ASSERT_TRUE(writer);
    std::vector<Frame> frames;
    for (int i = 0; i < 2000; ++i) {
      Frame frame{static_cast<std::int64_t>(random.bits()),
                  random.chance(0.5) ? Direction::rx : Direction::tx, random.chance(0.5), "/ws",
                  random_bytes(random, 300)};
      if (!frame.binary) {
        for (char& byte : frame.data) byte = static_cast<char>(byte & 0x7f);
      }
      ASSERT_TRUE(writer->write(frame));
      frames.push_back(std::move(frame));
    }
    ASSERT_TRUE(writer->close());
    auto reader = RecordingReader::open(folder / name);
    ASSERT_TRUE(reader);
    Frame frame;
    for (const Frame& expected : frames) {
      ASSERT_TRUE(reader->next(frame).value());
      ASSERT_EQ(frame, expected);
    }
    EXPECT_FALSE(reader->next(frame).value());
  }
}

}  // namespace
}  // namespace feedbench::recording
