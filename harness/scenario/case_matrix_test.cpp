#include "harness/scenario/case_matrix.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace feedbench::scenario {
namespace {

Scenario scenario_of(const std::string& matrix) {
  auto read =
      parse_scenario("name: s\nsession: {synthetic: {payload_bytes: 128}}\n" + matrix, "test.yaml");
  if (!read) {
    ADD_FAILURE() << to_string(read.error()[0]);
    return {};
  }
  return *read;
}

TEST(CaseMatrix, IsTheProductOfItsAxes) {
  const auto expansion = expand(
      scenario_of(
          "matrix: {transport: [select, epoll, io_uring], clients: [1, 8], wait: [spin, block]}\n"),
      {});
  EXPECT_EQ(expansion.cases.size(), 12U);
  EXPECT_TRUE(expansion.skips.empty());
  std::set<std::string> names;
  for (const Case& c : expansion.cases) names.insert(c.name());
  EXPECT_EQ(names.size(), 12U);
}

TEST(CaseMatrix, AnAxisThatASystemDoesNotHaveMakesNoExtraCases) {
  const auto expansion = expand(
      scenario_of(
          "matrix: {system: [feedproxy, beast], transport: [select, epoll], stamps: [on, off]}\n"),
      {});
  EXPECT_EQ(expansion.cases.size(), 4U + 1U);
}

TEST(CaseMatrix, ARingIsAnAxisOfTheBridgeAlone) {
  const auto expansion = expand(
      scenario_of("matrix:\n  - {ring: [feed_log, mirrored, spsc, hft_shm], stamps: [on, off]}\n"
                  "  - {system: [feedproxy, bridge], via: [websocket, shm]}\n"),
      {});
  ASSERT_EQ(expansion.cases.size(),
            4U + 2U);  // the bridge's feed_log of the second block is the first's
  EXPECT_EQ(expansion.cases[1].name(), "s bridge epoll spin 1 client 128 B recorded mirrored");
  EXPECT_EQ(expansion.cases[1].axis("ring"), "mirrored");
  EXPECT_EQ(expansion.cases[1].axis("via"), "ring");
  EXPECT_FALSE(expansion.cases[1].stamps);
  EXPECT_EQ(expansion.cases[4].axis("ring"), "");
  EXPECT_TRUE(matches(expansion.cases[2], {{"ring", "spsc"}}));
}

TEST(CaseMatrix, SkipsTheBridgeOverTls) {
  const auto expansion = expand(scenario_of("matrix: {ring: spsc, tls: on}\n"), {});
  EXPECT_TRUE(expansion.cases.empty());
  ASSERT_EQ(expansion.skips.size(), 1U);
  EXPECT_EQ(expansion.skips[0].reason, "the bridge reads plain TCP and has no TLS");
}

TEST(CaseMatrix, SkipsWhatDoesNotApplyWithAReason) {
  const auto expansion =
      expand(scenario_of("matrix: {system: [feedproxy, relay], tls: [on, off]}\n"), {});
  EXPECT_EQ(expansion.cases.size(), 3U);
  ASSERT_EQ(expansion.skips.size(), 1U);
  EXPECT_EQ(expansion.skips[0].reason, "the relay copies plain TCP and has no TLS");
}

TEST(CaseMatrix, SkipsATransportThatIsNotAvailable) {
  const auto expansion =
      expand(scenario_of("matrix: {transport: [epoll, io_uring]}\n"),
             {.transports = {{"io_uring", "the kernel says ENOSYS"}}, .veth = {}});
  EXPECT_EQ(expansion.cases.size(), 1U);
  ASSERT_EQ(expansion.skips.size(), 1U);
  EXPECT_EQ(expansion.skips[0].reason, "io_uring is not available here: the kernel says ENOSYS");
}

TEST(CaseMatrix, OptionsOfIoUringAreFeedproxysAndGoWithTheTransport) {
  const auto here = expand(
      scenario_of("matrix: {system: [feedproxy, relay], transport: io_uring+registered_files}\n"),
      {});
  EXPECT_EQ(here.cases.size(), 1U);
  ASSERT_EQ(here.skips.size(), 1U);
  EXPECT_EQ(here.skips[0].reason, "relay has no options of io_uring");
  const auto without = expand(scenario_of("matrix: {transport: io_uring+registered_files}\n"),
                              {.transports = {{"io_uring", "the kernel says ENOSYS"}}, .veth = {}});
  ASSERT_EQ(without.skips.size(), 1U);
  EXPECT_EQ(without.skips[0].reason, "io_uring is not available here: the kernel says ENOSYS");
}

TEST(CaseMatrix, XdpIsFeedproxysAndNotForLoopback) {
  const auto expansion =
      expand(scenario_of("matrix: {system: [feedproxy, relay], transport: [epoll, xdp], network: "
                         "[loopback, veth]}\n"),
             {});
  std::map<std::string, std::string> skips;
  for (const Skip& skip : expansion.skips) skips[skip.name] = skip.reason;
  EXPECT_EQ(expansion.cases.size(), 5U);
  EXPECT_EQ(skips.size(), 3U);
  EXPECT_EQ(skips["s feedproxy xdp spin 1 client 128 B recorded"],
            "xdp does not run over loopback: it takes frames from an interface of its own");
  EXPECT_EQ(skips["s relay xdp spin 1 client 128 B recorded veth"], "relay does not run on xdp");
}

TEST(CaseMatrix, WithoutAVethPairItsCasesAreSkippedWithTheReason) {
  const auto expansion =
      expand(scenario_of("matrix: {transport: [epoll, select], network: [loopback, veth]}\n"),
             {.transports = {}, .veth = "make a test network: no"});
  EXPECT_EQ(expansion.cases.size(), 2U);
  ASSERT_EQ(expansion.skips.size(), 2U);
  EXPECT_EQ(expansion.skips[0].name, "s feedproxy epoll spin 1 client 128 B recorded veth");
  EXPECT_EQ(expansion.skips[0].reason,
            "network veth is not available here: make a test network: no");
  EXPECT_EQ(expansion.all[1].axis("network"), "veth");
  EXPECT_EQ(expansion.cases[0].axis("network"), "loopback");
}

TEST(CaseMatrix, SaysWhyNothingMatchesASelector) {
  const auto cases = expand(scenario_of("matrix:\n  - {clients: [1, 8], transport: epoll}\n"
                                        "  - {clients: 2, transport: select}\n"),
                            {})
                         .all;
  EXPECT_EQ(why_none_matches(cases, {{"clients", "3"}}),
            "no case of the scenario has clients=3 (the values of clients are 1, 8, 2)");
  EXPECT_EQ(why_none_matches(cases, {{"rate_hz", "10"}}),
            "no case of the scenario has the key rate_hz");
  EXPECT_EQ(
      why_none_matches(cases, {{"clients", "2"}, {"transport", "epoll"}}),
      "no case of the scenario has clients=2,transport=epoll at once, though each value alone");
  EXPECT_EQ(why_none_matches(cases, {{"clients", "8"}, {"transport", "epoll"}}), "");
  EXPECT_EQ(why_none_matches(cases, {}), "");
}

TEST(CaseMatrix, ExclusionsNeedAReasonAndAreListed) {
  const auto expansion = expand(
      scenario_of(
          "matrix: {clients: [1, 8]}\nexclude:\n  - {clients: 8, reason: too slow to wait for}\n"),
      {});
  EXPECT_EQ(expansion.cases.size(), 1U);
  ASSERT_EQ(expansion.skips.size(), 1U);
  EXPECT_EQ(expansion.skips[0].reason, "too slow to wait for");
}

TEST(CaseMatrix, PayloadAndRateAreAxes) {
  const auto expansion =
      expand(scenario_of("matrix: {payload_bytes: [128, 1024], rate_hz: [100, 1000]}\n"), {});
  ASSERT_EQ(expansion.cases.size(), 4U);
  EXPECT_EQ(expansion.cases[0].axis("rate_hz"), "100");
  EXPECT_EQ(expansion.cases[1].axis("payload_bytes"), "1024");
}

TEST(RunPlan, RunsEveryCaseOnceBeforeAnyTwice) {
  const auto plan = plan_runs({3, 3, 3, 3}, 7);
  ASSERT_EQ(plan.size(), 12U);
  for (std::uint32_t round = 0; round < 3; ++round) {
    std::set<std::size_t> seen;
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(plan[round * 4 + i].repeat, round);
      seen.insert(plan[round * 4 + i].case_index);
    }
    EXPECT_EQ(seen.size(), 4U);
  }
}

TEST(RunPlan, SameSeedSameOrder) {
  const auto order = [](std::uint64_t seed) {
    std::vector<std::size_t> out;
    for (const PlannedRun& run : plan_runs({5, 5, 5, 5, 5, 5}, seed)) out.push_back(run.case_index);
    return out;
  };
  EXPECT_EQ(order(3), order(3));
  EXPECT_NE(order(3), order(4));
}

TEST(RunPlan, CasesWithFewerRepeatsStopEarlier) {
  std::map<std::size_t, int> runs;
  for (const PlannedRun& run : plan_runs({1, 3}, 1)) ++runs[run.case_index];
  EXPECT_EQ(runs[0], 1);
  EXPECT_EQ(runs[1], 3);
}

}  // namespace
}  // namespace feedbench::scenario
