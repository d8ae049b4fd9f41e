#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "transports/tls/tls_session.hpp"

namespace feedbench::local::testing {

/// A WebSocket client over TLS (wss://127.0.0.1:PORT/), by hand: blocking, on a socket of its own. It reads the numbered
/// messages of a ScriptedVenue ({"n":1,...}) and counts those that do not follow the one before.
/// errors: throws std::runtime_error, with TLS's own words if it was TLS.
class SecureClient {
 public:
  /// Connects and does both handshakes.
  SecureClient(std::uint16_t port, const tls::TlsClientOptions& options);
  ~SecureClient();
  SecureClient(const SecureClient&) = delete;
  SecureClient& operator=(const SecureClient&) = delete;

  /// Reads up to the message of that number.
  void until_number(std::uint64_t number);
  /// Reads up to the end. returns the code of the Close frame, 0 if none came.
  std::uint16_t until_closed();

  [[nodiscard]] std::uint64_t last() const;   ///< The number of the last message; 0: none yet.
  [[nodiscard]] std::uint64_t wrong() const;  ///< Messages that did not follow the one before.

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace feedbench::local::testing
