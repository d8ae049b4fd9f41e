#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "reference/monitor/model.hpp"

namespace feedbench::monitor {

/// How a line stands out where the terminal can show it. No meaning is in it that the text has not.
enum class Tone : std::uint8_t { plain, title, heading, alarm };

struct Line {
  std::string text;  ///< Printable ASCII, whatever a venue or a client said.
  Tone tone = Tone::plain;
};

struct DrawOptions {
  std::size_t width = 0;     ///< Columns: longer lines are cut. 0: as wide as it takes.
  std::size_t height = 0;    ///< Lines: the rest is counted in the last one. 0: all.
  bool interactive = false;  ///< Say which key quits.
};

/// The picture as text.
std::vector<Line> draw(const Picture& picture, const DrawOptions& options);

// How numbers are shown, each in at most 7 columns but for the last.
std::string show_count(std::uint64_t count);           ///< 99,999, then 123k, 1.23M, 12.3G.
std::string show_rate(double per_second);              ///< As counts; 0.25 and 3.5 below ten.
std::string show_bytes(double bytes);                  ///< 999 B, 1.23 kB, 12.3 MB (of 1,000).
std::string show_time(std::int64_t ns);                ///< 999ns, 1.23us, 12.3ms, 1.23s.
std::string show_duration(std::int64_t ns);            ///< 59 s, 12 min 5 s, 2 h 03 min, 3 d 04 h.
std::string fit(std::string text, std::size_t width);  ///< Cut to width, with ... for the rest.

}  // namespace feedbench::monitor
