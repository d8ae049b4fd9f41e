#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "transports/transport.hpp"

/// The addresses on the command lines of the baselines.
namespace feedbench::baselines {

/// Reads HOST:PORT, where HOST is a numeric IPv4 address, or an IPv6 one in brackets
/// ("[::1]:9443"); port 0 asks for any free one. Errors: one sentence that names the text and the
/// form expected.
transports::Expected<transports::Endpoint> parse_endpoint(std::string_view text);

/// Looks a host name up (a numeric address is taken as it is) and returns its first address, IPv4
/// before IPv6. Errors: the resolver's text. Cost: may ask a name server; set-up only.
transports::Expected<transports::Endpoint> resolve(const std::string& host, std::uint16_t port);

}  // namespace feedbench::baselines
