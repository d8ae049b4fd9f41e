#include "reference/monitor/screen.hpp"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

namespace feedbench::monitor {
namespace {

// source: ECMA-48; the alternate screen is xterm's.
constexpr const char* kEnter = "\x1b[?1049h\x1b[?25l\x1b[H\x1b[2J";
constexpr const char* kLeave = "\x1b[0m\x1b[?25h\x1b[?1049l";
constexpr const char* kHome = "\x1b[H";
constexpr const char* kToEndOfLine = "\x1b[K";
constexpr const char* kToEndOfScreen = "\x1b[J";
constexpr const char* kReset = "\x1b[0m";

const char* begin_of(Tone tone) {
  switch (tone) {
    case Tone::title:
    case Tone::alarm:
      return "\x1b[1m";
    case Tone::heading:
      return "\x1b[7m";
    case Tone::plain:
      break;
  }
  return "";
}

}  // namespace

bool write_out(const std::string& text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

Screen::Screen(bool plain) {
  if (plain || ::isatty(STDOUT_FILENO) == 0) return;
  taken_over_ = write_out(kEnter);
  if (::isatty(STDIN_FILENO) == 0 || ::tcgetattr(STDIN_FILENO, &before_) != 0) return;
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // Ctrl-C stays a signal
  raw.c_cc[VSUSP] = _POSIX_VDISABLE;  // Ctrl-Z would leave the screen to the shell as it is
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  keys_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

Screen::~Screen() {
  if (keys_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  if (taken_over_) write_out(kLeave + last_);
}

DrawOptions Screen::size() const {
  DrawOptions options;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) {
    options.width = size.ws_col;
    if (taken_over_) options.height = size.ws_row;
  }
  options.interactive = keys_;
  return options;
}

bool Screen::show(const std::vector<Line>& lines) {
  std::string plain;
  for (const Line& line : lines) plain += line.text + '\n';
  if (!taken_over_) {
    const bool first = !std::exchange(any_, true);
    return write_out(first ? plain : '\n' + plain);
  }
  last_ = plain;
  std::string text = kHome;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i != 0) text += "\r\n";
    const std::string tone = begin_of(lines[i].tone);
    text += tone + lines[i].text;
    // The bar of a heading goes to the end of the line: the terminal fills it in the tone that is set.
    text += kToEndOfLine;
    if (!tone.empty()) text += kReset;
  }
  return write_out(text + kToEndOfScreen);
}

bool Screen::wait_for_quit(int timeout_ms) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  if (::poll(&input, keys_ ? 1 : 0, timeout_ms) <= 0) return false;
  char key = 0;
  const ssize_t got = ::read(STDIN_FILENO, &key, 1);
  if (got <= 0) keys_ = false;  // the terminal is gone: do not spin on it
  return got == 1 && (key == 'q' || key == 'Q');
}

}  // namespace feedbench::monitor
