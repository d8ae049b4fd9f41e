#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "harness/measure/clock_agreement.hpp"
#include "harness/measure/core_costs.hpp"
#include "harness/measure/environment.hpp"
#include "harness/measure/floors.hpp"
#include "harness/measure/process_sample.hpp"
#include "harness/measure/testing/fake_root.hpp"

namespace feedbench::measure {
namespace {

TEST(Environment, ReadsWhatTheMachineSays) {
  FakeRoot root;
  root.put("etc/os-release", "ID=x\nPRETTY_NAME=\"Some Linux 12\"\n");
  root.put(
      "proc/cpuinfo",
      "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\ncpu MHz\t\t: 2596.120\n"
      "flags\t\t: fpu constant_tsc nonstop_tsc rdtscp\n\nprocessor\t: 1\nmodel name\t: Other\n");
  root.put("sys/module/haltpoll/parameters/guest_halt_poll_ns", "200000\n");
  root.put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
  root.put("sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI\n");
  root.put("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,4\n");
  root.put("sys/devices/system/cpu/cpu0/cache/index0/level", "1\n");
  root.put("sys/devices/system/cpu/cpu0/cache/index0/type", "Data\n");
  root.put("sys/devices/system/cpu/cpu0/cache/index0/size", "32K\n");
  root.put("proc/sys/net/ipv4/tcp_congestion_control", "cubic\n");
  root.put("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n");
  root.put("proc/meminfo", "MemTotal:        1024 kB\nMemAvailable:     512 kB\n");
  root.put("proc/loadavg", "0.50 0.25 0.10 1/100 1234\n");
  root.put("proc/cmdline", "root=UUID=secret mitigations=off quiet isolcpus=1\n");

  const Environment environment = Environment::read(root.path());
  EXPECT_EQ(environment.operating_system, "Some Linux 12");
  EXPECT_EQ(environment.cpu_model, "Some CPU @ 3 GHz");
  EXPECT_EQ(environment.cpu_mhz, 2596.120);
  EXPECT_TRUE(environment.tsc_flags.at("constant_tsc"));
  EXPECT_FALSE(environment.tsc_flags.at("tsc_known_freq"));
  EXPECT_FALSE(environment.hypervisor_flag);
  EXPECT_EQ(environment.hypervisor, std::nullopt);
  EXPECT_EQ(environment.guest_halt_poll_ns, 200'000U);
  EXPECT_EQ(environment.transparent_huge_pages, "madvise");
  EXPECT_EQ(environment.mitigations.at("meltdown"), "Mitigation: PTI");
  EXPECT_EQ(environment.threads_per_core, 2);
  EXPECT_EQ(environment.caches.at("L1d"), "32K");
  EXPECT_EQ(environment.congestion_control, "cubic");
  EXPECT_EQ(environment.sysctls.at("net/ipv4/tcp_wmem"), "4096 16384 4194304");
  EXPECT_EQ(environment.memory_total_bytes, 1024U * 1024);
  EXPECT_EQ(environment.load_average, (std::vector<double>{0.5, 0.25, 0.1}));
  EXPECT_EQ(environment.kernel_options, "mitigations=off isolcpus=1");
}

TEST(Environment, LeavesAbsentWhatTheMachineDoesNotSay) {
  FakeRoot root;
  const Environment environment = Environment::read(root.path());
  EXPECT_EQ(environment.guest_halt_poll_ns, std::nullopt);
  EXPECT_EQ(environment.clocksource, std::nullopt);
  EXPECT_EQ(environment.cpu_governor, std::nullopt);
  EXPECT_EQ(environment.boost, std::nullopt);
  EXPECT_EQ(environment.kernel_options, std::nullopt);
  EXPECT_TRUE(environment.mitigations.empty());
  EXPECT_GT(environment.logical_cores, 0);
}

TEST(MachineCpuTime, IsThatOfProgramsAndWhatWasStolen) {
  const auto ticks_a_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  FakeRoot root;
  EXPECT_EQ(machine_cpu_time(root.path()), std::nullopt);
  root.put("proc/stat", "cpu  1000 200 300 9999 50 7 80 40 1000 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n");
  const auto used = machine_cpu_time(root.path());
  ASSERT_TRUE(used);
  EXPECT_DOUBLE_EQ(used->programs_seconds * ticks_a_second, 1500);  // guests are in user already
  EXPECT_DOUBLE_EQ(used->stolen_seconds * ticks_a_second, 40);
  root.put("proc/stat", "cpu  1000 200\n");
  EXPECT_EQ(machine_cpu_time(root.path()), std::nullopt);
}

TEST(MachineCpuTime, CountsWhatThisProcessSpends) {
  const double before = machine_cpu_time().value().programs_seconds;
  const double own_before = process_cpu_seconds(getpid()).value();
  volatile unsigned sink = 0;
  while (machine_cpu_time().value().programs_seconds < before + 0.05) sink = sink + 1;
  EXPECT_GT(process_cpu_seconds(getpid()).value(), own_before);
}

TEST(Environment, OfThisMachineNamesItsCoresAndLibraries) {
  const Environment environment = Environment::read();
  EXPECT_FALSE(environment.cpu_model.empty());
  EXPECT_FALSE(environment.kernel.empty());
  EXPECT_GE(environment.online_cores, environment.logical_cores);
  EXPECT_GT(environment.memory_total_bytes, 0U);
  EXPECT_TRUE(environment.libraries.contains("glibc"));
  EXPECT_TRUE(environment.libraries.contains("OpenSSL"));
}

TEST(BuildInfo, NamesVersionCompilerAndFlags) {
  const BuildInfo build = BuildInfo::current();
  EXPECT_FALSE(build.tool_version.empty());
  EXPECT_FALSE(build.build_type.empty());
  EXPECT_NE(build.compiler.find(' '), std::string::npos);
  EXPECT_NE(build.flags.find("-std=c++20"), std::string::npos);
  if (build.git_revision) {
    EXPECT_EQ(build.git_revision->size(), 40U);
  }
}

TEST(ProcessSample, SeesTheCpuTimeThisProcessUses) {
  const double before = process_cpu_seconds(getpid()).value();
  volatile std::uint64_t sink = 0;
  while (process_cpu_seconds(getpid()).value() < before + 0.05) sink = sink + 1;
  const CpuTime coarse = process_cpu_time(getpid()).value();
  EXPECT_NEAR(coarse.total_seconds(), process_cpu_seconds(getpid()).value(), 0.1);
}

TEST(ProcessSample, SeesTheMemoryThisProcessTouches) {
  const std::uint64_t before = process_memory(getpid()).value().rss_bytes;
  std::vector<char> touched(64 << 20, 'x');
  const MemoryUse after = process_memory(getpid()).value();
  EXPECT_GT(after.rss_bytes, before + (60U << 20));
  EXPECT_GE(after.rss_bytes, after.rss_anon_bytes.value());
  EXPECT_EQ(touched.back(), 'x');
}

TEST(ProcessSample, IsAbsentForAProcessThatIsGone) {
  constexpr pid_t kNobody = (1 << 22) + 1;  // above the largest pid Linux gives out
  EXPECT_EQ(process_cpu_seconds(kNobody), std::nullopt);
  EXPECT_EQ(process_cpu_time(kNobody), std::nullopt);
  EXPECT_EQ(process_memory(kNobody), std::nullopt);
}

TEST(Floors, MeasureEveryCoreThisProcessMayUse) {
  const std::vector<int> cpus = allowed_cpus();
  ASSERT_FALSE(cpus.empty());
  const Floors floors = measure_floors(
      "before",
      {.cpus = {}, .jitter_seconds = 0.005, .bounce_round_trips = 2'000, .memcpy_seconds = 0.001});
  EXPECT_EQ(floors.moment, "before");
  EXPECT_EQ(floors.jitter.size(), std::min<std::size_t>(cpus.size(), 8));
  for (const CoreJitter& jitter : floors.jitter) {
    EXPECT_GT(jitter.longest_gap_ns, 0);
    EXPECT_GE(jitter.seconds, 0.005);
    EXPECT_GE(jitter.gaps_over_10us, jitter.gaps_over_100us);
  }
  for (const CoreBounce& bounce : floors.core_bounce) {
    EXPECT_NE(bounce.cpu_a, bounce.cpu_b);
    EXPECT_GT(bounce.round_trip_ns_p50, 0);
    EXPECT_GE(bounce.round_trip_ns_p99, bounce.round_trip_ns_p50);
  }
  for (const MemcpyFloor& copy : floors.memory_copy) EXPECT_GT(copy.gigabytes_per_second, 0);
}

TEST(Floors, LeaveOutACoreThatDoesNotExist) {
  EXPECT_EQ(measure_core_jitter(1000, 0.001), std::nullopt);
  EXPECT_EQ(measure_core_bounce(0, 0, 100), std::nullopt);
  EXPECT_EQ(measure_core_bounce(0, 1000, 100), std::nullopt);
}

/// Neighbours may keep two cores from meeting within the time that one measurement gives them.
template <class Measure>
auto sooner_or_later(const Measure& measure) {
  auto found = measure();
  for (int tries = 0; tries < 100 && !found; ++tries) found = measure();
  return found;
}

TEST(ClockAgreement, LiesBetweenTheReadingsBeforeAndAfter) {
  ClockAgreement bounds{0, 1, -1'000'000, 1'000'000};
  narrow(bounds, {.asked = 1000, .answered = 1100, .got = 1300});  // b - a is within -200 .. 100
  EXPECT_EQ(bounds.difference_ticks_min, -200);
  EXPECT_EQ(bounds.difference_ticks_max, 100);
  narrow(bounds, {.asked = 2000, .answered = 2900, .got = 3000});  // within -100 .. 900
  EXPECT_EQ(bounds.difference_ticks_min, -100);
  EXPECT_EQ(bounds.difference_ticks_max, 100);
  EXPECT_TRUE(bounds.agree());
}

TEST(ClockAgreement, SeesACounterThatIsAhead) {
  ClockAgreement bounds{0, 1, -1'000'000, 1'000'000};
  for (std::uint64_t at = 1000; at < 5000; at += 1000) {
    narrow(bounds, {.asked = at, .answered = at + 100 + 5000, .got = at + 200});
  }
  EXPECT_FALSE(bounds.agree());
  EXPECT_LE(bounds.difference_ticks_min, 5000);
  EXPECT_GE(bounds.difference_ticks_max, 5000);
}

TEST(ClockAgreement, OfRealCoresIsABoundThatHolds) {
  const std::vector<int> cpus = allowed_cpus();
  if (cpus.size() > 1) {
    const auto found =
        sooner_or_later([&] { return measure_clock_agreement(cpus[0], cpus[1], 200); });
    ASSERT_TRUE(found);
    EXPECT_LE(found->difference_ticks_min, found->difference_ticks_max);
  }
  EXPECT_EQ(measure_clock_agreement(cpus[0], cpus[0], 10), std::nullopt);
  EXPECT_EQ(measure_clock_agreement(cpus[0], 1000, 10), std::nullopt);
  EXPECT_EQ(measure_clock_agreement(1000, cpus[0], 10), std::nullopt);
}

TEST(CoreCosts, AreThoseOfCallsThatWereMade) {
  const CallCosts costs = measure_call_costs();
  EXPECT_GT(costs.read_tsc_ns, 0);
  EXPECT_GT(costs.read_clock_ns, 0);
  EXPECT_GT(costs.system_call_ns, 0);
  EXPECT_NE(costs.tsc_step_ticks, 1);
}

TEST(CoreCosts, WakeAnotherCoreAndNotTheirOwn) {
  const std::vector<int> cpus = allowed_cpus();
  if (cpus.size() > 1) {
    const auto wake = sooner_or_later([&] { return measure_core_wake(cpus[0], cpus[1], 5); });
    ASSERT_TRUE(wake);
    EXPECT_GE(wake->wakes, 1U);
    EXPECT_LE(wake->wakes, 5U);
    EXPECT_GT(wake->latency_ns_p50, 0);
    EXPECT_GE(wake->latency_ns_p99, wake->latency_ns_p50);
  }
  EXPECT_EQ(measure_core_wake(cpus[0], cpus[0], 5), std::nullopt);
  EXPECT_EQ(measure_core_wake(1000, cpus[0], 5), std::nullopt);
}

TEST(Floors, StayOnTheirOwnThreads) {
  const std::vector<int> before = allowed_cpus();
  static_cast<void>(measure_floors(
      "after",
      {.cpus = {}, .jitter_seconds = 0.001, .bounce_round_trips = 64, .memcpy_seconds = 0.001}));
  EXPECT_EQ(allowed_cpus(), before);
}

}  // namespace
}  // namespace feedbench::measure
