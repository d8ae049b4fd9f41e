#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/sim/testing/shared_network_sim.hpp"
#include "transports/testing/chop_transport.hpp"
#include "transports/testing/delay_transport.hpp"
#include "transports/testing/io_uring_with.hpp"
#include "transports/testing/raw_socket.hpp"
#include "transports/tls/testing/secured.hpp"
#include "transports/transport.hpp"
#include "transports/xdp/testing/veth_xdp.hpp"

/// The axioms of transport.hpp as typed tests. An implementation is one line of `Implementations`.
namespace feedbench::transports::testing {

/// What is tested: a transport and how it waits.
template <class T, Wait W>
struct Subject {
  using Type = T;
  static constexpr Wait kWait = W;
};

/// As on a kernel without deferred task run.
using CooperativeIoUring = IoUringWith<IoUringOptions{.deferred_task_run = false}>;
/// Every queue and buffer ring runs full all the time.
using CrampedIoUring = IoUringWith<IoUringOptions{.queue_entries = 2, .receive_buffers = 2}, 4096>;
/// Several buffers a receive; few, so that there are bundles.
using BundlingIoUring = IoUringWith<
    IoUringOptions{.receive_buffers = 8, .registered_files = true, .receive_bundles = true}, 8192>;
/// Several receives a buffer, large sends not copied on their way out.
using IncrementalIoUring =
    IoUringWith<IoUringOptions{
                    .receive_buffers = 4, .incremental_buffers = true, .zero_copy_bytes = 16384},
                16384>;
/// Several of both, while another thread submits.
using SubmittingIoUring = IoUringWith<IoUringOptions{
    .receive_bundles = true, .incremental_buffers = true, .submission_thread = true}>;

/// The readiness transports with a receive buffer that is always too small: a read never drains the socket.
struct CrampedEpoll : EpollTransport {
  explicit CrampedEpoll(TransportOptions options)
      : EpollTransport((options.receive_buffer_bytes = 64, options)) {}
};

/// All connections acknowledge late.
template <class T>
struct LateAck : T {
  using T::T;
  Expected<Endpoint> listen(const Endpoint& endpoint, ConnOptions options) {
    options.late_ack = true;
    return T::listen(endpoint, options);
  }
  Expected<Conn> connect(const Endpoint& endpoint, ConnOptions options) {
    options.late_ack = true;
    return T::connect(endpoint, options);
  }
};

using Implementations = ::testing::Types<
    Subject<SelectTransport, Wait::spin>, Subject<SelectTransport, Wait::block>,
    Subject<EpollTransport, Wait::spin>, Subject<EpollTransport, Wait::block>,
    Subject<IoUringTransport, Wait::spin>, Subject<IoUringTransport, Wait::block>,
    Subject<xdp::testing::VethXdp, Wait::spin>, Subject<xdp::testing::VethXdp, Wait::block>,
    Subject<sim::testing::SharedNetworkSim, Wait::spin>,
    Subject<sim::testing::SharedNetworkSim, Wait::block>,
    // The same under conditions that are rare in life.
    Subject<CooperativeIoUring, Wait::spin>, Subject<CrampedIoUring, Wait::block>,
    Subject<CrampedIoUring, Wait::spin>, Subject<BundlingIoUring, Wait::block>,
    Subject<IncrementalIoUring, Wait::spin>, Subject<SubmittingIoUring, Wait::block>,
    Subject<CrampedEpoll, Wait::spin>, Subject<LateAck<EpollTransport>, Wait::spin>,
    Subject<LateAck<SelectTransport>, Wait::block>, Subject<LateAck<IoUringTransport>, Wait::block>,
    Subject<LateAck<CrampedEpoll>, Wait::block>, Subject<xdp::testing::CrampedXdp, Wait::spin>,
    Subject<xdp::testing::CrampedXdp, Wait::block>, Subject<sim::testing::CrampedSim, Wait::spin>,
    Subject<sim::testing::CrampedSim, Wait::block>,
    Subject<LateAck<sim::testing::SharedNetworkSim>, Wait::block>,
    // With TLS at both ends.
    Subject<tls::testing::Secured<SelectTransport>, Wait::spin>,
    Subject<tls::testing::Secured<EpollTransport>, Wait::block>,
    Subject<tls::testing::Secured<EpollTransport>, Wait::spin>,
    Subject<tls::testing::Secured<IoUringTransport>, Wait::block>,
    Subject<tls::testing::Secured<CrampedEpoll>, Wait::spin>,
    Subject<tls::testing::Secured<xdp::testing::VethXdp>, Wait::spin>,
    Subject<tls::testing::Secured<sim::testing::SharedNetworkSim>, Wait::block>,
    Subject<tls::testing::Secured<sim::testing::CrampedSim>, Wait::spin>,
    // Decorated.
    Subject<ChopTransport<EpollTransport>, Wait::spin>,
    Subject<ChopTransport<IoUringTransport>, Wait::block>,
    Subject<DelayTransport<SelectTransport>, Wait::spin>,
    Subject<DelayTransport<IoUringTransport>, Wait::block>>;

template <class T>
inline constexpr bool kAcksLate = false;
template <class T>
inline constexpr bool kAcksLate<LateAck<T>> = true;
/// True for a transport whose sends are done when the peer has acknowledged them.
template <class T>
inline constexpr bool kSendsWithoutCopy = false;
template <IoUringOptions Options, std::size_t Bytes>
inline constexpr bool kSendsWithoutCopy<IoUringWith<Options, Bytes>> = Options.zero_copy_bytes != 0;
/// True for a transport that gives no stamps for what it receives into memory of its own.
template <class T>
inline constexpr bool kStampsLentMemoryAlone = false;
template <IoUringOptions Options, std::size_t Bytes>
inline constexpr bool kStampsLentMemoryAlone<IoUringWith<Options, Bytes>> =
    Options.incremental_buffers;
/// True for a transport that lives on a network of its own.
template <class T>
inline constexpr bool kHasOwnPlace = requires {
  T::why_not();
};
/// True for a transport whose bytes on the wire are TLS.
template <class T>
inline constexpr bool kIsSecured = requires(T t) {
  t.handshakes_failed();
};
/// True for a transport that the kernel knows nothing of.
template <class T>
inline constexpr bool kIsSimulated = T::name() == "sim";
template <class T>
inline constexpr bool kIsDelayed = false;
template <class T>
inline constexpr bool kIsDelayed<DelayTransport<T>> = true;
template <class T>
inline constexpr bool kIsChopped = false;
template <class T>
inline constexpr bool kIsChopped<ChopTransport<T>> = true;

/// What one connection has seen.
struct Seen {
  bool accepted = false;
  unsigned opens = 0;
  unsigned closes = 0;
  CloseInfo close;
  std::vector<std::byte> received;
  std::vector<std::size_t> chunks;
  std::vector<RxStamps> stamps;
  std::vector<std::size_t> sent;
};

/// A handler that records everything, checks the order of callbacks, and lets a test hook in.
class Recorder {
 public:
  std::function<void(Conn, bool)> opened;
  std::function<void(Conn, std::span<std::byte>)> received;
  std::function<void(Conn, std::size_t)> sent;
  std::function<void(Conn)> closed;
  std::function<std::span<std::byte>(Conn)> space;
  bool inside_poll = false;
  unsigned wakes = 0;
  std::size_t callbacks = 0;
  std::vector<Conn> accepted;
  std::vector<Conn> connected;
  std::vector<Conn> ended;

  Seen& of(Conn conn) { return seen_[{conn.index, conn.generation}]; }

  void on_open(Conn conn, bool is_accepted) {
    Seen& seen = note(conn);
    EXPECT_EQ(seen.opens, 0u) << "on_open came twice";
    ++seen.opens;
    seen.accepted = is_accepted;
    (is_accepted ? accepted : connected).push_back(conn);
    if (opened) opened(conn, is_accepted);
  }
  void on_receive(Conn conn, std::span<std::byte> bytes, const RxStamps& stamps) {
    Seen& seen = note(conn);
    EXPECT_EQ(seen.opens, 1u) << "on_receive before on_open";
    EXPECT_FALSE(bytes.empty());
    seen.received.insert(seen.received.end(), bytes.begin(), bytes.end());
    seen.chunks.push_back(bytes.size());
    seen.stamps.push_back(stamps);
    if (received) received(conn, bytes);
  }
  void on_sent(Conn conn, std::size_t n) {
    Seen& seen = note(conn);
    EXPECT_EQ(seen.opens, 1u) << "on_sent before on_open";
    seen.sent.push_back(n);
    if (sent) sent(conn, n);
  }
  void on_close(Conn conn, CloseInfo info) {
    Seen& seen = note(conn);
    ++seen.closes;
    seen.close = info;
    ended.push_back(conn);
    if (closed) closed(conn);
  }
  void on_wake() {
    EXPECT_TRUE(inside_poll);
    ++callbacks;
    ++wakes;
  }
  std::span<std::byte> receive_space(Conn conn) {
    EXPECT_TRUE(inside_poll);
    EXPECT_EQ(of(conn).closes, 0u);
    return space ? space(conn) : std::span<std::byte>{};
  }

 private:
  Seen& note(Conn conn) {
    EXPECT_TRUE(inside_poll) << "a callback from outside poll()";
    ++callbacks;
    Seen& seen = of(conn);
    EXPECT_EQ(seen.closes, 0u) << "a callback after on_close";
    return seen;
  }
  std::map<std::pair<std::uint32_t, std::uint32_t>, Seen> seen_;
};

/// `bytes` bytes of which any two stretches differ; `salt` makes streams differ.
inline std::vector<std::byte> pattern(std::size_t bytes, std::uint32_t salt = 0) {
  std::vector<std::byte> made(bytes);
  std::uint32_t state = salt * 2654435761u + 12345u;
  for (std::byte& byte : made) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return made;
}

inline ConstRange range_of(std::span<const std::byte> bytes) {
  return {bytes.data(), bytes.size()};
}

template <class S>
class Conformance : public ::testing::Test {
 protected:
  using T = typename S::Type;

  static TransportOptions options() {
    TransportOptions made;
    made.wait = S::kWait;
    made.connections_max = 1024;
    return made;
  }

  void make(const TransportOptions& with = options()) {
    transport_.reset();  // before the next one: what it has, may be had once
    transport_ = std::make_unique<T>(with);
    recorder_ = {};
  }
  void SetUp() override {
    if constexpr (kHasOwnPlace<T>) {
      if (!T::why_not().empty()) GTEST_SKIP() << T::why_not();
      RawSocket::place() = T::place([this] { poll_once(); });
    }
    if constexpr (kIsSecured<T>) {
      RawSocket::place().poll = [this] {
        if (!recorder_.inside_poll) poll_once();
      };
      RawSocket::place().layer = tls::testing::TlsPeerLayer::make;
    }
    make();
  }
  void TearDown() override { RawSocket::place() = {}; }

  /// Where a transport listens that was told nothing.
  static constexpr const char* address() {
    if constexpr (kHasOwnPlace<T>) {
      return T::kAddress;
    } else {
      return "127.0.0.1";
    }
  }

  T& transport() { return *transport_; }

  void poll_once(std::int64_t wait_ns = 1'000'000) {
    recorder_.inside_poll = true;
    transport_->poll(recorder_, transport_->now() + wait_ns);
    recorder_.inside_poll = false;
  }

  /// Polls until `done`, and gives up when nothing has come of it for very long: in time, and in
  /// polls, because a process that was stopped for a while has had no chance yet.
  ::testing::AssertionResult run_until(const std::function<bool()>& done) {
    const MonotonicInstant give_up = MonotonicInstant::now() + 60'000'000'000;
    int polls_left = 10'000;
    while (!done()) {
      if (MonotonicInstant::now() > give_up && --polls_left < 0) {
        return ::testing::AssertionFailure() << "nothing came of it in a minute";
      }
      poll_once();
    }
    return ::testing::AssertionSuccess();
  }

  /// Polls a while, to see that something does not happen.
  void poll_a_while() {
    for (int i = 0; i < 20; ++i) poll_once(100'000);
  }

  Endpoint listen(const ConnOptions& with = {}) {
    auto endpoint = transport_->listen({}, with);
    EXPECT_TRUE(endpoint.has_value()) << endpoint.error().message;
    return *endpoint;
  }

  Conn connect(const Endpoint& endpoint, const ConnOptions& with = {}) {
    auto conn = transport_->connect(endpoint, with);
    EXPECT_TRUE(conn.has_value()) << conn.error().message;
    return *conn;
  }

  /// Two ends of one connection of this transport: {connected, accepted}.
  std::pair<Conn, Conn> pair(const ConnOptions& connected = {}, const ConnOptions& accepted = {}) {
    const Endpoint endpoint = listen(accepted);
    const Conn ours = connect(endpoint, connected);
    const std::size_t before = recorder_.accepted.size();
    EXPECT_TRUE(run_until(
        [&] { return recorder_.accepted.size() == before + 1 && recorder_.of(ours).opens == 1; }));
    return {ours, recorder_.accepted.back()};
  }

  /// A connection whose other end is a plain socket: {accepted by the transport, the socket}.
  std::pair<Conn, RawSocket> with_raw_peer(const ConnOptions& with = {},
                                           int peer_receive_buffer_bytes = 0) {
    const std::size_t before = recorder_.accepted.size();
    RawSocket peer = RawSocket::connect(listen(with), peer_receive_buffer_bytes);
    EXPECT_TRUE(run_until([&] { return recorder_.accepted.size() == before + 1; }));
    return {recorder_.accepted.back(), std::move(peer)};
  }

  SendStatus send(Conn conn, std::span<const std::byte> bytes) {
    const ConstRange range = range_of(bytes);
    return transport_->send(conn, {&range, 1});
  }

  /// Sends all of it and polls until it has left.
  void send_all(Conn conn, std::span<const std::byte> bytes) {
    const std::size_t before = recorder_.of(conn).sent.size();
    const SendStatus status = send(conn, bytes);
    if (status == SendStatus::completed) return;
    ASSERT_EQ(status, SendStatus::pending);
    ASSERT_TRUE(run_until([&] { return recorder_.of(conn).sent.size() > before; }));
    ASSERT_EQ(recorder_.of(conn).sent.back(), bytes.size());
  }

  /// Reads from the socket what is there, while polling, until `bytes` are there or it ends.
  std::vector<std::byte> read_raw(const RawSocket& socket, std::size_t bytes) {
    std::vector<std::byte> got(bytes);
    std::size_t have = 0;
    bool ended = false;
    EXPECT_TRUE(run_until([&] {
      while (have < bytes) {
        const ssize_t n = socket.receive(std::span(got).subspan(have));
        if (n == 0 || (n < 0 && errno != EAGAIN)) ended = true;
        if (n <= 0) break;
        have += static_cast<std::size_t>(n);
      }
      return have == bytes || ended;
    }));
    got.resize(have);
    return got;
  }

  /// What the socket's stream ends with: 0 for FIN, else errno.
  int end_of(const RawSocket& socket) {
    std::vector<std::byte> rest(65536);
    int result = -1;
    EXPECT_TRUE(run_until([&] {
      const ssize_t n = socket.receive(rest);
      if (n == 0) result = 0;
      if (n < 0 && errno != EAGAIN) result = errno;
      return result >= 0;
    }));
    return result;
  }

  Recorder recorder_;
  std::vector<std::byte> lent_;  // outlives the transport, as lent memory must
  std::unique_ptr<T> transport_;
};

}  // namespace feedbench::transports::testing
