#include "transports/xdp/testing/veth_site.hpp"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace feedbench::transports::xdp::testing {
namespace {

std::string g_why_not;

[[noreturn]] void fail(const std::string& what, int os_error) {
  throw std::runtime_error(what + ": " + std::generic_category().message(os_error));
}

int own_namespace() { return ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC); }

/// A new network namespace, kept by the descriptor returned.
int new_namespace() {
  int made = -1;
  int os_error = 0;
  std::thread maker([&] {
    if (::unshare(CLONE_NEWNET) != 0 || (made = own_namespace()) < 0) os_error = errno;
  });
  maker.join();
  if (made < 0) fail("make a network namespace", os_error);
  return made;
}

/// Runs `ip` with these arguments in the namespace of the calling thread.
void ip(const std::string& arguments) {
  const std::string command = "PATH=$PATH:/usr/sbin:/sbin ip " + arguments;
  const int status = std::system(command.c_str());
  if (status != 0)
    throw std::runtime_error("`ip " + arguments + "` failed (is iproute2 installed?)");
}

void write_setting(const std::string& name, const std::string& value) {
  std::ofstream file("/proc/sys/net/" + name);
  file << value;
}

/// Turns an offload of an interface off.
void turn_off(const char* interface, unsigned which) {
  const sockets::Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ethtool_value value{which, 0};
  ifreq request{};
  std::string(interface).copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_data = reinterpret_cast<char*>(&value);
  ::ioctl(socket.get(), SIOCETHTOOL, &request);
}

}  // namespace

VethSite::Visit::Visit(int name_space) : before_(own_namespace()) {
  if (::setns(name_space, CLONE_NEWNET) != 0) fail("enter a network namespace", errno);
}

VethSite::Visit::~Visit() { ::setns(before_.get(), CLONE_NEWNET); }

VethSite::VethSite() : near_(new_namespace()), far_(new_namespace()) {
  const std::string far_path =
      "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(far_.get());
  {
    const Visit here(near_.get());
    // One queue: with more, the kernel would spread flows, and ARP, over queues that no socket has.
    ip(std::string("link add ") + kNearInterface +
       " numrxqueues 1 numtxqueues 1 type veth peer name " + kFarInterface +
       " numrxqueues 1 numtxqueues 1");
    ip(std::string("link set ") + kFarInterface + " netns " + far_path);
    ip("link set lo up");
    ip(std::string("link set ") + kNearInterface + " up");
  }
  const Visit there(far_.get());
  ip("link set lo up");
  ip(std::string("addr add ") + kFarAddress + "/24 dev " + kFarInterface);
  ip(std::string("link set ") + kFarInterface + " up");
  turn_off(kFarInterface, ETHTOOL_STSO);  // a generic XDP program drops what does not fit a frame
  turn_off(kFarInterface, ETHTOOL_SGSO);
  // The peer is to take what a test sends at once, and to send it at once.
  write_setting("ipv4/tcp_wmem", "4096 8388608 8388608");
  write_setting("ipv4/tcp_congestion_control", "cubic");
  // And to keep no memory of how earlier connections to the address fared.
  write_setting("ipv4/tcp_no_metrics_save", "1");
}

void VethSite::add_near_address(const std::string& address) {
  const Visit here(near_.get());
  ip("addr add " + address + "/24 dev " + kNearInterface);
}

VethSite* VethSite::shared() {
  static const std::unique_ptr<VethSite> site = []() -> std::unique_ptr<VethSite> {
    try {
      return std::make_unique<VethSite>();
    } catch (const std::exception& error) {
      g_why_not = std::string("xdp: no test network here: ") + error.what();
      return nullptr;
    }
  }();
  return site.get();
}

const std::string& VethSite::why_not() { return g_why_not; }

}  // namespace feedbench::transports::xdp::testing
