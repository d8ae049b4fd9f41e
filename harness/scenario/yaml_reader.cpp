#include "harness/scenario/yaml_reader.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "reference/program/nearest_name.hpp"

namespace feedbench::scenario {
namespace {

std::string kind_of(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a map";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return fmt::format("\"{}\"", node.Scalar());
    default:
      return "nothing";
  }
}

template <class T>
std::optional<T> parse_all(const std::string& text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> parse_bytes(std::string text) {
  std::uint64_t unit = 1;
  for (const auto& [suffix, factor] :
       {std::pair{"KiB", 1ULL << 10U}, {"MiB", 1ULL << 20U}, {"GiB", 1ULL << 30U}}) {
    if (text.size() > 3 && text.ends_with(suffix)) {
      unit = factor;
      text.resize(text.size() - 3);
      while (!text.empty() && text.back() == ' ') text.pop_back();
      break;
    }
  }
  const auto value = parse_all<std::uint64_t>(text);
  if (!value || *value > UINT64_MAX / unit) return std::nullopt;
  return *value * unit;
}

}  // namespace

void FaultList::add(const YAML::Mark& mark, std::string message) {
  faults_.push_back({file_, mark.line + 1, mark.column + 1, std::move(message)});
}

std::vector<Fault> FaultList::take() {
  std::stable_sort(faults_.begin(), faults_.end(), [](const Fault& a, const Fault& b) {
    return std::pair{a.line, a.column} < std::pair{b.line, b.column};
  });
  return std::move(faults_);
}

std::string suggestion(const std::string& word, const std::vector<std::string>& known) {
  if (const std::string near = program::nearest_name(word, known); !near.empty()) {
    return fmt::format(" (did you mean \"{}\"?)", near);
  }
  return fmt::format(" (known: {})", fmt::join(known, ", "));
}

MapReader::MapReader(const YAML::Node& node, std::string what, FaultList& faults)
    : node_(node), what_(std::move(what)), faults_(faults) {
  if (!node_.IsMap()) {
    faults_.add(node_.Mark(),
                fmt::format("{} must be a map of keys, not {}", what_, kind_of(node_)));
    node_.reset(YAML::Node(YAML::NodeType::Map));
  }
}

YAML::Node MapReader::get(const std::string& key) {
  if (std::find(known_.begin(), known_.end(), key) == known_.end()) known_.push_back(key);
  const YAML::Node& self = node_;
  return self[key];
}

void MapReader::text(const std::string& key, std::string& out) {
  const YAML::Node value = get(key);
  if (!value.IsDefined()) return;
  if (!value.IsScalar()) {
    faults_.add(value.Mark(), fmt::format("{} must be text, not {}", key, kind_of(value)));
    return;
  }
  out = value.Scalar();
}

void MapReader::flag(const std::string& key, bool& out) {
  const YAML::Node value = get(key);
  if (!value.IsDefined()) return;
  if (const auto read = scalar_flag(value, key, faults_)) out = *read;
}

void MapReader::number(const std::string& key, double& out, double lowest, double highest) {
  const YAML::Node value = get(key);
  if (!value.IsDefined()) return;
  if (const auto read = scalar_number(value, key, lowest, highest, faults_)) out = *read;
}

void MapReader::whole(const std::string& key, std::uint64_t& out, std::uint64_t lowest,
                      std::uint64_t highest) {
  const YAML::Node value = get(key);
  if (!value.IsDefined()) return;
  if (const auto read = scalar_whole(value, key, lowest, highest, faults_)) out = *read;
}

void MapReader::whole(const std::string& key, std::uint32_t& out, std::uint32_t lowest,
                      std::uint32_t highest) {
  std::uint64_t wide = out;
  whole(key, wide, lowest, highest);
  out = static_cast<std::uint32_t>(wide);
}

void MapReader::bytes(const std::string& key, std::uint64_t& out, std::uint64_t lowest,
                      std::uint64_t highest) {
  const YAML::Node value = get(key);
  if (!value.IsDefined()) return;
  const auto read = value.IsScalar() ? parse_bytes(value.Scalar()) : std::nullopt;
  if (!read) {
    faults_.add(value.Mark(), fmt::format("{} must be bytes, such as 65536 or \"64 KiB\", not {}",
                                          key, kind_of(value)));
  } else if (*read < lowest || *read > highest) {
    faults_.add(value.Mark(),
                fmt::format("{} is {} bytes; it must be {} to {}", key, *read, lowest, highest));
  } else {
    out = *read;
  }
}

void MapReader::finish() {
  std::vector<std::string> seen;
  for (const auto& entry : node_) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) {
      faults_.add(entry.first.Mark(), fmt::format("{} has the key \"{}\" twice", what_, key));
    }
    seen.push_back(key);
    if (std::find(known_.begin(), known_.end(), key) == known_.end()) {
      faults_.add(entry.first.Mark(),
                  fmt::format("{} has no key \"{}\"{}", what_, key, suggestion(key, known_)));
    }
  }
}

void each_scalar(const YAML::Node& node, const std::string& key, FaultList& faults,
                 const std::function<void(const YAML::Node&)>& take) {
  if (!node.IsDefined()) return;
  if (!node.IsSequence()) {
    take(node);
    return;
  }
  if (node.size() == 0) faults.add(node.Mark(), fmt::format("{} is an empty list", key));
  for (const auto& item : node) take(item);
}

std::optional<double> scalar_number(const YAML::Node& node, const std::string& key, double lowest,
                                    double highest, FaultList& faults) {
  const auto value = node.IsScalar() ? parse_all<double>(node.Scalar()) : std::nullopt;
  if (!value || !std::isfinite(*value)) {
    faults.add(node.Mark(), fmt::format("{} must be a number, not {}", key, kind_of(node)));
    return std::nullopt;
  }
  if (*value < lowest || *value > highest) {
    faults.add(node.Mark(),
               fmt::format("{} is {}; it must be {} to {}", key, *value, lowest, highest));
    return std::nullopt;
  }
  return value;
}

std::optional<std::uint64_t> scalar_whole(const YAML::Node& node, const std::string& key,
                                          std::uint64_t lowest, std::uint64_t highest,
                                          FaultList& faults) {
  const auto value = node.IsScalar() ? parse_all<std::uint64_t>(node.Scalar()) : std::nullopt;
  if (!value) {
    faults.add(node.Mark(), fmt::format("{} must be a whole number, not {}", key, kind_of(node)));
    return std::nullopt;
  }
  if (*value < lowest || *value > highest) {
    faults.add(node.Mark(),
               fmt::format("{} is {}; it must be {} to {}", key, *value, lowest, highest));
    return std::nullopt;
  }
  return value;
}

std::optional<bool> scalar_flag(const YAML::Node& node, const std::string& key, FaultList& faults) {
  const std::string text = node.IsScalar() ? node.Scalar() : "";
  if (text == "true" || text == "on" || text == "yes") return true;
  if (text == "false" || text == "off" || text == "no") return false;
  faults.add(node.Mark(),
             fmt::format("{} must be on or off (or true or false), not {}", key, kind_of(node)));
  return std::nullopt;
}

std::optional<std::size_t> scalar_word(const YAML::Node& node, const std::string& key,
                                       const std::vector<std::string>& known, FaultList& faults) {
  if (!node.IsScalar()) {
    faults.add(node.Mark(), fmt::format("{} must be one of {}, not {}", key, fmt::join(known, ", "),
                                        kind_of(node)));
    return std::nullopt;
  }
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (node.Scalar() == known[i]) return i;
  }
  faults.add(node.Mark(), fmt::format("{} has no value \"{}\"{}", key, node.Scalar(),
                                      suggestion(node.Scalar(), known)));
  return std::nullopt;
}

}  // namespace feedbench::scenario
