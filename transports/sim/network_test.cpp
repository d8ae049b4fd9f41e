// The simulated network itself: faults, time, and that a seed says everything.
#include "transports/sim/network.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "transports/sim/sim_transport.hpp"

namespace feedbench::transports::sim {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1'000'000'000;

std::vector<std::byte> numbered(std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  for (std::size_t i = 0; i < bytes; ++i) made[i] = static_cast<std::byte>(i * 31 + i / 256);
  return made;
}

/// Two plain ends of one link.
struct Pair {
  explicit Pair(Network& network, const Faults& faults = {}) : net(network) {
    net.faults_of_links([faults](const Endpoint&) { return faults; });
    where = *net.listen("test", {"10.0.0.1", 0}, nullptr, {});
    near = *net.connect("test", where, nullptr, 0, {});
    net.advance_to(net.now() + 2 * faults.delay_ns);
    far = net.accept(where);
  }
  std::size_t write(EndId end, std::span<const std::byte> bytes) {
    const ConstRange range{bytes.data(), bytes.size()};
    return net.write(end, {&range, 1}, true);
  }
  /// Everything that arrives at `end` until nothing happens any more.
  std::vector<std::byte> read_all(EndId end) {
    std::vector<std::byte> got;
    for (;;) {
      std::vector<std::byte> part(net.readable(end));
      net.read(end, part);
      got.insert(got.end(), part.begin(), part.end());
      if (part.empty() && net.next_event().ns == INT64_MAX) return got;
      if (part.empty()) net.advance_to(net.next_event());
    }
  }

  Network& net;
  Endpoint where;
  EndId near;
  EndId far;
};

TEST(SimNetwork, CarriesAStreamWholeHoweverItIsCutAndDelayed) {
  Network net(7);
  Faults faults;
  faults.delay_ns = 50'000;
  faults.jitter_ns = 200'000;
  faults.segment_bytes_max = 17;
  faults.bytes_per_second = 10'000'000;
  Pair pair(net, faults);
  const auto out = numbered(100'000);
  ASSERT_EQ(pair.write(pair.near, out), out.size());
  EXPECT_EQ(pair.read_all(pair.far), out);
  EXPECT_GT(net.segments(), 5'000u);
  // 100,000 bytes at 10 MB/s are 10 ms.
  EXPECT_GE(net.now() - MonotonicInstant{Network::kBeginNs}, 10 * kMs);
}

TEST(SimNetwork, TheSeedDecidesEverything) {
  const auto trace = [](std::uint64_t seed) {
    Network net(seed);
    Faults faults;
    faults.jitter_ns = 1'000'000;
    faults.segment_bytes_max = 100;
    Pair pair(net, faults);
    pair.write(pair.near, numbered(10'000));
    pair.read_all(pair.far);
    return net.trace();
  };
  EXPECT_EQ(trace(1), trace(1));
  EXPECT_NE(trace(1), trace(2));
}

TEST(SimNetwork, WhatIsOrderedOnOneLinkIsReorderedBetweenTwo) {
  bool first_came_later = false;
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    Network net(seed);
    Faults faults;
    faults.jitter_ns = kMs;
    Pair one(net, faults);
    Pair two(net, faults);
    one.write(one.near, numbered(1));
    two.write(two.near, numbered(1));
    while (net.readable(one.far) == 0 && net.readable(two.far) == 0)
      net.advance_to(net.next_event());
    first_came_later |= net.readable(one.far) == 0;
  }
  EXPECT_TRUE(first_came_later);
}

TEST(SimNetwork, AWriterWaitsForTheWindowOfAReaderThatDoesNotRead) {
  Network net;
  Pair pair(net);
  const auto out = numbered(2 * Network::kBufferBytes);
  EXPECT_EQ(pair.write(pair.near, out), out.size() / 2);
  net.deliver_due();
  EXPECT_EQ(net.readable(pair.far), Network::kBufferBytes);
  // What left made room in the send buffer, once.
  EXPECT_EQ(pair.write(pair.near, out), Network::kBufferBytes);
  EXPECT_FALSE(net.writable(pair.near));
  EXPECT_EQ(pair.write(pair.near, out), 0u);
  std::vector<std::byte> some(1000);
  EXPECT_EQ(net.read(pair.far, some), 1000u);
  EXPECT_TRUE(net.writable(pair.near));
  EXPECT_EQ(pair.write(pair.near, out), 1000u);
}

TEST(SimNetwork, ACutResetsBothEndsAndLosesWhatIsOnItsWay) {
  Network net;
  Faults faults;
  faults.delay_ns = 10 * kMs;
  faults.cut_after_ns = 25 * kMs;
  Pair pair(net, faults);  // 20 ms have passed
  pair.write(pair.near, numbered(100));
  net.advance_to(net.now() + 10 * kMs);
  EXPECT_EQ(net.state(pair.near), EndState::reset);
  EXPECT_EQ(net.state(pair.far), EndState::reset);
  EXPECT_EQ(net.readable(pair.far), 0u);
  EXPECT_EQ(pair.write(pair.far, numbered(1)), 0u);
}

TEST(SimNetwork, SilenceThatEndsDeliversLate) {
  Network net;
  Faults faults;
  faults.silent_after_ns = kMs;
  faults.silent_for_ns = kSecond;
  Pair pair(net, faults);
  net.advance_to(net.now() + 2 * kMs);
  pair.write(pair.near, numbered(100));
  net.advance_to(net.now() + kSecond / 2);
  EXPECT_EQ(net.readable(pair.far), 0u);
  EXPECT_EQ(pair.read_all(pair.far), numbered(100));
}

TEST(SimNetwork, SilenceForEverEndsForWhoSpeaksAndForNobodyElse) {
  Network net;
  Faults faults;
  faults.silent_after_ns = 0;
  faults.silent_for_ns = -1;
  Pair pair(net, faults);
  ASSERT_TRUE(pair.far.valid());
  pair.write(pair.near, numbered(100));
  net.advance_to(net.now() + Network::kSendTimeoutNs);
  EXPECT_EQ(net.state(pair.near), EndState::timed_out);
  EXPECT_EQ(net.state(pair.far), EndState::open);
}

TEST(SimNetwork, AConnectThatNobodyAnswersTimesOut) {
  Network net;
  Faults faults;
  faults.unreachable = true;
  net.faults_of_links([faults](const Endpoint&) { return faults; });
  const EndId end = *net.connect("test", {"10.0.0.1", 80}, nullptr, 0, {});
  net.advance_to(net.now() + (Network::kConnectTimeoutNs - 1));
  EXPECT_EQ(net.state(end), EndState::connecting);
  net.advance_to(net.now() + 1);
  EXPECT_EQ(net.state(end), EndState::timed_out);
}

TEST(SimNetwork, AHalfClosedLinkCarriesTheOtherHalf) {
  Network net;
  Pair pair(net);
  net.finish_writing(pair.near);
  net.deliver_due();
  EXPECT_EQ(net.state(pair.far), EndState::finished);
  ASSERT_EQ(pair.write(pair.far, numbered(50)), 50u);
  net.deliver_due();
  EXPECT_EQ(net.readable(pair.near), 50u);
}

TEST(SimNetwork, WhoSendsToAnEndThatIsLongGoneGetsAReset) {
  Network net;
  Pair pair(net);
  net.close(pair.far);
  net.advance_to(net.now() + Network::kLingerNs / 2);
  pair.write(pair.near, numbered(10));
  net.deliver_due();
  EXPECT_EQ(net.state(pair.near), EndState::finished);
  net.advance_to(net.now() + Network::kLingerNs);
  pair.write(pair.near, numbered(10));
  net.deliver_due();
  EXPECT_EQ(net.state(pair.near), EndState::reset);
}

TEST(SimNetwork, LinksAreGivenBackHoweverTheyEnd) {
  Network net;
  {
    Pair pair(net);
    net.close(pair.near);
    net.close(pair.far);
  }
  {
    Pair pair(net);
    net.reset(pair.far);
    net.deliver_due();
    net.close(pair.near);
  }
  net.close(*net.connect("test", {"10.0.0.9", 80}, nullptr, 0, {}));  // before anybody answered
  const EndId refused = *net.connect("test", {"10.0.0.9", 80}, nullptr, 0, {});
  net.deliver_due();
  EXPECT_EQ(net.state(refused), EndState::refused);
  net.close(refused);
  {
    const Endpoint where = *net.listen("test", {"10.0.0.2", 0}, nullptr, {});
    const EndId waiting = *net.connect("test", where, nullptr, 0, {});
    net.deliver_due();
    net.stop_listening(where);
    net.deliver_due();
    EXPECT_EQ(net.state(waiting), EndState::reset);
    net.close(waiting);
  }
  {
    Faults faults;
    faults.delay_ns = 10;
    faults.cut_after_ns = 5;  // before anybody answers
    net.faults_of_links([faults](const Endpoint&) { return faults; });
    const Endpoint where = *net.listen("test", {"10.0.0.3", 0}, nullptr, {});
    const EndId cut = *net.connect("test", where, nullptr, 0, {});
    net.advance_to(net.now() + 100);
    EXPECT_EQ(net.state(cut), EndState::reset);
    EXPECT_FALSE(net.accept(where).valid());
    net.close(cut);
  }
  {
    Faults faults;
    faults.delay_ns = 10;
    net.faults_of_links([faults](const Endpoint&) { return faults; });
    const Endpoint where = *net.listen("test", {"10.0.0.4", 0}, nullptr, {});
    const EndId hasty = *net.connect("test", where, nullptr, 0, {});
    net.advance_to(net.now() + 15);  // the other end exists, its answer is on the way
    net.close(hasty);
    const EndId late = net.accept(where);
    ASSERT_TRUE(late.valid());
    net.advance_to(net.now() + 100);
    EXPECT_EQ(net.state(late), EndState::reset);
    net.close(late);
  }
  EXPECT_EQ(net.links(), 0u);
}

/// Notes when something is received.
struct Clockwork {
  void on_open(Conn, bool) {}
  void on_receive(Conn, std::span<std::byte>, const RxStamps&) {}
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo) {}
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

TEST(SimTransport, AYearPassesInOnePoll) {
  SimTransport transport({});
  Clockwork nobody;
  const MonotonicInstant later = transport.now() + 365 * 86'400 * kSecond;
  EXPECT_EQ(transport.poll(nobody, later), 0u);
  EXPECT_EQ(transport.now(), later);
}

TEST(SimTransport, UnderADriverPollNeverMovesTheClock) {
  Network net;
  SimTransport transport({}, net);
  Clockwork nobody;
  const MonotonicInstant before = net.now();
  EXPECT_EQ(transport.poll(nobody, before + kSecond), 0u);
  EXPECT_EQ(net.now(), before);
}

}  // namespace
}  // namespace feedbench::transports::sim
