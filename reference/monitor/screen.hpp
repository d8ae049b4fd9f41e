#pragma once

#include <termios.h>

#include <cstddef>
#include <string>
#include <vector>

#include "reference/monitor/draw.hpp"

namespace feedbench::monitor {

/// Where the pictures go. On a terminal: the alternate screen, redrawn in place, without cursor and echo, all of which the
/// destructor gives back; the last picture stays behind. Else, and if `plain`, one below the other.
/// One object a process. thread: one.
class Screen {
 public:
  /// plain: never take over the terminal.
  explicit Screen(bool plain);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  /// How wide and high it is now; 0 x 0 if it is no terminal.
  [[nodiscard]] DrawOptions size() const;
  /// false: nobody reads it any more.
  bool show(const std::vector<Line>& lines);
  /// Waits for a key, for at most timeout_ms, or until a signal. true: the key for quitting.
  bool wait_for_quit(int timeout_ms);
  [[nodiscard]] bool interactive() const noexcept { return taken_over_; }

 private:
  bool taken_over_ = false;
  bool keys_ = false;  // standard input is the terminal, and says each key at once
  termios before_{};
  std::string last_;  // as plain text
  bool any_ = false;
};

/// Writes all of it to standard output. false: it cannot be written to.
bool write_out(const std::string& text);

}  // namespace feedbench::monitor
