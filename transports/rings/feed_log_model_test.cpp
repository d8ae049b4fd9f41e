// Every way in which one reader can meet one writer, on a tiny log: the product's own code runs in
// the memory of testing/model_memory.hpp, which tries all of them.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transports/rings/feed_log_appender.hpp"
#include "transports/rings/feed_log_reader.hpp"
#include "transports/rings/testing/log_pattern.hpp"
#include "transports/rings/testing/model_memory.hpp"

namespace feedbench::rings {
namespace {

using testing::Choices;
using testing::Exploration;
using testing::ModelMemory;
using testing::ModelWorld;
using testing::Weakening;

constexpr std::size_t kRingBytes = 16;  // the smallest there is: the limit moves by single bytes
constexpr std::size_t kLinesMax = 8;

/// What stands in the log when the reader begins, and what is written while it reads.
struct Scene {
  std::string name;
  std::size_t index_lines;
  std::vector<std::uint32_t> before;  ///< Lengths of frames, published one by one.
  std::vector<std::uint32_t> during;
  bool published_together = false;  ///< Those `during`: staged all, then published.
  int reads = 1;
  bool from_first = false;  ///< The reader is placed at the first frame, instead of the oldest.
};

struct Written {
  std::uint64_t offset;
  std::uint32_t length;
};

/// How the explored executions ended.
struct Outcome {
  std::uint64_t executions = 0;
  std::uint64_t frames = 0;     // next() gave one
  std::uint64_t accepted = 0;   // ... and copy() said its bytes are whole
  std::uint64_t discarded = 0;  // ... or that they are not
  std::uint64_t gaps = 0;
  std::uint64_t unknown = 0;  // ... whose bytes nobody knows
  std::uint64_t none = 0;
  std::uint64_t wrong = 0;  // a frame was accepted, and its line or its bytes were not the frame's
  bool complete = false;
};

class TinyLog {
 public:
  TinyLog(const Scene& scene, Exploration exploration, Weakening weakening)
      : world_(exploration, weakening),
        appender_(&control_, lines_.data(), ring_.data(), kRingBytes, scene.index_lines),
        index_lines_(scene.index_lines) {
    world_.place_ring(ring_.data(), kRingBytes);
    world_.name_limit(&control_.write_limit);
    for (auto& line : lines_) {
      world_.name_sequence(&line.sequence);
      for (const auto* word :
           {&line.offset, &line.length_topic, &line.header_opcode_flags_generation,
            &line.handler_ticks, &line.back_nic_wake, &line.back_read_plain, &line.back_parsed}) {
        world_.name_line_word(word);
      }
    }
    for (const std::uint32_t length : scene.before) write(length, true);
    world_.writer_hands_over();
    for (const std::uint32_t length : scene.during) write(length, !scene.published_together);
    appender_.publish();
  }

  /// One execution, which `choices` decide.
  void read(const Scene& scene, Choices& choices, Outcome& outcome) {
    world_.start_reader(choices);
    BasicFeedLogReader<NoReadHooks, ModelMemory> reader(
        {&control_, nullptr, lines_.data(), ring_.data(), kRingBytes - 1, index_lines_ - 1});
    scene.from_first ? reader.seek_first(1) : reader.seek_oldest();
    for (int i = 0; i < scene.reads; ++i) {
      const std::uint64_t wanted = reader.next_sequence();
      Frame frame;
      switch (reader.next(frame)) {
        case ReadStatus::none:
          ++outcome.none;
          return;
        case ReadStatus::gap:
          ++outcome.gaps;
          if (frame.missed_frames == 0 || reader.next_sequence() != wanted + frame.missed_frames ||
              reader.next_sequence() > written_.size() + 1) {
            ++outcome.wrong;
          } else if (frame.missed_bytes != begin_of(reader.next_sequence()) - begin_of(wanted)) {
            // Not known is right only where the reader was placed at what was gone while it looked.
            ++(i == 0 && !scene.from_first && frame.missed_bytes == kMissedBytesUnknown
                   ? outcome.unknown
                   : outcome.wrong);
          }
          break;
        case ReadStatus::frame:
          ++outcome.frames;
          if (!is_right(frame, wanted)) {
            ++outcome.wrong;
            return;
          }
          std::array<std::byte, kRingBytes> copied{};
          if (!reader.copy(frame, copied)) {
            ++outcome.discarded;
          } else if (testing::matches(frame.offset, std::span(copied).first(frame.length))) {
            ++outcome.accepted;
          } else {
            ++outcome.wrong;
          }
          break;
      }
    }
  }

 private:
  void write(std::uint32_t length, bool publish) {
    const std::uint64_t offset = appender_.write_position();
    const auto space = appender_.reserve(length);
    ASSERT_EQ(space.size(), length);
    std::array<std::byte, kRingBytes> bytes{};
    testing::fill(offset, std::span(bytes).first(length));
    ModelMemory::store_bytes(space.data(), bytes.data(), length);
    appender_.written(length);
    appender_.stage(testing::entry_of(appender_.next_sequence(), offset, length));
    if (publish) appender_.publish();
    written_.push_back({offset, length});
  }
  /// Where frame `sequence` begins, written already or not: nothing lies between frames here.
  [[nodiscard]] std::uint64_t begin_of(std::uint64_t sequence) const {
    if (sequence <= written_.size()) return written_[sequence - 1].offset;
    return written_.back().offset + written_.back().length;
  }
  [[nodiscard]] bool is_right(const Frame& frame, std::uint64_t wanted) const {
    if (frame.sequence != wanted || wanted == 0 || wanted > written_.size()) return false;
    const Written& written = written_[wanted - 1];
    return frame.offset == written.offset && frame.length == written.length &&
           testing::line_matches(frame);
  }

  ModelWorld world_;
  BasicFeedLogControl<ModelMemory> control_{};
  std::array<BasicIndexLine<ModelMemory>, kLinesMax> lines_{};
  std::array<std::byte, 2 * kRingBytes> ring_{};  // only addresses count
  BasicFeedLogAppender<ModelMemory> appender_;
  std::size_t index_lines_;
  std::vector<Written> written_;
};

Outcome explore(const Scene& scene, Exploration exploration, Weakening weakening,
                std::uint64_t wrong_enough = UINT64_MAX) {
  constexpr std::uint64_t kExecutionsMax = 50'000'000;
  TinyLog log(scene, exploration, weakening);
  Outcome outcome;
  Choices choices;
  do {
    log.read(scene, choices, outcome);
    ++outcome.executions;
    outcome.complete = !choices.advance();
  } while (!outcome.complete && outcome.executions < kExecutionsMax &&
           outcome.wrong < wrong_enough);
  return outcome;
}

const Scene kLapInTheLines{"a lap in the index", 2, {2, 2}, {2}};
const Scene kLapInTheBytes{"a lap in the bytes", 8, {6, 6}, {6}};
const Scene kBothLaps{"laps in both", 2, {5, 5}, {5, 5}};
const Scene kCatchingUp{"a reader that catches up", 4, {3}, {3}, false, 2};
const Scene kLappedTwice{"lapped again before a frame", 2, {1}, {1, 1, 1}, false, 2, true};
const Scene kTogether{"two frames published together", 4, {4, 4, 4}, {4, 4}, true};

void accepts_no_wrong_frame(Exploration exploration) {
  for (const Scene& scene :
       {kLapInTheLines, kLapInTheBytes, kBothLaps, kCatchingUp, kLappedTwice, kTogether}) {
    SCOPED_TRACE(scene.name);
    const Outcome outcome = explore(scene, exploration, Weakening::none);
    std::printf("%-32s %9zu executions, %9zu accepted, %8zu discarded, %8zu gaps, %8zu none\n",
                scene.name.c_str(), outcome.executions, outcome.accepted, outcome.discarded,
                outcome.gaps, outcome.none);
    EXPECT_TRUE(outcome.complete);
    EXPECT_EQ(outcome.wrong, 0U);
    EXPECT_GT(outcome.accepted, 0U);
  }
}

TEST(FeedLogModel, NoInterleavingMakesAReaderAcceptAWrongFrame) {
  accepts_no_wrong_frame(Exploration::interleavings);
}

TEST(FeedLogModel, NoStaleLoadMakesAReaderAcceptAWrongFrame) {
  accepts_no_wrong_frame(Exploration::stale_loads);
}

bool found_in(Exploration exploration, Weakening weakening) {
  for (const Scene& scene : {kLapInTheLines, kLapInTheBytes, kBothLaps}) {
    if (explore(scene, exploration, weakening, 1).wrong > 0) return true;
  }
  return false;
}

TEST(FeedLogModel, AProtocolWithoutOneOfItsStepsIsCaughtByInterleavingAlone) {
  for (const Weakening weakening :
       {Weakening::limit_raised_after_the_bytes, Weakening::bytes_not_checked_after_the_copy,
        Weakening::line_not_checked_after_its_words, Weakening::line_not_marked_while_filled}) {
    EXPECT_TRUE(found_in(Exploration::interleavings, weakening)) << static_cast<int>(weakening);
    EXPECT_TRUE(found_in(Exploration::stale_loads, weakening)) << static_cast<int>(weakening);
  }
}

TEST(FeedLogModel, AProtocolWithoutOneOfItsOrderingsIsCaughtByStaleLoads) {
  for (const Weakening weakening :
       {Weakening::no_writer_fence, Weakening::no_reader_fence, Weakening::relaxed_publish,
        Weakening::relaxed_line_stores, Weakening::relaxed_line_loads}) {
    EXPECT_TRUE(found_in(Exploration::stale_loads, weakening)) << static_cast<int>(weakening);
  }
}

}  // namespace
}  // namespace feedbench::rings
