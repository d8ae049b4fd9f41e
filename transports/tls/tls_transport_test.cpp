// What TlsTransport promises beyond the axioms of a transport, over the simulated network.
#include "transports/tls/tls_transport.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "transports/sim/sim_transport.hpp"
#include "transports/tls/testing/tls_peer_layer.hpp"

namespace feedbench::tls {
namespace {

using transports::CloseInfo;
using transports::CloseReason;
using transports::Conn;
using transports::SimTransport;
using transports::sim::EndId;
using transports::sim::EndState;
using transports::sim::Network;
using Tls = TlsTransport<SimTransport>;

struct Seen {
  std::vector<Conn> open;
  std::vector<CloseInfo> closed;
  std::vector<std::string> why;
  Tls* transport = nullptr;
  void on_open(Conn conn, bool) { open.push_back(conn); }
  void on_receive(Conn, std::span<std::byte>, const transports::RxStamps&) {}
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo info) {
    closed.push_back(info);
    why.push_back(transport->why());
  }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

class TlsTransportTest : public ::testing::Test {
 protected:
  void make(TlsTransportOptions tls) {
    transport_ = std::make_unique<Tls>(transports::TransportOptions{.connections_max = 64}, tls,
                                       network_, SimTransport::Clock::moved_by_poll);
    seen_.transport = transport_.get();
  }
  static TlsTransportOptions serving() {
    return {.accepts = &testing::SharedContexts::get().server};
  }
  void poll(std::int64_t for_ns = 1'000'000) {
    const transports::MonotonicInstant end = transport_->now() + for_ns;
    while (transport_->now() < end) transport_->poll(seen_, end);
  }
  EndId plain_peer(const transports::Endpoint& to) {
    return *network_.connect("test", to, nullptr, 0, {});
  }
  void say(EndId end, std::string_view text) {
    const transports::ConstRange range{reinterpret_cast<const std::byte*>(text.data()),
                                       text.size()};
    network_.write(end, {&range, 1}, true);
  }

  Network network_;
  Seen seen_;
  std::unique_ptr<Tls> transport_;
};

TEST_F(TlsTransportTest, WhoSpeaksNoTlsIsNeverSeenAndCounted) {
  make(serving());
  const auto at = *transport_->listen({"10.0.0.1", 0}, {});
  const EndId peer = plain_peer(at);
  poll();
  say(peer, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  poll();
  EXPECT_TRUE(seen_.open.empty() && seen_.closed.empty());
  EXPECT_EQ(transport_->handshakes_failed(), 1u);
  std::vector<std::byte> alert(network_.readable(peer));  // OpenSSL has none for an HTTP request
  network_.read(peer, alert);
  EXPECT_EQ(network_.state(peer), EndState::finished);
  network_.close(peer);
  poll();
  EXPECT_EQ(network_.links(), 0u);
}

TEST_F(TlsTransportTest, AHandshakeThatIsNotFinishedIsCutInTime) {
  TlsTransportOptions options = serving();
  options.handshake_timeout_ns = 1'000'000'000;
  make(options);
  const auto at = *transport_->listen({"10.0.0.1", 0}, {});
  const EndId peer = plain_peer(at);
  poll();
  say(peer, "\x16\x03\x01");  // the first bytes of a hello
  poll(900'000'000);
  EXPECT_EQ(network_.state(peer), EndState::open);
  poll(200'000'000);
  EXPECT_EQ(network_.state(peer), EndState::reset);
  EXPECT_TRUE(seen_.open.empty() && seen_.closed.empty());
  EXPECT_EQ(transport_->handshakes_failed(), 1u);
}

TEST_F(TlsTransportTest, PeersInTheirHandshakeTakeNoMoreThanTheirRoom) {
  TlsTransportOptions options = serving();
  options.accepts_max = 3;
  make(options);
  const auto at = *transport_->listen({"10.0.0.1", 0}, {});
  std::vector<EndId> peers;
  for (int i = 0; i < 5; ++i) peers.push_back(plain_peer(at));
  poll();
  std::size_t reset = 0;
  for (const EndId peer : peers) reset += network_.state(peer) == EndState::reset;
  EXPECT_EQ(reset, 2u);
  EXPECT_EQ(transport_->counters().accepts_refused, 2u);
  // A place that becomes free is given again.
  network_.close(peers[0]);
  poll();
  const EndId next = plain_peer(at);
  poll();
  EXPECT_EQ(network_.state(next), EndState::open);
}

TEST_F(TlsTransportTest, AStreamThatEndsWithoutSayingSoIsAnErrorInWords) {
  make({.accepts = &testing::SharedContexts::get().server,
        .connects = &testing::SharedContexts::get().client});
  const auto at = *transport_->listen({"10.0.0.1", 0}, {});
  const Conn mine = *transport_->connect(at, {});
  poll();
  ASSERT_EQ(seen_.open.size(), 2u);
  // Under the TLS of one end: FIN and no close_notify.
  transport_->inner().close(mine);
  poll();
  ASSERT_EQ(seen_.closed.size(), 2u);
  const std::size_t other = seen_.closed[0].reason == CloseReason::error ? 0 : 1;
  EXPECT_EQ(seen_.closed[other].reason, CloseReason::error);
  EXPECT_EQ(seen_.closed[other].os_error, EPROTO);
  EXPECT_NE(seen_.why[other].find("close_notify"), std::string::npos) << seen_.why[other];
}

TEST_F(TlsTransportTest, WithoutContextsItIsNotThere) {
  make({});
  const auto at = *transport_->listen({"10.0.0.1", 0}, {});
  const EndId peer = plain_peer(at);
  poll();
  ASSERT_EQ(seen_.open.size(), 1u);
  const std::byte byte{7};
  const transports::ConstRange range{&byte, 1};
  EXPECT_EQ(transport_->send(seen_.open[0], {&range, 1}), transports::SendStatus::completed);
  poll();
  EXPECT_EQ(network_.readable(peer), 1u);
}

}  // namespace
}  // namespace feedbench::tls
