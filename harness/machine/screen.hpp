#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "harness/machine/lines.hpp"

namespace feedbench::machine {

struct ScreenOptions {
  std::size_t columns = 110;  ///< of the terminal; notes are wrapped to it, down to 80
  bool colour = false;
};

/// Groups of aligned lines: name, answer, note. Each piece of advice stands on one line, unwrapped, under the line that it
/// is about, marked "=>". Advice about a line that is not there comes last. Ends with a newline.
/// errors: none. thread: any.
[[nodiscard]] std::string format_screen(const std::vector<Group>& groups,
                                        const std::vector<Advice>& advice,
                                        const ScreenOptions& options = {});

}  // namespace feedbench::machine
