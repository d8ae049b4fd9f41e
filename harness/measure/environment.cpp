#include "harness/measure/environment.hpp"

#include <cpuid.h>
#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

#include "harness/measure/build_facts.hpp"
#include "harness/measure/floors.hpp"
#include "harness/measure/text_files.hpp"

namespace feedbench::measure {
namespace {

/// "key<blanks>: value" lines of one block (up to the first empty line).
std::map<std::string, std::string> colon_lines(const std::string& path) {
  std::map<std::string, std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line) && !line.empty();) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t key_end = line.find_last_not_of(" \t", colon - 1);
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    lines[line.substr(0, key_end + 1)] = value == std::string::npos ? "" : line.substr(value);
  }
  return lines;
}

std::string text_of(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto found = map.find(key);
  return found == map.end() ? std::string() : found->second;
}

std::string operating_system_of(const std::string& root) {
  std::ifstream file(root + "/etc/os-release");
  constexpr std::string_view kKey = "PRETTY_NAME=";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kKey)) continue;
    std::string name = line.substr(kKey.size());
    std::erase(name, '"');
    return name;
  }
  return "";
}

/// The vendor that leaf 0x40000000 names, in words where it is a known one.
std::optional<std::string> hypervisor_vendor() {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & (1U << 31)) == 0) return std::nullopt;
  __cpuid(0x40000000, eax, ebx, ecx, edx);
  std::array<char, 13> vendor{};
  std::memcpy(vendor.data(), &ebx, 4);
  std::memcpy(vendor.data() + 4, &ecx, 4);
  std::memcpy(vendor.data() + 8, &edx, 4);
  const std::string name(vendor.data());
  if (name.starts_with("KVMKVMKVM")) return "KVM";
  if (name == "Microsoft Hv") return "Hyper-V";
  if (name == "VMwareVMware") return "VMware";
  if (name == "XenVMMXenVMM") return "Xen";
  return name.empty() ? "unknown" : name;
}

void read_cpu(Environment& environment, const std::string& root) {
  const auto info = colon_lines(root + "/proc/cpuinfo");
  environment.cpu_model = text_of(info, "model name");
  if (const std::string mhz = text_of(info, "cpu MHz"); !mhz.empty())
    environment.cpu_mhz = std::stod(mhz);
  const std::string flags = " " + text_of(info, "flags") + " ";
  const auto has = [&flags](const std::string& flag) {
    return flags.find(" " + flag + " ") != std::string::npos;
  };
  for (const char* flag :
       {"constant_tsc", "nonstop_tsc", "tsc_known_freq", "tsc_reliable", "rdtscp"}) {
    environment.tsc_flags[flag] = has(flag);
  }
  environment.hypervisor_flag = has("hypervisor");
  if (environment.hypervisor_flag) environment.hypervisor = hypervisor_vendor();

  const std::string cpu0 = root + "/sys/devices/system/cpu/cpu0/";
  if (const auto siblings = first_line(cpu0 + "topology/thread_siblings_list")) {
    const bool alone = siblings->find_first_of(",-") == std::string::npos;
    environment.threads_per_core = alone ? 1 : 2;
  }
  for (int index = 0; index < 6; ++index) {
    const std::string cache = cpu0 + "cache/index" + std::to_string(index) + "/";
    const auto level = first_line(cache + "level");
    const auto type = first_line(cache + "type");
    const auto size = first_line(cache + "size");
    if (!level || !type || !size) continue;
    const std::string suffix = *type == "Data" ? "d" : *type == "Instruction" ? "i" : "";
    environment.caches["L" + *level + suffix] = *size;
  }
}

void read_power(Environment& environment, const std::string& root) {
  const std::string cpus = root + "/sys/devices/system/cpu/";
  environment.guest_halt_poll_ns =
      number_of(first_line(root + "/sys/module/haltpoll/parameters/guest_halt_poll_ns"));
  environment.idle_driver = first_line(cpus + "cpuidle/current_driver");
  environment.idle_governor = first_line(cpus + "cpuidle/current_governor");
  if (!environment.idle_governor)
    environment.idle_governor = first_line(cpus + "cpuidle/current_governor_ro");
  environment.cpu_governor = first_line(cpus + "cpu0/cpufreq/scaling_governor");
  if (const auto boost = first_line(cpus + "cpufreq/boost"))
    environment.boost = *boost == "1" ? "on" : "off";
  if (const auto no_turbo = first_line(cpus + "intel_pstate/no_turbo")) {
    environment.boost = *no_turbo == "1" ? "off" : "on";
  }
}

void read_kernel(Environment& environment, const std::string& root) {
  utsname name{};
  if (uname(&name) == 0) {
    environment.kernel = std::string(name.release) + " " + name.version;
    environment.architecture = name.machine;
  }
  environment.clocksource =
      first_line(root + "/sys/devices/system/clocksource/clocksource0/current_clocksource");
  environment.transparent_huge_pages =
      bracketed(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
  std::error_code ignored;
  const std::filesystem::path faults = root + "/sys/devices/system/cpu/vulnerabilities";
  for (const auto& entry : std::filesystem::directory_iterator(faults, ignored)) {
    if (const auto state = first_line(entry.path()))
      environment.mitigations[entry.path().filename()] = *state;
  }
  environment.congestion_control = first_line(root + "/proc/sys/net/ipv4/tcp_congestion_control");
  for (const char* key :
       {"net/core/somaxconn", "net/core/rmem_max", "net/core/wmem_max", "net/ipv4/tcp_rmem",
        "net/ipv4/tcp_wmem", "net/core/busy_poll", "kernel/sched_rt_runtime_us"}) {
    if (auto value = first_line(root + "/proc/sys/" + key)) {
      for (char& letter : *value) letter = letter == '\t' ? ' ' : letter;
      environment.sysctls[key] = *value;
    }
  }
  // Only what shapes timing: the rest of the line names disks and hosts, which are nobody's business.
  if (const auto line = first_line(root + "/proc/cmdline")) {
    environment.kernel_options = "";
    std::istringstream words(*line);
    for (std::string word; words >> word;) {
      for (const char* key : {"isolcpus", "nohz", "rcu_nocbs", "mitigations", "idle", "intel_idle",
                              "processor.", "cpuidle", "clocksource", "tsc", "preempt", "hugepages",
                              "transparent_hugepage", "nosmt", "threadirqs"}) {
        if (!word.starts_with(key)) continue;
        if (!environment.kernel_options->empty()) *environment.kernel_options += ' ';
        *environment.kernel_options += word;
        break;
      }
    }
  }
}

void read_memory_and_load(Environment& environment, const std::string& root) {
  const auto memory = colon_lines(root + "/proc/meminfo");
  const auto bytes = [&memory](const char* key) {
    return number_of(text_of(memory, key)).value_or(0) * 1024;
  };
  environment.memory_total_bytes = bytes("MemTotal");
  environment.memory_available_bytes = bytes("MemAvailable");
  std::ifstream file(root + "/proc/loadavg");
  for (double load = 0; environment.load_average.size() < 3 && file >> load;) {
    environment.load_average.push_back(load);
  }
}

}  // namespace

BuildInfo BuildInfo::current() {
  BuildInfo build;
  build.tool_version = build_facts::kVersion;
  if (*build_facts::kGitRevision != '\0') {
    build.git_revision = build_facts::kGitRevision;
    build.git_dirty = build_facts::kGitDirty;
  }
  build.build_type = build_facts::kBuildType;
  build.compiler = build_facts::kCompiler;
  build.flags = build_facts::kFlags;
  build.sanitizers = build_facts::kSanitizers;
#ifndef NDEBUG
  build.assertions = true;
#endif
  return build;
}

Environment Environment::read(const std::string& root) {
  Environment environment;
  environment.operating_system = operating_system_of(root);
  environment.logical_cores = static_cast<int>(allowed_cpus().size());
  environment.online_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  read_cpu(environment, root);
  read_power(environment, root);
  read_kernel(environment, root);
  read_memory_and_load(environment, root);
  std::istringstream rows(build_facts::kLibraries);
  for (std::string row; std::getline(rows, row, ';');) {
    const std::size_t split = row.find('=');
    if (split != std::string::npos)
      environment.libraries[row.substr(0, split)] = row.substr(split + 1);
  }
  environment.libraries["glibc"] = gnu_get_libc_version();
  environment.libraries["zlib"] = zlibVersion();
  return environment;
}

}  // namespace feedbench::measure
