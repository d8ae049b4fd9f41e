#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// One line of a recording: one WebSocket message as it was on the wire, and when.
namespace feedbench::recording {

enum class Direction : std::uint8_t {
  rx,  ///< The recorder received it: the venue sent it.
  tx,  ///< The recorder sent it.
};

constexpr std::string_view to_string(Direction direction) noexcept {
  return direction == Direction::rx ? "rx" : "tx";
}

/// Strings keep their capacity from one frame to the next, so a reader that reuses one Frame stops
/// allocating.
struct Frame {
  std::int64_t t_ns = 0;  ///< Nanoseconds since the epoch (UTC); 0 where the source had no time.
  Direction dir = Direction::rx;
  bool binary = false;  ///< A binary message; a text message otherwise.
  std::string conn;     ///< Part of the URL that names the connection, for example "/stream".
  std::string data;     ///< The payload exactly as on the wire. Text is valid UTF-8.

  bool operator==(const Frame&) const = default;
};

}  // namespace feedbench::recording
