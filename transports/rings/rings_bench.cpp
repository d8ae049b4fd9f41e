// What the feed log costs per frame, beside memcpy. Every answer is checked before it is timed.
#include <benchmark/benchmark.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/rings/testing/log_pattern.hpp"

namespace feedbench::rings {
namespace {

constexpr std::size_t kRingBytes = std::size_t{4} << 20;
constexpr std::size_t kIndexLines = std::size_t{1} << 15;

std::optional<FeedLogWriter> new_log(benchmark::State& state) {
  auto writer = FeedLogWriter::create({.ring_bytes = kRingBytes, .index_lines = kIndexLines});
  if (!writer) {
    state.SkipWithError(writer.error().message.c_str());
    return std::nullopt;
  }
  return std::move(*writer);
}

FrameEntry stamped(std::uint64_t offset, std::uint32_t length, std::uint64_t handler_ticks) {
  FrameEntry entry;
  entry.offset = offset;
  entry.length = length;
  entry.header_bytes = 2;
  entry.opcode = 1;
  entry.stamps = {.nic = {},
                  .wake = {handler_ticks - 900},
                  .read = {handler_ticks - 700},
                  .plain = {handler_ticks - 300},
                  .parsed = {handler_ticks - 50},
                  .handler = {handler_ticks}};
  return entry;
}

// What any log must do before its speed counts: give back what was put in, in order.
bool answers_rightly(FeedLogWriter& writer) {
  auto reader = FeedLogReader::map(writer.share_descriptor());
  if (!reader) return false;
  std::vector<std::byte> space(1024);
  for (std::uint64_t i = 0; i < 3 * kRingBytes / 1000; ++i) {
    if (!testing::publish_frame(writer, 1000)) return false;
    Frame frame;
    if (reader->next(frame) != ReadStatus::frame || !testing::line_matches(frame)) return false;
    if (!reader->copy(frame, space) ||
        !testing::matches(frame.offset, std::span(space).first(1000)))
      return false;
  }
  return true;
}

void publish_batch(FeedLogWriter& writer, std::uint32_t frames, std::uint32_t frame_bytes,
                   const std::byte* bytes) {
  const std::uint64_t begin = writer.write_position();
  const auto space = writer.reserve(std::size_t{frames} * frame_bytes);
  if (bytes != nullptr) std::memcpy(space.data(), bytes, space.size());
  writer.written(space.size());
  for (std::uint32_t i = 0; i < frames; ++i) {
    writer.stage(
        stamped(begin + std::uint64_t{i} * frame_bytes, frame_bytes, std::uint64_t{1} << 40));
  }
  writer.publish();
}

// The log's own part: in the proxy the bytes are already there (recv and decrypt put them).
void publish(benchmark::State& state, bool with_bytes) {
  auto writer = new_log(state);
  if (!writer) return;
  if (!answers_rightly(*writer)) return state.SkipWithError("the log gives wrong answers");
  const auto batch = static_cast<std::uint32_t>(state.range(0));
  const auto frame_bytes = static_cast<std::uint32_t>(state.range(1));
  const std::vector<std::byte> source(std::size_t{batch} * frame_bytes, std::byte{'x'});
  for (auto _ : state)
    publish_batch(*writer, batch, frame_bytes, with_bytes ? source.data() : nullptr);
  state.SetItemsProcessed(state.iterations() * batch);
}

void read(benchmark::State& state, bool copies) {
  auto writer = new_log(state);
  if (!writer) return;
  if (!answers_rightly(*writer)) return state.SkipWithError("the log gives wrong answers");
  const auto frame_bytes = static_cast<std::uint32_t>(state.range(0));
  const std::uint64_t frames = std::min<std::uint64_t>(kIndexLines, kRingBytes / frame_bytes) / 2;
  for (std::uint64_t i = 0; i < frames; i += 16) publish_batch(*writer, 16, frame_bytes, nullptr);
  auto reader = FeedLogReader::attach(*writer);
  std::vector<std::byte> space(frame_bytes);
  std::int64_t got = 0;
  Frame frame;
  reader.seek_live();
  for (auto _ : state) {
    if (reader.next(frame) != ReadStatus::frame) {
      state.PauseTiming();
      reader.seek_oldest();
      state.ResumeTiming();
      continue;
    }
    ++got;
    if (copies) {
      if (!reader.copy(frame,
                       std::span(space).first(std::min<std::size_t>(frame.length, space.size()))))
        continue;
      benchmark::DoNotOptimize(space.data());
    } else {
      benchmark::DoNotOptimize(frame.data[0]);
      if (!reader.confirm(frame)) return state.SkipWithError("lapped by nobody");
    }
  }
  state.SetItemsProcessed(got);
}

// A writer on another core, never more than half a ring ahead; the reader is what is timed.
void across_threads(benchmark::State& state) {
  auto writer = new_log(state);
  if (!writer) return;
  if (!answers_rightly(*writer)) return state.SkipWithError("the log gives wrong answers");
  const auto batch = static_cast<std::uint32_t>(state.range(0));
  const auto frame_bytes = static_cast<std::uint32_t>(state.range(1));
  const std::uint64_t ahead_max =
      std::min<std::uint64_t>(kIndexLines, kRingBytes / frame_bytes) / 2;
  auto reader = FeedLogReader::map(writer->share_descriptor());
  if (!reader) return state.SkipWithError("no reader");
  reader->seek_live();
  alignas(128) std::atomic<std::uint64_t> consumed{reader->next_sequence()};
  alignas(128) std::atomic<bool> stop{false};
  std::thread producer([&] {
    const std::vector<std::byte> source(std::size_t{batch} * frame_bytes, std::byte{'x'});
    while (!stop.load(std::memory_order_relaxed)) {
      if (writer->next_sequence() - consumed.load(std::memory_order_relaxed) + batch > ahead_max)
        continue;
      publish_batch(*writer, batch, frame_bytes, source.data());
    }
  });
  bool good = true;
  std::uint64_t sum = 0;
  Frame frame;
  for (auto _ : state) {
    ReadStatus status;
    while ((status = reader->next(frame)) == ReadStatus::none) {
    }
    sum += static_cast<std::uint64_t>(frame.data[frame.length - 1]);
    good = good && status == ReadStatus::frame && reader->confirm(frame);
    if (frame.sequence % 256 == 0) consumed.store(frame.sequence, std::memory_order_relaxed);
  }
  stop.store(true);
  producer.join();
  benchmark::DoNotOptimize(sum);
  if (!good) state.SkipWithError("the reader was lapped");
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * frame_bytes);
}

// One frame there, one back, through two logs: twice the time from publish() to the reader's eyes.
void round_trip(benchmark::State& state) {
  auto there = new_log(state);
  auto back = new_log(state);
  if (!there || !back) return;
  if (!answers_rightly(*there) || !answers_rightly(*back))
    return state.SkipWithError("the log gives wrong answers");
  const auto frame_bytes = static_cast<std::uint32_t>(state.range(0));
  const std::vector<std::byte> source(frame_bytes, std::byte{'x'});
  std::atomic<bool> stop{false};
  auto from_here = FeedLogReader::map(there->share_descriptor());
  auto from_there = FeedLogReader::map(back->share_descriptor());
  if (!from_here || !from_there) return state.SkipWithError("no reader");
  std::thread echo([&] {
    Frame frame;
    while (!stop.load(std::memory_order_relaxed)) {
      if (from_here->next(frame) == ReadStatus::frame)
        publish_batch(*back, 1, frame_bytes, source.data());
    }
  });
  Frame frame;
  for (auto _ : state) {
    publish_batch(*there, 1, frame_bytes, source.data());
    while (from_there->next(frame) != ReadStatus::frame) {
    }
  }
  stop.store(true);
  echo.join();
}

// Bytes through a mirrored buffer, against the same bytes through memcpy alone.
void mirrored(benchmark::State& state, bool plain_memcpy) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  auto buffer = MirroredBuffer::create(1 << 20);
  if (!buffer) return state.SkipWithError(buffer.error().message.c_str());
  std::vector<std::byte> source(bytes);
  testing::fill(0, source);
  std::vector<std::byte> target(bytes);
  const auto pass = [&] {
    std::memcpy(buffer->writable().data(), source.data(), bytes);
    buffer->written(bytes);
    std::memcpy(target.data(), buffer->readable().data(), bytes);
    buffer->consume(bytes);
  };
  for (int i = 0; i < 5000; ++i) {
    std::memset(target.data(), 0, bytes);
    pass();
    if (target != source) return state.SkipWithError("the buffer alters bytes");
  }
  std::vector<std::byte> between(std::size_t{1} << 20);
  std::size_t at = 0;
  for (auto _ : state) {
    if (plain_memcpy) {
      std::memcpy(between.data() + at, source.data(), bytes);
      std::memcpy(target.data(), between.data() + at, bytes);
      at = at + 2 * bytes <= between.size() ? at + bytes : 0;
    } else {
      pass();
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(2 * bytes));
}

void BM_publish_staged(benchmark::State& state) { publish(state, false); }
void BM_publish_copied(benchmark::State& state) { publish(state, true); }
void BM_read_in_place(benchmark::State& state) { read(state, false); }
void BM_read_copied(benchmark::State& state) { read(state, true); }
void BM_mirrored(benchmark::State& state) { mirrored(state, false); }
void BM_memcpy(benchmark::State& state) { mirrored(state, true); }

BENCHMARK(BM_publish_staged)->Name("BM_feed_log/publish/staged")->ArgsProduct({{1, 16, 64}, {128}});
BENCHMARK(BM_publish_copied)
    ->Name("BM_feed_log/publish/copied")
    ->ArgsProduct({{1, 16, 64}, {128, 1024}});
BENCHMARK(BM_read_in_place)->Name("BM_feed_log/read/in_place")->Arg(128)->Arg(1024);
BENCHMARK(BM_read_copied)->Name("BM_feed_log/read/copied")->Arg(128)->Arg(1024);
BENCHMARK(across_threads)
    ->Name("BM_feed_log/publish_read/threads")
    ->ArgsProduct({{1, 16, 64}, {128}})
    ->UseRealTime();
BENCHMARK(round_trip)->Name("BM_feed_log/round_trip/threads")->Arg(128)->UseRealTime();
BENCHMARK(BM_mirrored)->Name("BM_mirrored/push_pop/bytes")->Arg(256)->Arg(4096)->Arg(65536);
BENCHMARK(BM_memcpy)->Name("BM_memcpy/twice/bytes")->Arg(256)->Arg(4096)->Arg(65536);

}  // namespace
}  // namespace feedbench::rings
