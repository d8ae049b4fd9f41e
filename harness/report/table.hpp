#pragma once

#include <string>

#include "harness/report/result.hpp"

namespace feedbench::report {

struct TableOptions {
  bool colour = false;  ///< ANSI colours for verdicts
};

/// The result as text for a terminal: groups, skipped cases with reasons, comparisons, floors. Ends
/// in a newline.
[[nodiscard]] std::string format_table(const Result& result, const TableOptions& options = {});

/// One line a repetition, with a header line; RFC 4180; empty where a value is absent.
[[nodiscard]] std::string format_csv(const Result& result);

}  // namespace feedbench::report
