#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reference/venues/venue.hpp"

namespace feedbench::venues::binance {

/// What the target of a WebSocket request ("/stream?streams=btcusdt@trade/ethusdt@depth") asks for.
struct Target {
  bool combined = false;             ///< /stream: frames come wrapped. /ws: raw.
  bool microseconds = false;         ///< timeUnit=MICROSECOND
  std::vector<std::string> streams;  ///< In the order given, each once.
};

/// Parses /ws, /ws/a/b, /ws/0, /stream, /stream?streams=a/b, each with timeUnit and URL-encoded or
/// not. A name that is no stream but well-formed ("0") is accepted and subscribes to nothing.
/// errors: another path; a malformed stream name (the venue closes with 1008 then); more than 1,024
/// streams.
Expected<Target> parse_target(std::string_view target);

/// True if `name` has the form of a stream name: "<symbol>@<type>..." or "!<type>...".
[[nodiscard]] bool is_stream_name(std::string_view name) noexcept;

}  // namespace feedbench::venues::binance
