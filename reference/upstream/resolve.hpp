#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "transports/transport.hpp"

namespace feedbench::upstream {

using Endpoints = transports::Expected<std::vector<transports::Endpoint>>;

/// The endpoint of a numeric address; nothing for a name. Never blocks.
std::optional<std::vector<transports::Endpoint>> numeric_endpoint(const std::string& host,
                                                                  std::uint16_t port);

/// The TCP endpoints of a host. host: a name or a numeric address. Blocks while the system's resolver works (for
/// minutes, if its servers do not answer). errors: the name does not resolve.
Endpoints resolve(const std::string& host, std::uint16_t port);

/// The same on a thread of its own, which calls done there and ends. done outlives what asked for it: it should hand the
/// answer to a mailbox. errors: no thread can be started (then done is not called).
transports::Expected<void> resolve_elsewhere(std::string host, std::uint16_t port,
                                             std::function<void(Endpoints)> done);

}  // namespace feedbench::upstream
