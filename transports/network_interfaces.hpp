#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace feedbench::transports {

/// One network interface, as its driver and the kernel describe it. Absent: the kernel would not say.
struct NetworkInterface {
  std::string name;
  std::string driver;  ///< empty where the interface has none (loopback)
  bool up = false;
  bool loopback = false;
  std::optional<bool> hardware_receive_stamps;  ///< the card itself stamps what it receives
  std::optional<bool> software_receive_stamps;  ///< the kernel does, of what comes from this one
  std::optional<bool> xdp_native;  ///< the driver runs XDP programs, and can hand frames to AF_XDP
  std::optional<bool> xdp_zero_copy;  ///< AF_XDP without a copy
  std::string xdp_absent_reason;      ///< why the two before are absent; empty when they are there
};

/// Interfaces of this network namespace, by index. Nothing is switched on: the drivers are asked
/// (SIOCETHTOOL ETHTOOL_GET_TS_INFO, ETHTOOL_GDRVINFO; generic netlink, family netdev, Linux 6.3), because trying XDP would
/// interrupt the traffic of an interface.
/// Cost: some 100 us an interface. thread: any. errors: none; an empty list when interfaces cannot be listed.
std::vector<NetworkInterface> network_interfaces();

/// What family netdev says an interface can do; both absent, with the reason, where it does not.
struct XdpAbility {
  std::optional<bool> native;
  std::optional<bool> zero_copy;
  std::string absent_reason;
};
/// interface_index: as if_nametoindex() gives it. Cost: some 50 us. thread: any.
XdpAbility ask_xdp_ability(unsigned interface_index);

}  // namespace feedbench::transports
