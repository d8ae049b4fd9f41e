#pragma once

namespace CLI {
class App;
}

namespace feedbench::simulate {

/// Adds `simulate --seeds FIRST..LAST [--fresh N] [--minutes M] [--trace]`. Sets exit_code: 0; 1 when a seed has a fault;
/// 2 for options that make no sense.
void add_simulate_command(CLI::App& app, int& exit_code);

}  // namespace feedbench::simulate
