#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "harness/report/result.hpp"

namespace feedbench::runner {

/// Where a run stands, on stderr: on a terminal one line that is rewritten, otherwise a line a run.
class Progress {
 public:
  Progress(std::size_t runs, double seconds_expected, bool terminal);
  /// A run begins.
  void begin(const std::string& case_name);
  /// It ended.
  void end(const std::string& case_name, const report::Repetition& repetition);
  /// Something to say that stays.
  void note(const std::string& text);
  /// Takes the rewritten line away.
  void finish();

 private:
  void show(const std::string& text);

  std::size_t runs_;
  std::size_t done_ = 0;
  double seconds_expected_;
  bool terminal_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

/// "p50 21.3 us, p99 40.1 us", "29.1 M frames/s", or why the run is invalid.
std::string summary_of(const report::Repetition& repetition);

}  // namespace feedbench::runner
