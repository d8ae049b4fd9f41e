#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "transports/transport.hpp"

namespace feedbench::program {

/// Errors: --status-fd names a descriptor that is not open for writing. -1 is good: none was named.
transports::Expected<void> check_status_descriptor(int fd);

/// What a program tells the one that started it: one JSON object a line, {"event": NAME, ...}, on an inherited
/// descriptor (--status-fd N). Without a descriptor nothing is written. A reader that went away is not an error.
/// thread: one. Cost: one write(2) an event; never on the hot path.
class StatusLines {
 public:
  /// fd: a descriptor to write to, or -1 for none. It is marked close-on-exec and stays the caller's.
  explicit StatusLines(int fd = -1);

  void event(std::string_view name) const;
  /// fields: an object; its members are added to the line.
  void event(std::string_view name, const nlohmann::json& fields) const;

 private:
  int fd_;
};

}  // namespace feedbench::program
