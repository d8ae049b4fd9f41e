#include "reference/upstream/backoff.hpp"

#include <gtest/gtest.h>

#include <set>

namespace feedbench::upstream {
namespace {

TEST(Backoff, DoublesUpToTheLongestAndStaysInTheUpperHalf) {
  Backoff backoff(100, 1000, 42);
  std::int64_t ceiling = 100;
  for (int i = 0; i < 200; ++i) {
    const std::int64_t wait = backoff.next_ns();
    EXPECT_GE(wait, ceiling / 2) << i;
    EXPECT_LT(wait, ceiling) << i;
    ceiling = std::min<std::int64_t>(1000, ceiling * 2);
  }
  backoff.lived(999);
  EXPECT_GE(backoff.next_ns(), 500) << "a connection that was dropped soon is no reason to hurry";
  backoff.lived(1000);
  EXPECT_LT(backoff.next_ns(), 100);
}

TEST(Backoff, NeverOverflowsOrWaitsLessThanATickHoweverOddItsBounds) {
  Backoff longest(INT64_MAX / 2, INT64_MAX / 2, 1);
  Backoff shortest(1, 1, 1);
  for (int i = 0; i < 100; ++i) {
    EXPECT_GT(longest.next_ns(), 0);
    EXPECT_EQ(shortest.next_ns(), 1);
  }
}

TEST(Backoff, TwoSeedsDoNotReturnInStep) {
  std::set<std::int64_t> waits;
  for (std::uint64_t seed = 1; seed <= 64; ++seed)
    waits.insert(Backoff(1'000'000'000, 1'000'000'000, seed * 7919).next_ns());
  EXPECT_GT(waits.size(), 60u);
}

}  // namespace
}  // namespace feedbench::upstream
