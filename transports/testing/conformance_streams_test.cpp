// The axioms about bytes: order, completeness, partial sends, cancelled sends, lent memory, stamps.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "transports/testing/conformance.hpp"

namespace feedbench::transports::testing {
namespace {

template <class S>
class ConformanceStreams : public Conformance<S> {};
TYPED_TEST_SUITE(ConformanceStreams, Implementations);

TYPED_TEST(ConformanceStreams, EchoesEverySizeByteExact) {
  const auto [client, server] = this->pair();
  for (const std::size_t bytes :
       {1u, 2u, 3u, 7u, 64u, 1000u, 4095u, 4096u, 4097u, 65'536u, 1'048'576u}) {
    const auto out = pattern(bytes, static_cast<std::uint32_t>(bytes));
    this->recorder_.of(server).received.clear();
    this->recorder_.of(client).received.clear();
    // A decorated transport may take its time to say that the send is through; the bytes may be there before.
    ASSERT_NO_FATAL_FAILURE(this->send_all(client, out));
    ASSERT_TRUE(
        this->run_until([&] { return this->recorder_.of(server).received.size() >= bytes; }));
    ASSERT_EQ(this->recorder_.of(server).received, out);
    const auto back = this->recorder_.of(server).received;
    ASSERT_NO_FATAL_FAILURE(this->send_all(server, back));
    ASSERT_TRUE(
        this->run_until([&] { return this->recorder_.of(client).received.size() >= bytes; }));
    ASSERT_EQ(this->recorder_.of(client).received, out);
  }
}

TYPED_TEST(ConformanceStreams, SendsRangesInTheOrderGiven) {
  const auto [client, server] = this->pair();
  for (std::size_t count = 1; count <= kMaxRanges; ++count) {
    const auto out = pattern(300 * count, static_cast<std::uint32_t>(count));
    std::vector<ConstRange> ranges;
    for (std::size_t i = 0; i < count; ++i) {
      // Every third is empty but the first; the last takes what is left.
      const std::size_t at =
          ranges.empty()
              ? 0
              : static_cast<std::size_t>(ranges.back().data - out.data()) + ranges.back().bytes;
      std::size_t bytes = i % 3 == 2 ? 0 : 1 + i * 17;
      if (i + 1 == count) bytes = out.size() - at;
      ranges.push_back({out.data() + at, bytes});
    }
    this->recorder_.of(server).received.clear();
    const std::size_t sent_before = this->recorder_.of(client).sent.size();
    const SendStatus status = this->transport().send(client, ranges);
    ranges.assign(ranges.size(), {});  // the array of ranges is the caller's again at once
    ASSERT_TRUE(status == SendStatus::completed || status == SendStatus::pending);
    ASSERT_TRUE(this->run_until([&] {
      return this->recorder_.of(server).received.size() >= out.size() &&
             (status == SendStatus::completed ||
              this->recorder_.of(client).sent.size() > sent_before);
    }));
    ASSERT_EQ(this->recorder_.of(server).received, out);
  }
}

TYPED_TEST(ConformanceStreams, RefusesSendsThatMakeNoSense) {
  const auto [client, server] = this->pair();
  const auto byte = pattern(1);
  const std::vector<ConstRange> too_many(kMaxRanges + 1, range_of(byte));
  EXPECT_EQ(this->transport().send(client, too_many), SendStatus::invalid);
  EXPECT_EQ(this->transport().send(client, {}), SendStatus::invalid);
  const std::array<ConstRange, 2> empty{};
  EXPECT_EQ(this->transport().send(client, empty), SendStatus::invalid);
  EXPECT_EQ(this->send(Conn{}, byte), SendStatus::closed);
  EXPECT_EQ(this->send(Conn{5000, 0}, byte), SendStatus::closed);
  EXPECT_EQ(this->send(Conn{client.index, client.generation + 1}, byte), SendStatus::closed);
  this->poll_a_while();
  EXPECT_TRUE(this->recorder_.of(server).received.empty());
  EXPECT_TRUE(this->recorder_.of(client).sent.empty());
}

TYPED_TEST(ConformanceStreams, ASendBeforeTheConnectionIsOpenIsClosed) {
  const Conn conn = this->connect(this->listen());
  EXPECT_EQ(this->send(conn, pattern(1)), SendStatus::closed);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).opens == 1; }));
}

TYPED_TEST(ConformanceStreams, APartialSendToASlowReaderIsByteExact) {
  if (kSendsWithoutCopy<typename TypeParam::Type>)
    GTEST_SKIP() << "without a copy the memory is in use until the peer has acknowledged";
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(3'000'000);
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  EXPECT_EQ(this->send(conn, out), SendStatus::busy);
  this->poll_a_while();
  EXPECT_TRUE(this->recorder_.of(conn).sent.empty()) << "told as sent, but nobody has read it";
  EXPECT_EQ(this->read_raw(peer, out.size()), out);
  ASSERT_TRUE(this->run_until([&] { return !this->recorder_.of(conn).sent.empty(); }));
  EXPECT_EQ(this->recorder_.of(conn).sent, std::vector<std::size_t>{out.size()});
  EXPECT_EQ(this->transport().counters().bytes_sent, out.size());
  EXPECT_GE(this->transport().counters().sends_partial, 1u);
}

TYPED_TEST(ConformanceStreams, APartialSendOfManyRangesIsByteExact) {
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(kMaxRanges * 50'001);
  std::vector<ConstRange> ranges;
  for (std::size_t i = 0; i < kMaxRanges; ++i) ranges.push_back({out.data() + i * 50'001, 50'001});
  ASSERT_EQ(this->transport().send(conn, ranges), SendStatus::pending);
  ranges.clear();
  EXPECT_EQ(this->read_raw(peer, out.size()), out);
  ASSERT_TRUE(this->run_until([&] { return !this->recorder_.of(conn).sent.empty(); }));
  EXPECT_EQ(this->recorder_.of(conn).sent.back(), out.size());
}

TYPED_TEST(ConformanceStreams, ACancelledSendTellsHowManyBytesLeft) {
  if (kSendsWithoutCopy<typename TypeParam::Type>)
    GTEST_SKIP() << "without a copy the memory is in use until the peer has acknowledged";
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(3'000'000);
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  this->poll_a_while();
  this->transport().cancel_send(conn);
  this->transport().cancel_send(conn);
  EXPECT_EQ(this->send(conn, out), SendStatus::busy) << "outstanding until on_sent";
  ASSERT_TRUE(this->run_until([&] { return !this->recorder_.of(conn).sent.empty(); }));
  const std::size_t left = this->recorder_.of(conn).sent.front();
  ASSERT_GT(left, 0u);
  ASSERT_LT(left, out.size());
  EXPECT_EQ(this->read_raw(peer, left),
            std::vector<std::byte>(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(left)));
  // The stream goes on with the next send, right behind the bytes that left.
  const auto next = pattern(1000, 9);
  ASSERT_NO_FATAL_FAILURE(this->send_all(conn, next));
  EXPECT_EQ(this->read_raw(peer, next.size()), next);
  this->poll_a_while();
  EXPECT_LE(this->recorder_.of(conn).sent.size(), 2u);
}

TYPED_TEST(ConformanceStreams, ASendCancelledAtOnceIsTold) {
  if (kSendsWithoutCopy<typename TypeParam::Type>)
    GTEST_SKIP() << "without a copy the memory is in use until the peer has acknowledged";
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(3'000'000);
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  this->transport().cancel_send(conn);
  ASSERT_TRUE(this->run_until([&] { return !this->recorder_.of(conn).sent.empty(); }));
  const std::size_t left = this->recorder_.of(conn).sent.front();
  EXPECT_LT(left, out.size());
  this->transport().close(conn);
  const auto got = this->read_raw(peer, out.size());
  EXPECT_EQ(got,
            std::vector<std::byte>(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(left)));
}

TYPED_TEST(ConformanceStreams, ACancelledSendIsOverWhateverThePeerDoes) {
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(3'000'000);
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  this->poll_a_while();
  this->transport().cancel_send(conn);  // nobody reads
  ASSERT_TRUE(this->run_until([&] {
    return !this->recorder_.of(conn).sent.empty() || this->recorder_.of(conn).closes == 1;
  }));
}

TYPED_TEST(ConformanceStreams, CancellingWhenNothingIsPendingDoesNothing) {
  const auto [client, server] = this->pair();
  this->transport().cancel_send(client);
  this->transport().cancel_send(Conn{});
  this->poll_a_while();
  EXPECT_TRUE(this->recorder_.of(client).sent.empty());
  ASSERT_NO_FATAL_FAILURE(this->send_all(client, pattern(10)));
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(server).received.size() == 10; }));
}

TYPED_TEST(ConformanceStreams, BothDirectionsRunFullAtOnce) {
  const auto [client, server] =
      this->pair({.send_buffer_bytes = 8192}, {.send_buffer_bytes = 8192});
  const auto up = pattern(2'000'000, 1);
  const auto down = pattern(2'000'000, 2);
  ASSERT_EQ(this->send(client, up), SendStatus::pending);
  ASSERT_EQ(this->send(server, down), SendStatus::pending);
  ASSERT_TRUE(this->run_until([&] {
    return this->recorder_.of(server).received.size() == up.size() &&
           this->recorder_.of(client).received.size() == down.size() &&
           !this->recorder_.of(client).sent.empty() && !this->recorder_.of(server).sent.empty();
  }));
  EXPECT_EQ(this->recorder_.of(server).received, up);
  EXPECT_EQ(this->recorder_.of(client).received, down);
}

TYPED_TEST(ConformanceStreams, ReceivesStraightIntoLentMemory) {
  auto [conn, peer] = this->with_raw_peer({.lend_memory = true});
  EXPECT_TRUE(this->recorder_.of(conn).received.empty());
  auto& log = this->lent_;
  log.resize(1'000'000);
  std::size_t filled = 0;
  bool misplaced = false;
  this->recorder_.space = [&](Conn) { return std::span(log).subspan(filled); };
  this->recorder_.received = [&](Conn, std::span<std::byte> bytes) {
    misplaced |= bytes.data() != log.data() + filled;
    filled += bytes.size();
  };
  this->transport().resume_receive(conn);
  const auto out = pattern(log.size() - 1);
  std::size_t given = 0;
  ASSERT_TRUE(this->run_until([&] {
    if (given < out.size()) {
      const ssize_t n = peer.send(std::span(out).subspan(given));
      if (n > 0) given += static_cast<std::size_t>(n);
    }
    return filled == out.size();
  }));
  EXPECT_FALSE(misplaced);
  EXPECT_TRUE(std::equal(out.begin(), out.end(), log.begin()));
}

TYPED_TEST(ConformanceStreams, AnEmptySpaceRestsTheConnectionUntilItIsResumed) {
  auto& log = this->lent_;
  log.resize(300);
  std::size_t filled = 0;
  std::size_t limit = 100;
  this->recorder_.space = [&](Conn) { return std::span(log).subspan(filled, limit - filled); };
  this->recorder_.received = [&](Conn, std::span<std::byte> bytes) { filled += bytes.size(); };
  auto [conn, peer] = this->with_raw_peer({.lend_memory = true});
  const auto out = pattern(200);
  ASSERT_EQ(peer.send(out), 200);
  ASSERT_TRUE(this->run_until([&] { return filled == 100; }));
  this->poll_a_while();
  EXPECT_EQ(filled, 100u);
  limit = 150;
  this->transport().resume_receive(conn);
  ASSERT_TRUE(this->run_until([&] { return filled == 150; }));
  this->poll_a_while();
  EXPECT_EQ(filled, 150u);
  limit = 200;
  this->transport().resume_receive(conn);
  ASSERT_TRUE(this->run_until([&] { return filled == 200; }));
  EXPECT_TRUE(std::equal(out.begin(), out.end(), log.begin()));
  // The FIN comes while the connection rests: it is told when there is space again.
  this->poll_a_while();
  peer.close();
  this->poll_a_while();
  limit = 300;
  this->transport().resume_receive(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::peer);
}

TYPED_TEST(ConformanceStreams, ARestingConnectionCanBeClosed) {
  auto [conn, peer] = this->with_raw_peer({.lend_memory = true});  // no space is ever given
  ASSERT_EQ(peer.send(pattern(100)), 100);
  this->poll_a_while();
  this->transport().close(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_EQ(this->end_of(peer), 0);
}

TYPED_TEST(ConformanceStreams, LentMemoryIsNotTouchedAfterTheClose) {
  auto& log = this->lent_;
  log.assign(4096, std::byte{0x55});
  this->recorder_.space = [&](Conn) { return std::span(log); };
  auto [conn, peer] = this->with_raw_peer({.lend_memory = true});
  this->poll_a_while();
  this->transport().close(conn);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).closes == 1; }));
  EXPECT_GT(peer.send(pattern(1000)), 0);
  this->poll_a_while();
  EXPECT_EQ(log, std::vector<std::byte>(4096, std::byte{0x55}));
}

TYPED_TEST(ConformanceStreams, StampsEveryMessageThatIsReadByItself) {
  if (kStampsLentMemoryAlone<typename TestFixture::T>) GTEST_SKIP() << "stamps lent memory alone";
  auto [conn, peer] = this->with_raw_peer({.nic_stamps = true});
  std::size_t bytes = 0;
  // The kernel turns stamping on in the background of the first request: the first messages may come without.
  for (int i = 0; i < 100'000 && this->transport().counters().nic_stamps == 0; ++i) {
    ASSERT_EQ(peer.send(pattern(10)), 10);
    bytes += 10;
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).received.size() == bytes; }));
  }
  ASSERT_GT(this->transport().counters().nic_stamps, 0u);
  const std::uint64_t stamped = this->transport().counters().nic_stamps;
  const std::uint64_t absent = this->transport().counters().nic_stamps_absent;
  // What the mapping of kernel time to ticks may be off by, generously: 20 us at 2.5 GHz.
  constexpr std::int64_t kSlackTicks = 50'000;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    const TscInstant before = TscInstant::now();
    ASSERT_EQ(peer.send(pattern(10)), 10);
    const TscInstant after = TscInstant::now();
    bytes += 10;
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).received.size() == bytes; }));
    const RxStamps& stamps = this->recorder_.of(conn).stamps.back();
    ASSERT_TRUE(stamps.nic.present() && stamps.wake.present() && stamps.read.present());
    EXPECT_GT((stamps.nic - before).ticks, -kSlackTicks);
    EXPECT_LT((stamps.nic - after).ticks, kSlackTicks);
    EXPECT_GT((stamps.wake - stamps.nic).ticks, -kSlackTicks);
    EXPECT_GE((stamps.read - stamps.wake).ticks, 0);
  }
  EXPECT_EQ(this->transport().counters().nic_stamps, stamped + 20);
  EXPECT_EQ(this->transport().counters().nic_stamps_absent, absent);
}

TYPED_TEST(ConformanceStreams, StampsOnlyTheLastOfMessagesThatAreReadTogether) {
  if (kIsDelayed<typename TestFixture::T>) GTEST_SKIP() << "the delay reads in its own time";
  if (std::is_same_v<typename TestFixture::T, CooperativeIoUring>) {
    GTEST_SKIP() << "the kernel reads at any system call of this thread, each message by itself";
  }
  if (kStampsLentMemoryAlone<typename TestFixture::T>) GTEST_SKIP() << "stamps lent memory alone";
  auto [conn, peer] = this->with_raw_peer({.nic_stamps = true});
  std::size_t bytes = 0;
  for (int i = 0; i < 100'000 && this->transport().counters().nic_stamps == 0; ++i) {
    ASSERT_EQ(peer.send(pattern(10)), 10);
    bytes += 10;
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).received.size() == bytes; }));
  }
  const std::uint64_t stamped = this->transport().counters().nic_stamps;
  for (int i = 0; i < 4; ++i) ASSERT_EQ(peer.send(pattern(10)), 10);
  const TscInstant before_last = TscInstant::now();
  ASSERT_EQ(peer.send(pattern(10)), 10);
  bytes += 50;
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).received.size() == bytes; }));
  const auto& stamps = this->recorder_.of(conn).stamps;
  EXPECT_EQ(this->transport().counters().nic_stamps, stamped + 1) << "one read, one stamp";
  ASSERT_TRUE(stamps.back().nic.present());
  EXPECT_GT((stamps.back().nic - before_last).ticks, -50'000) << "the stamp is the last message's";
}

TYPED_TEST(ConformanceStreams, StampsIntoLentMemoryToo) {
  auto& log = this->lent_;
  log.resize(1 << 20);
  std::size_t filled = 0;
  this->recorder_.space = [&](Conn) { return std::span(log).subspan(filled); };
  this->recorder_.received = [&](Conn, std::span<std::byte> bytes) { filled += bytes.size(); };
  auto [conn, peer] = this->with_raw_peer({.nic_stamps = true, .lend_memory = true});
  std::size_t bytes = 0;
  for (int i = 0; i < 50'000 && this->transport().counters().nic_stamps < 10; ++i) {
    ASSERT_EQ(peer.send(pattern(10)), 10);
    bytes += 10;
    ASSERT_TRUE(this->run_until([&] { return filled == bytes; }));
  }
  EXPECT_EQ(this->transport().counters().nic_stamps, 10u);
  EXPECT_TRUE(this->recorder_.of(conn).stamps.back().nic.present());
}

TYPED_TEST(ConformanceStreams, AcknowledgesLateWhenAsked) {
  using Subject = typename TestFixture::T;
  if (kIsDelayed<Subject> || kIsChopped<Subject>) GTEST_SKIP() << "hands on later, or in parts";
  if (kIsSecured<Subject>)
    GTEST_SKIP() << "after a handshake the kernel delays acknowledgements by itself";
  // A ring does it for lent memory alone; the readiness transports are asked about their own.
  const bool lends = std::string_view(Subject::name()) == "io_uring";
  this->lent_.resize(4096);
  this->recorder_.space = [&](Conn) { return std::span(this->lent_); };
  auto [conn, peer] = this->with_raw_peer({.lend_memory = lends, .late_ack = true});
  std::uint32_t unacknowledged = 0;
  this->recorder_.received = [&, &from = peer](Conn, std::span<std::byte>) {
    unacknowledged = from.segments_unacknowledged();
  };
  std::size_t bytes = 0;
  unsigned late = 0;
  for (int i = 0; i < 150; ++i) {
    unacknowledged = 0;
    ASSERT_EQ(peer.send(pattern(10)), 10);
    bytes += 10;
    ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).received.size() == bytes; }));
    late += unacknowledged;
    // In the same turn, or with what the next submits.
    ASSERT_TRUE(this->run_until([&, &from = peer] { return from.segments_unacknowledged() == 0; }));
  }
  // A new connection is acknowledged at once for a while; so is one that is left waiting for 40 ms.
  EXPECT_GE(late, 75u);
}

TYPED_TEST(ConformanceStreams, GivesNoStampThatWasNotAskedFor) {
  auto [conn, peer] = this->with_raw_peer();
  ASSERT_EQ(peer.send(pattern(10)), 10);
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(conn).received.size() == 10; }));
  EXPECT_FALSE(this->recorder_.of(conn).stamps.back().nic.present());
  EXPECT_TRUE(this->recorder_.of(conn).stamps.back().wake.present());
  EXPECT_EQ(this->transport().counters().nic_stamps, 0u);
  EXPECT_EQ(this->transport().counters().nic_stamps_absent, 0u);
}

TYPED_TEST(ConformanceStreams, CountsWhatItMoves) {
  const auto [client, server] = this->pair();
  for (int i = 0; i < 10; ++i) ASSERT_NO_FATAL_FAILURE(this->send_all(client, pattern(100)));
  ASSERT_TRUE(this->run_until([&] { return this->recorder_.of(server).received.size() == 1000; }));
  const TransportCounters& counters = this->transport().counters();
  EXPECT_EQ(counters.sends, 10u);
  EXPECT_EQ(counters.bytes_sent, 1000u);
  EXPECT_EQ(counters.bytes_received, 1000u);
  EXPECT_GE(counters.receives, 1u);
  EXPECT_GE(counters.polls, 1u);
  EXPECT_EQ(counters.system_calls == 0, kIsSimulated<typename TestFixture::T>);
}

}  // namespace
}  // namespace feedbench::transports::testing
