#pragma once

#include <arpa/inet.h>
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

#include "transports/transport.hpp"

/// The ends that benchmarks of transports measure between: the far one spins on plain sockets in a thread of its own and
/// checks what arrives.
namespace feedbench::transports::testing {

inline constexpr std::size_t kMessageBytes = 128;
using Message = std::array<std::byte, kMessageBytes>;

inline Message message(unsigned salt) {
  Message made;
  for (std::size_t i = 0; i < made.size(); ++i) made[i] = static_cast<std::byte>(i * 7 + salt);
  return made;
}

inline int plain_connect(const Endpoint& endpoint) {
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
inline bool read_message(int descriptor, Message& into, const std::atomic<bool>& stop) {
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

}  // namespace feedbench::transports::testing
