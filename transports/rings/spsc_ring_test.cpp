// What is the spsc ring's own: its memory, its batches, and a peer that is not to be trusted.
#include "transports/rings/spsc_ring.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "transports/rings/testing/log_pattern.hpp"

namespace feedbench::rings {
namespace {

using testing::mix;

SpscRing new_ring(std::size_t bytes = 4096) {
  auto ring = SpscRing::create({.ring_bytes = bytes});
  if (!ring) throw std::runtime_error(ring.error().message);
  return std::move(*ring);
}

void put(SpscProducer& producer, std::size_t length, std::uint32_t tag, bool publish = true) {
  const auto space = producer.try_reserve(length);
  ASSERT_EQ(space.size(), length);
  testing::fill(std::uint64_t{tag} << 20, space);
  producer.stage(length, tag);
  if (publish) producer.publish();
}
bool takes(SpscConsumer& consumer, std::size_t length, std::uint32_t tag) {
  SpscMessage message;
  return consumer.next(message) == SpscStatus::message && message.tag == tag &&
         message.bytes.size() == length &&
         testing::matches(std::uint64_t{tag} << 20, message.bytes);
}

TEST(SpscRing, TheOtherSidesMappingShowsTheSameMessages) {
  SpscRing here = new_ring();
  auto there = SpscRing::map(here.share_descriptor());
  ASSERT_TRUE(there) << there.error().message;
  SpscProducer producer = here.producer();
  SpscConsumer consumer = there->consumer();
  for (std::uint32_t tag = 1; tag < 5000; ++tag) {
    const std::size_t length = 1 + mix(tag) % 900;
    put(producer, length, tag);
    ASSERT_TRUE(takes(consumer, length, tag)) << tag;
  }
}

TEST(SpscRing, StagedMessagesBecomeVisibleTogether) {
  SpscRing ring = new_ring();
  SpscProducer producer = ring.producer();
  SpscConsumer consumer = ring.consumer();
  SpscMessage message;
  for (std::uint32_t tag = 0; tag < 5; ++tag) put(producer, 10, tag, false);
  EXPECT_EQ(consumer.next(message), SpscStatus::none);
  producer.publish();
  for (std::uint32_t tag = 0; tag < 5; ++tag) EXPECT_TRUE(takes(consumer, 10, tag));
  EXPECT_EQ(consumer.next(message), SpscStatus::none);
}

TEST(SpscRing, AFullRingPublishesWhatIsStagedSoThatItCanEmpty) {
  SpscRing ring = new_ring();
  SpscProducer producer = ring.producer();
  SpscConsumer consumer = ring.consumer();
  std::uint32_t tag = 0;
  while (!producer.try_reserve(100).empty()) {
    testing::fill(std::uint64_t{tag} << 20, producer.try_reserve(100));
    producer.stage(100, tag++);
  }
  EXPECT_EQ(tag, 4096U / 112U);
  for (std::uint32_t i = 0; i < tag; ++i) EXPECT_TRUE(takes(consumer, 100, i));
}

TEST(SpscRing, AMessageMayEndUpShorterThanItWasReserved) {
  SpscRing ring = new_ring();
  SpscProducer producer = ring.producer();
  SpscConsumer consumer = ring.consumer();
  for (std::uint32_t tag = 0; tag < 100; ++tag) {
    const auto space = producer.try_reserve(4000);
    ASSERT_EQ(space.size(), 4000U);
    testing::fill(std::uint64_t{tag} << 20, space.first(3));
    producer.commit(3, tag);
    ASSERT_TRUE(takes(consumer, 3, tag));
    SpscMessage message;
    ASSERT_EQ(consumer.next(message), SpscStatus::none);
  }
}

TEST(SpscRing, PollHandsOverABatchAndGivesItsSpaceBack) {
  SpscRing ring = new_ring();
  SpscProducer producer = ring.producer();
  SpscConsumer consumer = ring.consumer();
  for (int round = 0; round < 100; ++round) {
    for (std::uint32_t tag = 0; tag < 36; ++tag) put(producer, 100, tag);
    EXPECT_TRUE(producer.try_reserve(100).empty());
    std::uint32_t expected = 0;
    std::size_t count = 0;
    const auto check = [&](std::span<const std::byte> bytes, std::uint32_t tag) {
      EXPECT_EQ(tag, expected++);
      EXPECT_EQ(bytes.size(), 100U);
    };
    EXPECT_EQ(consumer.poll(check, 30, count), SpscStatus::message);
    EXPECT_EQ(count, 30U);
    EXPECT_EQ(consumer.poll(check, 30, count), SpscStatus::none);
    EXPECT_EQ(count, 6U);
  }
}

TEST(SpscRing, SpaceComesBackBeforeTheWholeRingIsRead) {
  SpscRing ring = new_ring();
  SpscProducer producer = ring.producer();
  SpscConsumer consumer = ring.consumer();
  for (std::uint32_t tag = 0; tag < 36; ++tag) put(producer, 100, tag);
  for (std::uint32_t tag = 0; tag < 18; ++tag) ASSERT_TRUE(takes(consumer, 100, tag));
  EXPECT_FALSE(producer.try_reserve(1000).empty());
}

TEST(SpscRing, ANewProducerAndANewConsumerGoOnWhereTheLastOnesStopped) {
  SpscRing ring = new_ring();
  std::uint32_t tag = 0;
  for (int round = 0; round < 50; ++round) {
    SpscProducer producer = ring.producer();
    put(producer, 200, tag);
    put(producer, 300, tag + 1);
    SpscConsumer consumer = ring.consumer();
    ASSERT_TRUE(takes(consumer, 200, tag));
    ASSERT_TRUE(takes(consumer, 300, tag + 1));
    consumer.release();
    tag += 2;
  }
}

TEST(SpscRing, AProducerKilledInAMessageLeavesTheOnesBefore) {
  SpscRing ring = new_ring(1 << 20);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    SpscProducer producer = ring.producer();
    for (std::uint32_t tag = 0; tag < 100; ++tag) put(producer, 50, tag);
    testing::fill(0, producer.try_reserve(1000));
    producer.stage(500, 7);  // never published
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  SpscConsumer consumer = ring.consumer();
  for (std::uint32_t tag = 0; tag < 100; ++tag) ASSERT_TRUE(takes(consumer, 50, tag));
  SpscMessage message;
  EXPECT_EQ(consumer.next(message), SpscStatus::none);
  SpscProducer heir = ring.producer();
  put(heir, 20, 5);
  EXPECT_TRUE(takes(consumer, 20, 5));
}

TEST(SpscRing, TheMemoryCannotShrinkOrGrowAndOnlySealedMemoryIsMapped) {
  SpscRing ring = new_ring();
  const int fd = ring.share_descriptor();
  EXPECT_NE(::ftruncate(fd, 0), 0);
  EXPECT_NE(::ftruncate(fd, 1 << 20), 0);
  auto file = create_memory_file("unsealed", 1 << 16, {});
  ASSERT_TRUE(file);
  const auto refusal = SpscRing::map(file->descriptor.get());
  ASSERT_FALSE(refusal);
  EXPECT_NE(refusal.error().message.find("sealed"), std::string::npos);
}

TEST(SpscRing, SizesThatAreNotAllowedAreNamed) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{2048}, std::size_t{5000}}) {
    const auto ring = SpscRing::create({.ring_bytes = bytes});
    ASSERT_FALSE(ring);
    EXPECT_NE(ring.error().message.find("ring_bytes is " + std::to_string(bytes)),
              std::string::npos);
  }
}

TEST(SpscRing, WorksWithoutPreFaultingAndWithHugePagesWhereThereAreAny) {
  for (const MemoryOptions memory :
       {MemoryOptions{.pre_fault = false}, MemoryOptions{.huge_pages = true}}) {
    auto ring = SpscRing::create({.ring_bytes = 2 << 20, .memory = memory});
    ASSERT_TRUE(ring) << ring.error().message;
    auto other = SpscRing::map(ring->share_descriptor());
    ASSERT_TRUE(other) << other.error().message;
    SpscProducer producer = ring->producer();
    SpscConsumer consumer = other->consumer();
    for (std::uint32_t tag = 0; tag < 100; ++tag) {
      put(producer, 50'000, tag);
      ASSERT_TRUE(takes(consumer, 50'000, tag));
    }
  }
}

TEST(SpscRing, AHeaderThatLiesIsRefused) {
  const auto refusal_of = [](auto&& spoil) {
    SpscRing ring = new_ring(8192);
    spoil(*ring.control());
    const auto mapped = SpscRing::map(ring.share_descriptor());
    return mapped ? std::string("mapped") : mapped.error().message;
  };
  EXPECT_EQ(refusal_of([](SpscControl&) {}), "mapped");
  EXPECT_NE(refusal_of([](SpscControl& c) { c.magic = 1; }).find("mark"), std::string::npos);
  EXPECT_NE(refusal_of([](SpscControl& c) { c.version = 9; }).find("version 9"), std::string::npos);
  for (const std::uint64_t bytes : {0UL, 4095UL, 12288UL, 16384UL, 1UL << 40, ~0UL}) {
    EXPECT_NE(refusal_of([&](SpscControl& c) { c.ring_bytes = bytes; }).find("contradict"),
              std::string::npos);
  }
  for (const std::uint64_t offset : {0UL, 1UL, 8192UL, 1UL << 40, ~0UL - 4095}) {
    EXPECT_NE(refusal_of([&](SpscControl& c) { c.ring_offset = offset; }).find("contradict"),
              std::string::npos);
  }
  for (const std::uint32_t page : {0U, 1U, 8192U, 2U << 20}) {
    EXPECT_NE(refusal_of([&](SpscControl& c) { c.page_bytes = page; }).find("contradict"),
              std::string::npos);
  }
}

// A consumer's position that no consumer would write: behind itself, ahead of the producer, askew.
// (One that is merely wrong, between the two, costs the consumer its own messages and no more.)
TEST(SpscRing, AProducerWhosePeerWritesNonsenseStopsForGood) {
  for (const std::uint64_t nonsense :
       {1UL, 112UL, 4033UL, 8072UL, ~0UL, ~0UL - 4095, 1UL << 63, 3UL << 40}) {
    SpscRing ring = new_ring();
    SpscProducer producer = ring.producer();
    SpscConsumer consumer = ring.consumer();
    for (std::uint32_t tag = 0; tag < 36; ++tag) put(producer, 100, tag);
    for (std::uint32_t tag = 0; tag < 36; ++tag) ASSERT_TRUE(takes(consumer, 100, tag));
    consumer.release();
    for (std::uint32_t tag = 0; tag < 36; ++tag) put(producer, 100, tag);
    ring.control()->read_position.store(nonsense);
    EXPECT_TRUE(producer.try_reserve(100).empty()) << nonsense;
    EXPECT_TRUE(producer.corrupt()) << nonsense;
    ring.control()->read_position.store(producer.position());
    EXPECT_TRUE(producer.try_reserve(100).empty());
    EXPECT_TRUE(producer.corrupt());
  }
}

TEST(SpscRing, AConsumerWhosePeerWritesNonsenseStopsForGood) {
  SpscMessage message;
  for (const std::uint64_t nonsense : {1UL, 9UL, 4104UL, ~0UL, ~0UL - 7, 1UL << 63}) {
    SpscRing ring = new_ring();
    SpscConsumer consumer = ring.consumer();
    ring.control()->write_position.store(nonsense);
    EXPECT_EQ(consumer.next(message), SpscStatus::corrupt) << nonsense;
    ring.control()->write_position.store(0);
    EXPECT_EQ(consumer.next(message), SpscStatus::corrupt);
    EXPECT_TRUE(consumer.corrupt());
  }
  // Lengths that no producer would write.
  for (const std::uint32_t length : {0U, 9U, 4096U, 0x7fffffffU, 0xffffffffU, 0xfffffff8U}) {
    SpscRing ring = new_ring();
    SpscProducer producer = ring.producer();
    SpscConsumer consumer = ring.consumer();
    put(producer, 8, 1);
    std::memcpy(ring.ring(), &length, sizeof(length));
    EXPECT_EQ(consumer.next(message), SpscStatus::corrupt) << length;
    EXPECT_EQ(consumer.next(message), SpscStatus::corrupt);
  }
}

TEST(SpscRing, NoPositionsAndBytesWhateverLeadOutsideTheRing) {
  for (std::uint64_t seed = 1; seed < 3000; ++seed) {
    SpscRing ring = new_ring();
    std::uint64_t state = seed;
    const auto any = [&] {
      state = mix(state);
      return state >> (state % 4 == 0 ? 0 : 50);
    };
    for (std::size_t i = 0; i < 4096; i += 8) {
      const std::uint64_t word = any() % 300;
      std::memcpy(ring.ring() + i, &word, 8);
    }
    ring.control()->write_position.store(any() & ~7UL);
    ring.control()->read_position.store(any() & ~7UL);
    SpscConsumer consumer = ring.consumer();
    SpscProducer producer = ring.producer();
    const std::byte* const end = ring.ring() + 2 * 4096;
    for (int i = 0; i < 100; ++i) {
      SpscMessage message;
      if (consumer.next(message) == SpscStatus::message) {
        ASSERT_TRUE(message.bytes.data() > ring.ring() &&
                    message.bytes.data() + message.bytes.size() <= end);
      }
      const auto space = producer.try_reserve(1 + any() % 500);
      ASSERT_TRUE(space.empty() ||
                  (space.data() > ring.ring() && space.data() + space.size() <= end));
      if (!space.empty()) producer.commit(space.size());
      if (i % 10 == 0) ring.control()->write_position.store(any());
      if (i % 10 == 5) ring.control()->read_position.store(any());
    }
  }
}

}  // namespace
}  // namespace feedbench::rings
