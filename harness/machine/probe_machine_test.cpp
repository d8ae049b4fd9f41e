#include "harness/machine/probe_machine.hpp"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <thread>

#include "harness/machine/advice.hpp"
#include "harness/measure/testing/fake_root.hpp"

namespace feedbench::machine {
namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The rest of the line that begins with `key`; "" without one.
std::string after_key(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return line.substr(key.size());
  }
  return "";
}

std::string describe_limit(const Limit& limit) {
  return limit ? std::to_string(*limit) : "unlimited";
}

/// The real machine, probed once.
const MachineFacts& facts() {
  static const MachineFacts kFacts = probe_machine();
  return kFacts;
}

TEST(ProbeMachine, CountsTheCoresThatTheKernelLists) {
  int processors = 0;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) processors += line.starts_with("processor");
  EXPECT_EQ(facts().cores.online, processors);
  std::string allowed;
  std::istringstream(after_key("/proc/self/status", "Cpus_allowed_list:")) >> allowed;
  ASSERT_FALSE(facts().cores.allowed.empty());
  EXPECT_EQ(std::stoi(allowed), facts().cores.allowed.front());
  EXPECT_EQ(facts().cores.hypervisor_flag,
            after_key("/proc/cpuinfo", "flags").find(" hypervisor") != std::string::npos);
}

TEST(ProbeMachine, ReadsTheLimitsThatTheKernelLists) {
  std::istringstream locked(after_key("/proc/self/limits", "Max locked memory"));
  std::istringstream files(after_key("/proc/self/limits", "Max open files"));
  std::string soft;
  std::string hard;
  locked >> soft;
  EXPECT_EQ(describe_limit(facts().memory.locked_bytes), soft);
  files >> soft >> hard;
  EXPECT_EQ(describe_limit(facts().memory.descriptors), soft);
  EXPECT_EQ(describe_limit(facts().memory.descriptors_max), hard);
}

TEST(ProbeMemory, TellsTheLimitInForceFromWhatItMayBeRaisedTo) {
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  ASSERT_GT(limit.rlim_cur, 100U);
  const rlimit lower{100, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &lower), 0);
  const MemoryFacts found = probe_memory();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(found.descriptors, 100U);
  EXPECT_EQ(describe_limit(found.descriptors_max),
            limit.rlim_max == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_max));
}

TEST(ProbeMachine, FindsHugePagesWhereTheKernelHasThemFree) {
  if (facts().memory.huge_pages_free.value_or(0) > 0) {
    EXPECT_EQ(facts().memory.huge_page.available, true) << facts().memory.huge_page.reason;
  }
  if (after_key("/proc/meminfo", "Hugepagesize:").find(" 2048 kB") == std::string::npos) return;
  std::istringstream total(after_key("/proc/meminfo", "HugePages_Total:"));
  std::uint64_t pages = 0;
  ASSERT_TRUE(total >> pages);
  EXPECT_EQ(facts().memory.huge_pages, pages);
}

TEST(ProbeMachine, MeasuresTheClockThatTheKernelNames) {
  std::istringstream source(
      text_of("/sys/devices/system/clocksource/clocksource0/current_clocksource"));
  std::string name;
  if (source >> name) {
    EXPECT_EQ(facts().clock.source, name);
  }
  EXPECT_EQ(facts().clock.tsc_hz.has_value(), facts().clock.calibration_absent_reason.empty());
  EXPECT_GT(facts().clock.costs.read_clock_ns, 0);
  EXPECT_LE(facts().clock.agreement.size() + 1,
            std::max<std::size_t>(1, facts().cores.allowed.size()));
}

TEST(ProbeMachine, WatchesTheMachineMeanwhile) {
  EXPECT_GE(facts().cores.watched_seconds, 0.5);
  EXPECT_GE(facts().seconds, facts().cores.watched_seconds);
  ASSERT_TRUE(facts().cores.stolen_share);
  EXPECT_GE(*facts().cores.stolen_share, 0);
  EXPECT_LE(*facts().cores.stolen_share, 1);
  ASSERT_TRUE(facts().cores.others_cores);
  EXPECT_GE(*facts().cores.others_cores, 0);
  for (const auto& one : facts().cores.jitter) EXPECT_GT(one.longest_gap_ns, 0);
}

TEST(ProbeMachine, ExplainsEveryLineAndAdvisesOnLinesThatAreThere) {
  std::set<std::string> ids;
  for (const Group& group : describe(facts())) {
    EXPECT_FALSE(group.lines.empty()) << group.id;
    for (const Line& line : group.lines) {
      EXPECT_TRUE(ids.insert(line.id).second) << line.id << " twice";
      EXPECT_FALSE(line.name.empty()) << line.id;
      EXPECT_FALSE(line.text.empty()) << line.id;
      EXPECT_FALSE(line.note.empty()) << line.id;
      EXPECT_EQ(line.note.find('\n'), std::string::npos) << line.id;
    }
  }
  for (const Advice& one : advise(facts())) {
    EXPECT_TRUE(ids.contains(one.about)) << one.about;
    EXPECT_EQ(one.text.find('\n'), std::string::npos) << one.text;
  }
}

TEST(ProbeMachine, LeavesTheMachineAsItWas) {
  const auto state = [] {
    std::string all;
    for (const char* path :
         {"/proc/modules", "/proc/sys/vm/nr_hugepages", "/proc/sys/net/core/busy_poll",
          "/proc/sys/net/core/busy_read", "/proc/sys/kernel/sched_rt_runtime_us",
          "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/net/ipv4/tcp_available_ulp",
          "/proc/self/limits"}) {
      all += text_of(path);
    }
    for (const char* key : {"CapEff:", "Cpus_allowed_list:", "NoNewPrivs:"})
      all += after_key("/proc/self/status", key) + "\n";
    std::array<char, 64> space{};
    const ssize_t got = ::readlink("/proc/self/ns/net", space.data(), space.size());
    return all + std::string(space.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  };
  static_cast<void>(facts());
  const std::string before = state();
  static_cast<void>(probe_machine());
  EXPECT_EQ(state(), before);
}

// On a thread without capabilities, which the threads that the probe starts inherit.
TEST(ProbeMachine, NeedsNoPrivilegesAndNamesThoseThatAreMissing) {
  MachineFacts found;
  bool dropped = false;
  std::thread([&] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    dropped = ::syscall(SYS_capset, &header, none.data()) == 0;
    if (dropped) found = probe_machine();
  }).join();
  ASSERT_TRUE(dropped);
  const auto* privileges = find(found.transport.xdp, "xdp.privileges");
  ASSERT_NE(privileges, nullptr);
  EXPECT_EQ(privileges->available, false);
  EXPECT_NE(privileges->reason.find("CAP_NET_ADMIN"), std::string::npos) << privileges->reason;
  const auto* bound = find(found.transport.xdp, "xdp.generic_copy");
  ASSERT_NE(bound, nullptr);
  EXPECT_EQ(bound->available, std::nullopt) << "what this process may not do is not absent";
  EXPECT_EQ(found.clock.tsc_hz.has_value(), facts().clock.tsc_hz.has_value());
}

TEST(CpuQuota, IsTheTightestOnTheWayToTheRoot) {
  measure::FakeRoot root;
  root.put("proc/self/mounts", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n");
  root.put("proc/self/cgroup", "0::/a/b\n");
  root.put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  root.put("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
  const CpuQuota quota = read_cpu_quota(root.path());
  EXPECT_EQ(quota.cores, 1.5);
  EXPECT_EQ(quota.file, "/sys/fs/cgroup/a/cpu.max");
  root.put("sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
  EXPECT_EQ(read_cpu_quota(root.path()).cores, 0.5);
}

TEST(CpuQuota, IsReadFromTheFirstVersionToo) {
  measure::FakeRoot root;
  root.put("proc/self/mounts", "cgroup /sys/fs/cgroup/cpu cgroup rw,cpu,cpuacct 0 0\n");
  root.put("proc/self/cgroup", "4:cpu,cpuacct:/job\n1:name=systemd:/x\n");
  root.put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  root.put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read_cpu_quota(root.path()).cores, std::nullopt);
  root.put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "25000\n");
  root.put("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(read_cpu_quota(root.path()).cores, 0.25);
}

TEST(CpuQuota, IsUnknownAndNotNoneWithoutControlGroups) {
  measure::FakeRoot root;
  EXPECT_FALSE(read_cpu_quota(root.path()).unknown_reason.empty());
}

TEST(ProbeCores, ReadsIsolationAndSiblingsOfTheCoresAllowed) {
  measure::FakeRoot root;
  const std::vector<int> allowed = measure::allowed_cpus();
  root.put("sys/devices/system/cpu/isolated", "1-3\n");
  root.put("sys/devices/system/cpu/nohz_full", "(null)\n");
  std::string all;
  for (const int core : allowed) all += (all.empty() ? "" : ",") + std::to_string(core);
  for (const int core : allowed) {
    root.put("sys/devices/system/cpu/cpu" + std::to_string(core) + "/topology/thread_siblings_list",
             all + ",9999\n");
  }
  const CoreFacts cores = probe_cores(measure::Environment::read(root.path()), root.path());
  EXPECT_EQ(cores.isolated, "1-3");
  EXPECT_EQ(cores.nohz_full, "");
  EXPECT_EQ(cores.siblings.size(), allowed.size() * (allowed.size() - 1) / 2);
}

TEST(ProbeCommand, EndsWellAndItsJsonHoldsEveryLine) {
  const char* bin = std::getenv("FEEDBENCH_BIN");
  ASSERT_NE(bin, nullptr) << "run this test with ctest";
  FILE* const pipe = ::popen((std::string(bin) + "/feedbench probe --json").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string text;
  std::array<char, 4096> chunk{};
  for (std::size_t got = 0; (got = std::fread(chunk.data(), 1, chunk.size(), pipe)) > 0;)
    text.append(chunk.data(), got);
  EXPECT_EQ(::pclose(pipe), 0);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["schema"], "feedbench.probe/1");
  std::set<std::string> ids;
  std::set<std::string> expected;
  // A busy neighbour may keep two cores from ever exchanging readings: that line alone may come and go.
  const auto note = [](std::set<std::string>& into, const std::string& id) {
    if (!id.starts_with("clock.agreement.")) into.insert(id);
  };
  for (const auto& group : json["groups"]) {
    for (const auto& line : group["lines"]) note(ids, line["id"].get<std::string>());
  }
  for (const Group& group : describe(facts())) {
    for (const Line& line : group.lines) note(expected, line.id);
  }
  EXPECT_EQ(ids, expected);
}

}  // namespace
}  // namespace feedbench::machine
