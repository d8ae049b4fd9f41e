#include "reference/baselines/bridge/outlets.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace feedbench::baselines {
namespace {

using rings::PollStatus;
using rings::PublishStatus;
using transports::TscInstant;

constexpr std::size_t kRingBytes = 1 << 16;

std::vector<std::byte> message_of(std::mt19937_64& random, std::size_t bytes) {
  std::vector<std::byte> out(bytes);
  for (std::byte& each : out) each = static_cast<std::byte>(random());
  return out;
}

bool same(std::span<const std::byte> a, const std::vector<std::byte>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

/// Another mapping of the ring behind a path, as the reader's process has it.
struct Opened {
  explicit Opened(const std::string& file) : fd(::open(file.c_str(), O_RDWR | O_CLOEXEC)) {}
  rings::Descriptor fd;
};

rings::FeedLogConsumer<rings::NoReadHooks> open_feed_log(const std::string& file) {
  const rings::Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  return rings::FeedLogConsumer<rings::NoReadHooks>(*rings::FeedLogReader::map(fd.get()));
}

/// Publishes messages of random sizes several times round the ring, a few at a time, and reads
/// each.
template <class Outlet, class Consumer>
void expect_every_message(Outlet& outlet, Consumer& consumer, bool stamped) {
  std::mt19937_64 random(7);
  rings::RingMessage out;
  for (int round = 0; round < 400; ++round) {
    std::vector<std::vector<std::byte>> sent;
    const TscInstant before = TscInstant::now();
    for (int i = 0; i < 5; ++i) {
      sent.push_back(message_of(random, 1 + random() % 2000));
      ASSERT_EQ(outlet.publish(sent.back(), TscInstant::now()), PublishStatus::published);
    }
    const TscInstant after = TscInstant::now();
    for (const auto& each : sent) {
      ASSERT_EQ(consumer.next(out), PollStatus::message);
      EXPECT_TRUE(same(out.bytes, each));
      EXPECT_TRUE(consumer.keep(out));
      if (stamped) {
        EXPECT_GE(out.meta.ticks, before);
        EXPECT_LE(out.meta.ticks, after);
      }
    }
    EXPECT_EQ(consumer.next(out), PollStatus::none);
  }
}

TEST(BridgeOutlet, TheFeedLogIsReadThroughItsDescriptorsPath) {
  auto outlet = FeedLogOutlet::create(kRingBytes);
  ASSERT_TRUE(outlet) << outlet.error().message;
  auto consumer = open_feed_log(outlet->file());
  expect_every_message(*outlet, consumer, true);
}

TEST(BridgeOutlet, TheSpscRingIsReadThroughItsDescriptorsPath) {
  auto outlet = SpscOutlet::create(kRingBytes);
  ASSERT_TRUE(outlet) << outlet.error().message;
  const Opened opened(outlet->file());
  auto ring = rings::SpscRing::map(opened.fd.get());
  ASSERT_TRUE(ring) << ring.error().message;
  rings::SpscMessageConsumer consumer(ring->consumer());
  expect_every_message(*outlet, consumer, false);
}

TEST(BridgeOutlet, TheSegmentIsReadByItsNamesWhichGoWithTheOutlet) {
  std::string file;
  {
    auto outlet = HftShmOutlet::create(kRingBytes);
    ASSERT_TRUE(outlet) << outlet.error().message;
    file = outlet->file();
    EXPECT_TRUE(std::filesystem::exists(file + ".hdr"));
    auto reader = rings::HftShmReader::open(file);
    ASSERT_TRUE(reader) << reader.error().message;
    rings::HftShmConsumer<rings::NoHftShmHooks> consumer(std::move(*reader));
    expect_every_message(*outlet, consumer, true);
  }
  EXPECT_FALSE(std::filesystem::exists(file + ".hdr"));
  EXPECT_FALSE(std::filesystem::exists(file + ".dat"));
}

TEST(BridgeOutlet, NamesThatAKilledProcessLeftAreTakenOver) {
  const std::string file = [] { return HftShmOutlet::create(kRingBytes)->file(); }();
  ASSERT_TRUE(rings::create_hft_shm(file, {.buffer_bytes = kRingBytes}));
  EXPECT_TRUE(HftShmOutlet::create(kRingBytes));
  EXPECT_FALSE(std::filesystem::exists(file + ".hdr"));
}

TEST(BridgeOutlet, ThePrivateRingsReaderLeavesAReceiptOfEachMessage) {
  auto outlet = MirroredOutlet::create(kRingBytes);
  ASSERT_TRUE(outlet) << outlet.error().message;
  const Opened opened(outlet->file());
  auto ring = rings::SpscRing::map(opened.fd.get());
  ASSERT_TRUE(ring) << ring.error().message;
  ReceiptConsumer consumer(ring->consumer());
  expect_every_message(*outlet, consumer, true);
}

TEST(BridgeOutlet, WithoutRoomForReceiptsThePrivateRingFillsAndNothingIsLost) {
  auto outlet = MirroredOutlet::create(kRingBytes);
  ASSERT_TRUE(outlet) << outlet.error().message;
  const Opened opened(outlet->file());
  auto ring = rings::SpscRing::map(opened.fd.get());
  ReceiptConsumer consumer(ring->consumer());
  std::mt19937_64 random(8);
  std::vector<std::vector<std::byte>> sent;
  for (;;) {
    auto message = message_of(random, 1000);
    const PublishStatus status = outlet->publish(message, TscInstant::now());
    if (status == PublishStatus::full) break;
    ASSERT_EQ(status, PublishStatus::published);
    sent.push_back(std::move(message));
    ASSERT_LT(sent.size(), 1000U);
  }
  EXPECT_GT(sent.size(), kRingBytes / 1000);  // both rings are full
  EXPECT_TRUE(outlet->serve());
  std::size_t read = 0;
  rings::RingMessage out;
  while (read < sent.size()) {
    const bool more = outlet->serve();
    while (consumer.next(out) == PollStatus::message) {
      ASSERT_LT(read, sent.size());
      EXPECT_TRUE(same(out.bytes, sent[read++]));
    }
    if (!more && read < sent.size()) FAIL() << "after " << read;
  }
  EXPECT_FALSE(outlet->serve());
}

TEST(BridgeOutlet, AMessageLargerThanTheRingIsRefused) {
  auto outlet = MirroredOutlet::create(kRingBytes);
  ASSERT_TRUE(outlet);
  const std::vector<std::byte> message(kRingBytes);
  EXPECT_EQ(outlet->publish(message, TscInstant::now()), PublishStatus::too_large);
}

TEST(Receipts, OneThatIsTooShortIsCorrupt) {
  auto ring = rings::SpscRing::create({.ring_bytes = kRingBytes});
  ASSERT_TRUE(ring);
  auto producer = ring->producer();
  ASSERT_EQ(producer.try_reserve(4).size(), 4U);
  producer.commit(4);
  ReceiptConsumer consumer(ring->consumer());
  rings::RingMessage out;
  EXPECT_EQ(consumer.next(out), PollStatus::corrupt);
}

}  // namespace
}  // namespace feedbench::baselines
