#pragma once

#include <filesystem>
#include <string>

#include "harness/load/load_config.hpp"
#include "harness/report/result.hpp"
#include "harness/runner/placement.hpp"
#include "harness/scenario/case_matrix.hpp"
#include "harness/verify/verdict.hpp"

namespace feedbench::runner {

/// Where the programs are and what a run may use.
struct RunEnvironment {
  std::filesystem::path
      programs;  ///< folder of feedbench, feedproxy, feedbench-relay, feedbench-beast, feedbench-bridge
  std::filesystem::path
      scratch;  ///< folder of this run alone: sockets, certificate; removed afterwards
  Cores cores;
};

/// What one run of one case needs to know.
struct CaseRun {
  scenario::Case what;
  double warm_up_s = 0.3;
  double measure_s = 2.0;
  double drain_s = 2.0;
  std::uint64_t ring_bytes = 16U << 20U;
  std::uint64_t window_bytes = 256U << 10U;
  std::uint64_t seed = 1;
  verify::Limits limits;
  double stall_at_s = 0.0;  ///< known-answer tests: the generator stops then ...
  double stall_s = 0.0;     ///< ... for so long
  double system_stall_at_s =
      0.0;  ///< known-answer tests: the system is stopped (SIGSTOP) about then ...
  double system_stall_s = 0.0;  ///< ... and continued (SIGCONT) after so long
};

/// Starts exchange + swarm and the system under test, runs warm-up, measure and drain, stops everything, and judges.
/// A run that cannot be carried out is an invalid repetition whose reason says why. Nothing of it is left behind.
/// Takes warm-up + measure + drain and about 0.3 s. thread: one run at a time.
report::Repetition run_case(const CaseRun& run, const RunEnvironment& environment);

/// Command line of the system under test, without --status-fd; [0] is the program. topics: what the session has, comma
/// separated, for a venue where one subscribes after login.
std::vector<std::string> system_command(const CaseRun& run, const RunEnvironment& environment,
                                        const std::string& upstream_url, const std::string& topics);

load::LoadConfig load_config_of(const CaseRun& run, const RunEnvironment& environment);

/// Files of RunEnvironment::scratch.
std::filesystem::path certificate_file(const RunEnvironment& environment);
std::filesystem::path key_file(const RunEnvironment& environment);
std::filesystem::path share_socket(const RunEnvironment& environment);

}  // namespace feedbench::runner
