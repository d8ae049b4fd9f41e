#include "harness/runner/run_command.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "harness/load/load_process.hpp"
#include "harness/report/result.hpp"
#include "harness/report/table.hpp"
#include "harness/runner/run_scenario.hpp"
#include "harness/scenario/case_matrix.hpp"
#include "harness/scenario/scenario.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/nearest_name.hpp"
#include "reference/program/stop_signals.hpp"

namespace feedbench::runner {
namespace {

namespace fs = std::filesystem;

struct RunArguments {
  std::string scenario;
  std::string out;
  std::string programs;
  std::vector<std::string> only;
  bool short_run = false;
  bool csv = false;
};

int fail(int code, const std::string& text) {
  fmt::print(stderr, "feedbench run: {}\n", text);
  return code;
}

// "system=relay" -> the selector; false with a sentence in `fault`.
bool read_only(const std::vector<std::string>& items, scenario::Selector& out, std::string& fault) {
  for (const std::string& item : items) {
    const auto equals = item.find('=');
    const std::string axis = item.substr(0, equals);
    const auto& known = scenario::axis_names();
    if (equals == std::string::npos || std::find(known.begin(), known.end(), axis) == known.end()) {
      const std::string near = program::nearest_name(axis, known);
      fault =
          fmt::format("--only: {}{} (the keys are {})",
                      equals == std::string::npos ? fmt::format("\"{}\" is not KEY=VALUE", item)
                                                  : fmt::format("unknown key '{}'", axis),
                      near.empty() || near == axis ? "" : fmt::format(", did you mean {}?", near),
                      fmt::join(known, ", "));
      return false;
    }
    out[axis] = scenario::normalise_axis_value(axis, item.substr(equals + 1));
  }
  return true;
}

/// Makes the folder of the results before the first run: nobody should wait minutes to learn that it cannot be written.
/// returns what is wrong, empty if nothing.
std::string prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fmt::format("--out: cannot make {}: {}", folder.string(), error.message());
  if (::access(folder.c_str(), W_OK | X_OK) != 0)
    return fmt::format("--out: cannot write into {}: {}", folder.string(), std::strerror(errno));
  return {};
}

int write_files(const RunArguments& arguments, const report::Result& result) {
  const fs::path folder = arguments.out;
  report::write_result(result, (folder / "result.json").string());
  fmt::print("result   {}\n", (folder / "result.json").string());
  if (arguments.csv) {
    std::ofstream csv(folder / "result.csv", std::ios::binary);
    csv << report::format_csv(result);
    if (!csv.flush())
      return fail(program::kExitCannotStart,
                  fmt::format("cannot write {}", (folder / "result.csv").string()));
    fmt::print("csv      {}\n", (folder / "result.csv").string());
  }
  return program::kExitOk;
}

int run(const RunArguments& arguments, const std::vector<std::string>& command_line) {
  auto scenario = scenario::load_scenario(arguments.scenario);
  if (!scenario) {
    for (const scenario::Fault& fault : scenario.error())
      fmt::print(stderr, "{}\n", to_string(fault));
    return program::kExitUsage;
  }
  RunOptions options;
  std::string fault;
  if (!read_only(arguments.only, options.only, fault)) return fail(program::kExitUsage, fault);
  fault = scenario::why_none_matches(scenario::expand(*scenario, {}).all, options.only);
  if (!fault.empty()) return fail(program::kExitUsage, "--only: " + fault);
  options.programs = arguments.programs.empty() ? fs::read_symlink("/proc/self/exe").parent_path()
                                                : fs::path(arguments.programs);
  options.short_run = arguments.short_run;
  options.progress_on_terminal = ::isatty(2) == 1;
  options.command_line = command_line;

  if (!arguments.out.empty()) {
    if (fault = prepare_folder(arguments.out); !fault.empty())
      return fail(program::kExitCannotStart, fault);
  }
  const program::StopSignals signals(nullptr, nullptr);
  auto outcome = run_scenario(*scenario, options);
  if (!outcome) return fail(program::kExitCannotStart, outcome.error().message);
  if (outcome->interrupted && outcome->runs == 0)
    return fail(program::kExitNegative, "interrupted before the first run was done");
  report::TableOptions table;
  table.colour = ::isatty(1) == 1;
  fmt::print("{}", report::format_table(outcome->result, table));
  if (outcome->runs == 0)
    fmt::print("nothing was run: all {} cases were skipped\n", outcome->cases_skipped);
  if (!arguments.out.empty()) {
    if (const int code = write_files(arguments, outcome->result); code != program::kExitOk)
      return code;
  } else {
    fmt::print("result   not kept (--out DIR keeps it)\n");
  }
  if (outcome->interrupted) {
    return fail(program::kExitNegative, report::interruption_of(outcome->result));
  }
  if (outcome->invalid > 0) {
    return fail(program::kExitNegative,
                fmt::format("{} of {} runs are invalid", outcome->invalid, outcome->runs));
  }
  if (scenario->gate && outcome->bounds_missed > 0) {
    return fail(program::kExitNegative,
                fmt::format("{} bound(s) are not met", outcome->bounds_missed));
  }
  return program::kExitOk;
}

}  // namespace

void add_run_command(CLI::App& app, int argc, const char* const* argv, int& exit_code) {
  auto arguments = std::make_shared<RunArguments>();
  CLI::App* command =
      app.add_subcommand("run", "Run a scenario, verify every byte, print the table");
  command->add_option("scenario", arguments->scenario, "YAML file (see docs/scenarios.md)")
      ->required();
  command->add_option("--out", arguments->out, "folder for result.json (and result.csv)");
  command->add_flag("--csv", arguments->csv, "also write result.csv into --out");
  command->add_flag("--short", arguments->short_run,
                    "one repeat of half a second a case: does everything work?");
  command
      ->add_option(
          "--only", arguments->only,
          "run only cases with KEY=VALUE,... (system, transport, clients, wait, group, ...)")
      ->delimiter(',');
  command->add_option("--programs", arguments->programs,
                      "folder of the programs (default: where feedbench is)");
  std::vector<std::string> command_line(argv, argv + argc);
  command->callback([arguments, command_line, &exit_code] {
    if (arguments->csv && arguments->out.empty()) {
      exit_code = fail(program::kExitUsage, "--csv needs --out DIR");
    } else {
      exit_code = run(*arguments, command_line);
    }
  });
}

void add_load_command(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<load::LoadProcessOptions>();
  CLI::App* command =
      app.add_subcommand("load", "Exchange and clients of one run (started by run)");
  command->group("");  // hidden
  command->add_option("--cpu", options->cpu, "core to pin to");
  command->add_flag("--parent-death", options->parent_death,
                    "stop when the process that started this one dies");
  command->callback([options, &exit_code] { exit_code = load::run_load_process(0, 1, *options); });
}

}  // namespace feedbench::runner
