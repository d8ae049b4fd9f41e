// What each option of io_uring gains or costs, beside the default and epoll. Medians over interleaved repetitions:
//   io_uring_options_bench --benchmark_enable_random_interleaving --benchmark_repetitions=15
//                          --benchmark_report_aggregates_only --benchmark_min_time=0.1
#include <benchmark/benchmark.h>

#include <sched.h>
#include <atomic>
#include <cstdio>
#include <string>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/testing/bench_workloads.hpp"
#include "transports/testing/io_uring_with.hpp"

namespace {

using namespace feedbench::transports;
using namespace feedbench::transports::testing;

constexpr std::size_t kBulkBytes = 64 * 1024;
constexpr std::size_t kStreamBytes = 1024 * 1024;  // an iteration

std::vector<std::byte> pattern(const Message& of, std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (std::size_t i = 0; i < bytes; ++i) made[i] = of[i % of.size()];
  return made;
}

/// The far end of a bulk stream: sends message(2) over and over as fast as it is taken.
class Blaster {
 public:
  explicit Blaster(int descriptor) : descriptor_(descriptor) {
    thread_ = std::thread([this] { run(); });
  }
  ~Blaster() {
    stop_.store(true);
    thread_.join();
    ::close(descriptor_);
  }
  Blaster(const Blaster&) = delete;
  Blaster& operator=(const Blaster&) = delete;

 private:
  void run() {
    const auto bytes = pattern(message(2), kBulkBytes);
    for (std::size_t at = 0; !stop_.load(std::memory_order_relaxed);) {
      const ssize_t n = ::send(descriptor_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (n > 0) at = (at + static_cast<std::size_t>(n)) % bytes.size();
    }
  }

  int descriptor_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

/// A stream into memory of the transport. Spinning.
template <class T>
void stream_in(benchmark::State& state) {
  Near near;
  T transport(Rig<T, Wait::spin>::make_options());
  Blaster far(plain_connect(transport.listen({}, {}).value()));
  for (auto _ : state) {
    const std::size_t until = near.received + kStreamBytes;
    while (near.received < until) transport.poll(near, MonotonicInstant{INT64_MAX});
  }
  if (near.wrong) state.SkipWithError("the bytes are wrong");
  state.SetBytesProcessed(static_cast<std::int64_t>(near.received));
}

/// Sends of 64 KiB to one connection. Spinning.
template <class T>
void stream_out(benchmark::State& state) {
  const auto out = pattern(message(1), kBulkBytes);
  Rig<T, Wait::spin> rig(2, {});  // of which the second is idle: the far end then counts
  if constexpr (requires { rig.transport.register_memory(out); }) {
    if (const auto done = rig.transport.register_memory(out); !done) {
      state.SkipWithError(done.error().message.c_str());
      return;
    }
  }
  const ConstRange range{out.data(), out.size()};
  std::uint64_t sent = 0;
  for (auto _ : state) {
    for (std::size_t bytes = 0; bytes < kStreamBytes; bytes += out.size(), sent += out.size()) {
      if (rig.transport.send(rig.near.open[0], {&range, 1}) == SendStatus::pending)
        ++rig.near.in_flight;
      while (rig.near.in_flight != 0) rig.transport.poll(rig.near, MonotonicInstant{INT64_MAX});
    }
  }
  while (rig.peer->bytes() < sent) rig.transport.poll(rig.near, rig.transport.now());
  if (rig.peer->wrong()) state.SkipWithError("the bytes are wrong");
  state.SetBytesProcessed(static_cast<std::int64_t>(sent));
}

/// Benchmarks of one variant; those of an option alone that it could matter for.
struct Workloads {
  bool one_way = false;
  bool fan_out = false;
  bool stream_in = false;
  bool stream_out = false;
};
constexpr Workloads kAll{true, true, true, true};

/// Without what it needs (a kernel that is too old, a limit) a variant is reported as skipped, with the reason.
template <class T>
auto guarded(void (*run)(benchmark::State&)) {
  return [run](benchmark::State& state) {
    try {
      const T works{TransportOptions{}};
    } catch (const Error& error) {
      state.SkipWithError(error.message.c_str());
      return;
    }
    run(state);
  };
}

template <class T>
void add(const std::string& variant, const Workloads& workloads) {
  const auto name = [&](const char* what) { return std::string("BM_") + what + "/" + variant; };
  if (workloads.one_way)
    benchmark::RegisterBenchmark(name("one_way").c_str(), guarded<T>(one_way<T, true>))
        ->UseManualTime();
  if (workloads.fan_out) {
    benchmark::RegisterBenchmark(name("fan_out_64_spin").c_str(),
                                 guarded<T>(fan_out<T, Wait::spin>))
        ->UseRealTime();
    benchmark::RegisterBenchmark(name("fan_out_64_block").c_str(),
                                 guarded<T>(fan_out<T, Wait::block>))
        ->UseRealTime();
  }
  if (workloads.stream_in)
    benchmark::RegisterBenchmark(name("stream_in").c_str(), guarded<T>(stream_in<T>))
        ->UseRealTime();
  if (workloads.stream_out)
    benchmark::RegisterBenchmark(name("stream_out").c_str(), guarded<T>(stream_out<T>))
        ->UseRealTime();
}

/// io_uring that is told of an upstream's bytes instead of looking for them.
struct NotLooking : IoUringTransport {
  explicit NotLooking(TransportOptions options)
      : IoUringTransport((options.spin_on_connected = false, options)) {}
};

const int g_registered = [] {
  add<EpollTransport>("epoll", kAll);
  add<IoUringTransport>("default", kAll);
  add<NotLooking>("not_looking", {.one_way = true});
  add<IoUringWith<IoUringOptions{.deferred_task_run = false}>>("no_deferred_task_run", kAll);
  add<IoUringWith<IoUringOptions{.registered_files = true}>>("registered_files", kAll);
  add<IoUringWith<IoUringOptions{.receive_bundles = true}>>("receive_bundles", {.stream_in = true});
  add<IoUringWith<IoUringOptions{.incremental_buffers = true}>>("incremental_buffers",
                                                                {.stream_in = true});
  add<IoUringWith<IoUringOptions{.receive_bundles = true, .incremental_buffers = true}>>(
      "bundles_incremental", {.stream_in = true});
  add<IoUringWith<IoUringOptions{.zero_copy_bytes = 1}>>("zero_copy",
                                                         {.fan_out = true, .stream_out = true});
  add<IoUringWith<IoUringOptions{.submission_thread = true, .submission_core = 0}>>(
      "submission_thread", {.one_way = true, .fan_out = true});
  return 0;
}();

}  // namespace
