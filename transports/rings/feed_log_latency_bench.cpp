// The feed log as a product uses it: a writer process and reader processes on cores of their own. One-way latency at a
// fixed rate, beside half the round trip of a cache line measured in the same run; and what further readers cost the writer.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::rings {
namespace {

using transports::TscInstant;

bool pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0;
}

/// Memory that this process and its children share.
template <class T>
class Shared {
 public:
  Shared()
      : at_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    new (at_) T();
  }
  ~Shared() { ::munmap(at_, sizeof(T)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  T* operator->() const { return static_cast<T*>(at_); }
  T& operator*() const { return *static_cast<T*>(at_); }

 private:
  void* at_;
};

/// A child process pinned to a core that runs `work` and ends; dies with this one.
template <class Work>
pid_t child_on(int cpu, Work&& work) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::_exit(pin(cpu) ? work() : 1);
}

constexpr std::size_t kSamples = 200'000;
constexpr double kRateHz = 100'000;
constexpr std::size_t kTurns = 200'000;
/// A loop that did not turn for this long: its core was somebody else's.
constexpr std::int64_t kTakenAwayNs = 2'000;

struct Latencies {
  std::atomic<bool> ready{false};
  std::atomic<bool> stop{false};
  std::uint64_t count = 0;
  std::uint64_t torn = 0;
  std::uint32_t ticks[kSamples];
  bool reader_away[kSamples];  // it was published before the end of a standstill of the reader
  bool writer_away[kSamples];  // the writer stood still between the stamp and the publishing
  alignas(128) std::atomic<std::uint64_t> line{0};
};

/// Half the round trip of one cache line between this core and the child's, ns: the median of many.
double half_cache_line_ns(const transports::TscClock& clock, Latencies& shared) {
  std::vector<std::uint64_t> trips;
  trips.reserve(kTurns);
  for (std::uint64_t turn = 0; trips.size() < kTurns; turn += 2) {
    const TscInstant begin = TscInstant::now();
    shared.line.store(turn + 1, std::memory_order_release);
    while (shared.line.load(std::memory_order_acquire) != turn + 2) {
    }
    trips.push_back(static_cast<std::uint64_t>((TscInstant::now() - begin).ticks));
  }
  std::nth_element(trips.begin(), trips.begin() + kTurns / 2, trips.end());
  return static_cast<double>(clock.to_ns({static_cast<std::int64_t>(trips[kTurns / 2])})) / 2;
}

int answer_cache_line(Latencies& shared) {
  for (std::uint64_t turn = 1; turn < 2 * kTurns; turn += 2) {
    while (shared.line.load(std::memory_order_acquire) != turn) {
    }
    shared.line.store(turn + 1, std::memory_order_release);
  }
  return 0;
}

/// The reading process: notes for each message how long ago it was stamped, and whether it waited for a reader that stood
/// still.
int read_latencies(int log, Latencies& shared, std::int64_t taken_away_ticks) {
  auto reader = FeedLogReader::map(log);
  if (!reader) return 1;
  shared.ready.store(true);
  Frame frame;
  TscInstant last = TscInstant::now();
  TscInstant awake_since = last;
  while (shared.count < kSamples && !shared.stop.load(std::memory_order_relaxed)) {
    const ReadStatus status = reader->next(frame);
    const TscInstant now = TscInstant::now();
    if ((now - last).ticks > taken_away_ticks) awake_since = now;
    last = now;
    if (status == ReadStatus::none) continue;
    std::uint64_t stamp = 0;
    std::memcpy(&stamp, frame.data, sizeof stamp);
    if (status != ReadStatus::frame || !reader->confirm(frame)) {
      ++shared.torn;
      continue;
    }
    const std::uint64_t i = shared.count++;
    shared.ticks[i] =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(now.ticks - stamp, UINT32_MAX));
    shared.reader_away[i] = stamp < awake_since.ticks;
  }
  return 0;
}

/// Returns when it was stamped.
TscInstant write_message(FeedLogWriter& writer, std::size_t bytes) {
  const auto space = writer.reserve(bytes);
  FrameEntry entry;
  entry.offset = writer.write_position();
  entry.length = static_cast<std::uint32_t>(bytes);
  std::memset(space.data() + 8, 'x', bytes - 8);
  const TscInstant stamp = TscInstant::now();
  std::memcpy(space.data(), &stamp.ticks, 8);
  writer.written(bytes);
  writer.stage(entry);
  writer.publish();
  return stamp;
}

/// state.range(0): bytes of a message. The time of an iteration means nothing: the figures are the counters.
void one_way(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  auto clock = transports::TscClock::calibrate();
  auto writer = FeedLogWriter::create({.ring_bytes = 16u << 20, .index_lines = 1u << 15});
  if (!clock || !writer) return state.SkipWithError("no clock, or no memory");
  cpu_set_t before;
  ::sched_getaffinity(0, sizeof before, &before);
  if (!pin(0)) return state.SkipWithError("no core 0");
  Shared<Latencies> shared;
  const std::int64_t taken_away = clock->to_ticks(kTakenAwayNs).ticks;
  for (auto _ : state) {
    const pid_t answerer = child_on(1, [&] { return answer_cache_line(*shared); });
    const double line_ns = half_cache_line_ns(*clock, *shared);
    ::waitpid(answerer, nullptr, 0);
    const int log = writer->share_descriptor();
    const pid_t reader = child_on(1, [&] { return read_latencies(log, *shared, taken_away); });
    while (!shared->ready.load()) ::usleep(100);
    const auto gap = clock->to_ticks(static_cast<std::int64_t>(1e9 / kRateHz));
    TscInstant due = TscInstant::now();
    for (std::size_t i = 0; i < kSamples; ++i, due = due + gap) {
      while (TscInstant::now() < due) {
      }
      const TscInstant stamp = write_message(*writer, bytes);
      shared->writer_away[i] = (TscInstant::now() - stamp).ticks > taken_away;
    }
    ::usleep(200'000);
    shared->stop.store(true);
    int status = 0;
    ::waitpid(reader, &status, 0);
    if (status != 0) return state.SkipWithError("the reader failed (is there a core 1?)");
    std::vector<std::uint32_t> clean;
    for (std::uint64_t i = 0; i < shared->count; ++i)
      if (!shared->reader_away[i] && !shared->writer_away[i]) clean.push_back(shared->ticks[i]);
    if (shared->torn != 0 || shared->count != kSamples || clean.size() < kSamples / 2)
      return state.SkipWithError(
          "messages were lost, or the cores were taken away most of the time");
    std::sort(clean.begin(), clean.end());
    const auto ns_at = [&](double quantile) {
      const auto at = static_cast<std::size_t>(quantile * static_cast<double>(clean.size() - 1));
      return static_cast<double>(clock->to_ns({clean[at]}));
    };
    state.counters["p50_ns"] = ns_at(0.5);
    state.counters["p99_ns"] = ns_at(0.99);
    state.counters["half_cache_line_ns"] = line_ns;
    state.counters["p50_over_bound"] = ns_at(0.5) / (2 * line_ns + 50);
    state.counters["p99_over_p50"] = ns_at(0.99) / ns_at(0.5);
    state.counters["disturbed_share"] =
        1 - static_cast<double>(clean.size()) / static_cast<double>(kSamples);
  }
  ::sched_setaffinity(0, sizeof before, &before);
}

/// What the writer can publish while so many processes read all of it, on the other core.
/// state.range(0): readers; range(1): bytes.
void writer_beside_readers(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(1));
  auto writer = FeedLogWriter::create({.ring_bytes = 16u << 20, .index_lines = 1u << 15});
  if (!writer) return state.SkipWithError("no memory");
  cpu_set_t before;
  ::sched_getaffinity(0, sizeof before, &before);
  if (!pin(0)) return state.SkipWithError("no core 0");
  struct Progress {
    std::atomic<int> ready{0};
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> read{0};
    std::atomic<std::uint64_t> wrong{0};
  };
  Shared<Progress> progress;
  std::vector<pid_t> readers;
  const int log = writer->share_descriptor();
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    readers.push_back(child_on(1, [&] {
      auto reader = FeedLogReader::map(log);
      if (!reader) return 1;
      ++progress->ready;
      Frame frame;
      std::uint64_t read = 0;
      std::uint64_t expected = 0;
      while (!progress->stop.load(std::memory_order_relaxed)) {
        const ReadStatus status = reader->next(frame);
        if (status == ReadStatus::gap) expected = 0;
        if (status != ReadStatus::frame) continue;
        if (expected != 0 && frame.sequence != expected) ++progress->wrong;
        expected = frame.sequence + 1;
        ++read;
      }
      progress->read += read;
      return 0;
    }));
  }
  while (progress->ready.load() < state.range(0)) ::usleep(100);
  for (auto _ : state) write_message(*writer, bytes);
  progress->stop.store(true);
  bool good = progress->wrong.load() == 0;
  for (const pid_t reader : readers) {
    int status = 0;
    ::waitpid(reader, &status, 0);
    good = good && status == 0;
  }
  ::sched_setaffinity(0, sizeof before, &before);
  if (!good) return state.SkipWithError("a reader failed, or read out of order");
  state.SetItemsProcessed(state.iterations());
  state.counters["read_share"] = static_cast<double>(progress->read.load()) /
                                 static_cast<double>(state.iterations()) /
                                 static_cast<double>(std::max<std::int64_t>(1, state.range(0)));
}

BENCHMARK(one_way)
    ->Name("BM_feed_log/one_way_100k/processes")
    ->Arg(256)
    ->Iterations(1)
    ->UseRealTime();
BENCHMARK(writer_beside_readers)
    ->Name("BM_feed_log/publish/readers")
    ->ArgsProduct({{0, 1, 3, 8}, {64, 256, 1024}})
    ->UseRealTime();

}  // namespace
}  // namespace feedbench::rings
