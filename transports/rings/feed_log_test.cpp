#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>
#include <string>

#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/rings/testing/log_pattern.hpp"

namespace feedbench::rings {
namespace {

using testing::entry_of;
using testing::line_matches;
using testing::matches;
using testing::publish_frame;
using testing::stage_frame;
using testing::write_pattern;

FeedLogWriter new_log(std::size_t ring_bytes, std::size_t index_lines) {
  auto writer = FeedLogWriter::create({.ring_bytes = ring_bytes, .index_lines = index_lines});
  if (!writer) throw std::runtime_error(writer.error().message);
  return std::move(*writer);
}

FeedLogReader new_reader(const FeedLogWriter& writer) {
  auto reader = FeedLogReader::map(writer.share_descriptor());
  if (!reader) throw std::runtime_error(reader.error().message);
  return std::move(*reader);
}

// Reads one frame and proves its line and its bytes, copied and in place.
::testing::AssertionResult reads_whole(FeedLogReader& reader, std::uint64_t sequence) {
  Frame frame;
  if (const ReadStatus status = reader.next(frame); status != ReadStatus::frame) {
    return ::testing::AssertionFailure()
           << "frame " << sequence << ": status " << static_cast<int>(status);
  }
  std::vector<std::byte> copied(frame.length);
  if (frame.sequence != sequence || !line_matches(frame))
    return ::testing::AssertionFailure() << "line " << sequence;
  if (!reader.copy(frame, copied) || !matches(frame.offset, copied)) {
    return ::testing::AssertionFailure() << "copy of " << sequence;
  }
  if (!matches(frame.offset, frame.bytes()) || !reader.confirm(frame)) {
    return ::testing::AssertionFailure() << "bytes in place of " << sequence;
  }
  return ::testing::AssertionSuccess();
}

TEST(FeedLog, StagedFramesAreInvisibleUntilPublishedThenComeInOrder) {
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  Frame frame;
  EXPECT_EQ(reader.next(frame), ReadStatus::none);
  EXPECT_EQ(stage_frame(writer, 5), 1U);
  EXPECT_EQ(stage_frame(writer, 6), 2U);
  EXPECT_EQ(reader.next(frame), ReadStatus::none);
  EXPECT_EQ(writer.head_sequence(), 0U);
  writer.publish();
  EXPECT_EQ(writer.head_sequence(), 2U);
  EXPECT_EQ(writer.head_offset(), 11U);
  EXPECT_TRUE(reads_whole(reader, 1));
  EXPECT_TRUE(reads_whole(reader, 2));
  EXPECT_EQ(reader.next(frame), ReadStatus::none);
}

TEST(FeedLog, AReaderStartsAtTheLiveEdgeAndMaySeekTheOldest) {
  FeedLogWriter writer = new_log(4096, 8);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(publish_frame(writer, 10));
  FeedLogReader reader = new_reader(writer);
  Frame frame;
  EXPECT_EQ(reader.next(frame), ReadStatus::none);
  reader.seek_oldest();
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence)
    EXPECT_TRUE(reads_whole(reader, sequence));
  reader.seek_oldest();
  reader.seek_live();
  EXPECT_EQ(reader.next(frame), ReadStatus::none);
  EXPECT_EQ(reader.next_sequence(), 4U);
}

TEST(FeedLog, ALogMayGoOnWhereAnotherEnded) {
  for (const std::uint64_t first :
       {std::uint64_t{2}, std::uint64_t{1000}, std::uint64_t{1} << 40}) {
    FeedLogWriter writer = new_log(4096, 8);
    writer.begin_at(first);
    FeedLogReader live = new_reader(writer);
    FeedLogReader follower = new_reader(writer);
    FeedLogReader oldest = new_reader(writer);
    follower.seek(first);
    oldest.seek_oldest();
    Frame frame;
    EXPECT_EQ(live.head_sequence(), first - 1);
    EXPECT_EQ(live.next_sequence(), first);
    EXPECT_EQ(oldest.next_sequence(), first);
    EXPECT_EQ(follower.next(frame), ReadStatus::none);
    for (std::uint64_t i = 0; i < 5; ++i) EXPECT_EQ(stage_frame(writer, 100), first + i);
    writer.publish();
    for (FeedLogReader* reader : {&live, &follower, &oldest}) {
      for (std::uint64_t i = 0; i < 5; ++i) EXPECT_TRUE(reads_whole(*reader, first + i));
      EXPECT_EQ(reader->next(frame), ReadStatus::none);
    }
    // Who comes too late is told how many it missed.
    FeedLogReader late = new_reader(writer);
    late.seek(first);
    for (int i = 0; i < 20; ++i) publish_frame(writer, 100);
    ASSERT_EQ(late.next(frame), ReadStatus::gap);
    EXPECT_EQ(frame.missed_frames, late.next_sequence() - first);
    EXPECT_TRUE(reads_whole(late, late.next_sequence()));
  }
}

TEST(FeedLog, EveryFrameIsContiguousWhereverInTheRingItStarts) {
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  const auto largest = static_cast<std::uint32_t>(writer.largest_frame_bytes());
  ASSERT_EQ(largest, 4096U - 256U);
  std::uint64_t sequence = 0;
  for (const std::uint32_t length :
       {1U, 2U, 7U, 8U, 9U, 63U, 64U, 65U, 125U, 256U, 1000U, 2047U, largest - 1, largest}) {
    for (std::uint64_t start = 0; start < 4096; ++start) {
      // A frame of filling brings the position to `start`; it may have to come in two.
      for (std::uint64_t fill = (start - writer.write_position()) % 4096; fill > 0;) {
        const auto piece = static_cast<std::uint32_t>(std::min<std::uint64_t>(fill, largest));
        ASSERT_TRUE(publish_frame(writer, piece));
        ASSERT_TRUE(reads_whole(reader, ++sequence));
        fill -= piece;
      }
      ASSERT_EQ(writer.write_position() % 4096, start);
      ASSERT_TRUE(publish_frame(writer, length)) << "length " << length << " at " << start;
      ASSERT_TRUE(reads_whole(reader, ++sequence)) << "length " << length << " at " << start;
    }
  }
}

TEST(FeedLog, EveryLengthUpToTheLargestFits) {
  FeedLogWriter writer = new_log(4096, 16);
  FeedLogReader reader = new_reader(writer);
  std::uint64_t sequence = 0;
  for (std::uint32_t length = 1; length <= writer.largest_frame_bytes(); ++length) {
    ASSERT_TRUE(publish_frame(writer, length)) << length;
    ASSERT_TRUE(reads_whole(reader, ++sequence)) << length;
  }
}

TEST(FeedLog, ReserveNeverGivesBytesThatAreNotCommittedYet) {
  FeedLogWriter writer = new_log(4096, 8);
  for (std::uint64_t start = 0; start < 4096; start += 61) {
    // Received, not staged: as much as the ring gives, in small pieces.
    const std::uint64_t first = writer.write_position();
    while (writer.reservable_bytes() > 0) {
      ASSERT_TRUE(write_pattern(writer, std::min<std::size_t>(37, writer.reservable_bytes())));
    }
    const std::uint64_t bytes = writer.write_position() - first;
    ASSERT_GE(bytes, writer.largest_frame_bytes());
    ASSERT_LE(bytes, writer.ring_bytes());
    EXPECT_TRUE(writer.reserve(1).empty());
    ASSERT_LE(writer.oldest_safe_offset(), first);
    ASSERT_TRUE(matches(first, {writer.data(first), bytes}));
    writer.stage(entry_of(writer.next_sequence(), first, static_cast<std::uint32_t>(bytes)));
    writer.publish();
    ASSERT_TRUE(publish_frame(writer, 61));
  }
}

TEST(FeedLog, RewoundBytesAreWrittenOverAndNeverSeen) {
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  std::uint64_t sequence = 0;
  for (std::uint32_t round = 0; round < 5000; ++round) {
    const std::uint64_t before = writer.write_position();
    const auto space = writer.reserve(100 + round % 50);
    std::memset(space.data(), 0xee, space.size());
    writer.written(space.size());
    writer.rewind(before + (round % 3 == 0 ? 0 : round % 20));
    writer.rewind(before);
    ASSERT_EQ(writer.write_position(), before);
    ASSERT_TRUE(publish_frame(writer, 1 + round % 300));
    ASSERT_TRUE(reads_whole(reader, ++sequence));
  }
}

TEST(FeedLog, ClosingUpAGapMovesOnlyUncommittedBytes) {
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  // A frame, a control frame to be dropped, and the beginning of the next: as one read may bring.
  const auto space = writer.reserve(30);
  ASSERT_EQ(space.size(), 30U);
  for (std::size_t i = 0; i < 10; ++i) space[i] = testing::byte_at(i);
  std::memset(space.data() + 10, 0xcc, 6);
  for (std::size_t i = 0; i < 14; ++i) space[16 + i] = testing::byte_at(10 + i);
  writer.written(30);
  writer.stage(entry_of(1, 0, 10));
  writer.move_down(10, 16, 14);
  writer.rewind(24);
  writer.stage(entry_of(2, 10, 14));
  writer.publish();
  EXPECT_TRUE(reads_whole(reader, 1));
  EXPECT_TRUE(reads_whole(reader, 2));
}

// Around the ring's end the two places overlap in memory but not in their addresses.
TEST(FeedLog, ClosesUpAGapWhereverInTheRingItLies) {
  constexpr std::size_t kGap = 15;
  constexpr std::size_t kFrame = 500;
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  for (std::uint64_t sequence = 1; sequence <= 2 * 4096; ++sequence) {
    const std::uint64_t at = writer.write_position();
    const auto space = writer.reserve(kGap + kFrame);
    ASSERT_EQ(space.size(), kGap + kFrame);
    testing::fill(at, space.subspan(kGap));
    writer.written(space.size());
    writer.move_down(at, at + kGap, kFrame);
    writer.rewind(at + kFrame);
    writer.stage(entry_of(sequence, at, kFrame));
    writer.publish();
    ASSERT_TRUE(reads_whole(reader, sequence)) << "at " << at % 4096;
  }
}

TEST(FeedLog, HalfAnIndexOfStagedFramesPublishesItself) {
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  for (int i = 0; i < 4; ++i) stage_frame(writer, 1);
  EXPECT_EQ(writer.head_sequence(), 0U);
  stage_frame(writer, 1);
  EXPECT_EQ(writer.head_sequence(), 4U);
  for (std::uint64_t sequence = 1; sequence <= 4; ++sequence)
    EXPECT_TRUE(reads_whole(reader, sequence));
  writer.publish();
  EXPECT_TRUE(reads_whole(reader, 5));
}

TEST(FeedLog, AReaderLappedInTheIndexIsToldExactlyHowMuchItMissed) {
  for (std::uint64_t published = 1; published <= 40; ++published) {
    FeedLogWriter writer = new_log(1 << 16, 8);
    FeedLogReader reader = new_reader(writer);
    for (std::uint64_t i = 0; i < published; ++i) ASSERT_TRUE(publish_frame(writer, 10));
    Frame frame;
    if (published > 8) {  // it goes on a quarter of the index ahead of what will be lost next
      ASSERT_EQ(reader.next(frame), ReadStatus::gap);
      EXPECT_EQ(frame.missed_frames, published - 6);
      EXPECT_EQ(frame.missed_bytes, (published - 6) * 10);
    }
    for (std::uint64_t sequence = published > 8 ? published - 5 : 1; sequence <= published;
         ++sequence) {
      EXPECT_TRUE(reads_whole(reader, sequence));
    }
    EXPECT_EQ(reader.next(frame), ReadStatus::none);
  }
}

TEST(FeedLog, AReaderLappedInTheBytesIsToldExactlyHowMuchItMissed) {
  FeedLogWriter writer = new_log(4096, 64);
  FeedLogReader reader = new_reader(writer);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(publish_frame(writer, 1000));  // the last 3 are whole
  Frame frame;
  ASSERT_EQ(reader.next(frame), ReadStatus::gap);
  EXPECT_EQ(frame.missed_frames, 8U) << "the 8th is whole, and 856 bytes from being lost";
  EXPECT_EQ(frame.missed_bytes, 8000U);
  for (std::uint64_t sequence = 9; sequence <= 10; ++sequence)
    EXPECT_TRUE(reads_whole(reader, sequence));
}

TEST(FeedLog, AReaderThatWasLappedHasAQuarterOfTheRingBeforeItIsLappedAgain) {
  for (const std::uint32_t length : {10U, 40U, 100U, 300U}) {  // the index ends first, or the ring
    FeedLogWriter writer = new_log(4096, 64);
    FeedLogReader reader = new_reader(writer);
    std::uint64_t missed = 0;
    std::uint64_t missed_bytes = 0;
    std::uint64_t frames = 0;
    for (int round = 0; round < 20; ++round) {
      for (int i = 0; i < 500; ++i) ASSERT_TRUE(publish_frame(writer, length));
      Frame frame;
      ASSERT_EQ(reader.next(frame), ReadStatus::gap) << length;
      missed += frame.missed_frames;
      missed_bytes += frame.missed_bytes;
      // A quarter of either, less one frame: nothing is lost yet.
      const std::uint64_t free = std::min<std::uint64_t>(16, (1024 - 256) / length);
      for (std::uint64_t i = 0; i < free; ++i) ASSERT_TRUE(publish_frame(writer, length));
      ASSERT_TRUE(reads_whole(reader, reader.next_sequence())) << length;
      ++frames;
      EXPECT_EQ(missed + frames + 1, reader.next_sequence());
      EXPECT_EQ(missed_bytes + frames * length, frames == 0 ? 0 : (missed + frames) * length);
    }
  }
}

TEST(FeedLog, AFrameThatFillsTheRingIsReadByOneWhoWasLappedByIt) {
  FeedLogWriter writer = new_log(4096, 64);
  FeedLogReader reader = new_reader(writer);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(publish_frame(writer, 3800));
  Frame frame;
  ASSERT_EQ(reader.next(frame), ReadStatus::gap);
  EXPECT_EQ(frame.missed_frames, 2U);
  EXPECT_EQ(frame.missed_bytes, 7600U);
  EXPECT_TRUE(reads_whole(reader, 3));
}

TEST(FeedLog, BytesAreExactFromTheFirstFrameOfALogThatGoesOnWhereAnotherEnded) {
  FeedLogWriter writer = new_log(4096, 8);
  writer.begin_at(1001);
  FeedLogReader joined = new_reader(writer);  // before anything is published
  FeedLogReader continued = new_reader(writer);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(publish_frame(writer, 10));
  FeedLogReader late = new_reader(writer);
  late.seek(1001);
  continued.seek_first(1001);
  Frame frame;
  for (FeedLogReader* reader : {&joined, &continued}) {
    ASSERT_EQ(reader->next(frame), ReadStatus::gap);
    EXPECT_EQ(frame.missed_frames, 14U);
    EXPECT_EQ(frame.missed_bytes, 140U);
    EXPECT_TRUE(reads_whole(*reader, 1015));
  }
  ASSERT_EQ(late.next(frame), ReadStatus::gap);
  EXPECT_EQ(frame.missed_frames, 14U);
  EXPECT_EQ(frame.missed_bytes, kMissedBytesUnknown) << "where it was placed was gone already";
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(publish_frame(writer, 10));
  ASSERT_EQ(late.next(frame), ReadStatus::gap);
  EXPECT_EQ(frame.missed_frames, 20U);
  EXPECT_EQ(frame.missed_bytes, 200U)
      << "no frame was handed out between, and it knows all the same";
}

TEST(FeedLog, AReservationOfTheWholeRingLapsEveryFrame) {
  FeedLogWriter writer = new_log(4096, 64);
  FeedLogReader reader = new_reader(writer);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(publish_frame(writer, 128));
  Frame kept;
  ASSERT_EQ(reader.next(kept), ReadStatus::frame);
  EXPECT_EQ(writer.reserve(4096).size(), 4096U);
  EXPECT_FALSE(reader.confirm(kept));
  Frame frame;
  ASSERT_EQ(reader.next(frame), ReadStatus::gap);
  EXPECT_EQ(frame.missed_frames, 9U);
  EXPECT_EQ(frame.missed_bytes, 1152U);
  EXPECT_EQ(reader.next(frame), ReadStatus::none);
  ASSERT_TRUE(publish_frame(writer, 128));
  EXPECT_TRUE(reads_whole(reader, 11));
}

// Random turns of everything a writer does, and a reader at random moments; what the reader must
// find is worked out from a plain list of all frames.
TEST(FeedLog, ReadersFindWhatAModelFindsInRandomHistories) {
  struct Placed {
    std::uint64_t offset;
    std::uint32_t length;
  };
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const std::size_t lines = std::size_t{8} << (seed % 5);
    const std::size_t ring = seed % 2 == 0 ? 4096 : 16384;
    FeedLogWriter writer = new_log(ring, lines);
    FeedLogReader reader = new_reader(writer);
    std::vector<Placed> frames{{0, 0}};  // by sequence number
    std::uint64_t published = 0;
    std::uint64_t wanted = 1;
    std::uint64_t last_end = 0;
    std::uint64_t limit = 0;  // write_limit as the oldest safe offset shows it
    const auto whole = [&](std::uint64_t sequence) {
      return sequence + lines >= frames.size() && frames[sequence].offset >= limit;
    };
    for (int turn = 0; turn < 3000; ++turn) {
      switch (random() % 8) {
        case 0:
          writer.publish();
          break;
        case 1:
          if (writer.write_position() > writer.committed_offset())
            writer.rewind(writer.committed_offset());
          (void)writer.reserve(random() % 600);
          break;
        case 2:
        case 3: {
          const auto length =
              1 + static_cast<std::uint32_t>(random() % (random() % 30 == 0 ? 3000 : 200));
          const std::uint64_t offset = writer.write_position();
          if (stage_frame(writer, length) != 0) frames.push_back({offset, length});
          break;
        }
        default: {
          Frame frame;
          const ReadStatus status = reader.next(frame);
          if (wanted > published) {
            ASSERT_EQ(status, ReadStatus::none);
          } else if (whole(wanted)) {
            ASSERT_EQ(status, ReadStatus::frame);
            ASSERT_EQ(frame.sequence, wanted);
            ASSERT_EQ(frame.offset, frames[wanted].offset);
            ASSERT_EQ(frame.length, frames[wanted].length);
            ASSERT_TRUE(line_matches(frame));
            ASSERT_TRUE(matches(frame.offset, frame.bytes()));
            last_end = frame.offset + frame.length;
            ++wanted;
          } else {
            const auto far = [&](std::uint64_t sequence) {
              return whole(sequence) && sequence + lines - lines / 4 > published &&
                     frames[sequence].offset + ring - ring / 4 >= writer.write_limit();
            };
            std::uint64_t resume = wanted + 1;
            while (resume <= published && !far(resume)) ++resume;
            if (resume > published && published > wanted && whole(published)) resume = published;
            ASSERT_EQ(status, ReadStatus::gap);
            ASSERT_EQ(frame.missed_frames, resume - wanted);
            const std::uint64_t at = resume <= published
                                         ? frames[resume].offset
                                         : frames[resume - 1].offset + frames[resume - 1].length;
            ASSERT_EQ(frame.missed_bytes, at - last_end);
            last_end = at;
            wanted = resume;
          }
        }
      }
      published = writer.head_sequence();
      limit = writer.oldest_safe_offset();
      ASSERT_EQ(reader.next_sequence(), wanted);
    }
    EXPECT_GT(wanted, 100U);
  }
}

TEST(FeedLog, CopyRefusesASpaceThatIsTooSmall) {
  FeedLogWriter writer = new_log(4096, 8);
  FeedLogReader reader = new_reader(writer);
  ASSERT_TRUE(publish_frame(writer, 100));
  Frame frame;
  ASSERT_EQ(reader.next(frame), ReadStatus::frame);
  std::array<std::byte, 100> space{};
  EXPECT_FALSE(reader.copy(frame, std::span(space).first(99)));
  EXPECT_TRUE(reader.copy(frame, space));
}

TEST(FeedLog, StampsKeepTheirDistancesAndTellAbsentFarAndBackwardsApart) {
  const std::uint64_t handler = std::uint64_t{1} << 40;
  const PackedStamps packed = PackedStamps::pack({.nic = {},
                                                  .wake = {handler - 5},
                                                  .read = {handler - (std::uint64_t{1} << 33)},
                                                  .plain = {handler + 1},
                                                  .parsed = {handler},
                                                  .handler = {handler}});
  EXPECT_EQ(packed.raw(BackStage::nic), PackedStamps::kAbsent);
  EXPECT_EQ(packed.stage(BackStage::wake).ticks, handler - 5);
  EXPECT_EQ(packed.raw(BackStage::read), PackedStamps::kOverflow);
  EXPECT_EQ(packed.raw(BackStage::plain), PackedStamps::kNegative);
  EXPECT_EQ(packed.stage(BackStage::parsed).ticks, handler);
  const FrameStamps stamps = packed.unpack();
  EXPECT_FALSE(stamps.nic.present());
  EXPECT_FALSE(stamps.read.present());
  EXPECT_FALSE(stamps.plain.present());
  EXPECT_EQ(stamps.handler.ticks, handler);

  const FrameStamps none = PackedStamps::pack({.wake = {handler}}).unpack();
  EXPECT_FALSE(none.handler.present() || none.wake.present())
      << "nothing is kept without a handler stamp";
  // The largest distance that fits, and the first that does not.
  EXPECT_EQ(PackedStamps::back({handler}, {handler - (PackedStamps::kNegative - 1)}),
            PackedStamps::kNegative - 1);
  EXPECT_EQ(PackedStamps::back({handler}, {handler - PackedStamps::kNegative}),
            PackedStamps::kOverflow);
}

TEST(FeedLog, ReadersSeeTheProxysCountersAndState) {
  FeedLogWriter writer = new_log(4096, 8);
  const FeedLogReader reader = new_reader(writer);
  EXPECT_EQ(reader.writer_state(), WriterState::starting);
  EXPECT_EQ(reader.stats().frames.value(), 0U);
  writer.stats().frames.add(3);
  writer.stats().clients.add();
  writer.stats().clients.subtract();
  writer.stats().loop_gap_ticks_max.raise_to(9);
  writer.stats().loop_gap_ticks_max.raise_to(4);
  writer.stats().writer_state.store(static_cast<std::uint32_t>(WriterState::live));
  EXPECT_EQ(reader.stats().frames.value(), 3U);
  EXPECT_EQ(reader.stats().clients.value(), 0U);
  EXPECT_EQ(reader.stats().loop_gap_ticks_max.value(), 9U);
  EXPECT_EQ(reader.writer_state(), WriterState::live);
}

TEST(FeedLog, WorksWithoutPreFaultingAndWithHugePagesWhereThereAreAny) {
  for (const MemoryOptions memory :
       {MemoryOptions{.pre_fault = false}, MemoryOptions{.huge_pages = true}}) {
    auto writer =
        FeedLogWriter::create({.ring_bytes = 2 << 20, .index_lines = 64, .memory = memory});
    ASSERT_TRUE(writer) << writer.error().message;
    FeedLogReader reader = new_reader(*writer);
    for (std::uint64_t sequence = 1; sequence <= 100; ++sequence) {
      ASSERT_TRUE(publish_frame(*writer, 50'000));
      ASSERT_TRUE(reads_whole(reader, sequence));
    }
  }
}

TEST(FeedLog, SizesThatAreNotAllowedAreNamed) {
  const auto refusal = [](FeedLogOptions options) {
    const auto writer = FeedLogWriter::create(options);
    return writer ? std::string("created") : writer.error().message;
  };
  EXPECT_NE(refusal({.ring_bytes = 5000}).find("ring_bytes is 5000"), std::string::npos);
  EXPECT_NE(refusal({.ring_bytes = 2048}).find("ring_bytes is 2048"), std::string::npos);
  EXPECT_NE(refusal({.ring_bytes = std::size_t{4} << 30}).find("ring_bytes"), std::string::npos);
  EXPECT_NE(refusal({.ring_bytes = 4096, .index_lines = 7}).find("index_lines is 7"),
            std::string::npos);
  EXPECT_NE(refusal({.ring_bytes = 4096, .index_lines = 4}).find("index_lines is 4"),
            std::string::npos);
}

}  // namespace
}  // namespace feedbench::rings
