#include "transports/veth_site.hpp"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <sched.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>

#include "transports/kernel_feature.hpp"
#include "transports/loopback_pair.hpp"
#include "transports/sockets.hpp"
#include "transports/veth_pair.hpp"

namespace feedbench::transports {
namespace {

constexpr unsigned kPrefixBits = 24;

void require(int os_error, const char* what) {
  if (os_error == 0) return;
  throw sockets::make_error(
      "make a test network", what, os_error,
      os_error == EPERM ? "needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN" : "");
}

rings::Descriptor own_namespace() {
  rings::Descriptor own(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  require(own.valid() ? 0 : errno, "open the thread's network namespace");
  return own;
}

/// Moves the calling thread to a new network namespace.
rings::Descriptor new_namespace() {
  require(::unshare(CLONE_NEWNET) == 0 ? 0 : errno, "a network namespace");
  require(bring_loopback_up(), "bring its loopback interface up");
  return own_namespace();
}

std::string setting_file(const char* name) { return std::string("/proc/sys/net/") + name; }

/// What TCP does by default, as it is in the namespace of the calling thread: a new namespace is to
/// have the same, and a kernel that has a setting for the whole machine alone has it anyway.
class TcpDefaults {
 public:
  TcpDefaults() {
    for (std::size_t i = 0; i < kNames.size(); ++i)
      std::getline(std::ifstream(setting_file(kNames[i])), values_[i]);
  }
  void apply() const {
    for (std::size_t i = 0; i < kNames.size(); ++i)
      std::ofstream(setting_file(kNames[i])) << values_[i];
  }

 private:
  static constexpr std::array<const char*, 3> kNames = {"ipv4/tcp_congestion_control",
                                                        "ipv4/tcp_rmem", "ipv4/tcp_wmem"};
  std::array<std::string, kNames.size()> values_;
};

/// Nothing but the test's own packets: IPv6 would announce itself meanwhile.
void turn_ipv6_off() {
  for (const char* whom : {"all", "default"})
    std::ofstream(setting_file("ipv6/conf/") + whom + "/disable_ipv6") << 1;
}

/// Of the end in the namespace of the calling thread. address: null for none.
void set_up(const char* interface, const char* address) {
  // What does not fit a frame is dropped by a generic XDP program.
  for (const unsigned offload : {unsigned{ETHTOOL_STSO}, unsigned{ETHTOOL_SGSO}})
    require(turn_offload_off(interface, offload), "turn an offload off");
  if (address != nullptr)
    require(set_interface_address(interface, address, kPrefixBits), "give it an address");
  require(set_interface_up(interface), "bring it up");
}

}  // namespace

Expected<VethSite> VethSite::create(Near near_end) {
  VethSite site;
  Error error;
  try {
    const TcpDefaults tcp;
    std::thread([&] {
      try {
        site.far_ = new_namespace();
        turn_ipv6_off();
        tcp.apply();
        site.near_ = new_namespace();
        turn_ipv6_off();
        tcp.apply();
        require(make_veth_pair(kNearInterface, kFarInterface, site.far()), "a veth pair");
        set_up(kNearInterface, near_end == Near::kernel ? kNearAddress : nullptr);
        require(::setns(site.far(), CLONE_NEWNET) == 0 ? 0 : errno, "enter the far end");
        set_up(kFarInterface, kFarAddress);
      } catch (const Error& failed) {
        error = failed;
      }
    }).join();
  } catch (const std::system_error& failed) {
    error.message = std::string("make a test network: ") + failed.what();
  }
  if (!error.message.empty()) return tl::unexpected(std::move(error));
  return site;
}

// Here and not in the header: where they are inlined into an Expected, GCC 12 warns of what does not happen.
VethSite::VethSite(VethSite&&) noexcept = default;
VethSite& VethSite::operator=(VethSite&&) noexcept = default;
VethSite::~VethSite() = default;

VethSite::Visit::Visit(int name_space) : before_(own_namespace()) {
  require(::setns(name_space, CLONE_NEWNET) == 0 ? 0 : errno, "enter a network namespace");
}

VethSite::Visit::~Visit() { ::setns(before_.get(), CLONE_NEWNET); }

}  // namespace feedbench::transports
