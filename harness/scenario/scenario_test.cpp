#include "harness/scenario/scenario.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

namespace feedbench::scenario {
namespace {

using ::testing::HasSubstr;

const std::string kGood = R"(name: small
description: one case
session: {synthetic: {payload_bytes: 128}}
pace: {rate_hz: 1000}
matrix:
  system: [feedproxy, relay]
  clients: [1, 8]
)";

std::vector<Fault> faults_of(const std::string& text) {
  const auto read = parse_scenario(text, "test.yaml");
  return read ? std::vector<Fault>{} : read.error();
}

std::string only_fault(const std::string& text) {
  const auto faults = faults_of(text);
  EXPECT_EQ(faults.size(), 1U) << "text:\n" << text;
  for (std::size_t i = 1; i < faults.size(); ++i) ADD_FAILURE() << to_string(faults[i]);
  return faults.empty() ? "" : to_string(faults[0]);
}

TEST(Scenario, ReadsAWholeScenarioWithItsDefaults) {
  const auto read = parse_scenario(kGood, "test.yaml");
  ASSERT_TRUE(read) << to_string(read.error()[0]);
  EXPECT_EQ(read->name, "small");
  ASSERT_EQ(read->groups.size(), 1U);
  EXPECT_EQ(read->groups[0].name, "small");
  EXPECT_EQ(read->groups[0].pace, (Pace{Pace::Kind::rate, 1000.0}));
  EXPECT_EQ(read->groups[0].repeats, 3U);
  EXPECT_EQ(read->groups[0].matrix[0].transports, std::vector<std::string>{"epoll"});
  EXPECT_EQ(to_json(*read)["groups"][0]["matrix"][0]["clients"], (std::vector<int>{1, 8}));
}

TEST(Scenario, UnknownKeyIsNamedWithItsPlaceAndTheNearestKey) {
  EXPECT_EQ(only_fault(kGood + "repeets: 3\n"),
            "test.yaml:8:1: the scenario has no key \"repeets\" (did you mean \"repeats\"?)");
}

TEST(Scenario, UnknownKeyWithoutANearOneListsTheKnownOnes) {
  const std::string text =
      only_fault("name: a\nsession: {synthetic: {zzzzzzzzzzzzzz: 1}}\nmatrix: {clients: 1}\n");
  EXPECT_THAT(text, HasSubstr("test.yaml:2:23: synthetic has no key \"zzzzzzzzzzzzzz\" (known: "
                              "payload_bytes, frames)"));
}

TEST(Scenario, ListsAllFaultsInTheOrderOfTheFile) {
  const auto faults = faults_of(
      "name: a\nseed: x\nsession: {synthetic: {payload_bytes: 1}}\npace: fast\nmatrix: {clients: "
      "0, transport: epol}\n");
  ASSERT_EQ(faults.size(), 5U);
  EXPECT_THAT(faults[0].message, HasSubstr("seed must be a whole number, not \"x\""));
  EXPECT_THAT(faults[1].message, HasSubstr("payload_bytes is 1; it must be 40 to"));
  EXPECT_THAT(faults[2].message, HasSubstr("pace has no value \"fast\""));
  EXPECT_THAT(faults[3].message, HasSubstr("clients is 0; a case needs at least one client"));
  EXPECT_THAT(faults[4].message, HasSubstr("did you mean \"epoll\"?"));
  EXPECT_EQ(faults[4].line, 5);
}

TEST(Scenario, WrongTypeSaysWhatItIs) {
  EXPECT_THAT(only_fault(kGood + "repeats: [1, 2]\n"),
              HasSubstr("repeats must be a whole number, not a list"));
  EXPECT_THAT(only_fault(kGood + "gate: perhaps\n"),
              HasSubstr("gate must be on or off (or true or false), not \"perhaps\""));
  EXPECT_THAT(only_fault(kGood + "placement: 3\n"),
              HasSubstr("placement must be a map of keys, not \"3\""));
  EXPECT_THAT(only_fault(kGood + "ring_bytes: big\n"), HasSubstr("ring_bytes must be bytes"));
}

TEST(Scenario, MissingRecordingIsOneSentence) {
  EXPECT_THAT(only_fault("name: a\nsession: {file: none.jsonl.zst}\nmatrix: {clients: 1}\n"),
              HasSubstr("test.yaml:2:17: the recording none.jsonl.zst is missing"));
}

TEST(Scenario, AbsentRealRecordingIsNoFaultButAReason) {
  LoadOptions options;
  options.recordings = "/nonexistent";
  const auto read = parse_scenario("name: a\nsession: {recording: x.zst}\nmatrix: {clients: 1}\n",
                                   "test.yaml", options);
  ASSERT_TRUE(read);
  EXPECT_THAT(read->groups[0].session.absent_reason, HasSubstr("x.zst is not here"));
}

TEST(Scenario, NeedsASessionAndAMatrixAndAName) {
  const auto faults = faults_of("seed: 1\n");
  ASSERT_EQ(faults.size(), 3U);
}

TEST(Scenario, RepeatedKeyIsAFault) {
  EXPECT_THAT(only_fault(kGood + "name: again\n"), HasSubstr("has the key \"name\" twice"));
}

TEST(Scenario, TextThatIsNotYamlSaysWhere) {
  EXPECT_THAT(only_fault("name: [a\n"), HasSubstr("this is not YAML"));
}

TEST(Scenario, FileThatCannotBeOpenedIsOneSentence) {
  const auto read = load_scenario("/nonexistent/x.yaml");
  ASSERT_FALSE(read);
  EXPECT_EQ(to_string(read.error()[0]),
            "/nonexistent/x.yaml: the scenario file cannot be opened (is the path right?)");
}

TEST(Scenario, SizesMayHaveUnits) {
  const auto read =
      parse_scenario(kGood + "ring_bytes: 64 MiB\nwindow_bytes: 512KiB\n", "test.yaml");
  ASSERT_TRUE(read) << to_string(read.error()[0]);
  EXPECT_EQ(read->ring_bytes, 64U << 20U);
  EXPECT_EQ(read->window_bytes, 512U << 10U);
}

TEST(Scenario, WindowLargerThanHalfTheRingIsAFault) {
  EXPECT_THAT(only_fault(kGood + "ring_bytes: 1 MiB\nwindow_bytes: 1 MiB\n"),
              HasSubstr("at most half the ring"));
}

TEST(Scenario, GroupsInheritWhatStandsAtTheTop) {
  const auto read = parse_scenario(R"(name: two
session: {synthetic: {payload_bytes: 128}}
measure_s: 1.5
groups:
  - {name: slow, pace: {rate_hz: 10}, matrix: {clients: 1}}
  - {name: fast, pace: max, measure_s: 3, matrix: [{clients: 1}, {system: beast, clients: 2}]}
)",
                                   "test.yaml");
  ASSERT_TRUE(read) << to_string(read.error()[0]);
  EXPECT_EQ(read->groups[0].measure_s, 1.5);
  EXPECT_EQ(read->groups[1].measure_s, 3.0);
  EXPECT_EQ(read->groups[1].matrix.size(), 2U);
  EXPECT_EQ(read->groups[1].session.payload_bytes, 128U);
}

const std::string kRings = "name: a\nsession: {synthetic: {payload_bytes: 128}}\n";

TEST(Scenario, ARingAsksForTheBridge) {
  const auto read = parse_scenario(kRings + "matrix: {ring: [spsc, hft_shm]}\n", "test.yaml");
  ASSERT_TRUE(read) << to_string(read.error()[0]);
  const MatrixBlock& block = read->groups[0].matrix[0];
  EXPECT_EQ(block.systems, std::vector<System>{System::bridge});
  EXPECT_EQ(block.rings, (std::vector<Ring>{Ring::spsc, Ring::hft_shm}));
  EXPECT_EQ(to_json(*read)["groups"][0]["matrix"][0]["ring"],
            (std::vector<std::string>{"spsc", "hft_shm"}));
}

TEST(Scenario, ARingOfOneReaderWithManyClientsIsOneFault) {
  for (const std::string ring : {"spsc", "mirrored", "hft_shm"}) {
    EXPECT_EQ(only_fault(kRings + "matrix: {ring: " + ring + ", clients: [1, 8]}\n"),
              "test.yaml:3:16: the ring " + ring +
                  " has one reader, and clients is 8; only feed_log is read by many");
  }
  EXPECT_TRUE(parse_scenario(kRings + "matrix: {ring: feed_log, clients: [1, 8]}\n", "test.yaml"));
}

TEST(Scenario, ARingOfASystemThatHasNoneIsOneFault) {
  EXPECT_THAT(only_fault(kRings + "matrix: {system: [bridge, feedproxy], ring: spsc}\n"),
              HasSubstr("ring is for system: bridge; feedproxy has no ring to choose (it publishes "
                        "into the feed log)"));
  EXPECT_THAT(only_fault(kRings + "matrix: {system: relay, ring: mirrored}\n"),
              HasSubstr("relay has no ring to choose"));
  EXPECT_THAT(only_fault(kRings + "matrix: {ring: spsc, via: websocket}\n"),
              HasSubstr("via is for feedproxy; a bridge's clients read its ring"));
}

const std::string kBare = "name: a\nsession: {synthetic: {payload_bytes: 128}}\n";

TEST(Scenario, ANetworkIsLoopbackUnlessAVethPairIsAskedFor) {
  const auto read = parse_scenario(
      kBare + "matrix: [{clients: 1}, {network: [loopback, veth], transport: [epoll, xdp]}]\n",
      "test.yaml");
  ASSERT_TRUE(read) << to_string(read.error()[0]);
  const auto& blocks = read->groups[0].matrix;
  EXPECT_EQ(blocks[0].networks, std::vector<Network>{Network::loopback});
  EXPECT_EQ(blocks[1].networks, (std::vector<Network>{Network::loopback, Network::veth}));
  EXPECT_EQ(to_json(*read)["groups"][0]["matrix"][1]["network"],
            (std::vector<std::string>{"loopback", "veth"}));
}

TEST(Scenario, AnUnknownNetworkIsToldThoseThereAre) {
  EXPECT_EQ(only_fault(kBare + "matrix: {network: mars}\n"),
            "test.yaml:3:19: network has no value \"mars\" (known: loopback, veth)");
  EXPECT_THAT(only_fault(kBare + "matrix: {network: vet}\n"), HasSubstr("did you mean \"veth\"?"));
}

TEST(Scenario, IoUringMayHaveOptions) {
  const auto with = [](const std::string& transport) {
    return kBare + "matrix: {transport: [" + transport + "]}\n";
  };
  const std::string options = "io_uring+registered_files+zero_copy=65536";
  const auto read = parse_scenario(with("io_uring, " + options), "test.yaml");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->groups[0].matrix[0].transports, (std::vector<std::string>{"io_uring", options}));
  EXPECT_THAT(only_fault(with("io_uring+bundles")),
              HasSubstr("transport io_uring: bundles: there is no such option"));
  EXPECT_THAT(only_fault(with("io_uring+")), HasSubstr("has no value"));
  EXPECT_THAT(only_fault(with("epoll+registered_files")), HasSubstr("has no value"));
}

TEST(Scenario, XdpWithoutAVethPairIsOneFault) {
  const std::string sentence =
      "test.yaml:3:21: transport xdp does not run over loopback: it takes frames from an interface "
      "of its own; say network: veth";
  EXPECT_EQ(only_fault(kBare + "matrix: {transport: xdp}\n"), sentence);
  EXPECT_EQ(only_fault(kBare + "matrix: {transport: [epoll, xdp], network: loopback}\n"), sentence);
  EXPECT_TRUE(parse_scenario(kBare + "matrix: {transport: xdp, network: veth}\n", "test.yaml"));
}

TEST(Scenario, AnUnknownRingIsToldTheNearest) {
  EXPECT_THAT(only_fault(kRings + "matrix: {ring: feedlog}\n"),
              HasSubstr("did you mean \"feed_log\"?"));
}

TEST(Scenario, RatioMustSelectExactlyOneCase) {
  const std::string ratio =
      "ratios:\n  - {name: r, metric: latency_p50_ns, numerator: {system: feedproxy, clients: 1}, "
      "denominator: {system: relay}}\n";
  EXPECT_THAT(only_fault(kGood + ratio), HasSubstr("denominator selects 2 cases"));
  EXPECT_THAT(
      only_fault(kGood +
                 "ratios:\n  - {name: r, metric: latency_p50_ns, numerator: {clients: 3}}\n"),
      HasSubstr("numerator selects no case of the matrix"));
}

TEST(Scenario, RatioReadsItsBound) {
  const auto read = parse_scenario(kGood +
                                       "ratios:\n  - {name: r, metric: latency_p50_ns, numerator: "
                                       "{system: feedproxy, clients: 1}, bound: \"<= 1.2\"}\n",
                                   "test.yaml");
  ASSERT_TRUE(read) << to_string(read.error()[0]);
  ASSERT_TRUE(read->ratios[0].bound);
  EXPECT_TRUE(read->ratios[0].bound->at_most);
  EXPECT_EQ(read->ratios[0].bound->value, 1.2);
  EXPECT_THAT(
      only_fault(kGood + "ratios:\n  - {name: r, metric: latency_p50_ns, numerator: {system: "
                         "feedproxy, clients: 1}, bound: fast}\n"),
      HasSubstr("bound must be"));
}

}  // namespace
}  // namespace feedbench::scenario
