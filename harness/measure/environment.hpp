#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace feedbench::measure {

/// How this very binary was built. Constant of the binary.
struct BuildInfo {
  std::string tool_version;  ///< of feedbench, e.g. "0.1.0"
  std::optional<std::string>
      git_revision;  ///< full hash of the checked-out commit; absent outside a git checkout
  std::optional<bool>
      git_dirty;            ///< whether tracked files differed from that commit when it was built
  std::string build_type;   ///< CMake's, e.g. "Release"
  std::string compiler;     ///< e.g. "GNU 12.2.0"
  std::string flags;        ///< compile flags of the build type and of the project
  std::string sanitizers;   ///< empty in a build that may be measured
  bool assertions = false;  ///< assert() and library assertions compiled in

  static BuildInfo current();
};

/// What a result depends on besides the code: processor, kernel, settings, libraries. Absent facts
/// are std::nullopt. errors: none; a file that cannot be read is an absent fact. Cost: some tens of
/// ms (reads /proc and /sys).
struct Environment {
  std::string operating_system;               ///< PRETTY_NAME of /etc/os-release
  std::string kernel;                         ///< release and version, as uname gives them
  std::string architecture;                   ///< e.g. "x86_64"
  std::string cpu_model;                      ///< of the first core
  int logical_cores = 0;                      ///< this process may run on
  int online_cores = 0;                       ///< the machine has online
  std::optional<int> threads_per_core;        ///< 2 with SMT
  std::optional<double> cpu_mhz;              ///< of the first core, as /proc/cpuinfo says now
  std::map<std::string, std::string> caches;  ///< "L1d", "L2", ... -> size as sysfs says
  std::optional<std::string> hypervisor;      ///< e.g. "KVM"; absent on bare metal
  bool hypervisor_flag = false;               ///< the CPU says it runs under one
  std::optional<std::uint64_t>
      guest_halt_poll_ns;  ///< kernel parameter that decides the cost of waking an idle core
  std::optional<std::string> idle_driver;    ///< cpuidle driver in use
  std::optional<std::string> idle_governor;  ///< cpuidle governor in use
  std::map<std::string, bool>
      tsc_flags;  ///< constant_tsc, nonstop_tsc, tsc_known_freq, rdtscp, tsc_reliable
  std::optional<std::string> clocksource;   ///< e.g. "tsc"
  std::optional<std::string> cpu_governor;  ///< cpufreq; absent where the kernel has none
  std::optional<std::string> boost;         ///< "on", "off"; absent where it cannot be read
  std::optional<std::string> transparent_huge_pages;
  std::map<std::string, std::string>
      mitigations;  ///< vulnerability -> what the kernel does about it
  std::optional<std::string> congestion_control;  ///< net.ipv4.tcp_congestion_control
  std::map<std::string, std::string> sysctls;     ///< network limits that matter to a fan-out
  std::optional<std::string>
      kernel_options;  ///< of the kernel command line, those that shape timing
  std::uint64_t memory_total_bytes = 0;
  std::uint64_t memory_available_bytes = 0;
  std::vector<double> load_average;              ///< 1, 5, 15 minutes, when read
  std::map<std::string, std::string> libraries;  ///< name -> version in use

  /// root: where /proc, /sys and /etc stand; a test gives a folder of its own.
  static Environment read(const std::string& root = "");
};

}  // namespace feedbench::measure
