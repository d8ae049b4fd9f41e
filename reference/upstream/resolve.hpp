#pragma once

#include <string>
#include <vector>

#include "transports/transport.hpp"

namespace feedbench::upstream {

/// The TCP endpoints of a host. host: a name or a numeric address. Blocks while the system's resolver works: call it at
/// set-up and between connections, never while data flows. errors: the name does not resolve.
transports::Expected<std::vector<transports::Endpoint>> resolve(const std::string& host,
                                                                std::uint16_t port);

}  // namespace feedbench::upstream
