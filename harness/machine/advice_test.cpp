#include "harness/machine/advice.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

namespace feedbench::machine {
namespace {

using ::testing::HasSubstr;

transports::KernelFeature feature(const char* id, std::optional<bool> available, int os_error = 0) {
  return {id, id, "meaning", available, "reason", os_error};
}

/// A machine on which nothing costs performance.
MachineFacts quiet_machine() {
  MachineFacts facts;
  facts.transport.io_uring = {feature("io_uring.defer_taskrun", true),
                              feature("io_uring.buffer_ring", true),
                              feature("io_uring.registered_buffers", true)};
  facts.transport.xdp = {feature("xdp.privileges", true)};
  facts.memory.descriptors = facts.memory.descriptors_max = 20'000;
  facts.cores.online = 4;
  facts.cores.allowed = {0, 1, 2, 3};
  facts.cores.isolated = "";
  facts.cores.governor = "performance";
  facts.cores.stolen_share = 0.0;
  facts.cores.others_cores = 0.05;
  facts.cores.jitter = {{.cpu = 0, .seconds = 0.5, .longest_gap_ns = 60'000},
                        {.cpu = 1, .seconds = 0.5, .longest_gap_ns = 70'000}};
  facts.clock.source = "tsc";
  facts.clock.sources = {"tsc", "hpet"};
  facts.clock.costs.read_clock_ns = 22;
  facts.costs.wake = measure::CoreWake{0, 1, 100, 4'000, 8'000};
  return facts;
}

/// The advice after one change to the quiet machine.
std::vector<Advice> after(const std::function<void(MachineFacts&)>& change) {
  MachineFacts facts = quiet_machine();
  change(facts);
  return advise(facts);
}

void expect_one(const std::vector<Advice>& advice, const std::string& about,
                const std::string& part) {
  ASSERT_EQ(advice.size(), 1U);
  EXPECT_EQ(advice[0].about, about);
  EXPECT_THAT(advice[0].text, HasSubstr(part));
  EXPECT_EQ(advice[0].text.find('\n'), std::string::npos);
}

TEST(Advice, IsNoneWhereNothingCostsPerformance) { EXPECT_TRUE(advise(quiet_machine()).empty()); }

TEST(Advice, IsNoneAboutWhatIsNotKnown) { EXPECT_TRUE(advise(MachineFacts{}).empty()); }

TEST(Advice, TellsHowAForbiddenIoUringIsAllowed) {
  const auto forbid = [](MachineFacts& facts) {
    for (auto& one : facts.transport.io_uring) one.untried("forbidden", EPERM);
  };
  expect_one(after(forbid), "transport.io_uring", "kernel.io_uring_disabled=0");
}

TEST(Advice, SaysNothingOfAnIoUringThatTheKernelDoesNotHave) {
  const auto lack = [](MachineFacts& facts) {
    for (auto& one : facts.transport.io_uring) one.untried("none", ENOSYS);
  };
  EXPECT_TRUE(after(lack).empty());
}

TEST(Advice, NamesTheKernelThatDefersTaskRuns) {
  const auto lack = [](MachineFacts& facts) {
    facts.transport.io_uring[0].fails("unknown", EINVAL);
  };
  expect_one(after(lack), "io_uring.defer_taskrun", "Linux 6.1");
}

TEST(Advice, SpeaksOfXdpPrivilegesOnlyWhereAnInterfaceCouldUseThem) {
  const auto unprivileged = [](MachineFacts& facts) {
    facts.transport.xdp[0].fails("missing", EPERM);
  };
  EXPECT_TRUE(after(unprivileged).empty());
  const auto with_card = [&](MachineFacts& facts) {
    unprivileged(facts);
    transports::NetworkInterface& card = facts.transport.interfaces.emplace_back();
    card.name = "eth7";
    card.up = true;
    card.xdp_native = true;
  };
  expect_one(after(with_card), "xdp.privileges", "eth7");
  const auto card_down = [&](MachineFacts& facts) {
    with_card(facts);
    facts.transport.interfaces[0].up = false;
  };
  EXPECT_TRUE(after(card_down).empty());
}

TEST(Advice, RaisesTheLimitOfLockedMemoryOnlyWhereItWasReached) {
  const auto refuse = [](int os_error) {
    return
        [os_error](MachineFacts& facts) { facts.transport.io_uring[2].fails("refused", os_error); };
  };
  expect_one(after(refuse(ENOMEM)), "memory.locked", "ulimit -l");
  EXPECT_TRUE(after(refuse(EINVAL)).empty());
}

TEST(Advice, RaisesAHardLimitOfDescriptorsThatIsTooLowForManyClients) {
  const auto lower = [](MachineFacts& facts) { facts.memory.descriptors_max = 1024; };
  expect_one(after(lower), "memory.descriptors", "1024 clients");
  EXPECT_TRUE(after([](MachineFacts& facts) { facts.memory.descriptors_max.reset(); }).empty());
}

TEST(Advice, TellsOneAllowedCoreFromAMachineWithOne) {
  const auto one_allowed = [](MachineFacts& facts) { facts.cores.allowed = {2}; };
  expect_one(after(one_allowed), "cores.allowed", "taskset");
  const auto one_core = [&](MachineFacts& facts) {
    facts.cores.allowed = {0};
    facts.cores.online = 1;
  };
  expect_one(after(one_core), "cores.allowed", "wait: block");
}

TEST(Advice, RaisesAQuotaBelowTheTwoThreadsOfARun) {
  const auto quota = [](double cores) {
    return [cores](MachineFacts& facts) {
      facts.cores.quota = {cores, "/sys/fs/cgroup/a/cpu.max", ""};
    };
  };
  expect_one(after(quota(1.5)), "cores.quota", "/sys/fs/cgroup/a/cpu.max");
  EXPECT_TRUE(after(quota(2.0)).empty());
}

TEST(Advice, MovesARunAwayFromTwoThreadsOfOnePhysicalCore) {
  const auto siblings = [](std::vector<Siblings> pairs) {
    return [pairs](MachineFacts& facts) { facts.cores.siblings = pairs; };
  };
  expect_one(after(siblings({{0, 1}, {2, 3}})), "cores.smt", "system_cpu: 2, load_cpu: 0");
  EXPECT_TRUE(after(siblings({{0, 2}, {1, 3}})).empty()) << "cores 0 and 1 are not siblings";
  const auto all_one = [](MachineFacts& facts) {
    facts.cores.allowed = {0, 1};
    facts.cores.siblings = {{0, 1}};
  };
  expect_one(after(all_one), "cores.smt", "another core");
}

TEST(Advice, WantsTheGovernorThatDoesNotSlowDown) {
  expect_one(after([](MachineFacts& facts) { facts.cores.governor = "powersave"; }),
             "cores.governor", "powersave");
  EXPECT_TRUE(after([](MachineFacts& facts) { facts.cores.governor.reset(); }).empty());
}

TEST(Advice, NamesTheHostWhenItTakesCoresAndNotTheKernel) {
  const auto stolen = [](double share, std::int64_t gap_ns) {
    return [share, gap_ns](MachineFacts& facts) {
      facts.cores.stolen_share = share;
      facts.cores.jitter[1].longest_gap_ns = gap_ns;
    };
  };
  expect_one(after(stolen(0.05, 70'000)), "cores.stolen", "dedicated host");
  expect_one(after(stolen(0.005, 7'000'000)), "cores.stolen", "dedicated host");
  EXPECT_TRUE(after(stolen(0.005, 70'000)).empty()) << "a little that nobody noticed";
}

TEST(Advice, NamesOtherProgramsBeforeItAdvisesToBootDifferently) {
  const auto busy = [](MachineFacts& facts) {
    facts.cores.others_cores = 0.8;
    facts.cores.stolen_share = 0.005;
    facts.cores.jitter[0].longest_gap_ns = 9'000'000;
  };
  expect_one(after(busy), "cores.others", "0.80 cores");
}

TEST(Advice, IsolatesACoreWhereNothingElseExplainsAGap) {
  const auto gap = [](MachineFacts& facts) { facts.cores.jitter[1].longest_gap_ns = 4'000'000; };
  expect_one(after(gap), "cores.longest_gap.1", "isolcpus=3` and");
  const auto with_nohz = [&](MachineFacts& facts) {
    gap(facts);
    facts.cores.nohz_full = "";
  };
  expect_one(after(with_nohz), "cores.longest_gap.1", "isolcpus=3 nohz_full=3");
  const auto isolated_already = [&](MachineFacts& facts) {
    gap(facts);
    facts.cores.isolated = "3";
  };
  EXPECT_TRUE(after(isolated_already).empty());
}

TEST(Advice, ChangesASlowClockSource) {
  const auto slow = [](MachineFacts& facts) {
    facts.clock.source = "hpet";
    facts.clock.costs.read_clock_ns = 900;
  };
  expect_one(after(slow), "clock.source", "echo tsc");
  const auto no_tsc = [&](MachineFacts& facts) {
    slow(facts);
    facts.clock.sources = {"hpet"};
  };
  expect_one(after(no_tsc), "clock.source", "tsc=reliable");
  const auto fast = [](MachineFacts& facts) { facts.clock.source = "kvm-clock"; };
  EXPECT_TRUE(after(fast).empty()) << "another source that is as fast costs nothing";
}

TEST(Advice, KeepsIdleCoresAwakeWhereWakingThemIsSlow) {
  const auto slow = [](MachineFacts& facts) { facts.costs.wake->latency_ns_p50 = 24'000; };
  expect_one(after(slow), "costs.wake", "feedproxy --wait spin");
  const auto halting = [&](MachineFacts& facts) {
    slow(facts);
    facts.cores.idle_driver = "haltpoll";
    facts.cores.guest_halt_poll_ns = 0;
  };
  expect_one(after(halting), "costs.wake", "echo 200000");
  const auto tuned = [&](MachineFacts& facts) {
    halting(facts);
    facts.cores.guest_halt_poll_ns = 200'000;
  };
  expect_one(after(tuned), "costs.wake", "feedproxy --wait spin");
}

}  // namespace
}  // namespace feedbench::machine
