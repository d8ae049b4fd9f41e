#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "harness/machine/probe_command.hpp"
#include "harness/report/commands.hpp"
#include "harness/runner/run_command.hpp"
#include "harness/simulate/simulate_command.hpp"
#include "mock_exchange/recording/commands.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/standard_descriptors.hpp"

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  using namespace feedbench;
  CLI::App app("Measures how fast, how many and at what cost one market-data WebSocket is shared",
               "feedbench");
  app.require_subcommand(1);
  app.set_version_flag("--version", "feedbench " FEEDBENCH_VERSION);
  int exit_code = program::kExitOk;
  runner::add_run_command(app, argc, argv, exit_code);
  runner::add_load_command(app, exit_code);
  simulate::add_simulate_command(app, exit_code);
  report::add_report_command(app);
  machine::add_probe_command(app);
  recording::add_inspect_command(app, exit_code);
  recording::add_generate_command(app, exit_code);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? program::kExitOk : program::kExitUsage;
  } catch (const std::exception& error) {
    fmt::print(stderr, "feedbench: {}\n", error.what());
    return program::kExitUsage;
  }
  return exit_code;
}
