// The static-name layout: its files, its batches, laps, foreign creators, and headers that lie.
#include "transports/rings/hft_shm.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "transports/rings/testing/log_pattern.hpp"

namespace feedbench::rings {
namespace {

using testing::mix;

/// A folder of its own, removed with what the tests put there.
class HftShm : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/dev/shm/feedbench-hft-test-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    folder_ = name;
    path_ = folder_ + "/ring";
  }
  void TearDown() override {
    remove_hft_shm(path_);
    remove_hft_shm(folder_ + "/sub/ring");
    ::rmdir((folder_ + "/sub").c_str());
    EXPECT_EQ(::rmdir(folder_.c_str()), 0) << "a file was left behind";
  }

  HftShmWriter new_segment(std::uint32_t bytes = 4096) {
    const auto made = create_hft_shm(path_, {.buffer_bytes = bytes});
    EXPECT_TRUE(made) << made.error().message;
    auto writer = HftShmWriter::open(path_);
    if (!writer) throw std::runtime_error(writer.error().message);
    return std::move(*writer);
  }
  template <class Hooks = NoHftShmHooks>
  BasicHftShmReader<Hooks> new_reader(Hooks hooks = {}) {
    auto reader = BasicHftShmReader<Hooks>::open(path_, hooks);
    if (!reader) throw std::runtime_error(reader.error().message);
    return std::move(*reader);
  }

  std::string folder_;
  std::string path_;
};

// Batch `number` has that many frames and bytes; all else follows from the number.
void write_batch(HftShmWriter& writer, std::uint64_t number, std::size_t bytes,
                 std::size_t frames) {
  const auto space = writer.reserve(bytes, frames);
  ASSERT_EQ(space.size(), bytes);
  std::vector<std::byte> data(bytes);
  testing::fill(number << 20, data);
  store_shared_bytes(space.data(), data.data(), bytes);
  std::vector<HftShmFrame> descriptors(frames);
  for (std::size_t i = 0; i < frames; ++i) {
    const auto start = static_cast<std::uint32_t>(mix(number + i) % bytes);
    descriptors[i] = {start, static_cast<std::uint32_t>(mix(i) % (bytes - start + 1))};
  }
  writer.commit(bytes, descriptors, static_cast<std::uint8_t>(number % 8), {1 + number});
}

template <class Reader>
::testing::AssertionResult reads_batch(Reader& reader, std::uint64_t number, std::size_t bytes,
                                       std::size_t frames) {
  HftShmBatch batch;
  if (const HftShmStatus status = reader.next(batch); status != HftShmStatus::batch) {
    return ::testing::AssertionFailure()
           << "batch " << number << ": status " << static_cast<int>(status);
  }
  if (batch.frame_count != frames || batch.status != number % 8 ||
      batch.committed.ticks != 1 + number ||
      batch.data.size() != hft_shm_lines(bytes) * kHftShmLineBytes) {
    return ::testing::AssertionFailure() << "header of " << number;
  }
  if (!testing::matches(number << 20, batch.data.first(bytes)))
    return ::testing::AssertionFailure() << "bytes of " << number;
  for (std::uint32_t i = 0; i < frames; ++i) {
    HftShmFrame frame;
    const auto start = static_cast<std::uint32_t>(mix(number + i) % bytes);
    const HftShmFrame wanted{start, static_cast<std::uint32_t>(mix(i) % (bytes - start + 1))};
    if (!reader.frame(batch, i, frame) || frame != wanted)
      return ::testing::AssertionFailure() << "frame " << i << " of " << number;
  }
  if (!reader.confirm(batch)) return ::testing::AssertionFailure() << "confirm " << number;
  return ::testing::AssertionSuccess();
}

TEST_F(HftShm, TheFilesAreTheOwnersAloneAndHaveTheDocumentedHeader) {
  const mode_t before = ::umask(0);
  const auto made = create_hft_shm(folder_ + "/sub/ring", {.buffer_bytes = 8192});
  ::umask(before);
  ASSERT_TRUE(made) << made.error().message;
  struct stat status {};
  for (const char* end : {".hdr", ".dat"}) {
    ASSERT_EQ(::stat((folder_ + "/sub/ring" + end).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0600U);
  }
  EXPECT_EQ(status.st_size, 8192);
  std::ifstream file(folder_ + "/sub/ring.hdr", std::ios::binary);
  std::vector<unsigned char> bytes(std::istreambuf_iterator<char>(file), {});
  ASSERT_EQ(bytes.size(), 256U);
  const std::string mark(bytes.begin(), bytes.begin() + 8);
  EXPECT_EQ(mark, std::string("HFTSHM\x02\0", 8));
  const auto u32 = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, 4);
    return value;
  };
  EXPECT_EQ(bytes[8], 2);
  EXPECT_EQ(bytes[9], 1);
  EXPECT_EQ(u32(0x0c), static_cast<std::uint32_t>(::getpid()));
  EXPECT_EQ(u32(0x10), 8192U);
  EXPECT_EQ(u32(0x14), 64U);
  EXPECT_EQ(u32(0x18), 128U);
  EXPECT_EQ(u32(0x1c), 256U);
  EXPECT_EQ(u32(0x20), 8191U);
  EXPECT_FALSE(create_hft_shm(folder_ + "/sub/ring", {})) << "what exists is not overwritten";
}

TEST_F(HftShm, ARuntimePathAndACompileTimeNameMakeTheSameType) {
  const HftShmPath runtime("/dev/shm/hft/btcusdt.rx");
  const HftShmPath compiled(hft_shm_name<"btcusdt.rx">);
  EXPECT_EQ(runtime.header_file(), compiled.header_file());
  EXPECT_EQ(compiled.data_file(), "/dev/shm/hft/btcusdt.rx.dat");
}

TEST_F(HftShm, ABatchLiesInTheRingAsTheLayoutSays) {
  HftShmWriter writer = new_segment();
  const auto space = writer.reserve(100, 8);
  std::memset(space.data(), 0xab, 100);
  std::vector<HftShmFrame> frames;
  for (std::uint32_t i = 0; i < 8; ++i) frames.push_back({i, 10 + i});
  writer.commit(100, frames, kHftShmText, {77});
  const std::byte* const at = writer.view().ring;
  const auto u16 = [&](std::size_t from) {
    std::uint16_t value = 0;
    std::memcpy(&value, at + from, 2);
    return value;
  };
  const auto u32 = [&](std::size_t from) { return u16(from) | u16(from + 2) << 16; };
  EXPECT_EQ(u16(0), 2);  // lines of data
  EXPECT_EQ(u16(2), 8);
  EXPECT_EQ(static_cast<int>(at[4]), 4);
  EXPECT_EQ(u32(8), 77);
  EXPECT_EQ(u32(16 + 5 * 8), 5);
  EXPECT_EQ(u32(16 + 5 * 8 + 4), 15);
  EXPECT_EQ(static_cast<int>(at[64]), 0xab);
  EXPECT_EQ(static_cast<int>(at[64 + 100]), 0) << "padding";
  EXPECT_EQ(u32(64 + 128 + 8), 7) << "the eighth descriptor";
  EXPECT_EQ(writer.view().producer->published.load(), 64 + 128 + 64);
}

TEST_F(HftShm, BatchesOfAnyNumberOfFramesComeWholeAndInOrder) {
  HftShmWriter writer = new_segment();
  auto reader = new_reader();
  std::uint64_t number = 0;
  for (std::size_t frames = 0; frames <= 40; ++frames) {
    for (std::size_t bytes = 1; bytes < 1200; bytes += 37) {
      write_batch(writer, ++number, bytes, frames);
      ASSERT_TRUE(reads_batch(reader, number, bytes, frames)) << frames << " in " << bytes;
    }
  }
}

TEST_F(HftShm, ABatchMayBeAsLargeAsTheRingOnBothSides) {
  HftShmWriter writer = new_segment();
  auto reader = new_reader();
  const std::size_t most = writer.largest_data_bytes();
  ASSERT_EQ(most, 4096U - 64U);
  EXPECT_TRUE(writer.reserve(most + 1, 1).empty());
  EXPECT_TRUE(writer.reserve(most, 7).empty()) << "its descriptors need a line";
  std::uint64_t number = 0;
  for (int round = 0; round < 200; ++round) {
    write_batch(writer, ++number, most, 6);
    ASSERT_TRUE(reads_batch(reader, number, most, 6));
    write_batch(writer, ++number, most - 64, 14);
    ASSERT_TRUE(reads_batch(reader, number, most - 64, 14));
    write_batch(writer, ++number, 1 + static_cast<std::size_t>(round), 1);
    ASSERT_TRUE(reads_batch(reader, number, 1 + static_cast<std::size_t>(round), 1));
  }
}

TEST_F(HftShm, StatusEventsComeInTheirPlace) {
  HftShmWriter writer = new_segment();
  auto reader = new_reader();
  write_batch(writer, 1, 50, 1);
  writer.publish_status(kHftShmDisconnected, {5});
  writer.publish_status(kHftShmReconnect, {6});
  write_batch(writer, 2, 50, 1);
  ASSERT_TRUE(reads_batch(reader, 1, 50, 1));
  for (const std::uint8_t status : {kHftShmDisconnected, kHftShmReconnect}) {
    HftShmBatch batch;
    ASSERT_EQ(reader.next(batch), HftShmStatus::batch);
    EXPECT_TRUE(batch.is_status_event());
    EXPECT_EQ(batch.status, status);
    EXPECT_TRUE(reader.confirm(batch));
  }
  EXPECT_TRUE(reads_batch(reader, 2, 50, 1));
}

TEST_F(HftShm, ABatchThatIsNotConfirmedComesAgain) {
  HftShmWriter writer = new_segment();
  auto reader = new_reader();
  write_batch(writer, 1, 50, 1);
  write_batch(writer, 2, 50, 1);
  HftShmBatch batch;
  ASSERT_EQ(reader.next(batch), HftShmStatus::batch);
  ASSERT_EQ(reader.next(batch), HftShmStatus::batch);
  EXPECT_EQ(batch.position, 0U);
  EXPECT_TRUE(reads_batch(reader, 1, 50, 1));
  EXPECT_FALSE(reader.confirm(batch)) << "it is done already";
  EXPECT_TRUE(reads_batch(reader, 2, 50, 1));
}

TEST_F(HftShm, ALappedReaderIsToldOnceByHowMuchAndGoesOnAtTheHead) {
  HftShmWriter writer = new_segment();
  auto reader = new_reader();
  std::uint64_t number = 0;
  std::uint64_t missed = 0;
  for (std::uint64_t laps = 1; laps <= 5; ++laps) {
    const std::uint64_t before = writer.position();
    while (writer.position() <= before + laps * 4096) write_batch(writer, ++number, 200, 2);
    EXPECT_EQ(writer.view().consumer->dirty.load(), 1);
    HftShmBatch batch;
    ASSERT_EQ(reader.next(batch), HftShmStatus::gap);
    EXPECT_EQ(batch.missed_bytes, writer.position() - before);
    missed += batch.missed_bytes;
    EXPECT_EQ(reader.gaps(), laps);
    EXPECT_EQ(reader.missed_bytes(), missed);
    EXPECT_EQ(writer.view().consumer->dirty.load(), 0);
    EXPECT_EQ(reader.next(batch), HftShmStatus::none);
    write_batch(writer, ++number, 200, 2);
    ASSERT_TRUE(reads_batch(reader, number, 200, 2));
  }
  EXPECT_EQ(writer.consumer_lapped(), 5U);
}

struct Interruption {
  std::function<void()>* header = nullptr;
  std::function<void()>* confirm = nullptr;
  void header_read() const {
    if (header != nullptr && *header) (*header)();
  }
  void before_confirm() const {
    if (confirm != nullptr && *confirm) (*confirm)();
  }
};

TEST_F(HftShm, ABatchOverwrittenWhileItIsReadIsNeverBelieved) {
  std::uint64_t discarded = 0;
  for (const bool in_header : {true, false}) {
    // By how much the writer comes on meanwhile: every distance up to well over a lap; the last batch
    // reserved only, or committed too.
    for (std::size_t batches = 0; batches <= 24; ++batches) {
      for (const bool committed : {true, false}) {
        HftShmWriter writer = new_segment();
        std::function<void()> overwrite = [&, batches, committed] {
          for (std::size_t i = 0; i < batches; ++i) write_batch(writer, 100 + i, 150, 3);
          if (!committed) std::memset(writer.reserve(200, 1).data(), 0xee, 200);
        };
        std::function<void()> nothing;
        auto reader = new_reader(
            Interruption{in_header ? &overwrite : &nothing, in_header ? &nothing : &overwrite});
        write_batch(writer, 1, 300, 2);
        HftShmBatch batch;
        const HftShmStatus status = reader.next(batch);
        ASSERT_NE(status, HftShmStatus::corrupt);
        if (status == HftShmStatus::batch) {
          const bool confirmed = reader.confirm(batch);
          const bool whole = testing::matches(1UL << 20, batch.data.first(300));
          ASSERT_TRUE(!confirmed || whole) << batches;
          if (!confirmed) {
            ++discarded;
            ASSERT_EQ(reader.next(batch), HftShmStatus::gap);
            EXPECT_EQ(batch.missed_bytes, writer.position());
          }
        } else {
          ASSERT_EQ(status, HftShmStatus::gap);
          ++discarded;
        }
        remove_hft_shm(path_);
      }
    }
  }
  EXPECT_GT(discarded, 20U);
}

TEST_F(HftShm, AConsumerThatComesBackGoesOnWhereItStopped) {
  HftShmWriter writer = new_segment();
  for (std::uint64_t number = 1; number <= 3; ++number) write_batch(writer, number, 100, 1);
  {
    auto reader = new_reader();
    ASSERT_TRUE(reads_batch(reader, 1, 100, 1));
  }
  auto reader = new_reader();
  ASSERT_TRUE(reads_batch(reader, 2, 100, 1));
  reader.seek_live();
  HftShmBatch batch;
  EXPECT_EQ(reader.next(batch), HftShmStatus::none);
  EXPECT_EQ(reader.gaps(), 0U);
}

TEST_F(HftShm, AProducerThatComesBackGoesOnBehindWhatItPublished) {
  {
    HftShmWriter writer = new_segment();
    write_batch(writer, 1, 100, 1);
    std::memset(writer.reserve(500, 1).data(), 0xee, 500);  // and dies
  }
  auto writer = HftShmWriter::open(path_);
  ASSERT_TRUE(writer) << writer.error().message;
  write_batch(*writer, 2, 100, 1);
  auto reader = new_reader();
  ASSERT_TRUE(reads_batch(reader, 1, 100, 1));
  ASSERT_TRUE(reads_batch(reader, 2, 100, 1));
}

/// Files as another program makes them: offsets of its own, and positions moved by hand.
struct Foreign {
  std::uint32_t header_size = 256;
  std::uint32_t producer_offset = 64;
  std::uint32_t consumer_offset = 128;
  std::uint64_t file_bytes = 256;
  std::uint32_t ring_bytes = 4096;
  std::uint64_t data_bytes = 4096;
  std::function<void(HftShmHeader&)> spoil = [](HftShmHeader&) {};

  void make(const std::string& path) const {
    HftShmHeader header{};
    header.magic = kHftShmMagic;
    header.version = 2;
    header.max_consumers = 1;
    header.buffer_size = ring_bytes;
    header.producer_offset = producer_offset;
    header.consumer_0_offset = consumer_offset;
    header.header_size = header_size;
    header.index_mask = ring_bytes - 1;
    spoil(header);
    std::vector<char> bytes(file_bytes);
    std::memcpy(bytes.data(), &header, std::min(file_bytes, sizeof(header)));
    std::ofstream(path + ".hdr", std::ios::binary).write(bytes.data(), std::ssize(bytes));
    bytes.assign(data_bytes, 0);
    std::ofstream(path + ".dat", std::ios::binary).write(bytes.data(), std::ssize(bytes));
  }
};

const Foreign kCompact{};
const Foreign kPaged{.header_size = 4096,
                     .producer_offset = 128,
                     .consumer_offset = 256,
                     .file_bytes = 4096,
                     .ring_bytes = 8192,
                     .data_bytes = 8192};

TEST_F(HftShm, TheLayoutsOfTwoForeignCreatorsAreReadAndWritten) {
  for (const Foreign& foreign : {kCompact, kPaged}) {
    foreign.make(path_);
    auto writer = HftShmWriter::open(path_);
    ASSERT_TRUE(writer) << writer.error().message;
    EXPECT_EQ(writer->ring_bytes(), foreign.ring_bytes);
    auto reader = new_reader();
    for (std::uint64_t number = 1; number <= 300; ++number) {
      write_batch(*writer, number, 1 + mix(number) % 900, number % 20);
      ASSERT_TRUE(reads_batch(reader, number, 1 + mix(number) % 900, number % 20));
    }
    std::ifstream file(path_ + ".hdr", std::ios::binary);
    std::int64_t published = 0;
    file.seekg(foreign.producer_offset + 8);
    file.read(reinterpret_cast<char*>(&published), 8);
    EXPECT_EQ(published, static_cast<std::int64_t>(writer->position()));
    std::int64_t sequence = 0;
    file.seekg(foreign.consumer_offset);
    file.read(reinterpret_cast<char*>(&sequence), 8);
    EXPECT_EQ(sequence, published);
    remove_hft_shm(path_);
  }
}

TEST_F(HftShm, AForeignProducerThatKeepsNoCursorIsReadAndItsDirtyMarkIsALap) {
  for (const std::int64_t cursor : {std::int64_t{0}, std::int64_t{-1}}) {
    kPaged.make(path_);
    auto writer = HftShmWriter::open(path_);
    ASSERT_TRUE(writer);
    auto reader = new_reader();
    HftShmProducerSection& section = *writer->view().producer;
    section.published.store(cursor);
    HftShmBatch batch;
    EXPECT_EQ(reader.next(batch), HftShmStatus::none);
    section.published.store(0);
    write_batch(*writer, 1, 100, 2);
    write_batch(*writer, 2, 100, 2);
    section.cursor.store(cursor);
    ASSERT_TRUE(reads_batch(reader, 1, 100, 2));
    ASSERT_EQ(reader.next(batch), HftShmStatus::batch);
    writer->view().consumer->dirty.store(1);
    EXPECT_FALSE(reader.confirm(batch));
    ASSERT_EQ(reader.next(batch), HftShmStatus::gap);
    EXPECT_EQ(batch.missed_bytes, hft_shm_batch_bytes(100, 2));
    remove_hft_shm(path_);
  }
}

TEST_F(HftShm, AHeaderThatLiesIsRefusedWithWhatIsWrongAndWhere) {
  const auto refusal = [&](Foreign foreign, std::function<void(HftShmHeader&)> spoil = {}) {
    if (spoil) foreign.spoil = std::move(spoil);
    foreign.make(path_);
    const auto reader = HftShmReader::open(path_);
    remove_hft_shm(path_);
    return reader ? std::string("opened") : reader.error().message;
  };
  const auto names = [](const std::string& message, const std::string& what) {
    return message.find(what) != std::string::npos && message.find("/ring.") != std::string::npos;
  };
  EXPECT_EQ(refusal(kCompact), "opened");
  using Header = HftShmHeader;
  EXPECT_TRUE(names(refusal(kCompact, [](Header& h) { h.magic ^= 1; }), "mark HFTSHM"));
  EXPECT_TRUE(names(refusal(kCompact, [](Header& h) { h.version = 1; }), "version is 1"));
  EXPECT_TRUE(names(refusal(kCompact, [](Header& h) { h.max_consumers = 0; }), "max_consumers"));
  for (const std::uint32_t size : {0U, 64U, 5000U, 0x80000001U}) {
    EXPECT_TRUE(names(refusal(kCompact, [&](Header& h) { h.buffer_size = size; }), "buffer_size"));
  }
  EXPECT_TRUE(names(refusal(kCompact, [](Header& h) { h.index_mask = 0; }), "index_mask"));
  EXPECT_TRUE(names(refusal(kCompact, [](Header& h) { h.header_size = 257; }), "header_size"));
  for (const std::uint32_t offset : {0U, 56U, 65U, 248U, 256U, 0xfffffff8U}) {
    EXPECT_TRUE(names(refusal(kCompact, [&](Header& h) { h.producer_offset = offset; }),
                      "producer_offset is " + std::to_string(offset)));
    EXPECT_TRUE(names(refusal(kCompact, [&](Header& h) { h.consumer_0_offset = offset; }),
                      "consumer_0_offset is " + std::to_string(offset)));
  }
  EXPECT_TRUE(names(refusal(kCompact, [](Header& h) { h.consumer_0_offset = 72; }), "overlap"));
  EXPECT_TRUE(names(refusal({.data_bytes = 4095}), "ring.dat"));
  EXPECT_TRUE(names(refusal({.file_bytes = 63}), "64 bytes"));
  EXPECT_TRUE(names(HftShmReader::open(path_).error().message, "No such file"));
}

// Positions and batch headers that no producer would write.
TEST_F(HftShm, AProducerThatWritesNonsenseEndsInCorruptAndNeverOutsideTheRing) {
  HftShmBatch batch;
  for (const std::int64_t nonsense :
       {std::int64_t{1}, std::int64_t{63}, std::int64_t{1} << 62 | 1}) {
    HftShmWriter writer = new_segment();
    auto reader = new_reader();
    writer.view().producer->published.store(nonsense);
    EXPECT_EQ(reader.next(batch), HftShmStatus::corrupt) << nonsense;
    EXPECT_EQ(reader.next(batch), HftShmStatus::corrupt);
    remove_hft_shm(path_);
  }
  for (std::uint64_t seed = 1; seed < 2000; ++seed) {
    HftShmWriter writer = new_segment();
    auto reader = new_reader();
    for (std::uint64_t number = 1; number <= 5; ++number) write_batch(writer, number, 100, 9);
    std::uint64_t state = seed;
    for (int i = 0; i < 4; ++i) {
      state = mix(state);
      writer.view().ring[state % (i < 2 ? 4 : 960)] = static_cast<std::byte>(state >> 32);
    }
    if (seed % 3 == 0) writer.view().producer->published.store(static_cast<std::int64_t>(state));
    for (int turn = 0; turn < 10 && reader.next(batch) == HftShmStatus::batch; ++turn) {
      ASSERT_LE(batch.end - batch.position, 4096U);
      for (std::uint32_t i = 0; i < batch.frame_count; ++i) {
        HftShmFrame frame;
        if (reader.frame(batch, i, frame)) {
          ASSERT_EQ(reader.payload(batch, frame).size(), frame.payload_len);
        }
      }
      ASSERT_TRUE(reader.confirm(batch));
    }
    remove_hft_shm(path_);
  }
}

TEST_F(HftShm, AConsumerThatWritesNonsenseDoesNotDisturbTheProducer) {
  HftShmWriter writer = new_segment();
  for (const std::int64_t nonsense :
       {INT64_MIN, std::int64_t{-1}, std::int64_t{3}, std::int64_t{1} << 40, INT64_MAX}) {
    writer.view().consumer->sequence.store(nonsense);
    for (std::uint64_t number = 1; number <= 100; ++number) write_batch(writer, number, 200, 2);
    auto reader = new_reader();
    HftShmBatch batch;
    EXPECT_EQ(reader.next(batch), HftShmStatus::none) << "at the head, as nothing else makes sense";
    write_batch(writer, 7, 200, 2);
    EXPECT_TRUE(reads_batch(reader, 7, 200, 2));
  }
}

}  // namespace
}  // namespace feedbench::rings
