// Seeded inputs for testing/tls_log_fuzz.hpp. FEEDBENCH_FUZZ_SEEDS says how many (default 2000).
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "reference/upstream/testing/tls_log_fuzz.hpp"

namespace feedbench::upstream::testing {
namespace {

std::uint64_t seeds() {
  const char* const asked = std::getenv("FEEDBENCH_FUZZ_SEEDS");
  return asked != nullptr ? std::strtoull(asked, nullptr, 10) : 2000;
}

TEST(TlsLogFuzz, WhateverTheWireDoesTheLogHoldsWhatWasSaid) {
  for (std::uint64_t seed = 1; seed <= seeds(); ++seed)
    ASSERT_EQ(fuzz_tls_to_log(make_tls_log_input(seed)), "") << "seed " << seed;
}

TEST(TlsLogFuzz, NoiseIsAnInputToo) {
  std::mt19937 random(1);
  for (std::uint64_t round = 0; round < seeds(); ++round) {
    std::vector<std::uint8_t> input(random() % 300);
    for (std::uint8_t& byte : input) byte = static_cast<std::uint8_t>(random());
    ASSERT_EQ(fuzz_tls_to_log(input), "") << "round " << round;
  }
}

}  // namespace
}  // namespace feedbench::upstream::testing
