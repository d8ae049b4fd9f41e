#include "harness/load/ring_swarm.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "reference/baselines/bridge/outlets.hpp"

namespace feedbench::load {
namespace {

using baselines::FeedLogOutlet;
using baselines::HftShmOutlet;
using baselines::MirroredOutlet;
using baselines::SpscOutlet;
using rings::PublishStatus;
using ::testing::HasSubstr;
using transports::TscInstant;

constexpr std::size_t kRingBytes = 1 << 16;

std::shared_ptr<const mock_exchange::PreparedSession> replayed() {
  static const auto made = mock_exchange::synthetic_session(128, 64, 1);
  return made;
}

/// One run of a swarm over an outlet of this process.
template <class Outlet>
struct Bench {
  Outlet outlet = std::move(*Outlet::create(kRingBytes));
  RingSwarm swarm{replayed(), 8};
  std::uint64_t sent = 0;
  std::uint64_t told = 0;

  PublishStatus send(std::uint64_t sequence) {
    const auto status =
        outlet.publish(replayed()->wire(sequence % replayed()->frame_count()), TscInstant::now());
    if (status == PublishStatus::published) ++sent;
    return status;
  }
  std::size_t poll() {
    return swarm.poll(
        [this](std::uint32_t client, std::uint64_t first, std::uint64_t last, TscInstant at) {
          if (client == 0) {
            EXPECT_EQ(first, told);
            told = last;
          }
          EXPECT_LE(at, TscInstant::now());
        });
  }
};

template <class Outlet>
void expect_all_of_it(const std::string& ring, std::uint32_t clients) {
  Bench<Outlet> bench;
  const auto connected = bench.swarm.connect(ring, bench.outlet.file(), clients);
  ASSERT_TRUE(connected) << connected.error().message;
  EXPECT_EQ(bench.swarm.ready(), clients);
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 30; ++i) ASSERT_EQ(bench.send(bench.sent), PublishStatus::published);
    while (bench.poll() > 0) {
    }
  }
  EXPECT_EQ(bench.told, 3000U);
  EXPECT_EQ(bench.swarm.checker().frames_verified(), 3000U * clients);
  EXPECT_EQ(bench.swarm.checker().clients_failed(), 0U);
  EXPECT_EQ(bench.swarm.closed(), 0U);
  bench.swarm.close_all();
}

TEST(RingSwarm, ChecksEveryMessageOfTheFeedLogForEachReader) {
  expect_all_of_it<FeedLogOutlet>("feed_log", 1);
  expect_all_of_it<FeedLogOutlet>("feed_log", 8);
}
TEST(RingSwarm, ChecksEveryMessageOfTheSpscRing) { expect_all_of_it<SpscOutlet>("spsc", 1); }
TEST(RingSwarm, ChecksEveryMessageOfTheSegmentWithNames) {
  expect_all_of_it<HftShmOutlet>("hft_shm", 1);
}
TEST(RingSwarm, ChecksEveryReceiptOfThePrivateRing) {
  expect_all_of_it<MirroredOutlet>("mirrored", 1);
}

TEST(RingSwarm, RemovesTheSegmentsNamesOnceItIsMapped) {
  Bench<HftShmOutlet> bench;
  const std::string file = bench.outlet.file();
  ASSERT_TRUE(std::filesystem::exists(file + ".hdr"));
  ASSERT_TRUE(bench.swarm.connect("hft_shm", file, 1));
  EXPECT_FALSE(std::filesystem::exists(file + ".hdr"));
  EXPECT_FALSE(std::filesystem::exists(file + ".dat"));
}

template <class Outlet>
void expect_lap_is_told(const std::string& ring) {
  Bench<Outlet> bench;
  ASSERT_TRUE(bench.swarm.connect(ring, bench.outlet.file(), 1));
  for (int i = 0; i < 2000; ++i) ASSERT_EQ(bench.send(bench.sent), PublishStatus::published);
  bench.poll();
  EXPECT_EQ(bench.swarm.closed(), 1U);
  EXPECT_EQ(bench.swarm.ready(), 0U);
  EXPECT_THAT(bench.swarm.first_failure(), HasSubstr("client 0: lapped"));
}

TEST(RingSwarm, ABroadcastRingsReaderThatIsLappedIsClosedWithItsReason) {
  expect_lap_is_told<FeedLogOutlet>("feed_log");
  expect_lap_is_told<HftShmOutlet>("hft_shm");
}

TEST(RingSwarm, AFrameThatWasLeftOutIsFound) {
  Bench<SpscOutlet> bench;
  ASSERT_TRUE(bench.swarm.connect("spsc", bench.outlet.file(), 1));
  for (const std::uint64_t sequence : {0, 1, 3, 4})
    ASSERT_EQ(bench.send(sequence), PublishStatus::published);
  bench.poll();
  bench.swarm.close_all();
  EXPECT_EQ(bench.swarm.checker().clients_failed(), 1U);
  ASSERT_EQ(bench.swarm.checker().mismatches().size(), 1U);
  EXPECT_EQ(bench.swarm.checker().mismatches()[0].kind, MismatchKind::lost);
}

TEST(RingSwarm, ASecondReaderOfARingOfOneIsRefused) {
  Bench<SpscOutlet> bench;
  const auto connected = bench.swarm.connect("spsc", bench.outlet.file(), 2);
  ASSERT_FALSE(connected);
  EXPECT_THAT(connected.error().message, HasSubstr("spsc has one reader, not 2"));
}

TEST(RingSwarm, AFileThatIsNotThereIsOneSentence) {
  RingSwarm swarm(replayed(), 1);
  for (const std::string ring : {"feed_log", "spsc", "hft_shm", "mirrored"}) {
    const auto connected = swarm.connect(ring, "/nonexistent/ring", 1);
    ASSERT_FALSE(connected) << ring;
    EXPECT_THAT(connected.error().message, HasSubstr("/nonexistent/ring"));
  }
}

}  // namespace
}  // namespace feedbench::load
