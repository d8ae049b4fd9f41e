#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>

#include "reference/websocket/testing/fuzz.hpp"

/// The fuzz target over seeded random inputs. FEEDBENCH_FUZZ_ROUNDS and FEEDBENCH_FUZZ_SEED choose more, or others; a
/// failure prints the seed that shows it.
namespace feedbench::websocket::testing {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string run(const std::string& input) {
  return fuzz_one({reinterpret_cast<const std::uint8_t*>(input.data()), input.size()});
}

TEST(Fuzz, HoldsItsPropertiesOnDamagedStreams) {
  const std::uint64_t first = from_environment("FEEDBENCH_FUZZ_SEED", 1);
  const std::uint64_t rounds = from_environment("FEEDBENCH_FUZZ_ROUNDS", 20000);
  for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
    const std::string broken = run(make_fuzz_input(seed));
    ASSERT_EQ(broken, "") << "seed " << seed;
  }
}

TEST(Fuzz, HoldsItsPropertiesOnNoise) {
  std::mt19937_64 random(from_environment("FEEDBENCH_FUZZ_SEED", 1));
  for (int round = 0; round < 20000; ++round) {
    std::string input(random() % 200, '\0');
    for (char& c : input) c = static_cast<char>(random());
    const std::string broken = run(input);
    ASSERT_EQ(broken, "") << "round " << round;
  }
}

}  // namespace
}  // namespace feedbench::websocket::testing
