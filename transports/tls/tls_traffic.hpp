#pragma once

#include <cstdint>
#include <string>

namespace feedbench::tls {

/// One direction of a TLS 1.3 connection (RFC 8446, 7.2).
struct TrafficKeys {
  std::string secret;          ///< application_traffic_secret_N: 32 or 48 bytes. Tell nobody.
  std::uint64_t sequence = 0;  ///< Of the next record under this secret.
};

/// An established TLS 1.3 connection between two records: whoever has this and the byte stream can go on with it.
struct TlsTraffic {
  std::uint16_t cipher_suite =
      0;  ///< 0x1301 AES-128-GCM, 0x1302 AES-256-GCM, 0x1303 ChaCha20-Poly1305.
  TrafficKeys in;
  TrafficKeys out;
  std::string unread;       ///< Ciphertext received and not opened: perhaps a part of a record.
  std::string plain;        ///< Plaintext opened and not read.
  std::string server_name;  ///< For messages.
};

}  // namespace feedbench::tls
