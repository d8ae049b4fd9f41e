#include "harness/report/commands.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "harness/report/result.hpp"
#include "harness/report/table.hpp"

namespace feedbench::report {
namespace {

struct ReportArguments {
  std::string result_file;
  std::string csv_file;
};

void print_report(const ReportArguments& arguments) {
  const Result result = read_result(arguments.result_file);
  const std::string table = format_table(result, {.colour = isatty(STDOUT_FILENO) != 0});
  std::fwrite(table.data(), 1, table.size(), stdout);
  if (arguments.csv_file.empty()) return;
  std::ofstream csv(arguments.csv_file, std::ios::binary);
  csv << format_csv(result);
  csv.flush();
  if (!csv) throw std::runtime_error("cannot write the CSV to " + arguments.csv_file);
}

}  // namespace

void add_report_command(CLI::App& app) {
  auto arguments = std::make_shared<ReportArguments>();
  CLI::App* report =
      app.add_subcommand("report", "Print the table of a kept result again, or write it as CSV");
  report->add_option("result", arguments->result_file, "The JSON file a run left behind")
      ->required();
  report->add_option("--csv", arguments->csv_file, "Also write one line a repetition to this file");
  report->callback([arguments] { print_report(*arguments); });
}

}  // namespace feedbench::report
