// The stack against a peer made by hand: every segment is written here, and time is ours. No
// privileges.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "transports/xdp/stack_memory.hpp"
#include "transports/xdp/testing/stack_rig.hpp"

namespace feedbench::transports::xdp::testing {
namespace {

std::vector<std::byte> bytes_of(std::size_t from, std::size_t count) {
  std::vector<std::byte> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i] = static_cast<std::byte>((from + i) * 31 >> 3);
  return made;
}

TEST(XdpStack, AnswersArpForItsAddressAlone) {
  StackRig rig;
  rig.wire.put(arp_frame(ARPOP_REQUEST, kPeer, kStack));
  rig.wire.put(arp_frame(ARPOP_REQUEST, kPeer, kStack + 5));
  rig.poll();
  ASSERT_EQ(rig.wire.from_stack.size(), 1u);
  ether_arp answer;
  std::memcpy(&answer, rig.wire.from_stack[0].data() + ETH_HLEN, sizeof(answer));
  EXPECT_EQ(ntohs(answer.ea_hdr.ar_op), ARPOP_REPLY);
  EXPECT_TRUE(std::equal(std::begin(kStackMac), std::end(kStackMac), answer.arp_sha));
  EXPECT_GE(rig.wire.from_stack[0].size(), 60u) << "an Ethernet frame has 60 bytes at least";
}

TEST(XdpStack, OffersItsMssAndAWindowScale) {
  StackRig rig;
  PeerSide peer{rig};
  Segment syn = peer.segment(TH_SYN);
  syn.options = {2, 4, 0x05, 0xB4, 1, 3, 3, 7};
  rig.wire.put(frame_of(syn));
  rig.poll();
  const auto sent = rig.take_sent();
  ASSERT_EQ(sent.size(), 1u);
  const auto& options = sent[0].options;
  const std::vector<std::uint8_t> mss = {2, 4, 0x05, 0xB4};
  EXPECT_NE(std::search(options.begin(), options.end(), mss.begin(), mss.end()), options.end());
  const std::vector<std::uint8_t> scale = {3, 3, 5};
  EXPECT_NE(std::search(options.begin(), options.end(), scale.begin(), scale.end()), options.end());
}

TEST(XdpStack, SegmentsThatOverlapAndComeInAnyOrderAreOneStream) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  const auto whole = bytes_of(0, 1000);
  const auto part = [&](std::size_t from, std::size_t to) {
    return std::vector<std::byte>(whole.begin() + static_cast<std::ptrdiff_t>(from),
                                  whole.begin() + static_cast<std::ptrdiff_t>(to));
  };
  peer.put(600, part(600, 900));
  peer.put(300, part(300, 700));
  peer.put(850, part(850, 1000));
  peer.put(100, part(100, 350));
  peer.put(650, part(650, 660));
  rig.poll();
  EXPECT_TRUE(rig.handler.received.empty());
  peer.put(0, part(0, 150));
  rig.poll();
  // What of the rest was kept, is up to the stack; what it has delivered is right, and what it
  // acknowledges.
  auto delivered = rig.handler.received;
  ASSERT_GE(delivered.size(), 350u);
  EXPECT_TRUE(std::equal(delivered.begin(), delivered.end(), whole.begin()));
  rig.pass(50);
  auto sent = rig.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().acknowledged, peer.next + delivered.size());
  peer.put(0, part(0, 1000));  // all of it once more
  rig.poll();
  EXPECT_EQ(rig.handler.received, whole);
  peer.put(0, part(0, 10));
  rig.poll();
  EXPECT_EQ(rig.handler.received, whole) << "nothing twice";
  sent = rig.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().acknowledged, peer.next + 1000);
}

TEST(XdpStack, ALostSegmentIsAskedForWithSelectiveAcknowledgements) {
  StackRig rig;
  PeerSide peer{rig};
  Segment syn = peer.segment(TH_SYN);
  syn.options = {4, 2, 1, 1};  // selective acknowledgements permitted
  rig.wire.put(frame_of(syn));
  rig.poll();
  peer.expected = rig.take_sent().at(0).sequence + 1;
  ++peer.next;
  rig.wire.put(frame_of(peer.segment(TH_ACK)));
  rig.poll();
  rig.take_sent();
  peer.put(100, bytes_of(100, 100));
  rig.poll();
  const auto sent = rig.take_sent();
  ASSERT_FALSE(sent.empty());
  EXPECT_EQ(sent.back().acknowledged, peer.next);
  EXPECT_NE(std::find(sent.back().options.begin(), sent.back().options.end(), 5),
            sent.back().options.end());
}

// RFC 5961: only an RST that is exactly next ends a connection; one elsewhere in the window gets a
// challenge.
TEST(XdpStack, AForgedResetDoesNotEndAConnection) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  rig.take_sent();
  for (const std::uint32_t off : {1u, 100u, 30'000u}) {
    Segment forged = peer.segment(TH_RST);
    forged.sequence = peer.next + off;
    rig.wire.put(frame_of(forged));
    rig.poll();
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u) << "a challenge, " << off << " bytes into the window";
    EXPECT_EQ(sent[0].flags, TH_ACK);
    EXPECT_EQ(sent[0].acknowledged, peer.next);
  }
  for (const std::uint32_t off : {std::uint32_t{0} - 1, 2'000'000'000u}) {
    Segment forged = peer.segment(TH_RST);
    forged.sequence = peer.next + off;
    rig.wire.put(frame_of(forged));
    rig.poll();
    EXPECT_TRUE(rig.take_sent().empty()) << "outside of the window there is nothing to say";
  }
  EXPECT_TRUE(rig.handler.closed.empty());
  rig.wire.put(frame_of(peer.segment(TH_RST)));
  rig.poll();
  ASSERT_EQ(rig.handler.closed.size(), 1u);
  EXPECT_EQ(rig.handler.closed[0].reason, CloseReason::reset);
}

TEST(XdpStack, AForgedSynOnAnOpenConnectionGetsAChallenge) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  rig.take_sent();
  for (const std::uint32_t off : {0u, 5000u, 3'000'000'000u}) {
    Segment forged = peer.segment(TH_SYN);
    forged.sequence = peer.next + off;
    rig.wire.put(frame_of(forged));
    rig.poll();
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u);
    EXPECT_EQ(sent[0].flags, TH_ACK);
  }
  peer.put(0, bytes_of(0, 10));
  rig.poll();
  EXPECT_EQ(rig.handler.received, bytes_of(0, 10));
}

TEST(XdpStack, AWrongChecksumIsDroppedWhereItIsVerifiedAndOnlyThere) {
  for (const bool verify : {true, false}) {
    StackRig rig(StackRig::options(), verify);
    PeerSide peer{rig};
    ASSERT_TRUE(peer.open());
    Segment data = peer.segment(TH_ACK);
    data.payload = bytes_of(0, 100);
    Frame frame = frame_of(data);
    frame.back() ^= std::byte{1};
    rig.wire.put(frame);
    rig.poll();
    EXPECT_EQ(rig.handler.received.size(), verify ? 0u : 100u);
  }
}

// lwIP 2.1.3 compares sequence numbers by the sign of their difference, which turns over half way
// round.
TEST(XdpStack, AByteHalfOfAllSequenceNumbersAwayIsNotTheNext) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  peer.put(0x80000000u, bytes_of(0, 1));
  rig.poll();
  EXPECT_TRUE(rig.handler.received.empty());
  peer.put(0, bytes_of(0, 10));
  rig.poll();
  EXPECT_EQ(rig.handler.received, bytes_of(0, 10));
}

TEST(XdpStack, OptionsThatRunOverTheirEndAreNoOptions) {
  StackRig rig;
  std::uint16_t port = 42'000;
  const std::vector<std::vector<std::uint8_t>> broken = {
      {1, 1, 1, 3}, {1, 1, 2, 4}, {8, 10, 0, 0}, {5, 200, 1, 1}, {3, 0, 3, 0}, {1, 1, 1, 254}};
  for (const auto& options : broken) {
    PeerSide peer{rig, ++port};
    Segment syn = peer.segment(TH_SYN);
    syn.options = options;
    rig.wire.put(frame_of(syn));
    rig.poll();
    const auto sent = rig.take_sent();
    ASSERT_EQ(sent.size(), 1u) << "the segment counts, what is broken of its options does not";
    EXPECT_EQ(sent[0].flags, TH_SYN | TH_ACK);
  }
}

/// The first segment that a send of 480 bytes leaves in.
std::size_t first_payload(StackRig& rig) {
  rig.take_sent();
  const auto out = bytes_of(0, 480);
  const ConstRange range{out.data(), out.size()};
  EXPECT_EQ(rig.transport.send(rig.handler.open[0], {&range, 1}), SendStatus::pending);
  rig.poll();
  const auto sent = rig.take_sent();
  return sent.empty() ? 0 : sent[0].payload.size();
}

TEST(XdpStack, APeerThatAsksForTinySegmentsGetsSmallOnes) {
  StackRig rig;
  PeerSide peer{.rig = rig, .segment_bytes = 1};
  ASSERT_TRUE(peer.open());
  EXPECT_EQ(first_payload(rig), 48u);
}

TEST(XdpStack, ASegmentSizeCountsInASynAlone) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  Segment later = peer.segment(TH_ACK);
  later.options = {2, 4, 0, 100};
  rig.wire.put(frame_of(later));
  rig.poll();
  EXPECT_EQ(first_payload(rig), 480u);
}

TEST(XdpStack, AFloodOfSynsTakesBoundedMemoryAndKeepsNobodyOut) {
  StackRig rig;
  const auto flood = [&rig](std::uint32_t count, std::uint32_t salt) {
    for (std::uint32_t i = 0; i < count; ++i) {
      PeerSide nobody{rig, static_cast<std::uint16_t>(1024 + i % 60'000)};
      Segment syn = nobody.segment(TH_SYN);
      syn.from = kPeer + 10 + (i + salt) % 100;
      rig.wire.put(frame_of(syn));
      rig.poll(1);
    }
    rig.take_sent();
  };
  flood(2000, 0);
  const std::uint64_t slabs = stack_memory::slab_bytes();
  const std::uint64_t blocks = stack_memory::blocks_in_use();
  flood(20'000, 7);
  EXPECT_EQ(stack_memory::slab_bytes(), slabs);
  EXPECT_LE(stack_memory::blocks_in_use(), blocks + 64);
  EXPECT_GT(rig.transport.xdp_counters().half_open_given_up, 20'000u);
  PeerSide peer{rig, 999};
  ASSERT_TRUE(peer.open()) << "a real peer gets in";
  peer.put(0, bytes_of(0, 10));
  rig.poll();
  EXPECT_EQ(rig.handler.received.size(), 10u);
  EXPECT_EQ(rig.handler.open.size(), 1u);
}

TEST(XdpStack, WhatIsNotAcknowledgedIsSentAgainLaterAndLater) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  rig.take_sent();
  const auto out = bytes_of(0, 100);
  const ConstRange range{out.data(), out.size()};
  ASSERT_EQ(rig.transport.send(rig.handler.open[0], {&range, 1}), SendStatus::pending);
  rig.poll();
  EXPECT_EQ(rig.handler.sent, 100u) << "taken by the stack";
  ASSERT_EQ(rig.take_sent().size(), 1u);
  std::vector<int> times;
  for (int at = 0; at < 16'000; at += 10) {
    rig.pass(10);
    for (const Segment& again : rig.take_sent()) {
      EXPECT_EQ(again.payload, out);
      times.push_back(at);
    }
  }
  ASSERT_GE(times.size(), 3u);
  for (std::size_t i = 2; i < times.size(); ++i) {
    EXPECT_GT(times[i] - times[i - 1], (times[i - 1] - times[i - 2]) * 3 / 2) << "it backs off";
  }
  EXPECT_TRUE(rig.handler.closed.empty());
}

TEST(XdpStack, NothingIsSentAgainBeforeTheLeastTimeHasPassed) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  const auto out = bytes_of(0, 10);
  const ConstRange range{out.data(), out.size()};
  // Round trips of nothing at all: lwIP's own time-out would fall to nothing too.
  for (int i = 0; i < 100; ++i) {
    rig.transport.send(rig.handler.open[0], {&range, 1});
    rig.poll();
    peer.expected += 10;
    rig.wire.put(frame_of(peer.segment(TH_ACK)));
    rig.poll();
    rig.pass(10);
  }
  rig.take_sent();
  rig.transport.send(rig.handler.open[0], {&range, 1});
  rig.poll();
  EXPECT_EQ(rig.take_sent().size(), 1u);
  rig.pass(100);
  EXPECT_TRUE(rig.take_sent().empty()) << "a delayed acknowledgement takes 40 ms";
  rig.pass(300);
  EXPECT_GE(rig.take_sent().size(), 1u);
}

TEST(XdpStack, AClosedWindowIsProbedAndItsOpeningSeen) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  peer.put(0, bytes_of(0, 1));  // a window that closes comes with something new
  ++peer.next;
  Segment shut = peer.segment(TH_ACK);
  shut.window = 0;
  rig.wire.put(frame_of(shut));
  rig.poll();
  rig.take_sent();
  const auto out = bytes_of(0, 500);
  const ConstRange range{out.data(), out.size()};
  rig.transport.send(rig.handler.open[0], {&range, 1});
  rig.poll();
  EXPECT_TRUE(rig.take_sent().empty());
  std::size_t probes = 0;
  for (int i = 0; i < 200; ++i) {
    rig.pass(10);
    for (const Segment& probe : rig.take_sent()) {
      ++probes;
      EXPECT_LE(probe.payload.size(), 1u);
      rig.wire.put(frame_of(shut));
    }
  }
  EXPECT_GE(probes, 2u);
  rig.wire.put(frame_of(peer.segment(TH_ACK)));
  rig.poll();
  rig.pass(100);
  std::vector<std::byte> got;
  std::uint32_t at = peer.expected;
  for (const Segment& data : rig.take_sent()) {
    if (data.sequence == at) {
      got.insert(got.end(), data.payload.begin(), data.payload.end());
      at += static_cast<std::uint32_t>(data.payload.size());
    }
  }
  EXPECT_EQ(got, out);
}

TEST(XdpStack, AnIdleConnectionIsProbedAndGivenUpWhenNobodyAnswers) {
  XdpOptions options = StackRig::options();
  options.keep_alive_idle_ms = 1000;
  options.keep_alive_interval_ms = 500;
  options.keep_alive_probes = 3;
  StackRig rig(options);
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  rig.take_sent();
  rig.pass(900);
  EXPECT_TRUE(rig.take_sent().empty());
  rig.pass(300);
  EXPECT_EQ(rig.take_sent().size(), 1u);
  rig.wire.put(frame_of(peer.segment(TH_ACK)));  // it lives
  rig.pass(900);
  EXPECT_TRUE(rig.handler.closed.empty());
  rig.pass(5000);
  ASSERT_EQ(rig.handler.closed.size(), 1u);
  EXPECT_EQ(rig.handler.closed[0].reason, CloseReason::timed_out);
  EXPECT_EQ(rig.handler.closed[0].os_error, ETIMEDOUT);
}

TEST(XdpStack, ConnectingToANeighbourThatIsNotThereSaysSo) {
  StackRig rig;
  rig.wire.answers_arp = false;
  ASSERT_TRUE(rig.transport.connect({"10.77.0.9", 80}, {}).has_value());
  rig.pass(200'000);
  ASSERT_EQ(rig.handler.closed.size(), 1u);
  EXPECT_EQ(rig.handler.closed[0].reason, CloseReason::error);
  EXPECT_EQ(rig.handler.closed[0].os_error, EHOSTUNREACH);
  EXPECT_TRUE(rig.handler.open.empty());
}

TEST(XdpStack, AnotherNetworkWithoutAGatewayIsAnErrorThatSaysWhatToDo) {
  StackRig rig;
  const auto conn = rig.transport.connect({"8.8.8.8", 80}, {});
  ASSERT_FALSE(conn.has_value());
  EXPECT_EQ(conn.error().os_error, ENETUNREACH);
  EXPECT_NE(conn.error().message.find("set gateway"), std::string::npos);
}

TEST(XdpStack, FramesThatNobodyTakesAreCopiedAndGivenBack) {
  StackRig rig;
  PeerSide peer{rig};
  ASSERT_TRUE(peer.open());
  rig.wire.held_max = 8;
  // Out of order, so that all of it is held.
  for (std::uint32_t i = 1; i < 100; ++i) {
    peer.put(i * 100, bytes_of(i * 100, 100));
    rig.poll(1);
  }
  EXPECT_LE(rig.wire.held, 9u);
  EXPECT_GT(rig.transport.xdp_counters().frames_copied, 80u);
  peer.put(0, bytes_of(0, 100));
  rig.poll();
  EXPECT_EQ(rig.handler.received, bytes_of(0, 10'000));
  EXPECT_EQ(rig.wire.held, 0u);
}

TEST(XdpStack, WhenItsMemoryIsUsedUpItDropsAndGoesOn) {
  XdpOptions options = StackRig::options();
  options.stack_memory_bytes = 1 << 20;
  const std::uint64_t before = stack_memory::slab_bytes();
  StackRig rig(options);
  rig.wire.held_max = 0;
  PeerSide peer{rig};
  for (int i = 0; i < 60 && rig.transport.xdp_counters().dropped_no_memory == 0; ++i) {
    ASSERT_TRUE(peer.open());
    for (std::uint32_t at = 1; at < 1000; ++at) {
      peer.put(at * 2000 % 60'000 + at, bytes_of(0, 1000));  // behind a hole: kept, not delivered
      rig.poll(1);
    }
    if (i + 1 < 60) ++peer.port;
  }
  EXPECT_GT(rig.transport.xdp_counters().dropped_no_memory, 0u);
  EXPECT_LE(stack_memory::slab_bytes(), std::max<std::uint64_t>(before, 1 << 20));
  // The connections end, the memory is there again.
  for (const Conn conn : rig.handler.open) rig.transport.abort(conn);
  rig.poll(10);
  PeerSide next{rig, 50'000};
  ASSERT_TRUE(next.open());
  next.put(0, bytes_of(0, 100));
  rig.poll();
  EXPECT_EQ(rig.handler.received, bytes_of(0, 100));
}

TEST(XdpStack, ASecondStackInAProcessIsRefused) {
  StackRig rig;
  ScriptedDevice::Wire wire;
  try {
    XdpTransport second(TransportOptions{}, StackRig::options(),
                        std::make_unique<ScriptedDevice>(wire));
    FAIL() << "there are two";
  } catch (const Error& error) {
    EXPECT_EQ(error.os_error, EBUSY);
    EXPECT_NE(error.message.find("one xdp transport in a process"), std::string::npos);
  }
}

TEST(XdpStack, ClosingLeavesNoMemoryBehind) {
  const auto use = [](std::uint16_t connections) {
    StackRig rig;
    for (std::uint16_t i = 0; i < connections; ++i) {
      PeerSide peer{rig, static_cast<std::uint16_t>(41'000 + i)};
      ASSERT_TRUE(peer.open());
      peer.put(500, bytes_of(0, 100));
      const auto out = bytes_of(0, 3000);
      const ConstRange range{out.data(), out.size()};
      rig.transport.send(rig.handler.open.back(), {&range, 1});
    }
    rig.poll();
  };
  use(1);
  const std::uint64_t blocks = stack_memory::blocks_in_use();
  use(20);
  EXPECT_EQ(stack_memory::blocks_in_use(), blocks);
}

}  // namespace
}  // namespace feedbench::transports::xdp::testing
