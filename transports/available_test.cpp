#include "transports/available.hpp"

#include <gtest/gtest.h>

namespace feedbench::transports {
namespace {

TEST(AvailableTransports, TellsOfEachWhetherItWorksHereAndWhyNot) {
  const auto found = available_transports();
  ASSERT_EQ(found.size(), 4u);
  EXPECT_EQ(found[0].name, "select");
  EXPECT_TRUE(found[0].available) << found[0].reason;
  EXPECT_EQ(found[1].name, "epoll");
  EXPECT_TRUE(found[1].available) << found[1].reason;
  EXPECT_EQ(found[2].name, "io_uring");
  EXPECT_FALSE(found[2].reason.empty()) << "either its mode or why it is absent";
  EXPECT_EQ(found[3].name, "xdp");
  EXPECT_FALSE(found[3].reason.empty()) << "either its mode or why it is absent";
}

}  // namespace
}  // namespace feedbench::transports
