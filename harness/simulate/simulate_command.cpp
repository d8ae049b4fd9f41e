#include "harness/simulate/simulate_command.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "harness/simulate/simulation.hpp"
#include "reference/program/exit_codes.hpp"
#include "transports/transport.hpp"

namespace feedbench::simulate {
namespace {

using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string seeds = "1..1000";
  std::int64_t fresh = 0;
  double minutes = 0;
  bool trace = false;
};

constexpr std::uint64_t kSeedMax = INT64_MAX;

struct Range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

bool read_number(std::string_view text, std::uint64_t& out) {
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
}

/// "7" or "1..1000".
bool read_range(std::string_view text, Range& out) {
  const auto dots = text.find("..");
  if (dots == std::string_view::npos) {
    const bool good = read_number(text, out.first);
    out.last = out.first;
    return good && out.last <= kSeedMax;
  }
  return read_number(text.substr(0, dots), out.first) &&
         read_number(text.substr(dots + 2), out.last) && out.first <= out.last &&
         out.last <= kSeedMax;
}

/// Sums over all seeds.
struct Totals {
  std::uint64_t seeds = 0;
  std::uint64_t failed = 0;
  std::uint64_t messages = 0;
  std::uint64_t delivered = 0;
  std::uint64_t clients = 0;
  std::uint64_t evictions = 0;
  std::uint64_t losses = 0;
  std::uint64_t lapped = 0;
  double virtual_seconds = 0;

  void add(const Outcome& outcome) {
    ++seeds;
    failed += outcome.faults.empty() ? 0 : 1;
    messages += outcome.messages;
    delivered += outcome.delivered;
    clients += outcome.clients;
    evictions += outcome.evictions;
    losses += outcome.upstream_losses;
    lapped += outcome.lapped;
    virtual_seconds += outcome.virtual_seconds;
  }
};

class Run {
 public:
  explicit Run(const Arguments& arguments) : arguments_(arguments) {}

  int operator()(const Range& range) {
    const auto fresh = static_cast<std::uint64_t>(arguments_.fresh);
    const std::uint64_t count = range.last - range.first + 1 + fresh;
    for (std::uint64_t seed = range.first; seed <= range.last && !time_is_up(); ++seed)
      one(seed, count);
    std::random_device random;
    for (std::uint64_t i = 0; i < fresh && !time_is_up(); ++i) {
      const std::uint64_t seed = random() | std::uint64_t{1} << 32;  // beyond any fixed set
      if (i == 0) clear_line();
      fmt::print("fresh seed {}\n", seed);
      one(seed, count);
    }
    clear_line();
    print_totals(count);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      fmt::print(stderr, "feedbench simulate: standard output: {}\n", std::strerror(errno));
      return program::kExitUsage;
    }
    return totals_.failed == 0 ? program::kExitOk : program::kExitNegative;
  }

 private:
  static constexpr std::uint64_t kFailuresShown = 10;

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(Clock::now() - started_).count();
  }
  [[nodiscard]] bool time_is_up() const {
    return totals_.failed >= kFailuresShown ||
           (arguments_.minutes > 0 && seconds() >= arguments_.minutes * 60);
  }

  void one(std::uint64_t seed, std::uint64_t count) {
    const Outcome outcome = run_simulation(seed, arguments_.trace);
    totals_.add(outcome);
    if (!outcome.faults.empty()) {
      clear_line();
      fmt::print("seed {} fails:\n", seed);
      for (const std::string& fault : outcome.faults) fmt::print("  {}\n", fault);
      if (!arguments_.trace) fmt::print("  see how: feedbench simulate --seeds {} --trace\n", seed);
      std::fflush(stdout);  // whatever becomes of this process
    }
    if (terminal_ && !arguments_.trace && seconds() - shown_at_ > 0.2) {
      shown_at_ = seconds();
      fmt::print(stderr, "\r\033[K{} of {} seeds, {:.0f} s", totals_.seeds, count, shown_at_);
    }
  }
  void clear_line() const {
    if (terminal_ && !arguments_.trace) fmt::print(stderr, "\r\033[K");
  }

  void print_totals(std::uint64_t count) const {
    const double took = seconds();
    fmt::print("{} of {} seeds in {:.1f} s: {}\n", totals_.seeds, count, took,
               totals_.failed == 0 ? "no fault" : fmt::format("{} FAILED", totals_.failed));
    fmt::print(
        "  {:.1f} hours of the proxy's life: {} messages published, {} delivered to {} clients "
        "({:.2f} million a second)\n",
        totals_.virtual_seconds / 3600, totals_.messages, totals_.delivered, totals_.clients,
        static_cast<double>(totals_.delivered) / took / 1e6);
    fmt::print(
        "  {} clients evicted, {} upstream connections lost or failed, {} messages missed by "
        "lapped readers\n",
        totals_.evictions, totals_.losses, totals_.lapped);
  }

  const Arguments& arguments_;
  Totals totals_;
  Clock::time_point started_ = Clock::now();
  double shown_at_ = 0;
  bool terminal_ = ::isatty(2) == 1;
};

int run_simulate(const Arguments& arguments) {
  Range range;
  if (!read_range(arguments.seeds, range)) {
    fmt::print(stderr,
               "feedbench simulate: --seeds {}: give one number or a range, such as 1..1000, of "
               "at most {}\n",
               arguments.seeds, kSeedMax);
    return program::kExitUsage;
  }
  if (arguments.fresh < 0) {
    fmt::print(stderr, "feedbench simulate: --fresh {}: must not be negative\n", arguments.fresh);
    return program::kExitUsage;
  }
  if (!(arguments.minutes >= 0)) {
    fmt::print(stderr, "feedbench simulate: --minutes {}: must not be negative\n",
               arguments.minutes);
    return program::kExitUsage;
  }
  spdlog::set_level(spdlog::level::off);  // the proxy's own log
  try {
    return Run(arguments)(range);
  } catch (const transports::Error& error) {
    fmt::print(stderr, "feedbench simulate: {}\n", error.message);
    return program::kExitCannotStart;
  }
}

}  // namespace

void add_simulate_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand(
      "simulate",
      "Run whole proxies in virtual time against a venue and clients that go wrong, by seed");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("--seeds", arguments->seeds, "One number or FIRST..LAST")
      ->capture_default_str();
  command->add_option("--fresh", arguments->fresh,
                      "And so many that nobody has run before, which are printed");
  command
      ->add_option("--minutes", arguments->minutes,
                   "Stop after so long; 0: when all seeds are done")
      ->capture_default_str();
  command->add_flag("--trace", arguments->trace,
                    "Tell what happens, a line an event (for one seed)");
  command->callback([arguments, &exit_code] { exit_code = run_simulate(*arguments); });
}

}  // namespace feedbench::simulate
