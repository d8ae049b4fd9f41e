#pragma once

#include <cstdint>

namespace feedbench {

/// SplitMix64: a counter stepped by an odd constant, its value mixed by two multiplications. The same numbers from the same
/// state on every machine; not for secrets. Cost: about 1 ns. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators" (OOPSLA 2014).
constexpr std::uint64_t split_mix(std::uint64_t& state) noexcept {
  std::uint64_t mixed = state += 0x9E3779B97F4A7C15ull;
  mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ull;
  mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBull;
  return mixed ^ (mixed >> 31);
}

}  // namespace feedbench
