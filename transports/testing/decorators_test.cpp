#include <gtest/gtest.h>

#include "transports/testing/conformance.hpp"
#include "transports/testing/fail_transport.hpp"

namespace feedbench::transports::testing {
namespace {

static_assert(Transport<ChopTransport<EpollTransport>>);
static_assert(Transport<FailTransport<EpollTransport>>);
static_assert(Transport<DelayTransport<EpollTransport>>);

class Chop : public Conformance<Subject<ChopTransport<EpollTransport>, Wait::block>> {};

TEST_F(Chop, CutsEveryChunkIntoPiecesOfTheSizeAsked) {
  auto [conn, peer] = with_raw_peer({.nic_stamps = true});
  const auto out = pattern(100);
  for (std::size_t piece = 1; piece <= out.size(); ++piece) {
    transport().chop(piece);
    recorder_.of(conn).received.clear();
    recorder_.of(conn).chunks.clear();
    recorder_.of(conn).stamps.clear();
    ASSERT_EQ(peer.send(out), 100);
    ASSERT_TRUE(run_until([&] { return recorder_.of(conn).received.size() == out.size(); }));
    EXPECT_EQ(recorder_.of(conn).received, out);
    const auto& chunks = recorder_.of(conn).chunks;
    EXPECT_EQ(chunks.size(), (out.size() + piece - 1) / piece);
    for (std::size_t i = 0; i + 1 < chunks.size(); ++i) {
      EXPECT_EQ(chunks[i], piece);
      EXPECT_FALSE(recorder_.of(conn).stamps[i].nic.present()) << "the stamp is the last byte's";
    }
  }
}

TEST_F(Chop, StopsInTheMiddleOfAChunkWhenTheHandlerCloses) {
  auto [conn, peer] = with_raw_peer();
  recorder_.received = [this](Conn on, std::span<std::byte>) {
    if (recorder_.of(on).received.size() == 7) transport().close(on);
  };
  ASSERT_EQ(peer.send(pattern(100)), 100);
  ASSERT_TRUE(run_until([&] { return recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(recorder_.of(conn).received.size(), 7u);
}

class Fail : public Conformance<Subject<FailTransport<EpollTransport>, Wait::block>> {};

// The scenario: connect, ask, be answered, close. Whatever fails, both ends end once, and nothing hangs.
TEST_F(Fail, TheScenarioEndsInOrderWhicheverOperationFails) {
  std::uint64_t failures = 0;
  for (std::uint64_t n = 0;; ++n) {
    make();
    const auto question = pattern(100);
    const auto answer = pattern(100, 1);
    bool answered = false;
    recorder_.opened = [&](Conn conn, bool accepted) {
      if (!accepted) send(conn, question);
    };
    recorder_.received = [&](Conn conn, std::span<std::byte>) {
      if (recorder_.of(conn).accepted) {
        send(conn, answer);
      } else {
        answered = true;
        transport().close(conn);
      }
    };
    const Endpoint endpoint = listen();
    transport().fail_at(n);
    const Conn client = connect(endpoint);
    ASSERT_TRUE(run_until([&] { return recorder_.of(client).closes == 1; })) << "operation " << n;
    ASSERT_TRUE(run_until([&] { return recorder_.ended.size() == 1 + recorder_.accepted.size(); }));
    if (!transport().has_failed()) {
      EXPECT_TRUE(answered);
      EXPECT_EQ(recorder_.of(client).close.reason, CloseReason::local);
      break;
    }
    ++failures;
    EXPECT_FALSE(answered);
    EXPECT_EQ(recorder_.of(client).close.reason, CloseReason::reset);
    ASSERT_LT(n, 100u);
  }
  EXPECT_EQ(failures, 5u) << "connect, send, receive, send, receive";
}

class Delay : public Conformance<Subject<DelayTransport<EpollTransport>, Wait::block>> {};

TEST_F(Delay, TellsSendsAsPendingThatCompletedAtOnce) {
  const auto [client, server] = pair();
  int pending = 0;
  for (int i = 0; i < 100; ++i) {
    const auto out = pattern(10);
    const std::size_t before = recorder_.of(client).sent.size();
    if (send(client, out) == SendStatus::pending) {
      ++pending;
      EXPECT_EQ(send(client, out), SendStatus::busy);
      ASSERT_TRUE(run_until([&] { return recorder_.of(client).sent.size() > before; }));
      EXPECT_EQ(recorder_.of(client).sent.back(), 10u);
    }
  }
  EXPECT_GT(pending, 20);
  EXPECT_LT(pending, 80);
}

TEST_F(Delay, IsTheSameForTheSameSeed) {
  const auto trace = [this] {
    make();
    const auto [client, server] = pair();
    std::string steps;
    for (int i = 0; i < 50; ++i) {
      const auto out = pattern(10);
      const std::size_t before = recorder_.of(client).sent.size();
      const bool pending = send(client, out) == SendStatus::pending;
      steps += pending ? 'p' : 'c';
      if (pending) {
        EXPECT_TRUE(run_until([&] { return recorder_.of(client).sent.size() > before; }));
      }
    }
    return steps;
  };
  EXPECT_EQ(trace(), trace());
}

}  // namespace
}  // namespace feedbench::transports::testing
