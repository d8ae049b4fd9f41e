#include "harness/report/testing/synthetic_result.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "harness/measure/bootstrap.hpp"
#include "harness/report/metrics.hpp"

namespace feedbench::report::testing {
namespace {

using measure::SplitMix64;
using measure::Stage;

/// What a made-up system costs.
struct Model {
  const char* system;
  const char* transport;
  const char* wait;
  double base_ns;             ///< latency to one client
  double per_client_ns;       ///< what each further client adds to the last one's delivery
  double million_per_second;  ///< saturated, 128 B frames, many clients
  double cpu_per_million;
};
constexpr std::array<Model, 8> kModels = {{
    {"relay", "epoll", "spin", 18'500, 1900, 33.0, 0.022},
    {"feedproxy", "epoll", "spin", 20'500, 1950, 31.0, 0.024},
    {"feedproxy", "io_uring", "spin", 21'000, 1700, 29.0, 0.025},
    {"feedproxy", "select", "spin", 20'000, 2100, 27.0, 0.028},
    {"feedproxy", "epoll", "block", 56'000, 2250, 31.0, 0.023},
    {"feedproxy", "io_uring", "block", 57'000, 2000, 29.0, 0.024},
    {"feedproxy", "select", "block", 56'500, 2400, 27.0, 0.027},
    {"beast", "asio", "block", 61'000, 2700, 0.21, 4.6},
}};

/// Bell-shaped noise with a mean of 0 and a standard deviation of 1.
double bell(SplitMix64& random) {
  double sum = 0;
  for (int i = 0; i < 12; ++i) sum += random.unit();
  return sum - 6;
}

double latency_of(SplitMix64& random, double centre_ns) {
  double latency = centre_ns * std::exp(0.09 * bell(random));
  if (random.unit() < 0.012)
    latency += 8'000 / std::pow(1 - random.unit(), 0.8);  // ticks and neighbours
  return latency;
}

measure::Histogram histogram_of(SplitMix64& random, double centre_ns, int samples) {
  measure::Histogram histogram;
  for (int i = 0; i < samples; ++i)
    histogram.record(static_cast<std::int64_t>(latency_of(random, centre_ns)));
  return histogram;
}

measure::StageHistograms stages_of(SplitMix64& random, double centre_ns, bool block, int samples) {
  // Shares of what is left after the fixed small stages: the way in, and the way out.
  measure::StageHistograms stages;
  const double parse_ns = 190;
  const double wake_ns = block ? 24'000 : 900;
  const double rest = std::max(4'000.0, centre_ns - wake_ns - parse_ns * 4);
  const std::array<double, measure::kStageCount> centres = {std::min(4'200.0, 0.3 * rest),
                                                            wake_ns,
                                                            parse_ns * 0.7,
                                                            parse_ns * 2,
                                                            parse_ns,
                                                            parse_ns * 0.3,
                                                            rest - std::min(4'200.0, 0.3 * rest)};
  for (int i = 0; i < samples; ++i) {
    const bool coalesced =
        random.unit() < 0.07;  // earlier messages of one read have no kernel stamp of their own
    for (std::size_t stage = 0; stage < measure::kStageCount; ++stage) {
      if (coalesced && stage < 2) {
        stages.record_absent(static_cast<Stage>(stage));
      } else {
        stages.record(static_cast<Stage>(stage),
                      static_cast<std::int64_t>(latency_of(random, centres[stage])));
      }
    }
  }
  return stages;
}

Parameters parameters_of(const Model& model, int clients, const std::string& pace) {
  Parameters parameters;
  parameters.system = model.system;
  parameters.transport = model.transport;
  parameters.wait = model.wait;
  parameters.clients = clients;
  parameters.pace = pace;
  parameters.venue = "binance";
  parameters.session = "synthetic";
  if (pace == "max") parameters.payload_bytes = 128;
  return parameters;
}

Repetition paced_repetition(SplitMix64& random, const Model& model, int clients) {
  Repetition repetition;
  constexpr int kSamples = 12'000;
  const double drift = 1 + 0.05 * bell(random);
  const double centre = (model.base_ns + model.per_client_ns * (clients - 1) * 0.55) * drift;
  repetition.latency = histogram_of(random, centre, kSamples);
  repetition.service_time = histogram_of(random, centre * 0.98, kSamples);
  repetition.send_lag = histogram_of(random, 350, kSamples);
  if (std::string(model.system) == "feedproxy") {
    repetition.stages = stages_of(random, centre, std::string(model.wait) == "block", 3'000);
  }
  repetition.seconds = 3;
  repetition.frames_sent = 3'000;
  repetition.frames_delivered = 3'000 * static_cast<std::uint64_t>(clients);
  repetition.bytes_delivered = repetition.frames_delivered * 190;
  const bool spins = std::string(model.wait) == "spin";
  repetition.proxy_cpu_seconds =
      spins ? 3.0 : 3e-6 * (model.per_client_ns * clients + 9'000) * drift * 0.9 / 1.0;
  return repetition;
}

Repetition saturated_repetition(SplitMix64& random, const Model& model, int clients) {
  Repetition repetition;
  const double drift = 1 + 0.06 * bell(random);
  const double rate = 1e6 * model.million_per_second * drift * (clients / (clients + 5.0));
  repetition.seconds = 2;
  repetition.frames_delivered = static_cast<std::uint64_t>(rate * 2);
  repetition.frames_sent = repetition.frames_delivered / static_cast<std::uint64_t>(clients);
  repetition.bytes_delivered = repetition.frames_delivered * 132;
  repetition.proxy_cpu_seconds =
      model.cpu_per_million * rate * 2 * 1e-6 * (1 + 0.02 * bell(random));
  return repetition;
}

void finish(Repetition& repetition, SplitMix64& random, int clients) {
  const auto delivered = static_cast<double>(repetition.frames_delivered);
  repetition.frames_per_second = delivered / repetition.seconds;
  repetition.bytes_per_second =
      static_cast<double>(repetition.bytes_delivered) / repetition.seconds;
  repetition.proxy_cpu_seconds_per_million = *repetition.proxy_cpu_seconds / delivered * 1e6;
  repetition.load_cpu_seconds = repetition.seconds;
  repetition.other_cpu_seconds = 0.03 * repetition.seconds;
  repetition.rss_bytes_base = 21U << 20;
  repetition.rss_bytes_per_client = 700 + 20 * bell(random);
  repetition.rss_bytes_with_clients =
      *repetition.rss_bytes_base +
      static_cast<std::uint64_t>(*repetition.rss_bytes_per_client * clients);
  repetition.swarm_occupancy = 0.2 + 0.005 * clients;
  repetition.swarm_loop_gap_ns_max = 90'000 + static_cast<std::int64_t>(random.below(400'000));
  repetition.proxy_loop_gap_ns_max = 80'000 + static_cast<std::int64_t>(random.below(300'000));
  repetition.evictions = 0;
  repetition.counters = {{"frames", repetition.frames_sent}, {"upstream_losses", 0}};
}

Case case_of(const Model& model, int clients, const std::string& pace, SyntheticKind kind,
             std::uint64_t seed) {
  Case one;
  one.parameters = parameters_of(model, clients, pace);
  one.name = case_name(one.parameters);
  const bool spins = one.parameters.wait == "spin";
  one.placement.threads = {{one.parameters.system, 0, spins}, {"exchange and swarm", 1, true}};
  one.placement.note = "synthetic: nothing ran";
  if (kind == SyntheticKind::all_skipped) {
    one.skipped = "synthetic: this kernel is said to lack " + one.parameters.transport;
    return one;
  }
  const int repeats = clients >= 128 ? 5 : 6;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    SplitMix64 random(seed * 7919 + static_cast<std::uint64_t>(repeat) * 31 +
                      static_cast<std::uint64_t>(clients) + std::hash<std::string>{}(one.name));
    Repetition repetition = pace == "max" ? saturated_repetition(random, model, clients)
                                          : paced_repetition(random, model, clients);
    finish(repetition, random, clients);
    repetition.repeat = repeat;
    repetition.order_index = repeat * 8;
    const bool spoiled = kind == SyntheticKind::invalid_only ||
                         (clients == 32 && repeat == 2 && one.parameters.system == "beast");
    if (spoiled) {
      repetition.verdict = {
          false, {"synthetic: the generator was late by more than 1 % of the messages' gap"}};
    }
    one.repetitions.push_back(std::move(repetition));
  }
  return one;
}

void describe_machine(Result& result) {
  result.build.tool_version = "0.0.0-synthetic";
  result.build.git_revision = std::string(40, '0');
  result.build.build_type = "Release";
  result.build.compiler = "none";
  measure::Environment& machine = result.environment;
  machine.operating_system = "Synthetic Linux";
  machine.kernel = "0.0.0 synthetic";
  machine.architecture = "x86_64";
  machine.cpu_model = "Synthetic CPU (nothing was measured)";
  machine.logical_cores = machine.online_cores = 2;
  machine.hypervisor = "KVM";
  machine.guest_halt_poll_ns = 0;
  machine.clocksource = "tsc";
  machine.tsc_flags = {{"constant_tsc", true}, {"nonstop_tsc", true}};
  machine.mitigations = {{"meltdown", "Not affected"}};
  machine.memory_total_bytes = std::uint64_t{8} << 30;
  machine.load_average = {0.1, 0.2, 0.3};
  machine.libraries = {{"glibc", "2.36"}};
  result.clock = {2'596'120'000.0, 18.0};
  for (const char* moment : {"before", "after"}) {
    result.floors.push_back({moment,
                             {{0, 1, 91, 120}},
                             {{128, 47}, {8 << 20, 37}},
                             {{0, 0.2, 42'000, 71, 0, 0}, {1, 0.2, 810'000, 72, 2, 0}}});
  }
}

void add_comparisons(Result& result) {
  const auto add = [&](const ComparisonRequest& request, const char* above, const char* below) {
    const Case* numerator = find_case(result, above);
    const Case* denominator = find_case(result, below);
    if (numerator != nullptr && denominator != nullptr) {
      result.comparisons.push_back(compare(request, *numerator, *denominator, result.seed));
    }
  };
  add({"added latency, p50: feedproxy / relay", "latency", "latency_p50_ns", 1.2, true},
      "feedproxy epoll spin ws 1 client 1000/s", "relay epoll spin ws 1 client 1000/s");
  add({"added latency, p99: feedproxy / relay", "latency", "latency_p99_ns", 1.5, true},
      "feedproxy epoll spin ws 1 client 1000/s", "relay epoll spin ws 1 client 1000/s");
  add({"fan-out throughput: feedproxy / beast", "fanout", "frames_per_second", 60.0, false},
      "feedproxy epoll spin ws 128 clients max 128 B", "beast block ws 128 clients max 128 B");
  add({"fan-out throughput: feedproxy / relay", "fanout", "frames_per_second", 1.05, false},
      "feedproxy epoll spin ws 128 clients max 128 B", "relay epoll spin ws 128 clients max 128 B");
  add({"select / epoll, p50", "latency", "latency_p50_ns", std::nullopt, true},
      "feedproxy select spin ws 1 client 1000/s", "feedproxy epoll spin ws 1 client 1000/s");
}

}  // namespace

SyntheticKind synthetic_kind(const std::string& name) {
  if (name == "full") return SyntheticKind::full;
  if (name == "one_count") return SyntheticKind::one_count;
  if (name == "all_skipped") return SyntheticKind::all_skipped;
  if (name == "invalid_only") return SyntheticKind::invalid_only;
  throw std::invalid_argument("unknown kind of synthetic result: " + name);
}

Result synthetic_result(SyntheticKind kind, std::uint64_t seed) {
  Result result;
  result.created = "2000-01-01T00:00:00Z";
  result.name = "synthetic";
  result.description = "SYNTHETIC data for tests of tables and plots: nothing here was measured";
  result.scenario_file = "none";
  result.scenario_text = "# synthetic: no scenario ran\nname: synthetic\n";
  result.scenario_resolved = {{"name", "synthetic"}};
  result.seed = seed;
  result.command_line = {"synthetic"};
  describe_machine(result);
  const std::vector<int> counts =
      kind == SyntheticKind::one_count ? std::vector{32} : std::vector{1, 8, 32, 128};
  for (const bool paced : {true, false}) {
    Group group;
    group.name = paced ? "latency" : "fanout";
    group.title = paced ? "1,000 messages a second to every client" : "as fast as possible, 128 B";
    for (const int clients : counts) {
      for (const Model& model : kModels) {
        if (!paced && std::string(model.wait) == "block" && std::string(model.system) != "beast")
          continue;
        Case one = case_of(model, clients, paced ? "1000/s" : "max", kind, seed);
        if (kind == SyntheticKind::full && clients == 128 &&
            one.parameters.transport == "io_uring" && one.parameters.wait == "block") {
          one.repetitions.clear();
          one.skipped = "synthetic: io_uring_setup is said to be forbidden here (EPERM)";
        }
        group.cases.push_back(std::move(one));
      }
    }
    result.groups.push_back(std::move(group));
  }
  add_comparisons(result);
  result.seconds_total = 123;
  return result;
}

}  // namespace feedbench::report::testing
