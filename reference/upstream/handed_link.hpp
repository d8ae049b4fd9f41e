#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "transports/rings/descriptor.hpp"
#include "transports/tls/tls_traffic.hpp"

namespace feedbench::upstream {

/// A link's connection on its way to another process, at a moment when nothing is under way in it.
struct HandedLink {
  rings::Descriptor connection;  ///< None: there was nothing to hand over; a new one is needed.
  std::string unfinished;        ///< Plaintext received of a message that has not come whole.
  std::string unsent;            ///< Wire bytes that the venue is still to get.
  std::uint32_t generation = 0;  ///< Of the last connection; a new one has the next.
  std::string where;             ///< "192.0.2.1:443", for messages.
  std::optional<tls::TlsTraffic> tls;  ///< Of a wss:// connection. Secret.
};

}  // namespace feedbench::upstream
