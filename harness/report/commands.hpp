#pragma once

namespace CLI {
class App;
}

namespace feedbench::report {

/// Adds `report RESULT.json [--csv FILE]` to the program: prints the table of a kept result again.
/// errors: its callback throws std::runtime_error with one sentence; the program's main catches it.
void add_report_command(CLI::App& app);

}  // namespace feedbench::report
