#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/scenario/scenario.hpp"

/// Strict reading of YAML: every key must be known, every value of the right type and range, and
/// all faults are kept.
namespace feedbench::scenario {

/// Collects faults with their place in the file.
class FaultList {
 public:
  explicit FaultList(std::string file) : file_(std::move(file)) {}
  void add(const YAML::Mark& mark, std::string message);
  [[nodiscard]] bool empty() const { return faults_.empty(); }
  [[nodiscard]] std::vector<Fault> take();

 private:
  std::string file_;
  std::vector<Fault> faults_;
};

/// " (did you mean \"x\"?)", or " (known: a, b, c)" when nothing is near.
std::string suggestion(const std::string& word, const std::vector<std::string>& known);

/// One YAML map whose keys are taken one by one; finish() reports those nobody asked for.
class MapReader {
 public:
  MapReader(const YAML::Node& node, std::string what, FaultList& faults);

  /// The value under `key`, undefined when absent. Marks the key as known.
  YAML::Node get(const std::string& key);
  bool has(const std::string& key) { return get(key).IsDefined(); }

  void text(const std::string& key, std::string& out);
  void flag(const std::string& key, bool& out);
  void number(const std::string& key, double& out, double lowest, double highest);
  void whole(const std::string& key, std::uint32_t& out, std::uint32_t lowest,
             std::uint32_t highest);
  void whole(const std::string& key, std::uint64_t& out, std::uint64_t lowest,
             std::uint64_t highest);
  /// Bytes: 4096, "64 KiB", "16MiB".
  void bytes(const std::string& key, std::uint64_t& out, std::uint64_t lowest,
             std::uint64_t highest);

  /// Reports unknown and repeated keys.
  void finish();

  [[nodiscard]] const YAML::Node& node() const { return node_; }
  [[nodiscard]] const std::string& what() const { return what_; }
  [[nodiscard]] FaultList& faults() { return faults_; }

 private:
  YAML::Node node_;
  std::string what_;
  FaultList& faults_;
  std::vector<std::string> known_;
};

/// A scalar or a list of scalars: calls `take` for each; an empty list is a fault.
void each_scalar(const YAML::Node& node, const std::string& key, FaultList& faults,
                 const std::function<void(const YAML::Node&)>& take);

std::optional<double> scalar_number(const YAML::Node& node, const std::string& key, double lowest,
                                    double highest, FaultList& faults);
std::optional<std::uint64_t> scalar_whole(const YAML::Node& node, const std::string& key,
                                          std::uint64_t lowest, std::uint64_t highest,
                                          FaultList& faults);
std::optional<bool> scalar_flag(const YAML::Node& node, const std::string& key, FaultList& faults);
/// One of `known`, or a fault with the nearest one; returns its index.
std::optional<std::size_t> scalar_word(const YAML::Node& node, const std::string& key,
                                       const std::vector<std::string>& known, FaultList& faults);

}  // namespace feedbench::scenario
