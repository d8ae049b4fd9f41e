#include "mock_exchange/recording/commands.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "mock_exchange/recording/generate.hpp"
#include "mock_exchange/recording/inspect.hpp"

namespace feedbench::recording {
namespace {

// The exit codes of all programs here.
constexpr int kOk = 0;
constexpr int kUsage = 2;        // options or the recording are wrong
constexpr int kCannotStart = 3;  // a file that is not there or cannot be written

int complain(std::string_view sentence, int exit_code) {
  fmt::print(stderr, "feedbench: {}\n", sentence);
  return exit_code;
}

/// A line that renews itself, where somebody watches.
Progress progress_line() {
  if (isatty(STDERR_FILENO) == 0) return {};
  return [](std::uint64_t taken, std::uint64_t of, std::uint64_t frames) {
    const double share = of == 0 ? 0 : 100.0 * static_cast<double>(taken) / static_cast<double>(of);
    fmt::print(stderr, "\rreading: {:5.1f} %, {} frames\033[K", share, frames);
    if (taken >= of) fmt::print(stderr, "\r\033[K");
    std::fflush(stderr);
  };
}

int run_inspect(const std::string& path, bool json) {
  const auto inspection = inspect(path, progress_line());
  if (isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\033[K");
  if (!inspection) {
    return complain(inspection.error().message,
                    inspection.error().os_error != 0 ? kCannotStart : kUsage);
  }
  fmt::print("{}", json ? to_json(*inspection) : to_text(*inspection));
  return kOk;
}

int run_generate(GeneratorOptions options, const std::string& venue, const std::string& path) {
  const auto known = venues::venue_from_name(venue);
  if (!known || *known == venues::Venue::raw)
    return complain("generate: venue \"" + venue + "\" has no generator; choose binance or alpaca",
                    kUsage);
  options.venue = *known;
  if (const std::string faults = faults_of(options); !faults.empty()) {
    return complain("generate: " + faults, kUsage);
  }
  auto writer = RecordingWriter::create(path);
  if (!writer) return complain(writer.error().message, kCannotStart);
  auto done = generate(options, *writer);
  if (done) done = writer->close();
  if (!done) return complain(done.error().message, kCannotStart);
  std::error_code gone;  // somebody was quick to take the file away
  const std::uintmax_t file_bytes = std::filesystem::file_size(path, gone);
  fmt::print("{}: {} frames, payload {} bytes, file {} bytes, venue {}, seed {}\n", path,
             grouped(writer->frames()), grouped(writer->payload_bytes()),
             gone ? "?" : grouped(file_bytes), venue, options.seed);
  return kOk;
}

}  // namespace

void add_inspect_command(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("inspect", "Describe a recording: counts, symbols, sizes, pace, bursts");
  auto path = std::make_shared<std::string>();
  auto json = std::make_shared<bool>(false);
  command->add_option("FILE", *path, "Recording (.jsonl or .jsonl.zst)")->required();
  command->add_flag("--json", *json, "Print one JSON object instead of tables");
  command->callback([path, json, &exit_code] { exit_code = run_inspect(*path, *json); });
}

void add_generate_command(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("generate",
                                     "Make a session whose pace, sizes and symbols follow those of "
                                     "real ones; same seed, same bytes");
  auto options = std::make_shared<GeneratorOptions>();
  auto path = std::make_shared<std::string>();
  auto venue = std::make_shared<std::string>("binance");
  command->add_option("FILE", *path, "Where to write it; compressed if the name ends in .zst")
      ->required();
  command->add_option("--venue", *venue, "binance or alpaca")->capture_default_str();
  command->add_option("--seconds", options->seconds, "Length of the session")
      ->capture_default_str();
  command->add_option("--symbols", options->symbols, "Number of symbols, 1 to 32")
      ->capture_default_str();
  command->add_option("--rate", options->rate_hz, "Mean frames a second")->capture_default_str();
  command->add_option("--zipf", options->zipf_exponent, "Skew of the symbols, 0 to 4")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Seed")->capture_default_str();
  command
      ->add_option("--start-ns", options->start_ns,
                   "Time of the session's start, ns since the epoch")
      ->capture_default_str();
  command->callback(
      [options, path, venue, &exit_code] { exit_code = run_generate(*options, *venue, *path); });
}

}  // namespace feedbench::recording
