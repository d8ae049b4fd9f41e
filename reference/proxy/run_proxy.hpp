#pragma once

#include "reference/proxy/proxy.hpp"

namespace feedbench::proxy {

/// Runs the proxy on one transport, from listening to the end. Returns an exit code.
/// throws transports::Error when this kernel cannot do it or the port is taken.
int run_on_select(const ProxyParts& parts, const std::string& local_socket);
int run_on_epoll(const ProxyParts& parts, const std::string& local_socket);
int run_on_io_uring(const ProxyParts& parts, const std::string& local_socket);

/// The same for any T. local_socket: the path at which the log can be had, for the announcement.
template <class T>
int run_on(const ProxyParts& parts, const std::string& local_socket) {
  transports::TransportOptions options;
  options.wait = parts.config.wait;
  options.connections_max = Proxy<T>::connections_max(parts.config);
  T transport(options);
  Proxy<T> proxy(transport, parts);
  program::StopSignals signals([](void* context) { static_cast<T*>(context)->wake(); }, &transport);

  const auto endpoint = transport.listen(parts.config.listen, transports::ConnOptions{});
  if (!endpoint) throw endpoint.error();
  spdlog::info("listening on ws://{} ({}, {})", transports::to_string(*endpoint), T::name(),
               parts.config.wait == transports::Wait::spin ? "spin" : "block");
  parts.status.event("listening", {{"endpoint", transports::to_string(*endpoint)},
                                   {"local_socket", local_socket}});
  return proxy.run();
}

}  // namespace feedbench::proxy
