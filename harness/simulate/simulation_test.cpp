// What `feedbench simulate` claims, on seeds that are fixed; and that a seed replays exactly.
#include "harness/simulate/simulation.hpp"

#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <set>

#include "harness/simulate/plan.hpp"
#include "harness/simulate/tape.hpp"
#include "reference/websocket/build_frame.hpp"

namespace feedbench::simulate {
namespace {

class Simulate : public ::testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& each : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

TEST_F(Simulate, NoSeedOfTheFixedSetFails) {
  run_simulation(1);
  const std::size_t descriptors = open_descriptors();
  Outcome sum;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    const Outcome outcome = run_simulation(seed);
    EXPECT_TRUE(outcome.faults.empty())
        << "seed " << seed << ": " << fmt::format("{}", fmt::join(outcome.faults, "; "))
        << "\n  see how: feedbench simulate --seeds " << seed << " --trace";
    sum.delivered += outcome.delivered;
    sum.evictions += outcome.evictions;
    sum.upstream_losses += outcome.upstream_losses;
    sum.lapped += outcome.lapped;
  }
  // It happened, what they are about.
  EXPECT_GT(sum.delivered, 10'000u);
  EXPECT_GT(sum.evictions, 0u);
  EXPECT_GT(sum.upstream_losses, 0u);
  EXPECT_GT(sum.lapped, 0u);
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST_F(Simulate, ASeedReplaysExactly) {
  std::set<std::uint64_t> traces;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome first = run_simulation(seed);
    const Outcome second = run_simulation(seed);
    EXPECT_EQ(first.trace, second.trace) << "seed " << seed;
    EXPECT_EQ(first.delivered, second.delivered) << "seed " << seed;
    traces.insert(first.trace);
  }
  EXPECT_EQ(traces.size(), 20u);
}

TEST(Plans, EveryKindOfClientAndEveryFaultIsDrawn) {
  std::set<ClientKind> kinds;
  bool cut = false, silent = false, silent_for_ever = false, slow_wire = false, partial = false,
       small = false;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    for (const ClientPlan& client : make_plan(seed).clients) {
      kinds.insert(client.kind);
      cut |= client.faults.cut_after_ns >= 0;
      silent |= client.faults.silent_for_ns > 0;
      silent_for_ever |= client.faults.silent_after_ns >= 0 && client.faults.silent_for_ns < 0;
      slow_wire |= client.faults.bytes_per_second != 0;
      partial |= client.faults.write_bytes_max != 0;
      small |= client.faults.buffer_bytes != 0;
    }
  }
  EXPECT_EQ(kinds.size(), kClientKinds);
  EXPECT_TRUE(cut && silent && silent_for_ever && slow_wire && partial && small);
}

TEST(Tapes, RecogniseAMessageByEveryByte) {
  Tape tape;
  tape.send(0, 100);
  const std::uint32_t number = tape.send(0, 5000);
  std::string payload = tape.payload(number);
  ASSERT_EQ(payload.size(), 5000u);
  EXPECT_EQ(tape.recognise(websocket::as_bytes(payload)), number);
  for (const std::size_t at : {std::size_t{0}, std::size_t{7}, std::size_t{8}, std::size_t{4999}}) {
    std::string torn = payload;
    torn[at] = '!';
    EXPECT_FALSE(tape.recognise(websocket::as_bytes(torn)).has_value()) << at;
  }
  EXPECT_FALSE(tape.recognise(websocket::as_bytes(payload.substr(0, 4999))).has_value());
  EXPECT_FALSE(tape.recognise(websocket::as_bytes("short")).has_value());
}

TEST(Tapes, SayWhatIsWrongWithTheOrder) {
  Tape tape;
  for (int i = 0; i < 3; ++i) tape.send(0, 10);
  tape.send(1, 10);
  EXPECT_EQ(tape.publish(0, 12), "");
  EXPECT_NE(tape.publish(0, 12), "");  // twice
  EXPECT_NE(tape.publish(2, 12), "");  // one left out
  EXPECT_EQ(tape.publish(3, 12), "");  // the rest of connection 0 was lost with it
  EXPECT_NE(tape.publish(1, 12), "");  // too late
  EXPECT_EQ(tape.position(3), 1u);
  EXPECT_EQ(tape.position(2), std::nullopt);
}

}  // namespace
}  // namespace feedbench::simulate
