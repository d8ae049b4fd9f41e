// hand_over.hpp: live connections and listening sockets that move from one transport to another, as between processes.
#include <thread>

#include "transports/hand_over.hpp"
#include "transports/testing/conformance.hpp"

namespace feedbench::transports::testing {
namespace {

using HandOverImplementations =
    ::testing::Types<Subject<SelectTransport, Wait::spin>, Subject<SelectTransport, Wait::block>,
                     Subject<EpollTransport, Wait::spin>, Subject<EpollTransport, Wait::block>,
                     Subject<IoUringTransport, Wait::spin>, Subject<IoUringTransport, Wait::block>,
                     Subject<CooperativeIoUring, Wait::spin>, Subject<CrampedIoUring, Wait::block>,
                     Subject<CrampedEpoll, Wait::spin>>;

/// The fixture's transport and a second one of the same kind; both are polled while anything is waited for.
template <class S>
class HandOver : public Conformance<S> {
 protected:
  using T = typename S::Type;
  static_assert(HandsOver<T>);

  void SetUp() override {
    Conformance<S>::SetUp();
    other_ = std::make_unique<T>(this->options());
  }

  void poll_other() {
    other_recorder_.inside_poll = true;
    other_->poll(other_recorder_, other_->now());
    other_recorder_.inside_poll = false;
  }
  ::testing::AssertionResult until(const std::function<bool()>& done) {
    return this->run_until([&] {
      poll_other();
      return done();
    });
  }

  /// Moves a connection of `from` to `to`, and waits until it is open there.
  Conn move(T& from, Recorder& of_from, T& to, Recorder& of_to, Conn conn,
            const ConnOptions& options = {}) {
    rings::Descriptor taken;
    of_from.closed = [&](Conn closed) {
      if (closed == conn) taken = from.take_handed_over();
    };
    EXPECT_TRUE(from.hand_over(conn));
    EXPECT_FALSE(from.hand_over(conn)) << "it is being handed over already";
    EXPECT_TRUE(until([&] { return of_from.of(conn).closes == 1; }));
    of_from.closed = nullptr;
    EXPECT_EQ(of_from.of(conn).close.reason, CloseReason::handed_over);
    EXPECT_TRUE(taken.valid());
    auto adopted = to.adopt(std::move(taken), options);
    EXPECT_TRUE(adopted.has_value()) << adopted.error().message;
    EXPECT_TRUE(until([&] { return of_to.of(*adopted).opens == 1; }));
    EXPECT_FALSE(of_to.of(*adopted).accepted);
    return *adopted;
  }

  Recorder other_recorder_;
  std::unique_ptr<T> other_;
};
TYPED_TEST_SUITE(HandOver, HandOverImplementations);

TYPED_TEST(HandOver, NothingOfAStreamIsLostOrComesTwice) {
  constexpr int kMoves = 40;
  const std::vector<std::byte> out = pattern(4'000'000);
  std::vector<std::byte> lent(32 * 1024);
  for (const bool lend : {false, true}) {
    SCOPED_TRACE(lend ? "into lent memory" : "into the transport's memory");
    this->make();
    this->other_ = std::make_unique<typename TestFixture::T>(this->options());
    this->other_recorder_ = {};
    const auto space = [&](Conn) { return std::span<std::byte>(lent); };
    this->recorder_.space = space;
    this->other_recorder_.space = space;
    ConnOptions options;
    options.lend_memory = lend;
    auto [conn, peer] = this->with_raw_peer(options, 0);
    std::vector<std::byte> in;
    const auto keep = [&](Conn, std::span<std::byte> bytes) {
      in.insert(in.end(), bytes.begin(), bytes.end());
    };
    this->recorder_.received = keep;
    this->other_recorder_.received = keep;
    std::jthread sender([&out, &peer = peer] {
      for (std::size_t sent = 0; sent < out.size();) {
        const ssize_t n =
            peer.send(std::span(out).subspan(sent, std::min<std::size_t>(7001, out.size() - sent)));
        if (n > 0) sent += static_cast<std::size_t>(n);
      }
    });
    for (int i = 0; i < kMoves; ++i) {
      const std::size_t goal = out.size() / kMoves * static_cast<std::size_t>(i);
      ASSERT_TRUE(this->until([&] { return in.size() >= goal; }));
      const bool there = i % 2 == 0;
      conn = there ? this->move(this->transport(), this->recorder_, *this->other_,
                                this->other_recorder_, conn, options)
                   : this->move(*this->other_, this->other_recorder_, this->transport(),
                                this->recorder_, conn, options);
    }
    ASSERT_TRUE(this->until([&] { return in.size() >= out.size(); }));
    sender.join();
    EXPECT_TRUE(in == out);
    // And it can be sent on.
    this->send_all(conn, pattern(100));
    EXPECT_EQ(this->read_raw(peer, 100), pattern(100));
  }
}

TYPED_TEST(HandOver, IsRefusedForADeadHandleAndWhileASendIsOutstanding) {
  auto [conn, peer] = this->with_raw_peer({.send_buffer_bytes = 8192}, 4096);
  const auto out = pattern(2'000'000);
  ASSERT_EQ(this->send(conn, out), SendStatus::pending);
  this->poll_a_while();
  EXPECT_FALSE(this->transport().hand_over(conn));
  this->transport().cancel_send(conn);
  ASSERT_TRUE(this->until([&] { return this->recorder_.of(conn).sent.size() == 1; }));
  const std::size_t left = this->recorder_.of(conn).sent[0];
  const Conn moved =
      this->move(this->transport(), this->recorder_, *this->other_, this->other_recorder_, conn);
  EXPECT_FALSE(this->transport().hand_over(conn));
  EXPECT_FALSE(this->transport().hand_over(Conn{}));
  // What had left before arrives, and what is sent elsewhere follows it.
  const ConstRange rest = range_of(std::span(out).subspan(left));
  const SendStatus status = this->other_->send(moved, {&rest, 1});
  EXPECT_TRUE(status == SendStatus::pending || status == SendStatus::completed);
  std::vector<std::byte> in(out.size());
  std::size_t have = 0;
  ASSERT_TRUE(this->until([&] {
    const ssize_t n = peer.receive(std::span(in).subspan(have));
    if (n > 0) have += static_cast<std::size_t>(n);
    return have == in.size();
  }));
  EXPECT_TRUE(in == out);
}

TYPED_TEST(HandOver, ASocketThatNobodyTakesIsClosed) {
  auto [conn, peer] = this->with_raw_peer();
  ASSERT_TRUE(this->transport().hand_over(conn));
  ASSERT_TRUE(this->until([&] { return this->recorder_.ended.size() == 1; }));
  EXPECT_EQ(this->end_of(peer), 0);
}

TYPED_TEST(HandOver, AnAbortBeforeItIsTheEnd) {
  auto [conn, peer] = this->with_raw_peer();
  ASSERT_TRUE(this->transport().hand_over(conn));
  this->transport().abort(conn);
  ASSERT_TRUE(this->until([&] { return this->recorder_.ended.size() == 1; }));
  EXPECT_EQ(this->recorder_.of(conn).close.reason, CloseReason::local);
  EXPECT_EQ(this->end_of(peer), ECONNRESET);
}

TYPED_TEST(HandOver, TheEndOfTheStreamIsSeenByWhoHasItThen) {
  auto [conn, peer] = this->with_raw_peer();
  ASSERT_EQ(peer.send(pattern(1000)), 1000);
  peer.close();
  const Conn kept = conn;
  rings::Descriptor taken;
  this->recorder_.closed = [&](Conn) { taken = this->transport().take_handed_over(); };
  this->transport().hand_over(kept);
  ASSERT_TRUE(this->until([&] { return this->recorder_.of(kept).closes == 1; }));
  std::vector<std::byte> in = this->recorder_.of(kept).received;
  if (this->recorder_.of(kept).close.reason == CloseReason::handed_over) {
    auto adopted = this->other_->adopt(std::move(taken), {});
    ASSERT_TRUE(adopted.has_value()) << adopted.error().message;
    ASSERT_TRUE(this->until([&] { return this->other_recorder_.of(*adopted).closes == 1; }));
    Seen& seen = this->other_recorder_.of(*adopted);
    EXPECT_EQ(seen.close.reason, CloseReason::peer);
    in.insert(in.end(), seen.received.begin(), seen.received.end());
  }
  EXPECT_EQ(in, pattern(1000));
}

TYPED_TEST(HandOver, AListenerLosesNobodyWhoWaits) {
  const Endpoint endpoint = this->listen();
  RawSocket first = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->until([&] { return this->recorder_.accepted.size() == 1; }));
  auto handed = this->transport().hand_over_listeners();
  ASSERT_EQ(handed.size(), 1u);
  RawSocket second = RawSocket::connect(endpoint);  // into the backlog
  this->poll_a_while();
  EXPECT_EQ(this->recorder_.accepted.size(), 1u);
  const auto adopted = this->other_->adopt_listener(std::move(handed[0]), {});
  ASSERT_TRUE(adopted.has_value()) << adopted.error().message;
  EXPECT_EQ(*adopted, endpoint);
  RawSocket third = RawSocket::connect(endpoint);
  ASSERT_TRUE(this->until([&] { return this->other_recorder_.accepted.size() == 2; }));
  // The first stays where it is.
  ASSERT_EQ(first.send(pattern(10)), 10);
  ASSERT_TRUE(this->until(
      [&] { return this->recorder_.of(this->recorder_.accepted[0]).received.size() == 10; }));
}

TYPED_TEST(HandOver, WhatIsNoSuchSocketIsRefused) {
  EXPECT_FALSE(this->transport().adopt(rings::Descriptor(::dup(0)), {}).has_value());
  EXPECT_FALSE(this->transport().adopt_listener(rings::Descriptor(), {}).has_value());
  const Endpoint endpoint = this->listen();
  auto handed = this->transport().hand_over_listeners();
  ASSERT_EQ(handed.size(), 1u);
  const auto refused = this->transport().adopt(std::move(handed[0]), {});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().message.find("no connection"), std::string::npos);
}

}  // namespace
}  // namespace feedbench::transports::testing
