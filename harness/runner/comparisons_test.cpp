#include "harness/runner/comparisons.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace feedbench::runner {
namespace {

const std::string kScenario = R"(name: s
session: {synthetic: {payload_bytes: 128}}
pace: max
matrix: {system: [feedproxy, relay], clients: 8}
ratios:
  - {name: r, metric: frames_per_second, numerator: {system: feedproxy}, denominator: {system: relay}, bound: ">= 0.9"}
  - {name: m, metric: rss_bytes_per_client, numerator: {system: feedproxy}, bound: "<= 1024"}
)";

struct Measured {
  scenario::Scenario scenario = *scenario::parse_scenario(kScenario, "test.yaml");
  scenario::Expansion expansion = scenario::expand(scenario, {});
  report::Result result;

  Measured() {
    result.groups.push_back({"s", "", {}});
    for (const scenario::Case& c : expansion.all) {
      report::Case row;
      row.name = c.name();
      result.groups[0].cases.push_back(row);
    }
  }
  void add(std::size_t index, int repeat, double frames_per_second, double rss, bool valid = true) {
    report::Repetition repetition;
    repetition.repeat = repeat;
    repetition.frames_per_second = frames_per_second;
    repetition.rss_bytes_per_client = rss;
    repetition.verdict.valid = valid;
    result.groups[0].cases[index].repetitions.push_back(repetition);
  }
};

TEST(Comparisons, ARatioIsMadeOfPairedRepeats) {
  Measured m;
  for (int i = 0; i < 6; ++i) {
    m.add(0, i, 95.0 * (i + 1), 600);
    m.add(1, i, 100.0 * (i + 1), 700);
  }
  const auto out = compare_all(m.scenario, m.expansion, m.result);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_NEAR(*out[0].ratio, 0.95, 1e-9);
  EXPECT_EQ(out[0].met, true);
  EXPECT_EQ(out[0].group, "s");
  EXPECT_EQ(*out[1].ratio, 600.0);
  EXPECT_EQ(out[1].met, true);
}

TEST(Comparisons, AnInvalidRunEntersNone) {
  Measured m;
  m.add(0, 0, 95, 600, false);
  m.add(1, 0, 100, 700);
  const auto out = compare_all(m.scenario, m.expansion, m.result);
  ASSERT_EQ(out.size(), 2U);
  EXPECT_FALSE(out[0].ratio);
  EXPECT_FALSE(out[1].ratio);
  EXPECT_FALSE(out[0].words.empty());
}

TEST(Comparisons, ABoundMissedIsNotMet) {
  Measured m;
  for (int i = 0; i < 6; ++i) {
    m.add(0, i, 50, 2000);
    m.add(1, i, 100, 700);
  }
  const auto out = compare_all(m.scenario, m.expansion, m.result);
  EXPECT_EQ(out[0].met, false);
  EXPECT_EQ(out[1].met, false);
}

TEST(Comparisons, WhatWasLeftOutIsNotCompared) {
  Measured m;
  std::erase_if(m.expansion.all,
                [](const scenario::Case& c) { return c.system == scenario::System::relay; });
  const auto out = compare_all(m.scenario, m.expansion, m.result);
  ASSERT_EQ(out.size(), 1U);
  EXPECT_EQ(out[0].name, "m");
}

}  // namespace
}  // namespace feedbench::runner
