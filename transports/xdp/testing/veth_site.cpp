#include "transports/xdp/testing/veth_site.hpp"

#include <fstream>
#include <memory>

#include "transports/sockets.hpp"
#include "transports/veth_pair.hpp"

namespace feedbench::transports::xdp::testing {
namespace {

std::string g_why_not;

transports::VethSite made() {
  auto site = transports::VethSite::create(transports::VethSite::Near::stack);
  if (!site) throw site.error();
  return std::move(*site);
}

void write_setting(const std::string& name, const std::string& value) {
  std::ofstream file("/proc/sys/net/" + name);
  file << value;
}

}  // namespace

VethSite::VethSite() : transports::VethSite(made()) {
  const Visit there(far());
  // The peer is to take what a test sends at once, and to send it at once.
  write_setting("ipv4/tcp_wmem", "4096 8388608 8388608");
  write_setting("ipv4/tcp_congestion_control", "cubic");
  // And to keep no memory of how earlier connections to the address fared.
  write_setting("ipv4/tcp_no_metrics_save", "1");
}

void VethSite::add_near_address(const char* address) {
  const Visit here(near());
  if (const int os_error = set_interface_address(kNearInterface, address, 24); os_error != 0)
    throw sockets::make_error("test network", "give the near end an address", os_error);
}

VethSite* VethSite::shared() {
  static const std::unique_ptr<VethSite> site = []() -> std::unique_ptr<VethSite> {
    try {
      return std::make_unique<VethSite>();
    } catch (const Error& error) {
      g_why_not = "xdp: no test network here: " + error.message;
      return nullptr;
    }
  }();
  return site.get();
}

const std::string& VethSite::why_not() { return g_why_not; }

}  // namespace feedbench::transports::xdp::testing
