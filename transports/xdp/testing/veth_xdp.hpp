#pragma once

#include <string>

#include "transports/testing/raw_socket.hpp"
#include "transports/xdp/testing/veth_site.hpp"
#include "transports/xdp/xdp_transport.hpp"

namespace feedbench::transports::xdp::testing {

/// An XdpTransport at the near end of the shared VethSite, as the conformance suite wants a
/// transport: made from TransportOptions alone, and listening where it is told nothing about.
class VethXdp : public XdpTransport {
 public:
  explicit VethXdp(const TransportOptions& options) : VethXdp(options, site_options()) {}
  VethXdp(const TransportOptions& options, const XdpOptions& xdp,
          const VethSite::Visit& here = VethSite::Visit(VethSite::shared()->near()))
      : XdpTransport(options, xdp) {
    static_cast<void>(here);
  }

  Expected<Endpoint> listen(Endpoint endpoint, const ConnOptions& options) {
    if (endpoint.address == Endpoint{}.address) endpoint.address = VethSite::kStackAddress;
    return XdpTransport::listen(endpoint, options);
  }

  static XdpOptions site_options() {
    XdpOptions options;
    options.interface = VethSite::kNearInterface;
    options.address = VethSite::kStackNetwork;
    return options;
  }

  /// Why there is no such transport here; empty when there is. Tries it once.
  static const std::string& why_not() {
    static const std::string reason = []() -> std::string {
      if (std::string absent = absent_reason(); !absent.empty()) return absent;
      if (VethSite::shared() == nullptr) return VethSite::why_not();
      try {
        TransportOptions options;
        options.connections_max = 1;
        const VethXdp once(options);
        return {};
      } catch (const Error& error) {
        return "xdp: not usable here: " + error.message;
      }
    }();
    return reason;
  }

  /// Where its foreign peers live: at the far end, and while they wait for it, it must be polled.
  static transports::testing::RawSocket::Place place(std::function<void()> poll) {
    return {VethSite::shared()->far(), VethSite::kFarAddress, std::move(poll)};
  }
  static constexpr const char* kAddress = VethSite::kStackAddress;
};

/// The same, always short of everything, and with the program in the kernel's own receive path.
struct CrampedXdp : VethXdp {
  explicit CrampedXdp(const TransportOptions& options) : VethXdp(options, cramped()) {}
  static XdpOptions cramped() {
    XdpOptions options = site_options();
    options.attach = XdpAttach::generic;
    options.frames = 128;
    options.receive_ring = options.transmit_ring = 64;
    options.batch = 8;
    options.need_wakeup = false;
    return options;
  }
};

}  // namespace feedbench::transports::xdp::testing
