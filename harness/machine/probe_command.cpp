#include "harness/machine/probe_command.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "harness/machine/advice.hpp"
#include "harness/machine/machine_json.hpp"
#include "harness/machine/probe_machine.hpp"
#include "harness/machine/screen.hpp"

namespace feedbench::machine {
namespace {

ScreenOptions options_of_terminal() {
  ScreenOptions options;
  winsize size{};
  options.colour = ::isatty(STDOUT_FILENO) != 0;
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    options.columns = size.ws_col;
  return options;
}

std::string heading(const MachineFacts& facts) {
  const measure::Environment& environment = facts.environment;
  return fmt::format(
      "What this machine offers to feedbench, and what costs performance on it.\n"
      "{}, {} cores{}, {}, Linux {}\n\n"
      "  yes: tried, and it works         no: tried, and refused for the reason given\n"
      "  offered: a driver says so        not tried, unknown: the reason is given\n"
      "  =>: something costs performance here, and this is what to do\n",
      environment.cpu_model.empty() ? environment.architecture : environment.cpu_model,
      environment.online_cores,
      environment.hypervisor ? ", a guest of " + *environment.hypervisor : "",
      environment.operating_system.empty() ? "unknown system" : environment.operating_system,
      environment.kernel.substr(0, environment.kernel.find(' ')));
}

std::string ending(const MachineFacts& facts, std::size_t advice) {
  const std::string pieces = advice == 0   ? "No advice: nothing found that costs performance."
                             : advice == 1 ? "1 piece of advice."
                                           : fmt::format("{} pieces of advice.", advice);
  return fmt::format(
      "\n{} Probed in {:.1f} s; nothing on this machine was changed. --json prints the same for "
      "programs.\n",
      pieces, facts.seconds);
}

void print_probe(bool as_json) {
  const MachineFacts facts = probe_machine();
  const auto groups = describe(facts);
  const auto advice = advise(facts);
  const std::string text = as_json ? machine_json(facts, groups, advice).dump(2) + '\n'
                                   : heading(facts) +
                                         format_screen(groups, advice, options_of_terminal()) +
                                         ending(facts, advice.size());
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
    throw std::runtime_error("probe: cannot write to standard output");
}

}  // namespace

void add_probe_command(CLI::App& app) {
  auto as_json = std::make_shared<bool>(false);
  CLI::App* probe = app.add_subcommand(
      "probe", "Print what this machine offers, and what costs performance on it");
  probe->add_flag("--json", *as_json, "Print it for programs (docs/probe.md)");
  probe->callback([as_json] { print_probe(*as_json); });
}

}  // namespace feedbench::machine
