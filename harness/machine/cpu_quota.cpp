// read_cpu_quota() of probe_machine.hpp.
#include <fstream>
#include <sstream>
#include <vector>

#include "harness/machine/probe_machine.hpp"
#include "harness/measure/text_files.hpp"

namespace feedbench::machine {
namespace {

using measure::first_line;

constexpr int kDepthMax = 64;

/// Where a hierarchy of control groups is mounted, and where in it this process is.
struct Hierarchy {
  std::string mount;
  std::string group;
  bool v2 = false;
};

bool has_word(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

/// This process's group in one hierarchy: "0::/a" of v2, "3:cpu,cpuacct:/a" of v1.
std::optional<std::string> group_in(const std::string& root, bool v2) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? controllers.empty() : has_word(controllers, "cpu")) return line.substr(second + 1);
  }
  return std::nullopt;
}

std::vector<Hierarchy> hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root + "/proc/self/mounts");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string device;
    Hierarchy hierarchy;
    std::string type;
    std::string options;
    if (!(words >> device >> hierarchy.mount >> type >> options)) continue;
    hierarchy.v2 = type == "cgroup2";
    if (!hierarchy.v2 && (type != "cgroup" || !has_word(options, "cpu"))) continue;
    const auto group = group_in(root, hierarchy.v2);
    if (!group) continue;
    hierarchy.group = *group == "/" ? "" : *group;
    found.push_back(hierarchy);
  }
  return found;
}

/// "50000 100000", "max 100000" of v2; two files of v1. returns cores, or nothing without a quota.
std::optional<double> quota_of(const std::string& folder, bool v2) {
  double quota = 0;
  double period = 0;
  if (v2) {
    const auto line = first_line(folder + "/cpu.max");
    std::istringstream words(line.value_or(""));
    if (!(words >> quota >> period)) return std::nullopt;  // "max" is no number
  } else {
    std::istringstream quota_text(first_line(folder + "/cpu.cfs_quota_us").value_or(""));
    std::istringstream period_text(first_line(folder + "/cpu.cfs_period_us").value_or(""));
    if (!(quota_text >> quota) || !(period_text >> period)) return std::nullopt;
  }
  if (quota <= 0 || period <= 0) return std::nullopt;
  return quota / period;
}

}  // namespace

CpuQuota read_cpu_quota(const std::string& root) {
  CpuQuota tightest;
  const auto all = hierarchies(root);
  if (all.empty()) tightest.unknown_reason = "no control groups are mounted";
  for (const Hierarchy& hierarchy : all) {
    std::string group = hierarchy.group;
    for (int depth = 0; depth < kDepthMax; ++depth) {
      const std::string folder = hierarchy.mount + group;
      const auto cores = quota_of(root + folder, hierarchy.v2);
      if (cores && (!tightest.cores || *cores < *tightest.cores)) {
        tightest.cores = cores;
        tightest.file = folder + (hierarchy.v2 ? "/cpu.max" : "/cpu.cfs_quota_us");
      }
      if (group.empty()) break;
      group.erase(group.rfind('/'));
    }
  }
  return tightest;
}

}  // namespace feedbench::machine
