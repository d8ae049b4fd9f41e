#pragma once

#include "reference/proxy/proxy.hpp"

namespace feedbench::proxy {

/// Runs the proxy on one transport, from listening to the end. Returns an exit code.
/// throws transports::Error when this kernel cannot do it or the port is taken.
int run_on_select(const ProxyParts& parts);
int run_on_epoll(const ProxyParts& parts);
int run_on_io_uring(const ProxyParts& parts);

/// The same for any T.
template <class T>
int run_on(const ProxyParts& parts) {
  const ProxyConfig& config = parts.config;
  transports::TransportOptions options;
  options.wait = config.wait;
  options.connections_max = Proxy<T>::connections_max(config);
  T transport(options);
  Proxy<T> proxy(transport, parts);
  program::StopSignals signals([](void* context) { static_cast<T*>(context)->wake(); }, &transport);

  std::string endpoint;
  const char* const wait = config.wait == transports::Wait::spin ? "spin" : "block";
  if (parts.configured != nullptr) {
    const auto bound = transport.listen(config.listen, transports::ConnOptions{});
    if (!bound) throw bound.error();
    endpoint = transports::to_string(*bound);
    spdlog::info("listening on ws://{} ({}, {})", endpoint, T::name(), wait);
  }
  if (!config.local_socket.empty())
    spdlog::info("local clients at {} ({}, {})", config.local_socket, T::name(), wait);
  parts.status.event("listening", {{"endpoint", endpoint}, {"local_socket", config.local_socket}});
  parts.serving();
  return proxy.run();
}

}  // namespace feedbench::proxy
