#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Properties of the stack that hold whatever arrives, checked on one input. The same functions
/// serve libFuzzer (packet_fuzz_main.cpp) and a plain test over seeded inputs
/// (packet_fuzz_test.cpp).
namespace feedbench::transports::xdp::testing {

/// input: any bytes; they say what arrives, what is sent, how time passes. returns an empty text,
/// or the property that does not hold. Needs no privileges. Cost: about 0.1 ms.
std::string fuzz_packets(std::span<const std::uint8_t> input);

/// An input that is not noise: mostly segments that belong to the open connection, damaged in a
/// place or two.
std::vector<std::uint8_t> make_packet_input(std::uint64_t seed);

}  // namespace feedbench::transports::xdp::testing
