#include "harness/runner/run_scenario.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "harness/measure/floors.hpp"
#include "harness/report/metrics.hpp"
#include "harness/runner/case_run.hpp"
#include "harness/runner/comparisons.hpp"
#include "harness/runner/progress.hpp"
#include "harness/runner/scratch_folder.hpp"
#include "harness/runner/throw_away_certificate.hpp"
#include "mock_exchange/schedule.hpp"
#include "reference/program/stop_signals.hpp"
#include "transports/available.hpp"
#include "transports/tsc_calibration.hpp"
#include "transports/veth_site.hpp"

namespace feedbench::runner {
namespace {

using scenario::Case;
using scenario::pace_name;
using scenario::Scenario;
using transports::Error;

constexpr double kShortMeasureSeconds = 0.5;
constexpr double kShortWarmUpSeconds = 0.1;
constexpr double kSecondsBesideMeasuring = 0.25;

report::Parameters parameters_of(const Case& c) {
  report::Parameters out;
  out.system = to_string(c.system);
  out.transport = c.transport;
  out.network = to_string(c.network);
  out.clients = static_cast<int>(c.clients);
  out.tls = c.tls;
  out.wait = to_string(c.wait);
  out.stamps = c.stamps;
  out.via = to_string(c.via);
  if (c.ring) out.ring = to_string(*c.ring);
  out.pace = pace_name(c.pace);
  out.venue = c.venue;
  out.session = c.session.name;
  if (c.session.kind == scenario::SessionSource::Kind::synthetic)
    out.payload_bytes = c.session.payload_bytes;
  return out;
}

bool asks_for_veth(const Scenario& scenario) {
  for (const scenario::Group& group : scenario.groups) {
    for (const scenario::MatrixBlock& block : group.matrix) {
      if (std::ranges::find(block.networks, scenario::Network::veth) != block.networks.end())
        return true;
    }
  }
  return false;
}

scenario::Missing what_is_missing(const Scenario& scenario) {
  scenario::Missing out;
  for (const transports::TransportInfo& info : transports::available_transports()) {
    if (!info.available) out.transports.push_back({info.name, info.reason});
  }
  if (!asks_for_veth(scenario)) return out;
  const auto site = transports::VethSite::create(transports::VethSite::Near::kernel);
  if (!site) out.veth = site.error().message;
  return out;
}

class ScenarioRun {
 public:
  ScenarioRun(const Scenario& scenario, const RunOptions& options)
      : scenario_(scenario), options_(options) {}

  RunOutcome carry_out() {
    const auto started = std::chrono::steady_clock::now();
    expansion_ = scenario::expand(scenario_, what_is_missing(scenario_));
    apply_only();
    const std::vector<int> allowed = measure::allowed_cpus();
    auto cores = choose_cores(scenario_.placement, allowed);
    if (!cores) throw cores.error();
    environment_.programs = options_.programs;
    environment_.scratch = scratch_.path();
    environment_.cores = *cores;
    check_programs();
    prepare_certificate();
    describe();
    run_all();
    outcome_.result.seconds_total =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    compare();
    return std::move(outcome_);
  }

 private:
  void apply_only() {
    if (options_.only.empty()) return;
    const std::string fault = scenario::why_none_matches(expansion_.all, options_.only);
    if (!fault.empty()) throw Error{"--only: " + fault};
    std::erase_if(expansion_.cases, [&](const Case& c) { return !matches(c, options_.only); });
    std::erase_if(expansion_.all, [&](const Case& c) { return !matches(c, options_.only); });
    for (std::size_t i = 0; i < expansion_.cases.size(); ++i) expansion_.cases[i].index = i;
    std::erase_if(expansion_.skips, [&](const scenario::Skip& skip) {
      return std::none_of(expansion_.all.begin(), expansion_.all.end(),
                          [&](const Case& c) { return c.name() == skip.name; });
    });
  }

  void check_programs() {
    std::vector<std::string> names = {"feedbench"};
    for (const Case& c : expansion_.cases) {
      names.push_back(c.system == scenario::System::feedproxy
                          ? "feedproxy"
                          : fmt::format("feedbench-{}", to_string(c.system)));
    }
    for (const std::string& name : names) {
      const auto path = environment_.programs / name;
      if (::access(path.c_str(), X_OK) != 0) {
        throw Error{
            fmt::format("the program {} is not there (built, but elsewhere? say --programs FOLDER)",
                        path.string())};
      }
    }
  }

  void prepare_certificate() {
    const bool tls = std::any_of(expansion_.cases.begin(), expansion_.cases.end(),
                                 [](const Case& c) { return c.tls; });
    if (!tls) return;
    auto made = write_throw_away_certificate(certificate_file(environment_), key_file(environment_),
                                             {"127.0.0.1", transports::VethSite::kFarAddress});
    if (!made) throw made.error();
  }

  void describe() {
    report::Result& result = outcome_.result;
    result.created = report::utc_now();
    result.name = scenario_.name;
    result.description = scenario_.description;
    result.scenario_file = scenario_.file.string();
    result.scenario_text = scenario_.text;
    result.scenario_resolved = report::Json(to_json(scenario_));
    result.scenario_resolved["short"] = options_.short_run;
    result.seed = scenario_.seed;
    result.command_line = options_.command_line;
    result.build = measure::BuildInfo::current();
    result.environment = measure::Environment::read();
    if (auto clock = transports::TscClock::calibrate()) {
      result.clock.tsc_hz = clock->tsc_hz();
      result.clock.error_ns = clock->error_ns();
    }
    std::map<std::string, std::string> reasons;
    for (const scenario::Skip& skip : expansion_.skips) reasons[skip.name] = skip.reason;
    for (const scenario::Group& group : scenario_.groups)
      result.groups.push_back({group.name, title_of(group), {}});
    for (const Case& c : expansion_.all) {
      report::Case row;
      row.name = c.name();
      row.parameters = parameters_of(c);
      row.placement = describe_placement(environment_.cores, c.wait == scenario::WaitMode::spin);
      if (const auto reason = reasons.find(row.name); reason != reasons.end())
        row.skipped = reason->second;
      result.groups[c.group].cases.push_back(std::move(row));
    }
    outcome_.cases_skipped = expansion_.skips.size();
  }

  std::string title_of(const scenario::Group& group) const {
    return fmt::format(
        "{}, {} session {}, {:.4g} s measured, {} repeats", pace_name(group.pace), group.venue,
        group.session.name,
        options_.short_run ? std::min(group.measure_s, kShortMeasureSeconds) : group.measure_s,
        options_.short_run ? 1 : group.repeats);
  }

  CaseRun case_run(const Case& c) const {
    const scenario::Group& group = scenario_.groups[c.group];
    CaseRun run;
    run.what = c;
    run.warm_up_s =
        options_.short_run ? std::min(group.warm_up_s, kShortWarmUpSeconds) : group.warm_up_s;
    run.measure_s =
        options_.short_run ? std::min(group.measure_s, kShortMeasureSeconds) : group.measure_s;
    run.drain_s = group.drain_s;
    run.ring_bytes = scenario_.ring_bytes;
    run.window_bytes = scenario_.window_bytes;
    run.seed = scenario_.seed;
    run.limits.generator_lag_max = scenario_.generator_lag_max;
    run.limits.occupancy_max = scenario_.occupancy_max;
    run.limits.allow_oversubscribed = scenario_.allow_oversubscribed;
    return run;
  }

  measure::Floors floors(const std::string& moment) const {
    measure::FloorsOptions options;
    options.cpus = {environment_.cores.load};
    if (environment_.cores.system != environment_.cores.load)
      options.cpus.push_back(environment_.cores.system);
    return measure::measure_floors(moment, options);
  }

  void run_all() {
    std::vector<std::uint32_t> repeats;
    double seconds = 0;
    for (const Case& c : expansion_.cases) {
      const CaseRun run = case_run(c);
      repeats.push_back(options_.short_run ? 1 : scenario_.groups[c.group].repeats);
      seconds += repeats.back() * (run.warm_up_s + run.measure_s + kSecondsBesideMeasuring);
    }
    const auto plan = scenario::plan_runs(repeats, scenario_.seed);
    Progress progress(plan.size(), seconds, options_.progress_on_terminal);
    for (const scenario::Skip& skip : expansion_.skips)
      progress.note(fmt::format("skipped: {}: {}", skip.name, skip.reason));
    outcome_.result.repetitions_planned = plan.size();
    if (plan.empty()) return;
    outcome_.result.floors.push_back(floors("before"));
    int order = 0;
    for (const scenario::PlannedRun& planned : plan) {
      const Case& c = expansion_.cases[planned.case_index];
      progress.begin(c.name());
      report::Repetition repetition = run_case(case_run(c), environment_);
      if (program::StopSignals::requested()) {
        outcome_.interrupted = true;
        break;
      }
      repetition.order_index = order++;
      repetition.repeat = static_cast<int>(planned.repeat);
      ++outcome_.runs;
      if (!repetition.verdict.valid) ++outcome_.invalid;
      progress.end(c.name(), repetition);
      keep(c, std::move(repetition));
    }
    progress.finish();
    if (!outcome_.interrupted) outcome_.result.floors.push_back(floors("after"));
  }

  void keep(const Case& c, report::Repetition repetition) {
    const std::string name = c.name();
    for (report::Case& row : outcome_.result.groups[c.group].cases) {
      if (row.name == name) row.repetitions.push_back(std::move(repetition));
    }
  }

  void compare() {
    outcome_.result.comparisons = compare_all(scenario_, expansion_, outcome_.result);
    for (const report::Comparison& comparison : outcome_.result.comparisons) {
      if (comparison.bound && !comparison.met.value_or(false)) ++outcome_.bounds_missed;
    }
  }

  const Scenario& scenario_;
  const RunOptions& options_;
  ScratchFolder scratch_;
  RunEnvironment environment_;
  scenario::Expansion expansion_;
  RunOutcome outcome_;
};

}  // namespace

transports::Expected<RunOutcome> run_scenario(const Scenario& scenario, const RunOptions& options) {
  try {
    return ScenarioRun(scenario, options).carry_out();
  } catch (const Error& error) {
    return tl::unexpected(error);
  }
}

}  // namespace feedbench::runner
