#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "mock_exchange/recording/generate.hpp"
#include "mock_exchange/recording/inspect.hpp"
#include "mock_exchange/recording/recording_reader.hpp"
#include "mock_exchange/recording/recording_writer.hpp"
#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/binance_frame.hpp"
#include "reference/venues/topic_table.hpp"

/// Each benchmark checks its answer before it times anything.
namespace feedbench::recording {
namespace {

std::vector<Frame> frames_of(venues::Venue venue, double seconds) {
  GeneratorOptions options;
  options.venue = venue;
  options.seconds = seconds;
  options.symbols = 4;
  std::vector<Frame> frames;
  const auto done = generate(options, [&](const Frame& frame) -> Expected<void> {
    frames.push_back(frame);
    return {};
  });
  if (!done) throw std::runtime_error(done.error().message);
  return frames;
}

void require(bool right, const char* what) {
  if (!right) throw std::runtime_error(what);
}

std::size_t bytes_of(const std::vector<Frame>& frames) {
  std::size_t bytes = 0;
  for (const Frame& frame : frames) bytes += frame.data.size();
  return bytes;
}

void report(benchmark::State& state, std::size_t items, std::size_t bytes) {
  const auto runs = static_cast<std::int64_t>(state.iterations());
  state.SetItemsProcessed(runs * static_cast<std::int64_t>(items));
  state.SetBytesProcessed(runs * static_cast<std::int64_t>(bytes));
}

void BM_stream_of_combined(benchmark::State& state) {
  const auto frames = frames_of(venues::Venue::binance, 20);
  require(venues::binance::stream_of_combined(frames.front().data).ends_with("usdt@bookTicker") ||
              venues::binance::stream_of_combined(frames.front().data).starts_with("btcusdt@"),
          "stream_of_combined gives no stream");
  for (auto run : state) {
    for (const Frame& frame : frames) {
      benchmark::DoNotOptimize(venues::binance::stream_of_combined(frame.data).size());
    }
  }
  report(state, frames.size(), bytes_of(frames));
}
BENCHMARK(BM_stream_of_combined)->Name("BM_stream_of/combined");

void BM_stream_of_raw(benchmark::State& state) {
  auto frames = frames_of(venues::Venue::binance, 20);
  venues::binance::NameBuffer buffer;
  for (Frame& frame : frames) {
    const std::string stream(venues::binance::stream_of_combined(frame.data));
    frame.data = std::string(venues::binance::data_of_combined(frame.data));
    const auto named = venues::binance::stream_of_raw(frame.data, buffer);
    require(!named.empty() && stream.starts_with(named),
            "stream_of_raw disagrees with the envelope");
  }
  for (auto run : state) {
    for (const Frame& frame : frames) {
      benchmark::DoNotOptimize(venues::binance::stream_of_raw(frame.data, buffer).size());
    }
  }
  report(state, frames.size(), bytes_of(frames));
}
BENCHMARK(BM_stream_of_raw)->Name("BM_stream_of/raw");

void BM_intern(benchmark::State& state) {
  const auto frames = frames_of(venues::Venue::binance, 20);
  venues::TopicTable topics;
  for (const Frame& frame : frames) topics.intern(venues::binance::stream_of_combined(frame.data));
  require(topics.size() == 16, "4 symbols of 4 streams are 16 topics");
  for (auto run : state) {
    for (const Frame& frame : frames) {
      benchmark::DoNotOptimize(topics.intern(venues::binance::stream_of_combined(frame.data)));
    }
  }
  report(state, frames.size(), bytes_of(frames));
}
BENCHMARK(BM_intern)->Name("BM_stream_of/combined_and_interned");

void BM_symbols_of(benchmark::State& state) {
  const auto frames = frames_of(venues::Venue::alpaca, 20);
  std::size_t messages = 0;
  for (const Frame& frame : frames) {
    venues::alpaca::for_each_message(frame.data, [&](const auto& message) {
      require(!message.type.empty() && !message.symbol.empty(), "a message without type or symbol");
      ++messages;
    });
  }
  require(messages > frames.size(), "frames hold several messages");
  for (auto run : state) {
    for (const Frame& frame : frames) {
      venues::alpaca::for_each_message(
          frame.data, [](const auto& message) { benchmark::DoNotOptimize(message.symbol.size()); });
    }
  }
  report(state, messages, bytes_of(frames));
}
BENCHMARK(BM_symbols_of)->Name("BM_symbols_of/alpaca_message");

/// A session on disk for the time of one benchmark.
class FileOfSession {
 public:
  explicit FileOfSession(const char* extension)
      : path_(std::filesystem::temp_directory_path() /
              ("feedbench-bench-" + std::to_string(getpid()) + extension)),
        frames_(frames_of(venues::Venue::binance, 120)) {
    auto writer = RecordingWriter::create(path_);
    if (!writer) throw std::runtime_error(writer.error().message);
    for (const Frame& frame : frames_) require(writer->write(frame).has_value(), "write failed");
    require(writer->close().has_value(), "close failed");
  }
  FileOfSession(const FileOfSession&) = delete;
  FileOfSession& operator=(const FileOfSession&) = delete;
  ~FileOfSession() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const std::vector<Frame>& frames() const { return frames_; }

 private:
  std::filesystem::path path_;
  std::vector<Frame> frames_;
};

void BM_read(benchmark::State& state, const char* extension) {
  const FileOfSession file(extension);
  std::size_t bytes = 0;
  const auto read = [&](auto&& check) {
    auto reader = RecordingReader::open(file.path());
    Frame frame;
    std::size_t index = 0;
    while (reader->next(frame).value()) check(frame, index++);
    return index;
  };
  require(read([&](const Frame& frame, std::size_t i) {
            require(frame == file.frames()[i], "read differs");
          }) == file.frames().size(),
          "frames are missing");
  for (auto run : state)
    bytes += read([](const Frame& frame, std::size_t) { benchmark::DoNotOptimize(frame.t_ns); });
  benchmark::DoNotOptimize(bytes);
  report(state, file.frames().size(), bytes_of(file.frames()));
}
BENCHMARK_CAPTURE(BM_read, plain, ".jsonl")
    ->Name("BM_RecordingReader/next/plain")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(BM_read, zstd, ".jsonl.zst")
    ->Name("BM_RecordingReader/next/zstd")
    ->Unit(benchmark::kMillisecond);

void BM_inspect(benchmark::State& state) {
  const FileOfSession file(".jsonl.zst");
  require(inspect(file.path())->frames == file.frames().size(), "inspect counts wrongly");
  for (auto run : state) benchmark::DoNotOptimize(inspect(file.path())->frames);
  report(state, file.frames().size(), bytes_of(file.frames()));
}
BENCHMARK(BM_inspect)->Name("BM_inspect/zstd")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace feedbench::recording
