#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "transports/transport.hpp"

namespace feedbench::websocket {

/// Where a WebSocket is: ws://host[:port][/path][?query] or wss://...
struct WsUrl {
  bool tls = false;
  std::string host;          ///< A name or an address; IPv6 without its brackets.
  std::uint16_t port = 0;    ///< 80 or 443 when the URL names none.
  std::string target = "/";  ///< Path and query, as they stand in the request line.

  /// The value of the Host header: the port is left out when it is the scheme's own; IPv6 gets its
  /// brackets.
  [[nodiscard]] std::string host_header() const;
  /// The one way to write it: equal for URLs that mean the same server and target. Scheme and host in lower case, no port
  /// where it is the scheme's own, a path of "/" where there is none; the rest as it was.
  [[nodiscard]] std::string normal() const;
};

/// errors: one sentence that names the URL and what is wrong with it. thread: any. source: RFC 6455
/// §3.
transports::Expected<WsUrl> parse_url(std::string_view url);

}  // namespace feedbench::websocket
