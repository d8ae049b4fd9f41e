#pragma once

#include <chrono>
#include <string>

#include "transports/transport.hpp"

namespace feedbench::monitor {

struct TopOptions {
  std::string path;       ///< The proxy's socket; a path or a name, see feedproxy::socket_path().
  std::string token_env;  ///< Environment variable with the token the proxy asks for; empty: none.
  std::chrono::milliseconds interval{1000};  ///< 100 ms to 1 h.
  bool once = false;                         ///< One interval, then the end.
  bool json = false;                         ///< One object a line instead of text.
  bool plain = false;                        ///< Text one below the other, as when piped.
  int exit_code = -1;                        ///< >= 0: stop at once with this (after --help).
};

/// argv[0]: "top". errors: one sentence.
transports::Expected<TopOptions> parse_top_options(int argc, const char* const* argv);

/// "250ms", "1s", "0.5", "2m": a bare number is seconds. errors: none of these, or not 100 ms to 1 h.
transports::Expected<std::chrono::milliseconds> parse_interval(const std::string& text);

}  // namespace feedbench::monitor
