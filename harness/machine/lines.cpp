#include "harness/machine/lines.hpp"

#include <fmt/format.h>

#include <utility>

namespace feedbench::machine {

Line feature_line(const transports::KernelFeature& feature) {
  std::string note = feature.meaning;
  if (!feature.reason.empty()) note += (note.empty() ? "" : "; ") + feature.reason;
  return yes_or_no(feature.id, feature.name, feature.available, note);
}

Line yes_or_no(std::string id, std::string name, std::optional<bool> available, std::string note) {
  Line line;
  line.id = std::move(id);
  line.name = std::move(name);
  line.kind = Line::Kind::feature;
  line.available = available;
  line.text = !available ? "not tried" : *available ? "yes" : "no";
  line.note = std::move(note);
  return line;
}

Line number_line(std::string id, std::string name, double value, std::string unit, std::string text,
                 std::string note) {
  return {std::move(id), std::move(name), Line::Kind::value, {},
          value,         std::move(unit), std::move(text),   std::move(note)};
}

Line text_line(std::string id, std::string name, std::string value, std::string note) {
  std::string text = value;
  return {std::move(id),   std::move(name), Line::Kind::value, {}, std::move(value), {},
          std::move(text), std::move(note)};
}

Line line_without_value(std::string id, std::string name, std::string text, std::string note) {
  Line line;
  line.id = std::move(id);
  line.name = std::move(name);
  line.text = std::move(text);
  line.note = std::move(note);
  return line;
}

Line value_or_none(std::string id, std::string name, const std::optional<std::string>& value,
                   std::string note) {
  if (value && !value->empty())
    return text_line(std::move(id), std::move(name), *value, std::move(note));
  return line_without_value(std::move(id), std::move(name), value ? "none" : "unknown",
                            std::move(note));
}

std::string duration_text(double ns) {
  if (ns >= 1e6) return fmt::format("{:.1f} ms", ns / 1e6);
  if (ns >= 1e4) return fmt::format("{:.0f} us", ns / 1e3);
  if (ns >= 1e3) return fmt::format("{:.1f} us", ns / 1e3);
  return ns >= 100 ? fmt::format("{:.0f} ns", ns) : fmt::format("{:.1f} ns", ns);
}

std::vector<Group> describe(const MachineFacts& facts) {
  std::vector<Group> groups = describe_transports(facts.transport);
  groups.push_back(describe_memory(facts.memory));
  groups.push_back(describe_cores(facts.cores));
  groups.push_back(describe_clock(facts.clock));
  groups.push_back(describe_costs(facts));
  return groups;
}

}  // namespace feedbench::machine
