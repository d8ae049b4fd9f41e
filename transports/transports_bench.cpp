// Round trips, one way and fan-out of each transport, beside the same done with plain sockets. Every answer is checked before
// anything is timed. The peer lives in a second thread that spins on plain sockets, so on two cores nothing is shared but
// the kernel.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/tsc_calibration.hpp"

namespace {

using namespace feedbench::transports;

constexpr std::size_t kMessageBytes = 128;
constexpr std::size_t kFanOut = 64;
using Message = std::array<std::byte, kMessageBytes>;

Message message(unsigned salt) {
  Message made;
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = static_cast<std::byte>(i * 7 + salt);
  return made;
}

int plain_connect(const Endpoint& endpoint) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  ::inet_pton(AF_INET, endpoint.address.c_str(), &address.sin_addr);
  if (::connect(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    throw std::runtime_error("connect");
  }
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  ::fcntl(descriptor, F_SETFL, O_NONBLOCK);
  return descriptor;
}

/// A plain listener on a free port.
class PlainListener {
 public:
  PlainListener() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof(address);
    if (::bind(descriptor_, reinterpret_cast<sockaddr*>(&address), bytes) != 0 ||
        ::listen(descriptor_, 16) != 0 ||
        ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &bytes) != 0) {
      throw std::runtime_error("listen");
    }
    endpoint_ = {"127.0.0.1", ntohs(address.sin_port)};
  }
  ~PlainListener() { ::close(descriptor_); }
  PlainListener(const PlainListener&) = delete;
  PlainListener& operator=(const PlainListener&) = delete;
  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  [[nodiscard]] int accept() const {
    const int accepted = ::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    const int on = 1;
    ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return accepted;
  }

 private:
  int descriptor_;
  Endpoint endpoint_;
};

/// Reads exactly one message; gives up when `stop` is set.
bool read_message(int descriptor, Message& into, const std::atomic<bool>& stop) {
  for (std::size_t have = 0; have < into.size();) {
    const ssize_t n = ::recv(descriptor, into.data() + have, into.size() - have, 0);
    if (n > 0) have += static_cast<std::size_t>(n);
    if (n == 0 || (n < 0 && stop.load(std::memory_order_relaxed))) return false;
  }
  return true;
}

/// The far end: echoes what one connection sends, or counts what arrives on many.
class Peer {
 public:
  Peer(std::vector<int> descriptors, bool echoes) : descriptors_(std::move(descriptors)) {
    thread_ = std::thread([this, echoes] { echoes ? echo() : drain(); });
  }
  ~Peer() {
    stop_.store(true);
    thread_.join();
    for (const int descriptor : descriptors_) ::close(descriptor);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  [[nodiscard]] std::uint64_t bytes() const { return bytes_.load(std::memory_order_acquire); }
  [[nodiscard]] bool wrong() const { return wrong_.load(); }

 private:
  void echo() {
    Message got;
    while (!stop_.load(std::memory_order_relaxed)) {
      if (!read_message(descriptors_[0], got, stop_)) return;
      if (got != message(1)) wrong_.store(true);
      const Message answer = message(2);
      if (::send(descriptors_[0], answer.data(), answer.size(), MSG_NOSIGNAL) < 0) return;
    }
  }
  void drain() {
    std::vector<std::byte> buffer(65536);
    const Message expected = message(1);
    std::vector<std::size_t> at(descriptors_.size());
    while (!stop_.load(std::memory_order_relaxed)) {
      for (std::size_t i = 0; i < descriptors_.size(); ++i) {
        const ssize_t n = ::recv(descriptors_[i], buffer.data(), buffer.size(), 0);
        if (n <= 0) continue;
        const auto bytes = static_cast<std::size_t>(n);
        if (buffer[0] != expected[at[i]]) wrong_.store(true);
        at[i] = (at[i] + bytes) % kMessageBytes;
        bytes_.fetch_add(bytes, std::memory_order_release);
      }
    }
  }

  std::vector<int> descriptors_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> wrong_{false};
  std::atomic<std::uint64_t> bytes_{0};
  std::thread thread_;
};

/// The far end of a feed: sends one message each time it is told to, and says when it began to.
class Sender {
 public:
  explicit Sender(int descriptor) : descriptor_(descriptor) {
    thread_ = std::thread([this] { run(); });
  }
  ~Sender() {
    asked_.store(kStop);
    thread_.join();
    ::close(descriptor_);
  }
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;
  void send_one() { asked_.fetch_add(1, std::memory_order_release); }
  /// When the last message was sent; valid once it has arrived.
  [[nodiscard]] TscInstant sent_at() const { return {sent_at_.load(std::memory_order_acquire)}; }

 private:
  static constexpr std::uint64_t kStop = UINT64_MAX;
  void run() {
    const Message out = message(2);
    for (std::uint64_t done = 0;; ++done) {
      std::uint64_t asked;
      while ((asked = asked_.load(std::memory_order_acquire)) == done) {
      }
      if (asked == kStop) return;
      sent_at_.store(TscInstant::now().ticks, std::memory_order_release);
      if (::send(descriptor_, out.data(), out.size(), MSG_NOSIGNAL) < 0) return;
    }
  }

  int descriptor_;
  std::atomic<std::uint64_t> asked_{0};
  std::atomic<std::uint64_t> sent_at_{0};
  std::thread thread_;
};

struct Near {
  TscInstant received_at;
  std::vector<Conn> open;
  std::size_t received = 0;
  std::size_t in_flight = 0;
  bool wrong = false;
  void on_open(Conn conn, bool) { open.push_back(conn); }
  void on_receive(Conn, std::span<std::byte> bytes, const RxStamps&) {
    received_at = TscInstant::now();
    const Message expected = message(2);
    wrong |= std::memcmp(bytes.data(), expected.data() + received % kMessageBytes, 1) != 0;
    received += bytes.size();
  }
  void on_sent(Conn, std::size_t) { --in_flight; }
  void on_close(Conn, CloseInfo) {}
  void on_wake() {}
  std::array<std::byte, 4096> space{};
  std::span<std::byte> receive_space(Conn) { return space; }
};

/// Which end opens the connections.
enum class Opens { peer, transport };

template <class T, Wait W>
struct Rig {
  Near near;  // before the transport, which may hold its memory
  T transport;
  std::optional<Peer> peer;

  Rig(std::size_t peers, const ConnOptions& options, Opens opens = Opens::peer)
      : transport(make_options()) {
    std::vector<int> far;
    if (opens == Opens::peer) {
      const Endpoint endpoint = transport.listen({}, options).value();
      for (std::size_t i = 0; i < peers; ++i) far.push_back(plain_connect(endpoint));
    } else {
      const PlainListener listener;
      for (std::size_t i = 0; i < peers; ++i) {
        transport.connect(listener.endpoint(), options).value();
        far.push_back(listener.accept());
      }
    }
    while (near.open.size() < peers) transport.poll(near, transport.now() + 1'000'000);
    peer.emplace(std::move(far), peers == 1);
  }
  static TransportOptions make_options() {
    TransportOptions options;
    options.wait = W;
    return options;
  }

  void send(Conn conn, const Message& out) {
    const ConstRange range{out.data(), out.size()};
    if (transport.send(conn, {&range, 1}) == SendStatus::pending) ++near.in_flight;
  }
  void round_trip(const Message& out) {
    const std::size_t until = near.received + out.size();
    send(near.open[0], out);
    while (near.received < until) transport.poll(near, MonotonicInstant{INT64_MAX});
  }
  void fan_out(const Message& out) {
    for (const Conn conn : near.open) send(conn, out);
    while (near.in_flight != 0) transport.poll(near, MonotonicInstant{INT64_MAX});
  }
};

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
