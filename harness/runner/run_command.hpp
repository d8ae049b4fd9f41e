#pragma once

namespace CLI {
class App;
}

namespace feedbench::runner {

/// Adds `run SCENARIO` and the hidden `load`. exit_code is set by whichever was called.
/// argc, argv: the whole command line, kept in the result.
void add_run_command(CLI::App& app, int argc, const char* const* argv, int& exit_code);
void add_load_command(CLI::App& app, int& exit_code);

}  // namespace feedbench::runner
