#pragma once

namespace feedbench::monitor {

/// The subcommand: argv[0] is "top". Returns an exit code (reference/program/exit_codes.hpp): 0 when it was told to stop,
/// 2 for a wrong command line, 3 when there is no proxy, or no more.
int run_top(int argc, const char* const* argv);

}  // namespace feedbench::monitor
