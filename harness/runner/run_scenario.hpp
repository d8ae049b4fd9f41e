#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "harness/report/result.hpp"
#include "harness/scenario/case_matrix.hpp"
#include "harness/scenario/scenario.hpp"
#include "transports/transport.hpp"

namespace feedbench::runner {

/// What the command line adds to a scenario.
struct RunOptions {
  std::filesystem::path programs;  ///< folder of the programs
  bool short_run = false;          ///< one repeat of at most half a second: does everything work?
  scenario::Selector only;         ///< run only cases that match
  bool progress_on_terminal = false;      ///< rewrite one line, instead of a line a run
  std::vector<std::string> command_line;  ///< kept in the result
};

/// How a whole run ended.
struct RunOutcome {
  report::Result result;
  std::size_t runs = 0;     ///< carried out
  std::size_t invalid = 0;  ///< of those
  std::size_t cases_skipped = 0;
  std::size_t bounds_missed = 0;  ///< comparisons whose bound is not met, or could not be judged
  bool interrupted = false;
};

/// Runs every case of a scenario in interleaved order and gathers the result. Progress goes to stderr.
/// errors: placement impossible, programs missing, no scratch folder, --only that selects nothing.
/// Leaves no process, socket, file or segment behind, whatever happens, stop signals included.
transports::Expected<RunOutcome> run_scenario(const scenario::Scenario& scenario,
                                              const RunOptions& options);

}  // namespace feedbench::runner
