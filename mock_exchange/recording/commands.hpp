#pragma once

namespace CLI {
class App;
}

namespace feedbench::recording {

/// Adds `inspect FILE [--json]` to the command line. When it is chosen, parsing runs it and sets
/// exit_code: 0, or 3 (the file is missing or unreadable) after one sentence on stderr.
void add_inspect_command(CLI::App& app, int& exit_code);

/// Adds `generate FILE --venue V --seconds S --seed N ...`. Sets exit_code: 0, 2 (options) or 3
/// (the file cannot be written) after one sentence on stderr.
void add_generate_command(CLI::App& app, int& exit_code);

}  // namespace feedbench::recording
