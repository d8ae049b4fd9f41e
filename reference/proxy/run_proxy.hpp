#pragma once

#include "reference/proxy/proxy.hpp"
#include "transports/offload_tls.hpp"
#include "transports/tls/tls_transport.hpp"

namespace feedbench::proxy {

/// Runs the proxy on one transport, from listening to the end. Returns an exit code.
/// throws transports::Error when this kernel cannot do it or the port is taken.
int run_on_select(const ProxyParts& parts);
int run_on_epoll(const ProxyParts& parts);
int run_on_io_uring(const ProxyParts& parts);
int run_on_xdp(const ProxyParts& parts);

/// Listens at config.listen: with a socket that was taken over, if one of them is bound there.
template <class T>
transports::Expected<transports::Endpoint> listen(T& transport, const ProxyParts& parts) {
  const transports::Endpoint& wanted = parts.config.listen;
  if constexpr (transports::HandsOver<T>) {
    std::vector<rings::Descriptor> none;
    for (rings::Descriptor& each : parts.listeners != nullptr ? *parts.listeners : none) {
      const auto bound = transport.adopt_listener(std::move(each), transports::ConnOptions{});
      if (!bound) return bound;
      const bool fits =
          bound->address == wanted.address && (wanted.port == 0 || bound->port == wanted.port);
      if (fits) return bound;
      transport.hand_over_listeners();  // closed
    }
  }
  return transport.listen(wanted, transports::ConnOptions{});
}

/// On T made with `more` besides TransportOptions.
template <class T, class... More>
int run_with(const ProxyParts& parts, const More&... more) {
  const ProxyConfig& config = parts.config;
  transports::TransportOptions options;
  options.wait = config.wait;
  options.connections_max = Proxy<T>::connections_max(config);
  options.busy_poll_us = config.busy_poll_us;
  T transport(options, more...);
  if constexpr (requires { transport.register_memory({}); }) {
    // Frames go out of the log, which a zero-copy send then need not pin. It is mapped twice in a row.
    if (parts.configured != nullptr) {
      const rings::MirroredMapping& log = parts.configured->log.mapping();
      const auto done = transport.register_memory({log.ring(), 2 * log.ring_bytes()});
      if (!done) throw done.error();
    }
  }
  Proxy<T> proxy(transport, parts);
  program::StopSignals signals([](void* context) { static_cast<T*>(context)->wake(); }, &transport);

  std::string endpoint;
  std::string how(T::name());
  if constexpr (requires { transport.mode(); }) how += ": " + std::string(transport.mode());
  const char* const wait = config.wait == transports::Wait::spin ? "spin" : "block";
  if (parts.configured != nullptr) {
    const auto bound = listen(transport, parts);
    if (!bound) throw bound.error();
    endpoint = transports::to_string(*bound);
    const char* const scheme = config.listen_certificate.empty() ? "ws" : "wss";
    spdlog::info("listening on {}://{} ({}, {})", scheme, endpoint, how, wait);
  }
  if (!config.local_socket.empty())
    spdlog::info("local clients at {} ({}, {})", config.local_socket, how, wait);
  parts.status.event("listening", {{"endpoint", endpoint}, {"local_socket", config.local_socket}});
  try {
    parts.serving();
  } catch (...) {
    // What was taken over goes back: nothing may be said to these sockets.
    if constexpr (transports::HandsOver<T>) transport.hand_over_listeners();
    throw;
  }
  const int code = proxy.run();
  parts.ended();
  return code;
}

/// The same, with TLS towards the clients if the configuration has a certificate.
template <class T, class... More>
int run_on(const ProxyParts& parts, const More&... more) {
  // A proxy with TLS clients is replaced like any other.
  static_assert(transports::HandsOver<tls::TlsTransport<T>> == transports::HandsOver<T>);
  const ProxyConfig& config = parts.config;
  if (config.listen_certificate.empty()) return run_with<T>(parts, more...);
  const auto context = tls::TlsContext::server(
      {config.listen_certificate, config.listen_key, config.listen_client_ca, config.ktls});
  if (!context) throw context.error();
  tls::TlsTransportOptions options;
  options.accepts = &*context;
  options.accepts_max = config.clients_max + 1;  // the one too many is the hub's to refuse
  options.handshake_timeout_ns = config.client_handshake_timeout_ms * std::int64_t{1'000'000};
  options.drain_timeout_ns = config.client_close_timeout_ms * std::int64_t{1'000'000};
  options.offload = config.ktls;
  if (config.ktls && !transports::OffloadsTls<T>)
    spdlog::warn("--ktls: not with --transport {}; this process encrypts for its clients",
                 T::name());
  return run_with<tls::TlsTransport<T>>(parts, options, more...);
}

}  // namespace feedbench::proxy
