#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "harness/report/environment_json.hpp"
#include "harness/report/histogram_json.hpp"
#include "harness/report/json_fields.hpp"
#include "harness/report/result.hpp"

namespace feedbench::report {
namespace {

Json parameters_json(const Parameters& parameters) {
  Json json;
  json["system"] = parameters.system;
  json["transport"] = parameters.transport;
  json["network"] = parameters.network;
  json["clients"] = parameters.clients;
  json["tls"] = parameters.tls;
  json["wait"] = parameters.wait;
  json["stamps"] = parameters.stamps;
  json["via"] = parameters.via;
  put(json, "ring", parameters.ring);
  json["pace"] = parameters.pace;
  json["venue"] = parameters.venue;
  json["session"] = parameters.session;
  put(json, "payload_bytes", parameters.payload_bytes);
  json["others"] = parameters.others;
  return json;
}

Parameters parameters_from(const Fields& fields) {
  Parameters parameters;
  fields.get("system", parameters.system);
  fields.get("transport", parameters.transport);
  if (!fields.absent("network")) fields.get("network", parameters.network);
  fields.get("clients", parameters.clients);
  fields.get("tls", parameters.tls);
  fields.get("wait", parameters.wait);
  fields.get("stamps", parameters.stamps);
  if (!fields.absent("via")) fields.get("via", parameters.via);
  fields.get("ring", parameters.ring);
  fields.get("pace", parameters.pace);
  fields.get("venue", parameters.venue);
  fields.get("session", parameters.session);
  fields.get("payload_bytes", parameters.payload_bytes);
  fields.get("others", parameters.others);
  return parameters;
}

Json placement_json(const Placement& placement) {
  Json json;
  json["threads"] = Json::array();
  for (const PlacedThread& thread : placement.threads) {
    Json one;
    one["what"] = thread.what;
    put(one, "cpu", thread.cpu);
    one["spins"] = thread.spins;
    json["threads"].push_back(std::move(one));
  }
  json["oversubscribed"] = placement.oversubscribed;
  json["note"] = placement.note;
  return json;
}

Placement placement_from(const Fields& fields) {
  Placement placement;
  fields.each("threads", [&](const Fields& one) {
    PlacedThread thread;
    one.get("what", thread.what);
    one.get("cpu", thread.cpu);
    one.get("spins", thread.spins);
    placement.threads.push_back(std::move(thread));
  });
  fields.get("oversubscribed", placement.oversubscribed);
  fields.get("note", placement.note);
  return placement;
}

Json repetition_json(const Repetition& repetition) {
  Json json;
  json["order_index"] = repetition.order_index;
  json["repeat"] = repetition.repeat;
  json["verdict"] = {{"valid", repetition.verdict.valid}, {"reasons", repetition.verdict.reasons}};
  json["frames_sent"] = repetition.frames_sent;
  json["frames_delivered"] = repetition.frames_delivered;
  json["bytes_delivered"] = repetition.bytes_delivered;
  json["seconds"] = repetition.seconds;
  put(json, "frames_per_second", repetition.frames_per_second);
  put(json, "bytes_per_second", repetition.bytes_per_second);
  put_histogram(json, "latency", repetition.latency);
  put_histogram(json, "service_time", repetition.service_time);
  put_histogram(json, "send_lag", repetition.send_lag);
  put_stages(json, "stages", repetition.stages);
  put(json, "proxy_cpu_seconds", repetition.proxy_cpu_seconds);
  put(json, "proxy_cpu_seconds_per_million", repetition.proxy_cpu_seconds_per_million);
  put(json, "load_cpu_seconds", repetition.load_cpu_seconds);
  put(json, "other_cpu_seconds", repetition.other_cpu_seconds);
  put(json, "stolen_cpu_seconds", repetition.stolen_cpu_seconds);
  put(json, "rss_bytes_base", repetition.rss_bytes_base);
  put(json, "rss_bytes_with_clients", repetition.rss_bytes_with_clients);
  put(json, "rss_bytes_per_client", repetition.rss_bytes_per_client);
  put(json, "swarm_occupancy", repetition.swarm_occupancy);
  put(json, "swarm_loop_gap_ns_max", repetition.swarm_loop_gap_ns_max);
  put(json, "proxy_loop_gap_ns_max", repetition.proxy_loop_gap_ns_max);
  put(json, "evictions", repetition.evictions);
  json["counters"] = repetition.counters;
  return json;
}

Repetition repetition_from(const Fields& fields) {
  Repetition repetition;
  fields.get("order_index", repetition.order_index);
  fields.get("repeat", repetition.repeat);
  const Fields verdict = fields.object("verdict");
  verdict.get("valid", repetition.verdict.valid);
  verdict.get("reasons", repetition.verdict.reasons);
  fields.get("frames_sent", repetition.frames_sent);
  fields.get("frames_delivered", repetition.frames_delivered);
  fields.get("bytes_delivered", repetition.bytes_delivered);
  fields.get("seconds", repetition.seconds);
  fields.get("frames_per_second", repetition.frames_per_second);
  fields.get("bytes_per_second", repetition.bytes_per_second);
  repetition.latency = get_histogram(fields, "latency");
  repetition.service_time = get_histogram(fields, "service_time");
  repetition.send_lag = get_histogram(fields, "send_lag");
  repetition.stages = get_stages(fields, "stages");
  fields.get("proxy_cpu_seconds", repetition.proxy_cpu_seconds);
  fields.get("proxy_cpu_seconds_per_million", repetition.proxy_cpu_seconds_per_million);
  fields.get("load_cpu_seconds", repetition.load_cpu_seconds);
  fields.get("other_cpu_seconds", repetition.other_cpu_seconds);
  fields.get("stolen_cpu_seconds", repetition.stolen_cpu_seconds);
  fields.get("rss_bytes_base", repetition.rss_bytes_base);
  fields.get("rss_bytes_with_clients", repetition.rss_bytes_with_clients);
  fields.get("rss_bytes_per_client", repetition.rss_bytes_per_client);
  fields.get("swarm_occupancy", repetition.swarm_occupancy);
  fields.get("swarm_loop_gap_ns_max", repetition.swarm_loop_gap_ns_max);
  fields.get("proxy_loop_gap_ns_max", repetition.proxy_loop_gap_ns_max);
  fields.get("evictions", repetition.evictions);
  fields.get("counters", repetition.counters);
  return repetition;
}

Json case_json(const Case& one) {
  Json json;
  json["name"] = one.name;
  json["parameters"] = parameters_json(one.parameters);
  put(json, "skipped", one.skipped);
  json["placement"] = placement_json(one.placement);
  json["repetitions"] = Json::array();
  for (const Repetition& repetition : one.repetitions) {
    json["repetitions"].push_back(repetition_json(repetition));
  }
  return json;
}

Case case_from(const Fields& fields) {
  Case one;
  fields.get("name", one.name);
  one.parameters = parameters_from(fields.object("parameters"));
  fields.get("skipped", one.skipped);
  one.placement = placement_from(fields.object("placement"));
  fields.each("repetitions", [&](const Fields& repetition) {
    one.repetitions.push_back(repetition_from(repetition));
  });
  return one;
}

Json comparison_json(const Comparison& comparison) {
  Json json;
  json["name"] = comparison.name;
  json["group"] = comparison.group;
  json["metric"] = comparison.metric;
  json["numerator"] = comparison.numerator;
  json["denominator"] = comparison.denominator;
  put(json, "ratio", comparison.ratio);
  put(json, "low", comparison.low);
  put(json, "high", comparison.high);
  json["pairs"] = comparison.pairs;
  put(json, "bound", comparison.bound);
  json["bound_is_upper"] = comparison.bound_is_upper;
  put(json, "met", comparison.met);
  json["words"] = comparison.words;
  return json;
}

Comparison comparison_from(const Fields& fields) {
  Comparison comparison;
  fields.get("name", comparison.name);
  fields.get("group", comparison.group);
  fields.get("metric", comparison.metric);
  fields.get("numerator", comparison.numerator);
  fields.get("denominator", comparison.denominator);
  fields.get("ratio", comparison.ratio);
  fields.get("low", comparison.low);
  fields.get("high", comparison.high);
  fields.get("pairs", comparison.pairs);
  fields.get("bound", comparison.bound);
  fields.get("bound_is_upper", comparison.bound_is_upper);
  fields.get("met", comparison.met);
  fields.get("words", comparison.words);
  return comparison;
}

}  // namespace

Json to_json(const Result& result) {
  Json json;
  json["schema"] = kResultSchema;
  json["created"] = result.created;
  json["name"] = result.name;
  json["description"] = result.description;
  json["scenario_file"] = result.scenario_file;
  json["scenario_text"] = result.scenario_text;
  json["scenario_resolved"] = result.scenario_resolved;
  json["seed"] = result.seed;
  json["command_line"] = result.command_line;
  json["build"] = build_json(result.build);
  json["environment"] = environment_json(result.environment);
  json["clock"] = Json::object();
  put(json["clock"], "tsc_hz", result.clock.tsc_hz);
  put(json["clock"], "error_ns", result.clock.error_ns);
  json["floors"] = floors_json(result.floors);
  json["groups"] = Json::array();
  for (const Group& group : result.groups) {
    Json one;
    one["name"] = group.name;
    one["title"] = group.title;
    one["cases"] = Json::array();
    for (const Case& measured : group.cases) one["cases"].push_back(case_json(measured));
    json["groups"].push_back(std::move(one));
  }
  json["comparisons"] = Json::array();
  for (const Comparison& comparison : result.comparisons) {
    json["comparisons"].push_back(comparison_json(comparison));
  }
  json["seconds_total"] = result.seconds_total;
  put(json, "repetitions_planned", result.repetitions_planned);
  return json;
}

Result result_from_json(const Json& json) {
  const Fields fields(json, "");
  std::string schema;
  fields.get("schema", schema);
  if (schema != kResultSchema) {
    throw std::runtime_error(fmt::format("it says schema \"{}\", and this feedbench reads \"{}\"",
                                         schema, kResultSchema));
  }
  Result result;
  fields.get("created", result.created);
  fields.get("name", result.name);
  fields.get("description", result.description);
  fields.get("scenario_file", result.scenario_file);
  fields.get("scenario_text", result.scenario_text);
  result.scenario_resolved = fields.value("scenario_resolved");
  fields.get("seed", result.seed);
  fields.get("command_line", result.command_line);
  result.build = build_from(fields.object("build"));
  result.environment = environment_from(fields.object("environment"));
  const Fields clock = fields.object("clock");
  clock.get("tsc_hz", result.clock.tsc_hz);
  clock.get("error_ns", result.clock.error_ns);
  result.floors = floors_from(fields);
  fields.each("groups", [&](const Fields& one) {
    Group group;
    one.get("name", group.name);
    one.get("title", group.title);
    one.each("cases", [&](const Fields& measured) { group.cases.push_back(case_from(measured)); });
    result.groups.push_back(std::move(group));
  });
  fields.each("comparisons",
              [&](const Fields& one) { result.comparisons.push_back(comparison_from(one)); });
  fields.get("seconds_total", result.seconds_total);
  fields.get("repetitions_planned", result.repetitions_planned);
  return result;
}

std::uint64_t repetitions_of(const Result& result) {
  std::uint64_t count = 0;
  for (const Group& group : result.groups)
    for (const Case& measured : group.cases) count += measured.repetitions.size();
  return count;
}

std::string interruption_of(const Result& result) {
  const std::uint64_t done = repetitions_of(result);
  const std::uint64_t planned = result.repetitions_planned.value_or(done);
  return done < planned ? fmt::format("interrupted after {} of {} runs", done, planned) : "";
}

void write_result(const Result& result, const std::string& path) {
  // Whole or not at all: a run that is killed while writing leaves the file that stood there before.
  const std::string temporary = path + ".part";
  {
    std::ofstream file(temporary, std::ios::binary);
    file << to_json(result).dump(1) << '\n';
    file.flush();
    if (!file) throw std::runtime_error(fmt::format("cannot write the result to {}", temporary));
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    throw std::runtime_error(fmt::format("cannot rename {} to {}", temporary, path));
  }
}

Result read_result(const std::string& given) {
  const bool folder = std::filesystem::is_directory(given);  // what feedbench run --out took
  const std::string path = folder ? given + "/result.json" : given;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw std::runtime_error(
        fmt::format("cannot open the result file {}: {}", path, std::strerror(errno)));
  }
  Json json;
  try {
    json = Json::parse(file);
  } catch (const Json::parse_error& error) {
    throw std::runtime_error(
        fmt::format("{} is not a result file: not JSON from byte {} on", path, error.byte));
  }
  try {
    return result_from_json(json);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("{} is not a result file that can be read: {}", path, error.what()));
  }
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string case_name(const Parameters& parameters) {
  std::string name = parameters.system;
  if (!parameters.transport.empty() && parameters.transport != "asio")
    name += " " + parameters.transport;
  name += " " + parameters.wait;
  name += parameters.tls ? " wss" : " ws";
  if (parameters.ring)
    name += " " + *parameters.ring;
  else if (parameters.via != "websocket")
    name += " " + parameters.via;
  if (parameters.network != "loopback") name += " " + parameters.network;
  name += fmt::format(" {} {}", parameters.clients, parameters.clients == 1 ? "client" : "clients");
  name += " " + parameters.pace;
  if (parameters.payload_bytes) name += fmt::format(" {} B", *parameters.payload_bytes);
  if (!parameters.stamps) name += " stamps off";
  for (const auto& [key, value] : parameters.others) name += fmt::format(" {}={}", key, value);
  return name;
}

}  // namespace feedbench::report
