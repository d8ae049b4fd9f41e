#include "transports/kernel_feature.hpp"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "transports/available.hpp"
#include "transports/epoll/epoll_features.hpp"
#include "transports/io_uring/io_uring_features.hpp"
#include "transports/network_interfaces.hpp"
#include "transports/socket_features.hpp"
#include "transports/xdp/xdp_features.hpp"

namespace feedbench::transports {
namespace {

std::vector<KernelFeature> all_features() {
  std::vector<KernelFeature> all;
  for (const auto& probe :
       {probe_io_uring_features, probe_epoll_features, probe_socket_features, probe_xdp_features}) {
    for (KernelFeature& feature : probe()) all.push_back(std::move(feature));
  }
  return all;
}

const KernelFeature& find(const std::vector<KernelFeature>& features, const std::string& id) {
  for (const KernelFeature& feature : features) {
    if (feature.id == id) return feature;
  }
  throw std::runtime_error("no feature " + id);
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(std::distance(
      std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
}

TEST(KernelFeature, ExplainsAnErrnoByNameAndInWords) {
  EXPECT_EQ(explain_errno(EINVAL), "EINVAL: Invalid argument");
  EXPECT_EQ(explain_errno(99999), "error 99999");
}

TEST(KernelFeatures, EachHasAnIdOfItsOwnAMeaningAndAReasonWhereItIsAbsent) {
  std::set<std::string> ids;
  for (const KernelFeature& feature : all_features()) {
    EXPECT_TRUE(ids.insert(feature.id).second) << feature.id;
    EXPECT_FALSE(feature.name.empty()) << feature.id;
    EXPECT_FALSE(feature.meaning.empty()) << feature.id;
    if (feature.available != true) {
      EXPECT_FALSE(feature.reason.empty()) << feature.id;
    } else {
      EXPECT_EQ(feature.os_error, 0) << feature.id;
    }
  }
}

TEST(KernelFeatures, AgreeWithTheTransportThatUsesThem) {
  for (const TransportInfo& transport : available_transports()) {
    if (transport.name != "io_uring") continue;
    const auto features = probe_io_uring_features();
    EXPECT_EQ(find(features, "io_uring.multishot_recv").available == true, transport.available)
        << transport.reason;
    if (!transport.available) continue;
    EXPECT_EQ(find(features, "io_uring.defer_taskrun").available == true,
              transport.reason.starts_with("deferred task run"))
        << transport.reason;
  }
}

TEST(KernelFeatures, LeaveNoDescriptorOpen) {
  static_cast<void>(all_features());  // what a library opens once stays
  const std::size_t before = open_descriptors();
  static_cast<void>(all_features());
  static_cast<void>(network_interfaces());
  EXPECT_EQ(open_descriptors(), before);
}

// A process that can open nothing has learned nothing: that must not read as "the kernel has it not".
TEST(KernelFeatures, AreUntriedAndNotAbsentWhereNothingCanBeOpened) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit none{0, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto features = all_features();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  for (const KernelFeature& feature : features) {
    if (feature.id == "xdp.privileges") continue;  // asked without a descriptor
    EXPECT_EQ(feature.available, std::nullopt) << feature.id << ": " << feature.reason;
    EXPECT_FALSE(feature.reason.empty()) << feature.id;
  }
}

/// Makes the kernel answer io_uring_setup() of this thread with EPERM, as containers do.
bool forbid_io_uring() {
  const std::array<sock_filter, 4> program = {{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_io_uring_setup},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog filter{static_cast<unsigned short>(program.size()),
                          const_cast<sock_filter*>(program.data())};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(KernelFeatures, OfAForbiddenIoUringAreUntriedAndNameTheFilter) {
  std::vector<KernelFeature> features;
  bool forbidden = false;
  std::thread([&] {
    forbidden = forbid_io_uring();
    if (forbidden) features = probe_io_uring_features();
  }).join();
  ASSERT_TRUE(forbidden);
  ASSERT_FALSE(features.empty());
  for (const KernelFeature& feature : features) {
    EXPECT_EQ(feature.available, std::nullopt) << feature.id;
    EXPECT_EQ(feature.os_error, EPERM) << feature.id;
    EXPECT_NE(feature.reason.find("seccomp"), std::string::npos) << feature.reason;
  }
}

TEST(NetworkInterfaces, AreThoseThatSysfsLists) {
  std::set<std::string> listed;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net")) {
    if (entry.is_directory()) listed.insert(entry.path().filename());
  }
  std::set<std::string> found;
  for (const NetworkInterface& interface : network_interfaces()) {
    found.insert(interface.name);
    std::ifstream file("/sys/class/net/" + interface.name + "/flags");
    unsigned flags = 0;
    if (file >> std::hex >> flags) {
      EXPECT_EQ(interface.up, (flags & 0x1) != 0) << interface.name;
      EXPECT_EQ(interface.loopback, (flags & 0x8) != 0) << interface.name;
    }
    EXPECT_EQ(interface.xdp_native.has_value(), interface.xdp_absent_reason.empty())
        << interface.name;
    EXPECT_TRUE(!interface.loopback || interface.hardware_receive_stamps != true);
  }
  EXPECT_EQ(found, listed);
}

TEST(NetworkInterfaces, AnInterfaceThatIsNotThereHasNoXdpAbility) {
  const XdpAbility ability = ask_xdp_ability(1U << 30);
  EXPECT_EQ(ability.native, std::nullopt);
  EXPECT_FALSE(ability.absent_reason.empty());
}

}  // namespace
}  // namespace feedbench::transports
