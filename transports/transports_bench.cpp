// Round trips, one way and fan-out of each transport, beside the same done with plain sockets. Every answer is checked before
// anything is timed. The peer lives in a second thread that spins on plain sockets, so on two cores nothing is shared but
// the kernel.
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/testing/bench_workloads.hpp"
#include "transports/tsc_calibration.hpp"

namespace {

using namespace feedbench::transports;
using namespace feedbench::transports::testing;

/// The floor: the same exchange with recv() and send() alone.
void plain_round_trip(benchmark::State& state) {
  const PlainListener listener;
  Peer peer({plain_connect(listener.endpoint())}, true);
  const int near = listener.accept();
  const Message out = message(1);
  Message back;
  const std::atomic<bool> never{false};
  for (auto _ : state) {
    ::send(near, out.data(), out.size(), MSG_NOSIGNAL);
    read_message(near, back, never);
  }
  if (back != message(2) || peer.wrong()) state.SkipWithError("the bytes are wrong");
  ::close(near);
}

template <class T>
void register_transport() {
  const std::string name(T::name());
  const auto add = [&](const std::string& operation, const std::string& variant, auto function) {
    benchmark::RegisterBenchmark(
        ("BM_" + name + "/" + operation + "/" + variant + "/" + std::to_string(kMessageBytes))
            .c_str(),
        function)
        ->UseRealTime();
  };
  const auto add_one_way = [&](const std::string& variant, auto function) {
    benchmark::RegisterBenchmark(
        ("BM_" + name + "/one_way/" + variant + "/" + std::to_string(kMessageBytes)).c_str(),
        function)
        ->UseManualTime();
  };
  add_one_way("early_ack", one_way<T, false>);
  add_one_way("late_ack", one_way<T, true>);
  constexpr auto kPeer = Opens::peer;
  constexpr auto kSelf = Opens::transport;
  add("round_trip", "spin", round_trip<T, Wait::spin, false, false, kPeer>);
  add("round_trip", "spin_lent", round_trip<T, Wait::spin, false, true, kPeer>);
  add("round_trip", "spin_connected", round_trip<T, Wait::spin, false, true, kSelf>);
  add("round_trip", "spin_stamped", round_trip<T, Wait::spin, true, true, kSelf>);
  add("round_trip", "block", round_trip<T, Wait::block, false, false, kPeer>);
  add("fan_out_64", "spin", fan_out<T, Wait::spin>);
  add("fan_out_64", "block", fan_out<T, Wait::block>);
}

const int g_registered = [] {
  benchmark::RegisterBenchmark("BM_plain_socket/round_trip/spin/128", plain_round_trip)
      ->UseRealTime();
  register_transport<SelectTransport>();
  register_transport<EpollTransport>();
  register_transport<IoUringTransport>();
  return 0;
}();

}  // namespace
