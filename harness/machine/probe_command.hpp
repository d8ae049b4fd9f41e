#pragma once

namespace CLI {
class App;
}

namespace feedbench::machine {

/// Adds `probe [--json]` to the program: prints what this machine offers and what costs performance on it. Exit code 0 also
/// where things are absent. errors: its callback throws std::runtime_error with one sentence when nothing can be written;
/// the program's main catches it.
void add_probe_command(CLI::App& app);

}  // namespace feedbench::machine
