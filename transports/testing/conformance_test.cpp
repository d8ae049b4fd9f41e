// The axioms about poll(): waiting, waking, fairness, and what a message costs.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "transports/testing/allocation_counter.hpp"
#include "transports/testing/conformance.hpp"

namespace feedbench::transports::testing {
namespace {

template <class S>
class ConformancePoll : public Conformance<S> {};
TYPED_TEST_SUITE(ConformancePoll, Implementations);

TYPED_TEST(ConformancePoll, IsATransport) {
  static_assert(Transport<typename TestFixture::T>);
  EXPECT_FALSE(std::string_view(TestFixture::T::name()).empty());
}

TYPED_TEST(ConformancePoll, CallsNothingWhenThereIsNothing) {
  this->listen();
  this->poll_a_while();
  EXPECT_EQ(this->recorder_.callbacks, 0u);
}

TYPED_TEST(ConformancePoll, ADeadlineEndsTheWait) {
  this->listen();
  const MonotonicInstant deadline = this->transport().now() + 2'000'000;
  Recorder& recorder = this->recorder_;
  recorder.inside_poll = true;
  // poll() may return early; a deadline in the past returns at once.
  int polls = 0;
  while (this->transport().now() < deadline) {
    this->transport().poll(recorder, deadline);
    ++polls;
  }
  this->transport().poll(recorder, deadline);
  this->transport().poll(recorder, MonotonicInstant{0});
  if (TypeParam::kWait == Wait::block && !kIsDelayed<typename TestFixture::T>) {
    EXPECT_LT(polls, 20) << "blocking means sleeping, not spinning";
  }
  EXPECT_EQ(recorder.callbacks, 0u);
}

TYPED_TEST(ConformancePoll, IsWokenFromAnotherThread) {
  constexpr unsigned kWakes = 200;
  std::atomic<unsigned> seen{0};
  std::thread waker([&] {
    for (unsigned i = 0; i < kWakes; ++i) {
      this->transport().wake();
      // The next wake() only after this one was seen, so that none may be merged.
      while (seen.load(std::memory_order_acquire) == i) std::this_thread::yield();
    }
  });
  this->recorder_.inside_poll = true;
  while (this->recorder_.wakes < kWakes) {
    this->transport().poll(this->recorder_, MonotonicInstant{INT64_MAX});
    seen.store(this->recorder_.wakes, std::memory_order_release);
  }
  waker.join();
  EXPECT_EQ(this->recorder_.wakes, kWakes);
}

TYPED_TEST(ConformancePoll, WakesBeforeThePollAreNotLostAndMayBeMerged) {
  this->transport().wake();
  this->transport().wake();
  this->recorder_.inside_poll = true;
  while (this->recorder_.wakes == 0) {
    this->transport().poll(this->recorder_, MonotonicInstant{INT64_MAX});
  }
  this->poll_a_while();
  EXPECT_LE(this->recorder_.wakes, 2u);
}

TYPED_TEST(ConformancePoll, WakingDoesNotDisturbTheStreams) {
  auto [conn, peer] = this->with_raw_peer();
  std::atomic<bool> stop{false};
  std::thread waker([&] {
    while (!stop.load()) this->transport().wake();
  });
  const auto out = pattern(200'000);
  std::size_t given = 0;
  EXPECT_TRUE(this->run_until([&] {
    const ssize_t n = peer.send(std::span(out).subspan(given));
    if (n > 0) given += static_cast<std::size_t>(n);
    return this->recorder_.of(conn).received.size() == out.size();
  }));
  stop.store(true);
  waker.join();
  EXPECT_EQ(this->recorder_.of(conn).received, out);
}

TYPED_TEST(ConformancePoll, ReturnsTheNumberOfCallbacks) {
  RawSocket peer = RawSocket::connect(this->listen());
  ASSERT_EQ(peer.send(pattern(10)), 10);
  std::size_t made = this->recorder_.callbacks;  // while the peer connected
  this->recorder_.inside_poll = true;
  while (this->recorder_.accepted.empty() ||
         this->recorder_.of(this->recorder_.accepted[0]).received.size() < 10) {
    made += this->transport().poll(this->recorder_, this->transport().now() + 1'000'000);
  }
  EXPECT_EQ(made, this->recorder_.callbacks);
}

TYPED_TEST(ConformancePoll, AFloodOnOneConnectionDoesNotStarveAnother) {
  const Endpoint endpoint = this->listen();
  RawSocket loud = RawSocket::connect(endpoint);
  RawSocket quiet = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 2; }));
  const auto flood = pattern(64'000);
  const Conn loud_conn = this->recorder_.accepted[0];
  // Whenever something of the flood is read, as much is added: it never ends by itself.
  this->recorder_.received = [&](Conn conn, std::span<std::byte> bytes) {
    if (conn == loud_conn) {
      loud.send(std::span(flood).first(std::min(bytes.size(), flood.size())));
      this->recorder_.of(conn).received.clear();
    }
  };
  for (int i = 0; i < 4; ++i) loud.send(flood);
  ASSERT_EQ(quiet.send(pattern(10)), 10);
  const Conn quiet_conn = this->recorder_.accepted[1];
  int polls = 0;
  while (this->recorder_.of(quiet_conn).received.size() < 10 && polls < 1000) {
    this->poll_once();
    ++polls;
  }
  EXPECT_LT(polls, 100);
}

/// Ping-pong of two ends of one transport that records nothing.
template <class T>
struct Echo {
  T& transport;
  Conn client;
  std::span<std::byte> lent;
  std::array<std::byte, 128> ping{};
  std::array<std::byte, 128> pong{};
  std::size_t client_bytes = 0;
  std::size_t server_bytes = 0;
  std::size_t rounds = 0;

  void answer(Conn conn, std::size_t& have, std::span<const std::byte> with, std::size_t bytes) {
    have += bytes;
    if (have < ping.size()) return;
    have = 0;
    const ConstRange range = range_of(with);
    transport.send(conn, {&range, 1});
  }
  void on_open(Conn, bool) {}
  void on_receive(Conn conn, std::span<std::byte> bytes, const RxStamps&) {
    if (conn == client) {
      if (client_bytes + bytes.size() >= ping.size()) ++rounds;
      answer(conn, client_bytes, ping, bytes.size());
    } else {
      answer(conn, server_bytes, pong, bytes.size());
    }
  }
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo) {}
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return lent; }
};

TYPED_TEST(ConformancePoll, AllocatesNothingPerMessageAfterWarmUp) {
  if (!allocations_are_counted()) GTEST_SKIP() << "a sanitizer brings its own heap";
  if (kIsDelayed<typename TestFixture::T>) GTEST_SKIP() << "the delay keeps copies";
  if (kIsSecured<typename TestFixture::T>) GTEST_SKIP() << "OpenSSL allocates for each record";
  for (const bool stamped_and_lent : {false, true}) {
    this->make();
    const ConnOptions options{.nic_stamps = stamped_and_lent, .lend_memory = stamped_and_lent};
    this->lent_.resize(4096);
    this->recorder_.space = [&](Conn) { return std::span(this->lent_); };
    const auto [client, server] = this->pair(options, options);
    Echo<typename TestFixture::T> echo{this->transport(), client, this->lent_};
    const ConstRange first = range_of(echo.ping);
    ASSERT_NE(this->transport().send(client, {&first, 1}), SendStatus::closed);
    const auto run_to = [&](std::size_t rounds) {
      while (echo.rounds < rounds)
        this->transport().poll(echo, this->transport().now() + 1'000'000);
    };
    run_to(100);
    const std::uint64_t before = allocations();
    run_to(2000);
    EXPECT_EQ(allocations() - before, 0u);
  }
}

TYPED_TEST(ConformancePoll, NeedsFewSystemCallsPerMessage) {
  if (kIsDelayed<typename TestFixture::T> || kIsChopped<typename TestFixture::T> ||
      std::is_base_of_v<CrampedEpoll, typename TestFixture::T> ||
      std::is_same_v<typename TestFixture::T, CrampedIoUring>) {
    GTEST_SKIP() << "made to be slow";
  }
  if (TypeParam::kWait == Wait::spin) GTEST_SKIP() << "spinning makes as many as it has time for";
  const auto [client, server] = this->pair();
  Echo<typename TestFixture::T> echo{this->transport(), client, this->lent_};
  const ConstRange first = range_of(echo.ping);
  ASSERT_NE(this->transport().send(client, {&first, 1}), SendStatus::closed);
  const auto run_to = [&](std::size_t rounds) {
    while (echo.rounds < rounds)
      this->transport().poll(echo, this->transport().now() + 1'000'000'000);
  };
  run_to(10);
  const TransportCounters before = this->transport().counters();
  run_to(1010);
  const TransportCounters& after = this->transport().counters();
  const double messages = static_cast<double>(after.receives - before.receives);
  const double calls = static_cast<double>(after.system_calls - before.system_calls) / messages;
  ::testing::Test::RecordProperty("system_calls_per_message", std::to_string(calls));
  // A wait, a receive and a send; io_uring does all three in one. Late, the acknowledgement is a call of its own.
  const double readiness = kAcksLate<typename TestFixture::T> ? 4.1 : 3.1;
  EXPECT_LE(calls, std::string_view(TestFixture::T::name()) == "io_uring" ? 1.6 : readiness);
}

TYPED_TEST(ConformancePoll, ManySendsAreOneSystemCallOnARing) {
  if (std::string_view(TestFixture::T::name()) != "io_uring" ||
      kIsDelayed<typename TestFixture::T> ||
      std::is_same_v<typename TestFixture::T, CrampedIoUring>) {
    GTEST_SKIP() << "only a ring batches sends";
  }
  const Endpoint endpoint = this->listen();
  std::vector<RawSocket> peers;
  for (int i = 0; i < 64; ++i) peers.push_back(RawSocket::connect(endpoint));
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.accepted.size() == 64; }));
  this->poll_a_while();
  const auto out = pattern(128);
  const std::uint64_t before = this->transport().counters().system_calls;
  for (const Conn conn : this->recorder_.accepted)
    EXPECT_EQ(this->send(conn, out), SendStatus::pending);
  this->poll_once();
  EXPECT_LE(this->transport().counters().system_calls - before, 2u);
  for (const RawSocket& peer : peers) EXPECT_EQ(this->read_raw(peer, out.size()), out);
}

/// 500 connections have a thousand ends in this one process.
class Descriptors : public ::testing::Environment {
 public:
  void SetUp() override {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 4096);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
};
[[maybe_unused]] const auto* const g_descriptors =
    ::testing::AddGlobalTestEnvironment(new Descriptors);

}  // namespace
}  // namespace feedbench::transports::testing
