#include "harness/verify/verdict.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace feedbench::verify {
namespace {

class Judge {
 public:
  Judge(const load::LoadReport& run, const Circumstances& circumstances, const Limits& limits)
      : run_(run), circumstances_(circumstances), limits_(limits) {}

  report::Verdict judge() {
    streams();
    connections();
    load_itself();
    placement();
    neighbours();
    notes();
    report::Verdict out;
    out.valid = invalid_.empty();
    out.reasons = std::move(invalid_);
    out.reasons.insert(out.reasons.end(), notes_.begin(), notes_.end());
    return out;
  }

 private:
  void streams() {
    for (const auto& [kind, sentences] : run_.mismatches) {
      if (kind == "closed") continue;  // told by connections()
      invalid_.push_back(fmt::format("{} stream(s) differ from what was sent ({}): {}",
                                     sentences.size(), kind, sentences.front()));
    }
    if (run_.clients_failed > 0 && run_.mismatches.empty()) {
      invalid_.push_back(
          fmt::format("{} stream(s) differ from what was sent", run_.clients_failed));
    }
    if (run_.frames_missing > 0) {
      invalid_.push_back(fmt::format("loss: {} frame(s) sent had not arrived when the drain ended",
                                     run_.frames_missing));
    }
    // At pace max what was sent before the window may keep a slow system busy through it: what it delivered counts.
    const bool busy_throughout = !run_.paced && run_.frames_delivered > 0;
    if (run_.frames_sent_window == 0 && !busy_throughout)
      invalid_.push_back("the exchange sent nothing in the measured window");
  }

  void connections() {
    const std::uint64_t evicted =
        std::max<std::uint64_t>(circumstances_.evictions, run_.clients_evicted);
    if (evicted > 0) invalid_.push_back(fmt::format("{} client(s) were evicted", evicted));
    if (run_.clients_closed > 0) {
      invalid_.push_back(fmt::format("{} connection(s) ended during the run ({})",
                                     run_.clients_closed, run_.first_failure));
    }
    if (!circumstances_.stop_problem.empty()) invalid_.push_back(circumstances_.stop_problem);
  }

  void load_itself() {
    if (!run_.paced) return;
    if (run_.send_log_overflow > 0) {
      invalid_.push_back(
          fmt::format("{} frame(s) did not fit the send log", run_.send_log_overflow));
    }
    const std::uint64_t samples = run_.response.count();
    if (samples < limits_.samples_min) {
      invalid_.push_back(fmt::format("only {} latency sample(s); at least {} are needed", samples,
                                     limits_.samples_min));
      return;
    }
    const auto latency = static_cast<double>(run_.response.value_at_percentile(50));
    const auto lag = static_cast<double>(run_.send_lag.value_at_percentile(50));
    if (lag > limits_.generator_lag_max * latency) {
      invalid_.push_back(
          fmt::format("generator lag: half of the frames left more than {:.1f} us late, {:.0f} % "
                      "of the median latency",
                      lag / 1e3, 100 * lag / latency));
    }
    if (run_.occupancy > limits_.occupancy_max) {
      invalid_.push_back(fmt::format(
          "the load's thread was busy {:.0f} % of the time: its own queue is in the latency",
          100 * run_.occupancy));
    }
    if (run_.response.negative_count() > 0) {
      invalid_.push_back(
          fmt::format("{} frame(s) were delivered before they were sent: the clocks are wrong",
                      run_.response.negative_count()));
    }
  }

  void placement() {
    if (!circumstances_.oversubscribed) return;
    (limits_.allow_oversubscribed ? notes_ : invalid_)
        .push_back(
            "oversubscribed: more spinning threads than cores, so the scheduler is measured");
  }

  void neighbours() {
    if (circumstances_.other_cores >= limits_.foreign_cores_noted) {
      notes_.push_back(fmt::format("other programs used {:.2f} of a core during the run",
                                   circumstances_.other_cores));
    }
    if (circumstances_.stolen_cores >= limits_.foreign_cores_noted) {
      notes_.push_back(fmt::format("the hypervisor gave {:.2f} of a core to others during the run",
                                   circumstances_.stolen_cores));
    }
  }

  void notes() {
    if (circumstances_.probe_missed > 0) {
      notes_.push_back(fmt::format("the stage probe came too late for {} frame(s)",
                                   circumstances_.probe_missed));
    }
    if (!run_.paced || run_.response.empty()) return;
    if (!run_.response.supported_percentile(99)) {
      notes_.push_back(
          fmt::format("{} samples are too few for a 99th percentile", run_.response.count()));
    }
    const auto lag = run_.send_lag.supported_percentile(99);
    const auto latency = run_.response.supported_percentile(99);
    if (lag && latency && 2 * *lag > *latency) {
      notes_.push_back(
          fmt::format("p99 is largely the generator's own: its send lag has p99 {:.1f} us",
                      static_cast<double>(*lag) / 1e3));
    }
  }

  const load::LoadReport& run_;
  const Circumstances& circumstances_;
  const Limits& limits_;
  std::vector<std::string> invalid_;
  std::vector<std::string> notes_;
};

}  // namespace

report::Verdict judge(const load::LoadReport& run, const Circumstances& circumstances,
                      const Limits& limits) {
  return Judge(run, circumstances, limits).judge();
}

bool failed_verification(const load::LoadReport& run) {
  return run.clients_failed > 0 || run.frames_missing > 0 || run.clients_closed > 0;
}

}  // namespace feedbench::verify
