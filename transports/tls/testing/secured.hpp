#pragma once

#include <functional>
#include <string>

#include "transports/testing/raw_socket.hpp"
#include "transports/tls/testing/tls_peer_layer.hpp"
#include "transports/tls/tls_transport.hpp"

namespace feedbench::tls::testing {

/// Where T lives, if it is on a network of its own.
template <class T>
struct PlaceOf {};
template <class T>
requires requires { T::why_not(); }
struct PlaceOf<T> {
  static const std::string& why_not() { return T::why_not(); }
  static transports::testing::RawSocket::Place place(std::function<void()> poll) {
    return T::place(std::move(poll));
  }
  static constexpr const char* kAddress = T::kAddress;
};

/// T with TLS at both ends, as the conformance suite wants a transport: made from TransportOptions alone.
template <class T>
class Secured : public TlsTransport<T>, public PlaceOf<T> {
 public:
  explicit Secured(const transports::TransportOptions& options)
      : TlsTransport<T>(options, {.accepts = &SharedContexts::get().server,
                                  .connects = &SharedContexts::get().client}) {}
};

}  // namespace feedbench::tls::testing
