#include "harness/scenario/scenario.hpp"

#include <fmt/format.h>
#include <sstream>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace feedbench::scenario {

std::string_view to_string(System system) {
  switch (system) {
    case System::feedproxy:
      return "feedproxy";
    case System::relay:
      return "relay";
    case System::beast:
      return "beast";
    case System::bridge:
      return "bridge";
  }
  return "?";
}

std::string_view to_string(WaitMode wait) { return wait == WaitMode::spin ? "spin" : "block"; }

std::string pace_name(const Pace& pace) {
  return pace.kind == Pace::Kind::rate ? fmt::format("{}/s", pace.value)
                                       : mock_exchange::to_string(pace);
}

std::string_view to_string(Via via) {
  switch (via) {
    case Via::websocket:
      return "websocket";
    case Via::shm:
      return "shm";
    case Via::ring:
      return "ring";
  }
  return "?";
}

std::string_view to_string(Network network) {
  return network == Network::loopback ? "loopback" : "veth";
}

std::string_view to_string(Ring ring) {
  switch (ring) {
    case Ring::feed_log:
      return "feed_log";
    case Ring::mirrored:
      return "mirrored";
    case Ring::spsc:
      return "spsc";
    case Ring::hft_shm:
      return "hft_shm";
  }
  return "?";
}

std::string to_string(const Fault& fault) {
  if (fault.line == 0) return fmt::format("{}: {}", fault.file, fault.message);
  return fmt::format("{}:{}:{}: {}", fault.file, fault.line, fault.column, fault.message);
}

namespace {

nlohmann::json matrix_json(const MatrixBlock& block) {
  nlohmann::json out;
  for (const System system : block.systems) out["system"].push_back(to_string(system));
  out["transport"] = block.transports;
  for (const Network network : block.networks) out["network"].push_back(to_string(network));
  out["clients"] = block.clients;
  for (const WaitMode wait : block.waits) out["wait"].push_back(to_string(wait));
  for (const Via via : block.vias) out["via"].push_back(to_string(via));
  if (std::find(block.systems.begin(), block.systems.end(), System::bridge) != block.systems.end())
    for (const Ring ring : block.rings) out["ring"].push_back(to_string(ring));
  out["tls"] = block.tls;
  out["stamps"] = block.stamps;
  if (!block.payload_bytes.empty()) out["payload_bytes"] = block.payload_bytes;
  if (!block.rates_hz.empty()) out["rate_hz"] = block.rates_hz;
  return out;
}

nlohmann::json session_json(const SessionSource& session) {
  switch (session.kind) {
    case SessionSource::Kind::file:
      return {{"file", session.name}};
    case SessionSource::Kind::recording: {
      nlohmann::json out = {{"recording", session.name}};
      if (!session.absent_reason.empty()) out["absent_reason"] = session.absent_reason;
      return out;
    }
    case SessionSource::Kind::synthetic:
      break;
  }
  return {{"synthetic", {{"payload_bytes", session.payload_bytes}, {"frames", session.frames}}}};
}

nlohmann::json group_json(const Group& group) {
  nlohmann::json out = {{"name", group.name},           {"session", session_json(group.session)},
                        {"venue", group.venue},         {"pace", pace_name(group.pace)},
                        {"warm_up_s", group.warm_up_s}, {"measure_s", group.measure_s},
                        {"drain_s", group.drain_s},     {"repeats", group.repeats}};
  for (const MatrixBlock& block : group.matrix) out["matrix"].push_back(matrix_json(block));
  return out;
}

nlohmann::json ratio_json(const Ratio& ratio) {
  nlohmann::json out = {
      {"name", ratio.name}, {"metric", ratio.metric}, {"numerator", ratio.numerator}};
  if (!ratio.denominator.empty()) out["denominator"] = ratio.denominator;
  if (ratio.bound) {
    out["bound"] = fmt::format("{} {}", ratio.bound->at_most ? "<=" : ">=", ratio.bound->value);
  }
  return out;
}

}  // namespace

nlohmann::json to_json(const Scenario& scenario) {
  nlohmann::json out = {{"name", scenario.name},
                        {"description", scenario.description},
                        {"seed", scenario.seed},
                        {"ring_bytes", scenario.ring_bytes},
                        {"window_bytes", scenario.window_bytes},
                        {"generator_lag_max", scenario.generator_lag_max},
                        {"occupancy_max", scenario.occupancy_max},
                        {"allow_oversubscribed", scenario.allow_oversubscribed},
                        {"gate", scenario.gate},
                        {"groups", nlohmann::json::array()},
                        {"ratios", nlohmann::json::array()},
                        {"exclude", nlohmann::json::array()}};
  const auto cpu = [](std::optional<int> choice) -> nlohmann::json {
    return choice ? nlohmann::json(*choice) : nlohmann::json("auto");
  };
  out["placement"] = {{"system_cpu", cpu(scenario.placement.system_cpu)},
                      {"load_cpu", cpu(scenario.placement.load_cpu)}};
  for (const Group& group : scenario.groups) out["groups"].push_back(group_json(group));
  for (const Ratio& ratio : scenario.ratios) out["ratios"].push_back(ratio_json(ratio));
  for (const Exclusion& exclusion : scenario.exclude) {
    nlohmann::json row = exclusion.match;
    row["reason"] = exclusion.reason;
    out["exclude"].push_back(row);
  }
  return out;
}

TransportChoice split_transport(const std::string& value) {
  TransportChoice choice;
  std::istringstream parts(value);
  std::getline(parts, choice.name, '+');
  for (std::string option; std::getline(parts, option, '+');)
    choice.options.push_back(std::move(option));
  return choice;
}

}  // namespace feedbench::scenario
