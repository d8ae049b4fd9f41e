#include "mock_exchange/line_budget.hpp"

#include <gtest/gtest.h>

namespace feedbench::mock_exchange {
namespace {

constexpr std::int64_t kSecond_ns = 1'000'000'000;

TEST(LineBudget, LetsThroughSoManyASecondAndCountsTheRest) {
  LineBudget budget(2);
  EXPECT_TRUE(budget.take(5));
  EXPECT_TRUE(budget.take(6));
  EXPECT_FALSE(budget.take(7));
  EXPECT_FALSE(budget.take(4 + kSecond_ns));
  EXPECT_TRUE(budget.take(5 + kSecond_ns));
  EXPECT_EQ(budget.take_left_out(), 2U);
  EXPECT_EQ(budget.take_left_out(), 0U);
}

TEST(LineBudget, ASecondBeginsWithALine) {
  LineBudget budget(1);
  EXPECT_TRUE(budget.take(0));
  EXPECT_TRUE(budget.take(100 * kSecond_ns));
  EXPECT_FALSE(budget.take(101 * kSecond_ns - 1));
  EXPECT_TRUE(budget.take(101 * kSecond_ns));
}

}  // namespace
}  // namespace feedbench::mock_exchange
