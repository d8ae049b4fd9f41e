#include "harness/machine/screen.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <string_view>

namespace feedbench::machine {
namespace {

constexpr std::size_t kColumnsMin = 80;
constexpr std::string_view kMark = "  => ";
constexpr std::string_view kGreen = "32";
constexpr std::string_view kRed = "31";
constexpr std::string_view kYellow = "33";
constexpr std::string_view kBold = "1";

class Screen {
 public:
  Screen(const std::vector<Group>& groups, const ScreenOptions& options) : options_(options) {
    for (const Group& group : groups) {
      for (const Line& line : group.lines) {
        name_width_ = std::max(name_width_, line.name.size());
        text_width_ = std::max(text_width_, line.text.size());
      }
    }
  }

  void title(const Group& group) { out_ += '\n' + painted(group.title, kBold) + '\n'; }

  void line(const Line& line) {
    const std::string gap(text_width_ - line.text.size(), ' ');
    out_ += fmt::format("  {:<{}}  {}{}", line.name, name_width_,
                        painted(line.text, paint_of(line)), gap);
    note(line.note);
  }

  void advice(const Advice& advice) {
    out_ += std::string(kMark) + painted(advice.text, kYellow) + '\n';
  }

  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  static std::string_view paint_of(const Line& line) {
    if (line.kind == Line::Kind::value || !line.available) return {};
    return *line.available ? kGreen : kRed;
  }

  [[nodiscard]] std::string painted(std::string_view text, std::string_view paint) const {
    if (!options_.colour || paint.empty()) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", paint, text);
  }

  /// Wraps at words; the following lines begin where the first began.
  void note(const std::string& text) {
    const std::size_t indent = 2 + name_width_ + 2 + text_width_ + 2;
    const std::size_t columns = std::max(options_.columns, kColumnsMin);
    const std::size_t room = columns > indent + 20 ? columns - indent : 20;
    std::istringstream words(text);
    std::size_t used = 0;
    for (std::string word; words >> word;) {
      if (used == 0) {
        out_ += "  ";
      } else if (used + 1 + word.size() > room) {
        out_ += '\n' + std::string(indent, ' ');
        used = 0;
      } else {
        out_ += ' ';
        ++used;
      }
      out_ += word;
      used += word.size();
    }
    out_.erase(out_.find_last_not_of(' ') + 1);
    out_ += '\n';
  }

  ScreenOptions options_;
  std::size_t name_width_ = 0;
  std::size_t text_width_ = 0;
  std::string out_;
};

}  // namespace

std::string format_screen(const std::vector<Group>& groups, const std::vector<Advice>& advice,
                          const ScreenOptions& options) {
  Screen screen(groups, options);
  std::vector<bool> shown(advice.size(), false);
  for (const Group& group : groups) {
    if (group.lines.empty()) continue;
    screen.title(group);
    for (const Line& line : group.lines) {
      screen.line(line);
      for (std::size_t i = 0; i < advice.size(); ++i) {
        if (advice[i].about != line.id) continue;
        screen.advice(advice[i]);
        shown[i] = true;
      }
    }
  }
  for (std::size_t i = 0; i < advice.size(); ++i) {
    if (!shown[i]) screen.advice(advice[i]);
  }
  return screen.take();
}

}  // namespace feedbench::machine
