// The rings beside each other, through the same concept: a producer on one core, a consumer on the other. The floor is the
// cache line that two cores hand to each other. Every message is checked while it is timed: its number stands in it.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "transports/rings/ring_adapters.hpp"

namespace feedbench::rings {
namespace {

constexpr std::size_t kRingBytes = std::size_t{4} << 20;

bool pin_this_thread(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

/// Gives the thread that runs the benchmark back all its cores.
class Pinned {
 public:
  explicit Pinned(int cpu) {
    pthread_getaffinity_np(pthread_self(), sizeof(before_), &before_);
    good_ = pin_this_thread(cpu);
  }
  ~Pinned() { pthread_setaffinity_np(pthread_self(), sizeof(before_), &before_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  [[nodiscard]] bool good() const { return good_; }

 private:
  cpu_set_t before_{};
  bool good_ = false;
};

std::uint64_t number_in(const RingMessage& message) {
  std::uint64_t number = 0;
  load_shared_bytes(reinterpret_cast<std::byte*>(&number), message.bytes.data(), sizeof(number));
  return number;
}

/// Publishes message after message, each with its number in front. thread: the producer's.
template <class Producer>
class Numbered {
 public:
  Numbered(Producer producer, std::size_t bytes)
      : producer_(std::move(producer)), message_(bytes, std::byte{'x'}) {}

  bool try_next() {
    std::memcpy(message_.data(), &next_, sizeof(next_));
    if (producer_.try_publish(message_, {}) != PublishStatus::published) return false;
    ++next_;
    return true;
  }
  [[nodiscard]] std::uint64_t next() const { return next_; }

 private:
  Producer producer_;
  std::vector<std::byte> message_;
  std::uint64_t next_ = 0;
};

/// One producer, one consumer, as fast as they can. A broadcast ring's producer would lap the consumer, so it stays half
/// a ring behind it by a count that the consumer publishes now and then; a lossless ring does that by itself.
template <class Ring>
void throughput(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  auto ring = Ring::create(kRingBytes);
  if (!ring) return state.SkipWithError(ring.error().message.c_str());
  const Pinned here(0);
  if (!here.good()) return state.SkipWithError("no core 0 for the consumer");
  const std::uint64_t ahead_max = kRingBytes / (bytes + 128) / 2;
  alignas(128) std::atomic<std::uint64_t> consumed{0};
  alignas(128) std::atomic<bool> stop{false};
  auto consumer = ring->consumer();
  std::atomic<bool> pinned{true};
  std::thread producer([&] {
    if (!pin_this_thread(1)) pinned.store(false);
    Numbered numbered(ring->producer(), bytes);
    std::uint64_t until = ahead_max;
    while (!stop.load(std::memory_order_relaxed)) {
      if (Ring::kDelivery == Delivery::broadcast && numbered.next() >= until) {
        until = consumed.load(std::memory_order_relaxed) + ahead_max;
        continue;
      }
      (void)numbered.try_next();
    }
  });
  bool good = true;
  std::uint64_t expected = 0;
  RingMessage message;
  for (auto _ : state) {
    PollStatus status;
    while ((status = consumer.next(message)) == PollStatus::none) {
    }
    good = good && status == PollStatus::message && number_in(message) == expected &&
           consumer.keep(message);
    if ((++expected & 255) == 0) consumed.store(expected, std::memory_order_relaxed);
  }
  stop.store(true);
  producer.join();
  if (!pinned.load()) return state.SkipWithError("no core 1 for the producer");
  if (!good) return state.SkipWithError("a message is missing or torn");
  state.SetItemsProcessed(state.iterations());
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

/// A message there, a message back, through two rings: twice the time from try_publish() to the reader's eyes.
template <class Ring>
void round_trip(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  auto there = Ring::create(kRingBytes);
  auto back = Ring::create(kRingBytes);
  if (!there || !back) return state.SkipWithError("no memory for the rings");
  const Pinned here(0);
  if (!here.good()) return state.SkipWithError("no core 0");
  std::atomic<bool> stop{false};
  std::atomic<bool> pinned{true};
  auto from_here = there->consumer();
  auto from_there = back->consumer();
  std::thread echo([&] {
    if (!pin_this_thread(1)) pinned.store(false);
    Numbered numbered(back->producer(), bytes);
    RingMessage message;
    while (!stop.load(std::memory_order_relaxed)) {
      if (from_here.next(message) == PollStatus::message && from_here.keep(message))
        (void)numbered.try_next();
    }
  });
  Numbered numbered(there->producer(), bytes);
  bool good = true;
  std::uint64_t expected = 0;
  RingMessage message;
  for (auto _ : state) {
    good = good && numbered.try_next();
    PollStatus status;
    while ((status = from_there.next(message)) == PollStatus::none) {
    }
    good = good && status == PollStatus::message && number_in(message) == expected++ &&
           from_there.keep(message);
  }
  stop.store(true);
  echo.join();
  if (!pinned.load()) return state.SkipWithError("no core 1");
  if (!good) state.SkipWithError("a message is missing or torn");
}

/// The floor of round_trip.
void cache_line_round_trip(benchmark::State& state) {
  const Pinned here(0);
  if (!here.good()) return state.SkipWithError("no core 0");
  struct alignas(128) Line {
    std::atomic<std::uint64_t> turn{0};
  } line;
  std::atomic<bool> stop{false};
  std::atomic<bool> pinned{true};
  std::thread answerer([&] {
    if (!pin_this_thread(1)) pinned.store(false);
    for (std::uint64_t turn = 1; !stop.load(std::memory_order_relaxed);) {
      if (line.turn.load(std::memory_order_acquire) != turn) continue;
      line.turn.store(turn + 1, std::memory_order_release);
      turn += 2;
    }
  });
  std::uint64_t turn = 0;
  for (auto _ : state) {
    line.turn.store(turn + 1, std::memory_order_release);
    turn += 2;
    while (line.turn.load(std::memory_order_acquire) != turn) {
    }
  }
  stop.store(true);
  answerer.join();
  if (!pinned.load()) state.SkipWithError("no core 1");
}

template <class Ring>
void register_ring(const std::string& name) {
  benchmark::RegisterBenchmark(("BM_" + name + "/throughput/bytes").c_str(), throughput<Ring>)
      ->Arg(64)
      ->Arg(256)
      ->Arg(1024)
      ->UseRealTime();
  benchmark::RegisterBenchmark(("BM_" + name + "/round_trip/bytes").c_str(), round_trip<Ring>)
      ->Arg(256)
      ->UseRealTime();
}

const int g_registered = [] {
  benchmark::RegisterBenchmark("BM_cache_line/round_trip", cache_line_round_trip)->UseRealTime();
  register_ring<FeedLogRing>("feed_log");
  register_ring<SpscMessageRing>("spsc");
  register_ring<HftShmRing>("hft_shm");
  return 0;
}();

}  // namespace
}  // namespace feedbench::rings
