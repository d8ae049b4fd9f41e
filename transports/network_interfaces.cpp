#include "transports/network_interfaces.hpp"

#include <linux/ethtool.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <memory>

#include "transports/rings/descriptor.hpp"

namespace feedbench::transports {
namespace {

/// Asks the driver of one interface.
class DriverQuery {
 public:
  DriverQuery(int socket, const std::string& interface) : socket_(socket) {
    interface.copy(request_.ifr_name, IFNAMSIZ - 1);
  }
  [[nodiscard]] short flags() {
    return ::ioctl(socket_, SIOCGIFFLAGS, &request_) == 0 ? request_.ifr_flags : short{0};
  }
  /// One ethtool command; `about` begins with its number. returns whether it was answered.
  template <class About>
  bool ethtool(About& about) {
    request_.ifr_data = reinterpret_cast<char*>(&about);
    return ::ioctl(socket_, SIOCETHTOOL, &request_) == 0;
  }

 private:
  int socket_;
  ifreq request_{};
};

NetworkInterface describe(int socket, const std::string& name, unsigned index) {
  NetworkInterface interface;
  interface.name = name;
  DriverQuery query(socket, name);
  const short flags = query.flags();
  interface.up = (flags & IFF_UP) != 0;
  interface.loopback = (flags & IFF_LOOPBACK) != 0;
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (query.ethtool(driver)) interface.driver = driver.driver;
  ethtool_ts_info stamps{};
  stamps.cmd = ETHTOOL_GET_TS_INFO;
  if (query.ethtool(stamps)) {
    constexpr unsigned kHardware = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE;
    interface.hardware_receive_stamps = (stamps.so_timestamping & kHardware) == kHardware;
    interface.software_receive_stamps =
        (stamps.so_timestamping & SOF_TIMESTAMPING_RX_SOFTWARE) != 0;
  }
  const XdpAbility xdp = ask_xdp_ability(index);
  interface.xdp_native = xdp.native;
  interface.xdp_zero_copy = xdp.zero_copy;
  interface.xdp_absent_reason = xdp.absent_reason;
  return interface;
}

}  // namespace

std::vector<NetworkInterface> network_interfaces() {
  std::vector<NetworkInterface> interfaces;
  const std::unique_ptr<struct if_nameindex[], void (*)(struct if_nameindex*)> names(
      ::if_nameindex(), ::if_freenameindex);
  const rings::Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (names == nullptr || !socket.valid()) return interfaces;
  for (const struct if_nameindex* at = names.get(); at->if_index != 0; ++at) {
    interfaces.push_back(describe(socket.get(), at->if_name, at->if_index));
  }
  return interfaces;
}

}  // namespace feedbench::transports
