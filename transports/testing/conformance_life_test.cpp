// The axioms about connections: opening, closing, resets, handles, limits.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "transports/sockets.hpp"
#include "transports/testing/conformance.hpp"

namespace feedbench::transports::testing {
namespace {

template <class S>
class ConformanceLife : public Conformance<S> {};
TYPED_TEST_SUITE(ConformanceLife, Implementations);

TYPED_TEST(ConformanceLife, ListenTellsThePortChosen) {
  const Endpoint endpoint = this->listen();
  EXPECT_EQ(endpoint.address, this->address());
  EXPECT_NE(endpoint.port, 0);
}

TYPED_TEST(ConformanceLife, OpensEachEndOnceAndClosesEachOnce) {
  const auto [client, server] = this->pair();
  EXPECT_FALSE(this->recorder_.of(client).accepted);
  EXPECT_TRUE(this->recorder_.of(server).accepted);
  this->transport().close(client);
  this->transport().close(client);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 2; }));
  this->poll_a_while();
  EXPECT_EQ(this->recorder_.of(client).opens, 1u);
  EXPECT_EQ(this->recorder_.of(client).closes, 1u);
  EXPECT_EQ(this->recorder_.of(client).close.reason, CloseReason::local);
  EXPECT_EQ(this->recorder_.of(server).opens, 1u);
  EXPECT_EQ(this->recorder_.of(server).closes, 1u);
  EXPECT_EQ(this->recorder_.of(server).close.reason, CloseReason::peer);
}

TYPED_TEST(ConformanceLife, WorksOverIPv6) {
  auto endpoint = this->transport().listen({"::1", 0}, {});
  if (!endpoint) GTEST_SKIP() << "no IPv6 here: " << endpoint.error().message;
  const Conn client = this->connect(*endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(client).opens == 1; }));
  EXPECT_EQ(to_string(*endpoint).substr(0, 6), "[::1]:");
}

TYPED_TEST(ConformanceLife, ConnectingWhereNobodyListensIsRefused) {
  Endpoint nobody;
  {
    RawSocket listener = RawSocket::listen();
    nobody = listener.endpoint();
  }
  const Conn conn = this->connect(nobody);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).opens, 0u);
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::refused);
  EXPECT_EQ(this->recorder_.of(conn).close.os_error, ECONNREFUSED);
}

TYPED_TEST(ConformanceLife, AnAddressThatIsNoneIsAnErrorThatSaysSo) {
  const auto conn = this->transport().connect({"not an address", 80}, {});
  ASSERT_FALSE(conn.has_value());
  EXPECT_NE(conn.error().message.find("\"not an address\" is not a numeric"), std::string::npos)
      << conn.error().message;
  EXPECT_FALSE(this->transport().listen({"300.0.0.1", 0}, {}).has_value());
}

TYPED_TEST(ConformanceLife, APortInUseIsAnErrorThatNamesIt) {
  const Endpoint endpoint = this->listen();
  const auto again = this->transport().listen(endpoint, {});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().os_error, EADDRINUSE);
  EXPECT_NE(again.error().message.find("listen " + std::string(TestFixture::T::name())),
            std::string::npos);
  EXPECT_NE(again.error().message.find(to_string(endpoint)), std::string::npos);
  // The first goes on listening.
  const Conn conn = this->connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).opens == 1; }));
}

TYPED_TEST(ConformanceLife, ListensOnSeveralEndpointsAndSaysWhenItsTableIsFull) {
  std::vector<Endpoint> endpoints;
  for (int i = 0; i < 8; ++i) endpoints.push_back(this->listen());
  EXPECT_FALSE(this->transport().listen({}, {}).has_value());
  for (const Endpoint& endpoint : endpoints) this->connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == endpoints.size(); }));
}

TYPED_TEST(ConformanceLife, AFinIsToldApartFromAReset) {
  auto [finished, one] = this->with_raw_peer();
  one.close();
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(finished).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(finished).close.reason, CloseReason::peer);
  auto [broken, two] = this->with_raw_peer();
  two.reset();
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(broken).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(broken).close.reason, CloseReason::reset);
  EXPECT_EQ(this->recorder_.of(broken).close.os_error, ECONNRESET);
}

TYPED_TEST(ConformanceLife, DeliversWhatWasSentBeforeTheFin) {
  for (const std::size_t bytes : {1u, 100u, 4096u, 100'000u}) {
    auto [conn, peer] = this->with_raw_peer();
    const auto out = pattern(bytes);
    ASSERT_EQ(peer.send(out), static_cast<ssize_t>(bytes));
    peer.finish_sending();
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
    EXPECT_EQ(this->recorder_.of(conn).received, out);
    EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::peer);
  }
}

TYPED_TEST(ConformanceLife, DeliversWhatWasSentBeforeTheConnectionIsSeen) {
  RawSocket peer = RawSocket::connect(this->listen());
  const auto out = pattern(10'000);
  ASSERT_EQ(peer.send(out), 10'000);
  peer.close();
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 1; }));
  const Conn conn = this->recorder_.ended.front();
  EXPECT_EQ(this->recorder_.of(conn).opens, 1u);
  EXPECT_EQ(this->recorder_.of(conn).received, out);
}

TYPED_TEST(ConformanceLife, DeliversWhatWasReceivedBeforeTheReset) {
  auto [conn, peer] = this->with_raw_peer();
  const auto out = pattern(10'000);
  ASSERT_EQ(peer.send(out), 10'000);
  peer.reset();
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).received, out);
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::reset);
}

TYPED_TEST(ConformanceLife, ASendToAPeerThatResetEndsInOneReset) {
  auto [conn, peer] = this->with_raw_peer();
  const auto before = pattern(5000);
  ASSERT_EQ(peer.send(before), 5000);
  peer.reset();
  const auto out = pattern(100);
  const SendStatus status = this->send(conn, out);
  EXPECT_TRUE(status == SendStatus::closed || status == SendStatus::pending);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::reset);
  EXPECT_EQ(this->recorder_.of(conn).received, before);
  EXPECT_TRUE(this->recorder_.of(conn).sent.empty());
  EXPECT_EQ(this->send(conn, out), SendStatus::closed);
}

TYPED_TEST(ConformanceLife, AResetWhileASendIsPendingEndsItWithTheClose) {
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(3'000'000);
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  this->poll_a_while();
  peer.reset();
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::reset);
  EXPECT_TRUE(this->recorder_.of(conn).sent.empty());
}

TYPED_TEST(ConformanceLife, CloseDeliversWhatWasSentAndThenFin) {
  auto [conn, peer] = this->with_raw_peer();
  const auto out = pattern(100'000);
  ASSERT_NO_FATAL_FAILURE(this->send_all(conn, out));
  this->transport().close(conn);
  EXPECT_EQ(this->send(conn, out), SendStatus::closed);
  EXPECT_EQ(this->read_raw(peer, out.size()), out);
  EXPECT_EQ(this->end_of(peer), 0);
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::local);
}

// A socket that is closed with unread bytes answers with RST, and the RST makes the peer lose what it has not read.
TYPED_TEST(ConformanceLife, CloseDeliversWhatWasSentAlsoWhenThePeerIsStillSending) {
  auto [conn, peer] = this->with_raw_peer();
  const auto out = pattern(100'000);
  ASSERT_NO_FATAL_FAILURE(this->send_all(conn, out));
  const auto noise = pattern(5000);
  ASSERT_GT(peer.send(noise), 0);
  this->transport().close(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  for (int i = 0; i < 10; ++i) {
    ASSERT_GT(peer.send(noise), 0);
    this->poll_once();
  }
  EXPECT_EQ(this->read_raw(peer, out.size()), out);
  EXPECT_EQ(this->end_of(peer), 0);
  EXPECT_TRUE(this->recorder_.of(conn).received.empty()) << "received after close()";
}

TYPED_TEST(ConformanceLife, CloseAbandonsAPendingSend) {
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  auto out = pattern(3'000'000);
  const auto expected = out;
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  this->poll_a_while();
  this->transport().close(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  std::fill(out.begin(), out.end(), std::byte{0});  // the memory is the caller's again
  const auto got = this->read_raw(peer, out.size());
  EXPECT_LT(got.size(), out.size());
  EXPECT_TRUE(std::equal(got.begin(), got.end(), expected.begin()));
  EXPECT_TRUE(this->recorder_.of(conn).sent.empty());
}

TYPED_TEST(ConformanceLife, AbortSendsAReset) {
  auto [conn, peer] = this->with_raw_peer();
  this->transport().abort(conn);
  this->transport().abort(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::local);
  EXPECT_EQ(this->end_of(peer), ECONNRESET);
}

TYPED_TEST(ConformanceLife, AConnectCanBeGivenUp) {
  const Endpoint endpoint = this->listen();
  const Conn closed = this->connect(endpoint);
  const Conn aborted = this->connect(endpoint);
  this->transport().close(closed);
  this->transport().abort(aborted);
  ASSERT_TRUE(this->run_until([&] {
    return this->recorder_.of(closed).closes == 1 && this->recorder_.of(aborted).closes == 1;
  }));
  EXPECT_EQ(this->recorder_.of(closed).opens, 0u);
  EXPECT_EQ(this->recorder_.of(aborted).opens, 0u);
}

TYPED_TEST(ConformanceLife, AHandleIsNeverReused) {
  const Endpoint endpoint = this->listen();
  std::vector<Conn> used;
  for (int i = 0; i < 50; ++i) {
    const Conn conn = this->connect(endpoint);
    EXPECT_EQ(std::find(used.begin(), used.end(), conn), used.end());
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).opens == 1; }));
    for (const Conn old : used) {
      EXPECT_EQ(this->send(old, pattern(1)), SendStatus::closed);
      this->transport().close(old);
      this->transport().abort(old);
      this->transport().cancel_send(old);
      this->transport().resume_receive(old);
    }
    used.push_back(conn);
    this->transport().close(conn);
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == used.size() * 2; }));
  }
  EXPECT_LT(
      std::max_element(used.begin(), used.end(), [](Conn a, Conn b) { return a.index < b.index; })
          ->index,
      20u)
      << "indices are dense";
}

TYPED_TEST(ConformanceLife, EveryCallbackMayCloseItsConnection) {
  const Endpoint endpoint = this->listen();
  this->recorder_.opened = [&](Conn conn, bool accepted) {
    if (accepted) this->transport().close(conn);
  };
  this->recorder_.closed = [&](Conn conn) { this->transport().close(conn); };
  RawSocket peer = RawSocket::connect(endpoint);
  ASSERT_EQ(peer.send(pattern(100)), 100);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 1; }));
  EXPECT_EQ(this->end_of(peer), 0);
  EXPECT_TRUE(this->recorder_.of(this->recorder_.ended[0]).received.empty());

  this->recorder_.opened = nullptr;
  this->recorder_.received = [&](Conn conn, std::span<std::byte>) {
    this->transport().close(conn);
  };
  RawSocket second = RawSocket::connect(endpoint);
  ASSERT_EQ(second.send(pattern(100'000)), 100'000);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 2; }));
  EXPECT_EQ(this->recorder_.of(this->recorder_.ended[1]).chunks.size(), 1u)
      << "received after close()";
  EXPECT_EQ(this->end_of(second), 0);
}

TYPED_TEST(ConformanceLife, EveryCallbackMayAbortItsConnection) {
  const Endpoint endpoint = this->listen();
  this->recorder_.opened = [&](Conn conn, bool accepted) {
    if (accepted) this->transport().abort(conn);
  };
  this->recorder_.closed = [&](Conn conn) { this->transport().abort(conn); };
  RawSocket first = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 1; }));
  EXPECT_EQ(this->end_of(first), ECONNRESET);

  this->recorder_.opened = nullptr;
  this->recorder_.received = [&](Conn conn, std::span<std::byte>) {
    this->transport().abort(conn);
  };
  RawSocket second = RawSocket::connect(endpoint);
  ASSERT_EQ(second.send(pattern(100'000)), 100'000);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 2; }));
  EXPECT_EQ(this->recorder_.of(this->recorder_.ended[1]).chunks.size(), 1u);
  EXPECT_EQ(this->end_of(second), ECONNRESET);
}

TYPED_TEST(ConformanceLife, OnSentMayCloseAndMaySendAgain) {
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const Conn sender = conn;
  const auto out = pattern(500'000);
  int rounds = 0;
  this->recorder_.sent = [&](Conn on, std::size_t) {
    EXPECT_EQ(on, sender);
    if (++rounds == 1) {
      EXPECT_EQ(this->send(sender, out), SendStatus::pending);
    } else {
      this->transport().close(sender);
    }
  };
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  EXPECT_EQ(this->read_raw(peer, out.size()), out);
  EXPECT_EQ(this->read_raw(peer, out.size()), out);
  EXPECT_EQ(this->end_of(peer), 0);
  EXPECT_EQ(rounds, 2);
}

TYPED_TEST(ConformanceLife, OneConnectionMayCloseAnotherInACallback) {
  const Endpoint endpoint = this->listen();
  std::vector<RawSocket> peers;
  for (int i = 0; i < 20; ++i) peers.push_back(RawSocket::connect(endpoint));
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 20; }));
  // All have something to read in one turn; the first that is served ends all others.
  Conn first;
  this->recorder_.received = [&](Conn conn, std::span<std::byte>) {
    if (first.valid()) return;
    first = conn;
    for (const Conn other : this->recorder_.accepted) {
      if (!(other == conn)) this->transport().abort(other);
    }
  };
  for (const RawSocket& peer : peers) ASSERT_EQ(peer.send(pattern(10)), 10);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 19; }));
  std::size_t received = 0;
  for (const Conn conn : this->recorder_.accepted)
    received += this->recorder_.of(conn).received.size();
  EXPECT_EQ(received, 10u);
}

TYPED_TEST(ConformanceLife, RefusesMoreThanConnectionsMaxAndCountsThem) {
  TransportOptions options = this->options();
  options.connections_max = 2;
  this->make(options);
  const Endpoint endpoint = this->listen();
  RawSocket one = RawSocket::connect(endpoint);
  RawSocket two = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 2; }));
  RawSocket three = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->transport().counters().accepts_refused == 1; }));
  EXPECT_EQ(this->end_of(three), ECONNRESET);
  EXPECT_EQ(this->recorder_.accepted.size(), 2u);
  const auto error = this->transport().connect(endpoint, {});
  ASSERT_FALSE(error.has_value());
  EXPECT_NE(error.error().message.find("raise connections_max"), std::string::npos);
  // A place that becomes free is given again.
  one.close();
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 1; }));
  RawSocket four = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 3; }));
}

TYPED_TEST(ConformanceLife, SurvivesRunningOutOfDescriptors) {
  const Endpoint endpoint = this->listen();
  RawSocket first = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 1; }));
  RawSocket second = RawSocket::connect(endpoint);  // in the backlog, not accepted yet
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  // The spare descriptor of the transport has a higher number than the limit allows to open again, so what is asked here
  // is only that it neither spins nor dies, and goes on when descriptors are there again.
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  this->poll_a_while();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  this->poll_a_while();
  ASSERT_EQ(first.send(pattern(10)), 10);
  ASSERT_TRUE(this->run_until(
      [&] { return this->recorder_.of(this->recorder_.accepted[0]).received.size() == 10; }));
  RawSocket third = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() >= 2; }));
}

TYPED_TEST(ConformanceLife, WithoutDescriptorsItRefusesWhoWaitsAndThenSleeps) {
  if (kHasOwnPlace<typename TestFixture::T>) GTEST_SKIP() << "its connections need no descriptor";
  if (kIsSecured<typename TestFixture::T> && tls::tls_provider().name == "wolfSSL")
    GTEST_SKIP() << "wolfSSL opens /dev/urandom for each new session, the peers' too";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = 256;  // before listening: an io_uring accept keeps the limit it was made under
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const Endpoint endpoint = this->listen();
  RawSocket first = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 1; }));
  std::deque<sockets::Descriptor> fill;
  while (fill.emplace_back(::dup(0)).get() >= 0) {
  }
  fill.pop_back();
  fill.pop_back();
  RawSocket second = RawSocket::connect(endpoint);  // has the last one
  const auto refused =
      this->run_until([&] { return this->transport().counters().accepts_refused == 1; });
  int polls = 0;
  for (const MonotonicInstant end = this->transport().now() + 50'000'000;
       this->transport().now() < end; ++polls) {
    this->poll_once(50'000'000);
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(refused);
  if (TypeParam::kWait == Wait::block) {
    EXPECT_LT(polls, 10) << "it does not sleep";
  }
  fill.clear();
  RawSocket third = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 2; }));
  this->transport().stop_listening();
  EXPECT_TRUE(this->transport().listen(endpoint, {}).has_value());
}

TYPED_TEST(ConformanceLife, StopListeningKeepsWhatIsOpen) {
  const Endpoint endpoint = this->listen();
  RawSocket peer = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 1; }));
  this->transport().stop_listening();
  this->transport().stop_listening();
  const Conn late = this->connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(late).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(late).close.reason, CloseReason::refused);
  ASSERT_EQ(peer.send(pattern(10)), 10);
  ASSERT_TRUE(this->run_until(
      [&] { return this->recorder_.of(this->recorder_.accepted[0]).received.size() == 10; }));
  // The port can be listened on again.
  EXPECT_TRUE(this->transport().listen(endpoint, {}).has_value());
  const Conn again = this->connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(again).opens == 1; }));
}

TYPED_TEST(ConformanceLife, ATransportThatIsGoneLeavesNothingBehind) {
  const Endpoint endpoint = this->listen();
  RawSocket peer = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 1; }));
  this->make();
  EXPECT_EQ(this->end_of(peer), 0);
  // Its port is free at once, and its accept does not take the next connection.
  const auto again = this->transport().listen(endpoint, {});
  ASSERT_TRUE(again.has_value()) << again.error().message;
  RawSocket next = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 1; }));
}

TYPED_TEST(ConformanceLife, ServesFiveHundredConnections) {
  constexpr std::size_t kCount = 500;
  const Endpoint endpoint = this->listen();
  std::vector<Conn> clients;
  for (std::size_t i = 0; i < kCount; ++i) {
    clients.push_back(this->connect(endpoint));
    if (i % 50 == 49) this->poll_once();
  }
  ASSERT_TRUE(this->run_until([&] {
    return this->recorder_.accepted.size() == kCount && this->recorder_.connected.size() == kCount;
  }));
  this->recorder_.received = [&](Conn conn, std::span<std::byte> bytes) {
    if (!this->recorder_.of(conn).accepted) return;
    // Echoes by copy, because the send may outlive the callback. Few bytes: it is not partial.
    static std::vector<std::vector<std::byte>> kept(2048);
    kept[conn.index].assign(bytes.begin(), bytes.end());
    EXPECT_NE(this->send(conn, kept[conn.index]), SendStatus::closed);
  };
  for (std::uint32_t round = 0; round < 3; ++round) {
    std::vector<std::vector<std::byte>> out;
    for (std::uint32_t i = 0; i < kCount; ++i) {
      // One byte, so that a chopped chunk is not echoed while the echo before it is under way.
      out.push_back(pattern(1, i * 3 + round));
      const SendStatus status = this->send(clients[i], out.back());
      ASSERT_TRUE(status == SendStatus::completed || status == SendStatus::pending);
    }
    ASSERT_TRUE(this->run_until([&] {
      return std::all_of(clients.begin(), clients.end(), [&](Conn conn) {
        return this->recorder_.of(conn).received.size() == round + 1;
      });
    }));
    for (std::uint32_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(this->recorder_.of(clients[i]).received.back(), out[i][0]);
    }
    this->poll_a_while();
  }
  for (const Conn conn : clients) this->transport().close(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == 2 * kCount; }));
}

TYPED_TEST(ConformanceLife, ManyShortLivesLeakNothing) {
  TransportOptions options = this->options();
  options.connections_max = 8;
  this->make(options);
  const Endpoint endpoint = this->listen();
  this->recorder_.received = [&](Conn conn, std::span<std::byte>) {
    this->transport().close(conn);
  };
  for (std::size_t i = 1; i <= 500; ++i) {
    RawSocket peer = RawSocket::connect(endpoint);
    ASSERT_EQ(peer.send(pattern(1)), 1);
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.ended.size() == i; })) << i;
  }
  EXPECT_EQ(this->transport().counters().accepts_refused, 0u);
}

}  // namespace
}  // namespace feedbench::transports::testing
