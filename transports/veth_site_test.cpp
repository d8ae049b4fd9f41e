#include "transports/veth_site.hpp"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "transports/sockets.hpp"

namespace feedbench::transports {
namespace {

ino_t namespace_of(const char* path) {
  struct stat facts {};
  return ::stat(path, &facts) == 0 ? facts.st_ino : 0;
}
ino_t namespace_of(int descriptor) {
  struct stat facts {};
  return ::fstat(descriptor, &facts) == 0 ? facts.st_ino : 0;
}

class VethSiteTest : public ::testing::Test {
 protected:
  void make(VethSite::Near near_end) {
    auto made = VethSite::create(near_end);
    if (!made) GTEST_SKIP() << "veth: no test network here: " << made.error().message;
    site_.emplace(std::move(*made));
  }
  [[nodiscard]] Expected<sockets::Listening> listen_far() const {
    const VethSite::Visit there(site_->far());
    EXPECT_NE(::if_nametoindex(VethSite::kFarInterface), 0U);
    return sockets::listen("test", {VethSite::kFarAddress, 0}, {});
  }
  std::optional<VethSite> site_;
};

TEST_F(VethSiteTest, ItsEndsReachEachOther) {
  make(VethSite::Near::kernel);
  if (!site_) return;
  const auto listening = listen_far();
  ASSERT_TRUE(listening) << listening.error().message;
  const VethSite::Visit here(site_->near());
  EXPECT_NE(::if_nametoindex(VethSite::kNearInterface), 0U);
  const auto connecting = sockets::connect("test", listening->endpoint, {});
  ASSERT_TRUE(connecting) << connecting.error().message;
  const rings::Descriptor listener(listening->descriptor);
  const rings::Descriptor connection(connecting->descriptor);
  fd_set ready;
  FD_ZERO(&ready);
  FD_SET(listener.get(), &ready);
  EXPECT_EQ(::select(listener.get() + 1, &ready, nullptr, nullptr, nullptr), 1);
}

TEST_F(VethSiteTest, TheKernelDoesNotHaveTheAddressOfAStack) {
  make(VethSite::Near::stack);
  if (!site_) return;
  const VethSite::Visit here(site_->near());
  EXPECT_FALSE(sockets::listen("test", {VethSite::kNearAddress, 0}, {}));
}

TEST_F(VethSiteTest, TheCallerStaysWhereItIsAndTheMachineGetsNoInterface) {
  const ino_t before = namespace_of("/proc/thread-self/ns/net");
  make(VethSite::Near::kernel);
  if (!site_) return;
  EXPECT_EQ(namespace_of("/proc/thread-self/ns/net"), before);
  EXPECT_NE(namespace_of(site_->near()), before);
  EXPECT_NE(namespace_of(site_->far()), namespace_of(site_->near()));
  EXPECT_EQ(::if_nametoindex(VethSite::kNearInterface), 0U);
  EXPECT_EQ(::if_nametoindex(VethSite::kFarInterface), 0U);
  {
    const VethSite::Visit there(site_->far());
    EXPECT_EQ(namespace_of("/proc/thread-self/ns/net"), namespace_of(site_->far()));
  }
  EXPECT_EQ(namespace_of("/proc/thread-self/ns/net"), before);
}

TEST_F(VethSiteTest, ManyAtOnceDoNotMeet) {
  make(VethSite::Near::kernel);
  if (!site_) return;
  auto second = VethSite::create(VethSite::Near::kernel);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_NE(namespace_of(second->near()), namespace_of(site_->near()));
}

TEST(VethSite, WithoutPrivilegesItIsOneSentence) {
  std::string said = "it was made";
  std::thread([&said] {
    // Of this thread alone, and of those that it starts.
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[2] = {};
    ASSERT_EQ(::syscall(SYS_capset, &header, none), 0);
    if (auto made = VethSite::create(VethSite::Near::kernel); !made) said = made.error().message;
  }).join();
  EXPECT_EQ(said,
            "make a test network: a network namespace: Operation not permitted (needs root, or "
            "CAP_SYS_ADMIN and CAP_NET_ADMIN)");
}

}  // namespace
}  // namespace feedbench::transports
