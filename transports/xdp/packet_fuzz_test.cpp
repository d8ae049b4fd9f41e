// Seeded inputs for testing/packet_fuzz.hpp. FEEDBENCH_FUZZ_SEEDS says how many (default 3000).
#include <gtest/gtest.h>

#include <cstdlib>

#include "transports/xdp/testing/packet_fuzz.hpp"

namespace feedbench::transports::xdp::testing {
namespace {

TEST(XdpPacketFuzz, WhateverArrivesTheStackStaysWhole) {
  const char* const asked = std::getenv("FEEDBENCH_FUZZ_SEEDS");
  const std::uint64_t seeds = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 3000;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    ASSERT_EQ(fuzz_packets(make_packet_input(seed)), "") << "seed " << seed;
  }
}

TEST(XdpPacketFuzz, InputsOfAnyLengthAreInputs) {
  for (std::size_t bytes = 0; bytes < 64; ++bytes) {
    ASSERT_EQ(fuzz_packets(std::vector<std::uint8_t>(bytes, 0)), "");
    ASSERT_EQ(fuzz_packets(std::vector<std::uint8_t>(bytes, 0xFF)), "");
  }
}

}  // namespace
}  // namespace feedbench::transports::xdp::testing
