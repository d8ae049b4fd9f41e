#include "reference/proxy/run_proxy.hpp"
#include "transports/xdp/xdp_transport.hpp"

namespace feedbench::proxy {
namespace {

transports::XdpOptions options_of(const ProxyConfig& config) {
  using transports::XdpAttach;
  using transports::XdpCopy;
  transports::XdpOptions options;
  options.interface = config.xdp_interface;
  options.address = config.xdp_address;
  options.gateway = config.xdp_gateway;
  options.queue = config.xdp_queue;
  options.attach = config.xdp_attach == "native"    ? XdpAttach::native
                   : config.xdp_attach == "generic" ? XdpAttach::generic
                                                    : XdpAttach::automatic;
  options.copy = config.xdp_copy == "zero_copy" ? XdpCopy::zero_copy
                 : config.xdp_copy == "copy"    ? XdpCopy::copy
                                                : XdpCopy::automatic;
  options.busy_poll_us = config.busy_poll_us;
  return options;
}

}  // namespace

int run_on_xdp(const ProxyParts& parts) {
  return run_on<transports::XdpTransport>(parts, options_of(parts.config));
}

}  // namespace feedbench::proxy
