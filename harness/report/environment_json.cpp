#include "harness/report/environment_json.hpp"

namespace feedbench::report {
namespace {

/// The members of Environment, named once for both directions.
template <typename Plain, typename Optional, typename Self>
void visit_environment(Self& environment, Plain&& plain, Optional&& optional) {
  plain("operating_system", environment.operating_system);
  plain("kernel", environment.kernel);
  plain("architecture", environment.architecture);
  plain("cpu_model", environment.cpu_model);
  plain("logical_cores", environment.logical_cores);
  plain("online_cores", environment.online_cores);
  optional("threads_per_core", environment.threads_per_core);
  optional("cpu_mhz", environment.cpu_mhz);
  plain("caches", environment.caches);
  optional("hypervisor", environment.hypervisor);
  plain("hypervisor_flag", environment.hypervisor_flag);
  optional("guest_halt_poll_ns", environment.guest_halt_poll_ns);
  optional("idle_driver", environment.idle_driver);
  optional("idle_governor", environment.idle_governor);
  plain("tsc_flags", environment.tsc_flags);
  optional("clocksource", environment.clocksource);
  optional("cpu_governor", environment.cpu_governor);
  optional("boost", environment.boost);
  optional("transparent_huge_pages", environment.transparent_huge_pages);
  plain("mitigations", environment.mitigations);
  optional("congestion_control", environment.congestion_control);
  plain("sysctls", environment.sysctls);
  optional("kernel_options", environment.kernel_options);
  plain("memory_total_bytes", environment.memory_total_bytes);
  plain("memory_available_bytes", environment.memory_available_bytes);
  plain("load_average", environment.load_average);
  plain("libraries", environment.libraries);
}

template <typename Plain, typename Optional, typename Self>
void visit_build(Self& build, Plain&& plain, Optional&& optional) {
  plain("tool_version", build.tool_version);
  optional("git_revision", build.git_revision);
  optional("git_dirty", build.git_dirty);
  plain("build_type", build.build_type);
  plain("compiler", build.compiler);
  plain("flags", build.flags);
  plain("sanitizers", build.sanitizers);
  plain("assertions", build.assertions);
}

}  // namespace

Json build_json(const measure::BuildInfo& build) {
  Json json;
  visit_build(
      build, [&](const char* key, const auto& value) { json[key] = value; },
      [&](const char* key, const auto& value) { put(json, key, value); });
  return json;
}

measure::BuildInfo build_from(const Fields& fields) {
  measure::BuildInfo build;
  const auto get = [&](const char* key, auto& value) { fields.get(key, value); };
  visit_build(build, get, get);
  return build;
}

Json environment_json(const measure::Environment& environment) {
  Json json;
  visit_environment(
      environment, [&](const char* key, const auto& value) { json[key] = value; },
      [&](const char* key, const auto& value) { put(json, key, value); });
  return json;
}

measure::Environment environment_from(const Fields& fields) {
  measure::Environment environment;
  const auto get = [&](const char* key, auto& value) { fields.get(key, value); };
  visit_environment(environment, get, get);
  return environment;
}

Json floors_json(const std::vector<measure::Floors>& floors) {
  Json all = Json::array();
  for (const measure::Floors& one : floors) {
    Json json;
    json["moment"] = one.moment;
    json["core_bounce"] = Json::array();
    for (const measure::CoreBounce& bounce : one.core_bounce) {
      json["core_bounce"].push_back({{"cpu_a", bounce.cpu_a},
                                     {"cpu_b", bounce.cpu_b},
                                     {"round_trip_ns_p50", bounce.round_trip_ns_p50},
                                     {"round_trip_ns_p99", bounce.round_trip_ns_p99}});
    }
    json["memory_copy"] = Json::array();
    for (const measure::MemcpyFloor& copy : one.memory_copy) {
      json["memory_copy"].push_back(
          {{"bytes", copy.bytes}, {"gigabytes_per_second", copy.gigabytes_per_second}});
    }
    json["jitter"] = Json::array();
    for (const measure::CoreJitter& jitter : one.jitter) {
      json["jitter"].push_back({{"cpu", jitter.cpu},
                                {"seconds", jitter.seconds},
                                {"longest_gap_ns", jitter.longest_gap_ns},
                                {"gaps_over_10us", jitter.gaps_over_10us},
                                {"gaps_over_100us", jitter.gaps_over_100us},
                                {"gaps_over_1ms", jitter.gaps_over_1ms}});
    }
    all.push_back(std::move(json));
  }
  return all;
}

std::vector<measure::Floors> floors_from(const Fields& fields) {
  std::vector<measure::Floors> all;
  fields.each("floors", [&](const Fields& json) {
    measure::Floors one;
    json.get("moment", one.moment);
    json.each("core_bounce", [&](const Fields& bounce) {
      measure::CoreBounce& added = one.core_bounce.emplace_back();
      bounce.get("cpu_a", added.cpu_a);
      bounce.get("cpu_b", added.cpu_b);
      bounce.get("round_trip_ns_p50", added.round_trip_ns_p50);
      bounce.get("round_trip_ns_p99", added.round_trip_ns_p99);
    });
    json.each("memory_copy", [&](const Fields& copy) {
      measure::MemcpyFloor& added = one.memory_copy.emplace_back();
      copy.get("bytes", added.bytes);
      copy.get("gigabytes_per_second", added.gigabytes_per_second);
    });
    json.each("jitter", [&](const Fields& jitter) {
      measure::CoreJitter& added = one.jitter.emplace_back();
      jitter.get("cpu", added.cpu);
      jitter.get("seconds", added.seconds);
      jitter.get("longest_gap_ns", added.longest_gap_ns);
      jitter.get("gaps_over_10us", added.gaps_over_10us);
      jitter.get("gaps_over_100us", added.gaps_over_100us);
      jitter.get("gaps_over_1ms", added.gaps_over_1ms);
    });
    all.push_back(std::move(one));
  });
  return all;
}

}  // namespace feedbench::report
