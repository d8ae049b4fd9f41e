#pragma once

#include <cstdint>
#include <string>

#include "harness/load/load_config.hpp"
#include "harness/report/result.hpp"

namespace feedbench::verify {

/// What a run must keep to be believed.
struct Limits {
  double generator_lag_max = 0.25;    ///< median send lag over median latency, paced runs
  double occupancy_max = 0.9;         ///< busy share of the load's thread, paced runs
  bool allow_oversubscribed = false;  ///< more spinning threads than cores is then only noted
  std::uint64_t samples_min = 100;    ///< fewer latencies than this say nothing
  /// Others on the cores are noted from here on: below, /proc/stat tells nothing of a short run.
  double foreign_cores_noted = 0.1;
};

/// What is known of a run beside the load's report.
struct Circumstances {
  std::uint32_t clients = 0;
  bool oversubscribed = false;
  std::uint64_t evictions = 0;     ///< as the system counts them
  std::uint64_t probe_missed = 0;  ///< frames the stage probe came too late for
  std::string stop_problem;        ///< the system did not stop as it should; may be empty
  double other_cores = 0;   ///< of CPU that programs beside the run's used meanwhile; 1 is a core
  double stolen_cores = 0;  ///< that the hypervisor gave to others
};

/// valid, or invalid with one sentence a reason. Notes of a valid run stand among the reasons too.
/// Loss, duplicates, reordering, alteration, evictions: the system is wrong. Lag, occupancy, placement, too few samples:
/// the measurement is.
report::Verdict judge(const load::LoadReport& run, const Circumstances& circumstances,
                      const Limits& limits);

/// True if the reasons speak of wrong bytes: then there is no latency result at all.
bool failed_verification(const load::LoadReport& run);

}  // namespace feedbench::verify
