#include "harness/runner/progress.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace feedbench::runner {
namespace {

constexpr std::size_t kTerminalColumns = 118;

std::string duration(double seconds) {
  const auto whole = static_cast<long>(std::max(0.0, seconds));
  return whole < 60 ? fmt::format("{} s", whole)
                    : fmt::format("{} min {:02} s", whole / 60, whole % 60);
}

}  // namespace

std::string summary_of(const report::Repetition& repetition) {
  if (!repetition.verdict.valid) {
    return "INVALID: " + (repetition.verdict.reasons.empty() ? std::string("no reason given")
                                                             : repetition.verdict.reasons.front());
  }
  std::string out;
  if (repetition.latency && !repetition.latency->empty()) {
    out = fmt::format("p50 {:.1f} us",
                      static_cast<double>(repetition.latency->value_at_percentile(50)) / 1e3);
    if (const auto p99 = repetition.latency->supported_percentile(99)) {
      out += fmt::format(", p99 {:.1f} us", static_cast<double>(*p99) / 1e3);
    }
  } else if (repetition.frames_per_second) {
    out = fmt::format("{:.2f} million frames/s, {:.2f} GB/s", *repetition.frames_per_second / 1e6,
                      repetition.bytes_per_second.value_or(0) / 1e9);
  }
  return out;
}

Progress::Progress(std::size_t runs, double seconds_expected, bool terminal)
    : runs_(runs), seconds_expected_(seconds_expected), terminal_(terminal) {}

void Progress::show(const std::string& text) {
  std::string line = text.substr(0, kTerminalColumns);
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
}

void Progress::begin(const std::string& case_name) {
  if (!terminal_) return;
  const double elapsed =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
  const double share = runs_ == 0 ? 0.0 : static_cast<double>(done_) / static_cast<double>(runs_);
  const double left = done_ == 0 ? seconds_expected_ : elapsed / share - elapsed;
  show(fmt::format("[{}/{}] {} (about {} left)", done_ + 1, runs_, case_name, duration(left)));
}

void Progress::end(const std::string& case_name, const report::Repetition& repetition) {
  ++done_;
  const std::string line =
      fmt::format("[{}/{}] {}: {}", done_, runs_, case_name, summary_of(repetition));
  if (!terminal_ || !repetition.verdict.valid) {
    note(line);
  } else {
    show(line);
  }
}

void Progress::note(const std::string& text) {
  std::fprintf(stderr, "%s%s\n", terminal_ ? "\r\033[K" : "", text.c_str());
  std::fflush(stderr);
}

void Progress::finish() {
  if (!terminal_) return;
  std::fprintf(stderr, "\r\033[K");
  std::fflush(stderr);
}

}  // namespace feedbench::runner
