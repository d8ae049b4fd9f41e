#include "transports/tls/kernel_tls_feature.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace feedbench::transports {
namespace {

/// What the kernel itself lists; "" where it lists nothing.
std::string listed_protocols() {
  std::ifstream file("/proc/sys/net/ipv4/tcp_available_ulp");
  std::string line;
  std::getline(file, line);
  return " " + line + " ";
}

TEST(KernelTls, IsThereWhenTheKernelListsItAndElseTheReasonIs) {
  const std::string before = listed_protocols();
  const KernelFeature feature = probe_kernel_tls();
  ASSERT_TRUE(feature.available.has_value()) << feature.reason;
  EXPECT_EQ(*feature.available, before.find(" tls ") != std::string::npos) << feature.reason;
  EXPECT_EQ(feature.reason.empty(), *feature.available);
}

TEST(KernelTls, IsAskedForWithoutLoadingAModule) {
  const std::string before = listed_protocols();
  static_cast<void>(probe_kernel_tls());
  EXPECT_EQ(listed_protocols(), before);
}

}  // namespace
}  // namespace feedbench::transports
