#include "harness/runner/placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace feedbench::runner {
namespace {

Cores chosen(const scenario::Placement& wanted, const std::vector<int>& allowed) {
  const auto cores = choose_cores(wanted, allowed);
  EXPECT_TRUE(cores) << (cores ? "" : cores.error().message);
  return cores ? *cores : Cores{-1, -1};
}

TEST(Placement, GivesSystemAndLoadACoreEach) {
  const Cores cores = chosen({}, {2, 5, 7});
  EXPECT_EQ(cores.load, 2);
  EXPECT_EQ(cores.system, 5);
  EXPECT_FALSE(describe_placement(cores, true).oversubscribed);
}

TEST(Placement, OnOneCoreTheySpinAgainstEachOther) {
  const Cores cores = chosen({}, {3});
  EXPECT_EQ(cores.load, 3);
  EXPECT_EQ(cores.system, 3);
  EXPECT_TRUE(describe_placement(cores, true).oversubscribed);
  EXPECT_FALSE(describe_placement(cores, false)
                   .oversubscribed);  // a blocking system and one spinning thread
}

TEST(Placement, TakesWhatTheScenarioNames) {
  scenario::Placement wanted;
  wanted.system_cpu = 0;
  const Cores cores = chosen(wanted, {0, 1});
  EXPECT_EQ(cores.system, 0);
  EXPECT_EQ(cores.load, 1);
}

TEST(Placement, ACoreThatIsNotAllowedIsOneSentence) {
  scenario::Placement wanted;
  wanted.load_cpu = 9;
  const std::vector<int> allowed = {0, 1};
  const auto cores = choose_cores(wanted, allowed);
  ASSERT_FALSE(cores);
  EXPECT_EQ(cores.error().message,
            "placement: core 9 is not allowed to this process (allowed: 0, 1)");
}

TEST(Placement, TheResultNamesEveryThread) {
  const report::Placement placement = describe_placement({1, 0}, true);
  ASSERT_EQ(placement.threads.size(), 2U);
  EXPECT_EQ(placement.threads[0].cpu, 1);
  EXPECT_TRUE(placement.threads[1].spins);
}

}  // namespace
}  // namespace feedbench::runner
