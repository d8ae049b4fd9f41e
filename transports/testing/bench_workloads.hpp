#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "transports/testing/bench_ends.hpp"
#include "transports/tsc_calibration.hpp"

/// What is measured of a transport: round trips, one way, a fan-out. Every answer is checked before anything is timed.
namespace feedbench::transports::testing {

inline constexpr std::size_t kFanOut = 64;

template <class T, Wait W, bool Stamped, bool Lend, Opens Who>
void round_trip(benchmark::State& state) {
  Rig<T, W> rig(1, {.nic_stamps = Stamped, .lend_memory = Lend}, Who);
  const Message out = message(1);
  for (int i = 0; i < 100; ++i) rig.round_trip(out);
  if (rig.near.wrong || rig.peer->wrong()) {
    state.SkipWithError("the bytes are wrong");
    return;
  }
  const std::uint64_t before = rig.transport.counters().system_calls;
  for (auto _ : state) rig.round_trip(out);
  state.counters["system_calls"] =
      benchmark::Counter(static_cast<double>(rig.transport.counters().system_calls - before),
                         benchmark::Counter::kAvgIterations);
}

/// From the call of send() in another thread to on_receive, as a proxy's upstream: spinning, into lent memory.
template <class T, bool LateAck>
void one_way(benchmark::State& state) {
  Near near;
  TransportOptions options;
  options.wait = Wait::spin;
  T transport(options);
  const PlainListener listener;
  transport.connect(listener.endpoint(), {.lend_memory = true, .late_ack = LateAck}).value();
  Sender sender(listener.accept());
  while (near.open.empty()) transport.poll(near, transport.now() + 1'000'000);
  const TscClock clock = TscClock::calibrate().value();
  for (auto _ : state) {
    const std::size_t until = near.received + kMessageBytes;
    sender.send_one();
    while (near.received < until) transport.poll(near, MonotonicInstant{INT64_MAX});
    state.SetIterationTime(static_cast<double>(clock.to_ns(near.received_at - sender.sent_at())) *
                           1e-9);
  }
  if (near.wrong) state.SkipWithError("the bytes are wrong");
}

template <class T, Wait W>
void fan_out(benchmark::State& state) {
  Rig<T, W> rig(kFanOut, {});
  const Message out = message(1);
  std::uint64_t sent = 0;
  const auto settle = [&] {
    while (rig.peer->bytes() < sent) rig.transport.poll(rig.near, rig.transport.now());
  };
  for (int i = 0; i < 100; ++i, sent += kFanOut * kMessageBytes) rig.fan_out(out);
  settle();
  if (rig.peer->wrong()) {
    state.SkipWithError("the bytes are wrong");
    return;
  }
  for (auto _ : state) {
    rig.fan_out(out);
    sent += kFanOut * kMessageBytes;
  }
  settle();
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kFanOut));
}

}  // namespace feedbench::transports::testing
