// What every ring of messages must do, proved once and for each of them.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "transports/rings/ring_adapters.hpp"
#include "transports/rings/ring_concept.hpp"
#include "transports/rings/testing/log_pattern.hpp"

namespace feedbench::rings {
namespace {

using testing::kLoadDivisor;
using testing::mix;

constexpr std::size_t kRingBytes = 4096;
constexpr std::size_t kNumberBytes = 8;

// Message `number` begins with its number; the bytes after it depend on the number and the place.
void make_message(std::uint64_t number, std::span<std::byte> to) {
  if (to.empty()) return;
  testing::fill(number << 20, to);
  std::memcpy(to.data(), &number, std::min(kNumberBytes, to.size()));
}
bool is_message(std::uint64_t number, std::span<const std::byte> bytes) {
  std::vector<std::byte> wanted(bytes.size());
  make_message(number, wanted);
  return std::equal(bytes.begin(), bytes.end(), wanted.begin());
}
std::uint64_t number_of(std::span<const std::byte> bytes) {
  std::uint64_t number = 0;
  if (bytes.size() >= kNumberBytes) std::memcpy(&number, bytes.data(), kNumberBytes);
  return number;
}
MessageMeta meta_of(std::uint64_t number) {
  return {.topic = static_cast<std::uint32_t>(mix(number)),
          .ticks = {1 + mix(number) % 1'000'000'000'000}};
}

template <class Ring>
bool is_meta(std::uint64_t number, const MessageMeta& meta) {
  const MessageMeta wanted = meta_of(number);
  return meta.topic == (Ring::kCarriesTopic ? wanted.topic : 0) &&
         meta.ticks.ticks == (Ring::kCarriesTicks ? wanted.ticks.ticks : 0);
}

template <class Producer>
PublishStatus publish(Producer& producer, std::uint64_t number, std::size_t length) {
  std::vector<std::byte> bytes(length);
  make_message(number, bytes);
  return producer.try_publish(bytes, meta_of(number));
}

template <class Ring>
class RingConformance : public ::testing::Test {
 protected:
  static Ring make(std::size_t bytes = kRingBytes) {
    auto ring = Ring::create(bytes);
    if (!ring) throw std::runtime_error(ring.error().message);
    return std::move(*ring);
  }

  // The next message is `number`, whole, with its meta; read by way of a copy.
  template <class Consumer>
  static ::testing::AssertionResult gives(Consumer& consumer, std::uint64_t number,
                                          std::size_t length) {
    RingMessage message;
    if (const PollStatus status = consumer.next(message); status != PollStatus::message) {
      return ::testing::AssertionFailure()
             << "message " << number << ": status " << static_cast<int>(status);
    }
    std::vector<std::byte> copied(message.bytes.size());
    if (!copy_message(consumer, message, copied))
      return ::testing::AssertionFailure() << "message " << number << " is not kept";
    if (copied.size() != length || !is_message(number, copied) ||
        !is_meta<Ring>(number, message.meta)) {
      return ::testing::AssertionFailure() << "message " << number << " differs";
    }
    return ::testing::AssertionSuccess();
  }
};

struct RingNames {
  template <class Ring>
  static std::string GetName(int) {
    if constexpr (std::is_same_v<Ring, MirroredRing>) return "mirrored";
    if constexpr (std::is_same_v<Ring, SpscMessageRing>) return "spsc_ring";
    if constexpr (std::is_same_v<Ring, FeedLogRing>) return "feed_log";
    return "hft_shm";
  }
};
using AllRings = ::testing::Types<MirroredRing, SpscMessageRing, FeedLogRing, HftShmRing>;
TYPED_TEST_SUITE(RingConformance, AllRings, RingNames);

TYPED_TEST(RingConformance, AnEmptyRingGivesNothing) {
  auto ring = this->make();
  auto consumer = ring.consumer();
  RingMessage message;
  EXPECT_EQ(consumer.next(message), PollStatus::none);
  auto producer = ring.producer();
  ASSERT_EQ(publish(producer, 1, 10), PublishStatus::published);
  EXPECT_TRUE(this->gives(consumer, 1, 10));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(consumer.next(message), PollStatus::none);
}

TYPED_TEST(RingConformance, GivesMessagesInOrderWithTheirBytesAndTheirMeta) {
  auto ring = this->make();
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  std::uint64_t sent = 0;
  std::uint64_t got = 0;
  std::vector<std::size_t> lengths{0};
  for (int round = 0; round < 3000; ++round) {
    // A few at a time, so few that no ring is full.
    for (std::uint64_t i = mix(static_cast<std::uint64_t>(round)) % 5; i > 0; --i) {
      const std::size_t length = 1 + mix(sent) % 300;
      ASSERT_EQ(publish(producer, ++sent, length), PublishStatus::published);
      lengths.push_back(length);
    }
    while (got < sent) {
      ++got;
      ASSERT_TRUE(this->gives(consumer, got, lengths[got]));
    }
  }
}

TYPED_TEST(RingConformance, AMessageIsContiguousWhereverInTheRingItStarts) {
  auto ring = this->make();
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  std::uint64_t number = 0;
  for (const std::size_t length : {1UL, 7UL, 8UL, 9UL, 63UL, 64UL, 65UL, 300UL, 1000UL, 2047UL}) {
    // A message of filling each time, so that every start comes about that the ring allows.
    for (std::size_t start = 0; start < kRingBytes; start += 8) {
      ASSERT_EQ(publish(producer, ++number, 1), PublishStatus::published);
      ASSERT_TRUE(this->gives(consumer, number, 1));
      ASSERT_EQ(publish(producer, ++number, length), PublishStatus::published);
      ASSERT_TRUE(this->gives(consumer, number, length)) << "length " << length;
    }
  }
}

TYPED_TEST(RingConformance, EveryLengthUpToTheStatedMaximumFitsAndNoOther) {
  auto ring = this->make();
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  const std::size_t largest = producer.largest_message_bytes();
  EXPECT_GE(largest, kRingBytes / 2);
  EXPECT_LT(largest, kRingBytes);
  std::uint64_t number = 0;
  RingMessage message;
  for (std::size_t length = 1; length <= largest; ++length) {
    ASSERT_EQ(publish(producer, ++number, length), PublishStatus::published) << length;
    ASSERT_TRUE(this->gives(consumer, number, length)) << length;
    ASSERT_EQ(consumer.next(message), PollStatus::none) << "and its space is free";
  }
  EXPECT_EQ(publish(producer, number, 0), PublishStatus::too_large);
  EXPECT_EQ(publish(producer, number, largest + 1), PublishStatus::too_large);
  EXPECT_EQ(publish(producer, number, 2 * kRingBytes), PublishStatus::too_large);
  EXPECT_EQ(consumer.next(message), PollStatus::none) << "what is refused leaves no trace";
}

TYPED_TEST(RingConformance, AConsumerThatDoesNotKeepUpStopsTheProducerOrIsToldWhatItMissed) {
  for (const std::size_t length : {8UL, 50UL, 500UL, 3000UL}) {
    auto ring = this->make();
    auto producer = ring.producer();
    auto consumer = ring.consumer();
    std::uint64_t sent = 0;
    std::uint64_t expected = 1;
    std::uint64_t refused = 0;
    std::uint64_t gaps = 0;
    for (std::uint64_t round = 1; round < 60; ++round) {
      for (std::uint64_t i = 0; i < 200; ++i) {
        const PublishStatus status = publish(producer, sent + 1, length);
        if (status == PublishStatus::full) {
          ++refused;
          break;
        }
        ASSERT_EQ(status, PublishStatus::published);
        ++sent;
      }
      for (std::uint64_t reads = mix(round) % 300; reads > 0; --reads) {
        RingMessage message;
        const PollStatus status = consumer.next(message);
        if (status == PollStatus::none) break;
        if (status == PollStatus::gap) {
          ++gaps;
          if (TypeParam::kCountsMissed) {
            ASSERT_GT(message.missed_messages, 0U);
            expected += message.missed_messages;
          } else {
            ASSERT_GT(message.missed_bytes, 0U);
            expected = 0;
          }
          continue;
        }
        ASSERT_EQ(status, PollStatus::message);
        const std::uint64_t number = number_of(message.bytes);
        if (expected == 0) expected = number;
        ASSERT_EQ(number, expected++);
        ASSERT_TRUE(is_message(number, message.bytes) && consumer.keep(message));
      }
    }
    const bool lossless = TypeParam::kDelivery == Delivery::lossless;
    EXPECT_EQ(refused > 0, lossless) << length;
    EXPECT_EQ(gaps > 0, !lossless) << length;
  }
}

TYPED_TEST(RingConformance, PollHandsOverWholeCopiesUpToTheMostThatIsAsked) {
  auto ring = this->make();
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  for (std::uint64_t number = 1; number <= 10; ++number)
    ASSERT_EQ(publish(producer, number, 8 + number), PublishStatus::published);
  std::uint64_t expected = 1;
  std::vector<std::byte> space(kRingBytes);
  const auto check = [&](std::span<const std::byte> bytes, const MessageMeta& meta) {
    EXPECT_TRUE(is_message(expected, bytes) && is_meta<TypeParam>(expected, meta));
    ++expected;
  };
  const PollResult some = poll(consumer, space, check, 4);
  EXPECT_EQ(some.messages, 4U);
  EXPECT_EQ(some.status, PollStatus::message);
  const PollResult rest = poll(consumer, space, check, 100);
  EXPECT_EQ(rest.messages, 6U);
  EXPECT_EQ(rest.discarded, 0U);
  EXPECT_EQ(rest.status, PollStatus::none);
}

/// What a consumer under load found; shared with a child process.
struct Tally {
  std::atomic<std::uint64_t> kept{0};
  std::atomic<std::uint64_t> discarded{0};
  std::atomic<std::uint64_t> gaps{0};
  std::atomic<std::uint64_t> missed{0};
  std::atomic<std::uint64_t> last{0};  // number of the last message kept
  std::atomic<bool> finished{false};   // the producer has published its last
  char fault[80] = {};

  void fail(const std::string& what) { what.copy(fault, sizeof(fault) - 1); }
  [[nodiscard]] bool failed() const { return fault[0] != 0; }
};

/// Gives the core away now and then, at every place of a read.
struct StallingHooks {
  std::uint64_t* state = nullptr;

  void line_read() const { stall(); }
  void before_copy() const { stall(); }
  void after_copy() const { stall(); }
  void header_read() const { stall(); }
  void before_confirm() const { stall(); }
  void stall() const {
    if (state == nullptr) return;
    *state = mix(*state);
    for (std::uint64_t i = *state % 512 == 0 ? 20 : 0; i > 0; --i) ::sched_yield();
  }
};

std::size_t load_length(std::uint64_t number) { return kNumberBytes + mix(number) % 700; }

// Takes one step. False when there was nothing.
template <class Ring, class Consumer>
bool consume_one(Consumer& consumer, std::vector<std::byte>& space, std::uint64_t& expected,
                 const StallingHooks& hooks, Tally& tally) {
  RingMessage message;
  const PollStatus status = consumer.next(message);
  if (status == PollStatus::none) return false;
  if (status == PollStatus::corrupt) {
    tally.fail("corrupt");
    return false;
  }
  if (status == PollStatus::gap) {
    ++tally.gaps;
    if (Ring::kDelivery == Delivery::lossless) tally.fail("a gap in a lossless ring");
    if (Ring::kCountsMissed) {
      tally.missed += message.missed_messages;
      expected += message.missed_messages;
    } else {
      expected = 0;  // known again with the next message that is kept
    }
    return true;
  }
  hooks.before_copy();
  const std::size_t length = message.bytes.size();
  if (length > space.size()) {
    tally.fail("a message longer than the ring");
    return false;
  }
  load_shared_bytes(space.data(), message.bytes.data(), length);
  hooks.after_copy();
  if (!consumer.keep(message)) {
    ++tally.discarded;
    if (Ring::kCountsMissed) ++expected;  // else the gap that follows counts it
    return true;
  }
  const auto copied = std::span<const std::byte>(space).first(length);
  const std::uint64_t number = number_of(copied);
  if (expected == 0 && number > tally.last) expected = number;
  if (number != expected) tally.fail("order: " + std::to_string(number));
  if (length != load_length(number) || !is_message(number, copied) ||
      !is_meta<Ring>(number, message.meta)) {
    tally.fail("torn: " + std::to_string(number));
  }
  ++expected;
  ++tally.kept;
  tally.last = number;
  return true;
}

// Until the producer has finished and nothing is left.
template <class Ring, class Consumer>
void consume_all(Consumer& consumer, const StallingHooks& hooks, Tally& tally) {
  std::vector<std::byte> space(kRingBytes * 16);
  std::uint64_t expected = 1;
  while (!tally.failed()) {
    const bool finished = tally.finished;
    if (consume_one<Ring>(consumer, space, expected, hooks, tally)) continue;
    if (finished) return;
    ::sched_yield();
  }
}

template <class Ring, class Producer>
void produce_one(Producer& producer, std::uint64_t number, const std::function<void()>& when_full,
                 const Tally& tally) {
  for (;;) {
    const PublishStatus status = publish(producer, number, load_length(number));
    if (status == PublishStatus::published) return;
    if (status != PublishStatus::full) throw std::runtime_error("not published");
    if (tally.failed()) return;  // nobody will make room
    when_full();
  }
}

template <class Ring>
void expect_all_accounted_for(const Tally& tally, std::uint64_t sent) {
  EXPECT_STREQ(tally.fault, "");
  EXPECT_GT(tally.kept, 0U);  // how many depends on when the reader was given a core
  if (Ring::kDelivery == Delivery::lossless) {
    EXPECT_EQ(tally.kept, sent);
    EXPECT_EQ(tally.gaps + tally.discarded, 0U);
  } else {
    EXPECT_GT(tally.gaps, 0U);
    if (Ring::kCountsMissed) {
      EXPECT_EQ(tally.kept + tally.discarded + tally.missed, sent);
    }
  }
}

// A ring that one thread alone may use is given its load in turns, by chance.
template <class Ring>
void load_in_turns(Ring& ring, std::uint64_t messages) {
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  Tally tally;
  std::vector<std::byte> space(kRingBytes * 16);
  std::uint64_t expected = 1;
  const auto consume_some = [&] {
    for (std::uint64_t i = 1 + mix(expected) % 7; i > 0; --i)
      consume_one<Ring>(consumer, space, expected, {}, tally);
  };
  for (std::uint64_t number = 1; number <= messages; ++number)
    produce_one<Ring>(producer, number, consume_some, tally);
  while (consume_one<Ring>(consumer, space, expected, {}, tally)) {
  }
  expect_all_accounted_for<Ring>(tally, messages);
}

TYPED_TEST(RingConformance, TwoThreadsUnderLoadLoseNothingUnsaid) {
  auto ring = this->make(2 * kRingBytes);
  const std::uint64_t messages = 40'000 / kLoadDivisor;
  if (!TypeParam::kAcrossThreads) return load_in_turns(ring, messages);
  Tally tally;
  auto producer = ring.producer();
  std::uint64_t state = 1;
  auto consumer = ring.consumer(StallingHooks{&state});
  std::uint64_t number = 1;
  if (TypeParam::kDelivery == Delivery::broadcast) {  // one lap is sure, the others are chance
    for (; number <= 100; ++number)
      produce_one<TypeParam>(
          producer, number, [] {}, tally);
  }
  std::thread reader([&] { consume_all<TypeParam>(consumer, StallingHooks{&state}, tally); });
  for (; number <= messages; ++number) {
    produce_one<TypeParam>(
        producer, number, [] { ::sched_yield(); }, tally);
    if (mix(number) % 8 == 0) ::sched_yield();  // readers must come to messages too
  }
  tally.finished = true;
  reader.join();
  expect_all_accounted_for<TypeParam>(tally, messages);
}

// The consumer is another process, which is stopped wherever it happens to be, and goes on when the
// ring is full or has gone round.
TYPED_TEST(RingConformance, AProcessThatIsStoppedAtRandomNeverGetsAWrongMessage) {
  auto ring = this->make(2 * kRingBytes);
  if (!TypeParam::kAcrossThreads) return load_in_turns(ring, 5000);
  auto producer = ring.producer();
  void* shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto* const tally = new (shared) Tally;
  std::uint64_t child_state = 3;
  auto consumer = ring.consumer(StallingHooks{&child_state});
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    consume_all<TypeParam>(consumer, StallingHooks{&child_state}, *tally);
    ::_exit(tally->failed() ? 3 : 0);
  }
  std::uint64_t sent = 0;
  std::uint64_t state = 9;
  const std::uint64_t rounds = 400 / kLoadDivisor;
  int status = 0;
  bool alive = true;
  for (std::uint64_t round = 0; round < rounds && !tally->failed(); ++round) {
    // Let it come to a message with more behind it ...
    const std::uint64_t before = tally->kept;
    while (tally->kept == before && !tally->failed()) {
      if (publish(producer, sent + 1, load_length(sent + 1)) == PublishStatus::published) ++sent;
      ::sched_yield();
    }
    // ... stop it, write up to three rings full, or as much as there is room for, and let it go on.
    ::kill(child, SIGSTOP);
    ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
    alive = WIFSTOPPED(status);
    if (!alive) break;
    state = mix(state);
    for (std::uint64_t i = state % 60; i > 0; --i) {
      if (publish(producer, sent + 1, load_length(sent + 1)) != PublishStatus::published) break;
      ++sent;
    }
    ::kill(child, SIGCONT);
  }
  tally->finished = true;
  if (alive) {
    ASSERT_EQ(::waitpid(child, &status, 0), child);
  }
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << tally->fault;
  expect_all_accounted_for<TypeParam>(*tally, sent);
  ::munmap(shared, 4096);
}

}  // namespace
}  // namespace feedbench::rings
