#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace feedbench::measure {

/// CPU time a process has used since it started, all its threads together.
struct CpuTime {
  double user_seconds = 0;
  double system_seconds = 0;
  [[nodiscard]] double total_seconds() const noexcept { return user_seconds + system_seconds; }
};

/// From the process's CPU clock where the kernel gives it (ns resolution), so that a short window
/// can be measured. Nothing if the process is gone. Cost: one system call. thread: any.
[[nodiscard]] std::optional<double> process_cpu_seconds(pid_t pid) noexcept;
/// User and system apart, from /proc/<pid>/stat: in clock ticks of 10 ms. Nothing if the process is
/// gone.
[[nodiscard]] std::optional<CpuTime> process_cpu_time(pid_t pid);

/// CPU time of the whole machine since it started, all cores together.
struct MachineCpuTime {
  double programs_seconds = 0;  ///< user, nice and system: what is charged to programs
  double stolen_seconds = 0;    ///< what a hypervisor gave to others while a core was wanted
  bool operator==(const MachineCpuTime&) const = default;
};
/// From /proc/stat: in clock ticks of 10 ms, and where the kernel samples, no finer than one tick a
/// core. Nothing if it cannot be read. Cost: some 0.1 ms, more on large machines. root: where /proc
/// stands.
[[nodiscard]] std::optional<MachineCpuTime> machine_cpu_time(const std::string& root = "");

/// Memory of a process, bytes.
struct MemoryUse {
  std::uint64_t rss_bytes = 0;  ///< VmRSS of /proc/<pid>/status
  std::optional<std::uint64_t>
      pss_bytes;  ///< shared pages divided by their users; absent if not readable
  std::optional<std::uint64_t> rss_anon_bytes;   ///< of rss: private anonymous memory
  std::optional<std::uint64_t> rss_shmem_bytes;  ///< of rss: shared memory, the feed log among it
};
[[nodiscard]] std::optional<MemoryUse> process_memory(pid_t pid);

}  // namespace feedbench::measure
