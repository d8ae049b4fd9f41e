#include "harness/machine/machine_json.hpp"

#include <nlohmann/json.hpp>

namespace feedbench::machine {
namespace {

using Json = nlohmann::ordered_json;

Json line_json(const Line& line) {
  Json json;
  json["id"] = line.id;
  json["name"] = line.name;
  if (line.kind == Line::Kind::feature) {
    json["kind"] = "feature";
    json["available"] = line.available ? Json(*line.available) : Json(nullptr);
  } else {
    json["kind"] = "value";
    json["value"] = nullptr;
    if (const auto* number = std::get_if<double>(&line.value)) json["value"] = *number;
    if (const auto* text = std::get_if<std::string>(&line.value)) json["value"] = *text;
    json["unit"] = line.unit.empty() ? Json(nullptr) : Json(line.unit);
  }
  json["text"] = line.text;
  json["note"] = line.note;
  return json;
}

}  // namespace

Json machine_json(const MachineFacts& facts, const std::vector<Group>& groups,
                  const std::vector<Advice>& advice) {
  const measure::Environment& environment = facts.environment;
  Json json;
  json["schema"] = "feedbench.probe/1";
  json["tool_version"] = measure::BuildInfo::current().tool_version;
  json["seconds"] = facts.seconds;
  json["machine"] = {{"cpu_model", environment.cpu_model},
                     {"operating_system", environment.operating_system},
                     {"kernel", environment.kernel},
                     {"architecture", environment.architecture}};
  json["groups"] = Json::array();
  for (const Group& group : groups) {
    Json lines = Json::array();
    for (const Line& line : group.lines) lines.push_back(line_json(line));
    json["groups"].push_back(
        {{"id", group.id}, {"title", group.title}, {"lines", std::move(lines)}});
  }
  json["advice"] = Json::array();
  for (const Advice& one : advice) {
    json["advice"].push_back({{"about", one.about}, {"text", one.text}});
  }
  return json;
}

}  // namespace feedbench::machine
