#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

/// Properties of the codec that hold for any input, checked on one input. The same functions serve libFuzzer
/// (fuzz_main.cpp) and a plain test over seeded random inputs (fuzz_test.cpp).
namespace feedbench::websocket::testing {

/// input: any bytes. The first chooses what is tried, the second how the stream is cut, the rest is the stream.
/// returns an empty text, or the property that does not hold. Allocates; never reads outside input (sanitizers watch).
std::string fuzz_one(std::span<const std::uint8_t> input);

/// An input that is not noise: a stream of mostly valid frames (or a handshake), damaged in a place or two.
std::string make_fuzz_input(std::uint64_t seed);

}  // namespace feedbench::websocket::testing
