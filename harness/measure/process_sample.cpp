#include "harness/measure/process_sample.hpp"

#include <time.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

namespace feedbench::measure {
namespace {

std::string proc_path(pid_t pid, const char* file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

/// "VmRSS:      1234 kB" -> bytes.
std::optional<std::uint64_t> kilobytes_of(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return std::nullopt;
  std::istringstream text{std::string(line.substr(key.size()))};
  std::uint64_t kilobytes = 0;
  if (!(text >> kilobytes)) return std::nullopt;
  return kilobytes * 1024;
}

}  // namespace

std::optional<double> process_cpu_seconds(pid_t pid) noexcept {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
    return std::nullopt;
  return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) * 1e-9;
}

std::optional<CpuTime> process_cpu_time(pid_t pid) {
  std::ifstream file(proc_path(pid, "stat"));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // The second field, the name in parentheses, may hold blanks and parentheses itself.
  const std::size_t after_name = line.rfind(')');
  if (after_name == std::string::npos) return std::nullopt;
  std::istringstream rest(line.substr(after_name + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) rest >> skipped;
  std::uint64_t user_ticks = 0;
  std::uint64_t system_ticks = 0;
  if (!(rest >> user_ticks >> system_ticks)) return std::nullopt;
  const auto ticks_a_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return CpuTime{static_cast<double>(user_ticks) / ticks_a_second,
                 static_cast<double>(system_ticks) / ticks_a_second};
}

std::optional<MachineCpuTime> machine_cpu_time(const std::string& root) {
  std::ifstream file(root + "/proc/stat");
  std::string all_cores;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0,
         stolen = 0;
  if (!(file >> all_cores >> user >> nice >> system >> idle >> waiting >> interrupts >> soft >>
        stolen) ||
      all_cores != "cpu")
    return std::nullopt;
  const auto ticks_a_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return MachineCpuTime{(user + nice + system) / ticks_a_second, stolen / ticks_a_second};
}

std::optional<MemoryUse> process_memory(pid_t pid) {
  std::ifstream status(proc_path(pid, "status"));
  MemoryUse use;
  bool found = false;
  for (std::string line; std::getline(status, line);) {
    if (const auto rss = kilobytes_of(line, "VmRSS:")) {
      use.rss_bytes = *rss;
      found = true;
    }
    if (const auto anon = kilobytes_of(line, "RssAnon:")) use.rss_anon_bytes = anon;
    if (const auto shmem = kilobytes_of(line, "RssShmem:")) use.rss_shmem_bytes = shmem;
  }
  if (!found) return std::nullopt;
  std::ifstream rollup(proc_path(pid, "smaps_rollup"));
  for (std::string line; std::getline(rollup, line);) {
    if (const auto pss = kilobytes_of(line, "Pss:")) use.pss_bytes = pss;
  }
  return use;
}

}  // namespace feedbench::measure
