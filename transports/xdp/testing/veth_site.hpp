#pragma once

#include <string>

#include "transports/veth_site.hpp"

namespace feedbench::transports::xdp::testing {

/// The test network of this process. The stack lives on the near end, with an address that the
/// kernel does not have; the kernel's own TCP at the far end is its peer.
class VethSite : public transports::VethSite {
 public:
  static constexpr const char* kStackAddress = kNearAddress;
  static constexpr const char* kStackNetwork = kNearNetwork;

  /// The site of this process, made at the first call. nullptr when it cannot be had here; then
  /// why_not() says why.
  static VethSite* shared();
  static const std::string& why_not();

  /// throws Error.
  VethSite();
  /// Gives the kernel of the near end an address too, so that kernel sockets reach each other.
  /// throws Error.
  void add_near_address(const char* address);
};

}  // namespace feedbench::transports::xdp::testing
