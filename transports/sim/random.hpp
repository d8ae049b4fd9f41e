#pragma once

#include <cstdint>

#include "transports/split_mix.hpp"

namespace feedbench::transports::sim {

/// The one source of chance in a simulation: the same seed gives the same numbers on every machine (the standard
/// library's distributions do not). Not for secrets. Cost: about 1 ns a number.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept { return split_mix(state_); }
  /// 0 .. bound - 1; 0 for bound 0.
  std::uint64_t below(std::uint64_t bound) noexcept { return bound == 0 ? 0 : next() % bound; }
  /// first .. last, both included.
  std::int64_t between(std::int64_t first, std::int64_t last) noexcept {
    return first + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(last - first) + 1));
  }
  /// True one time in `in`; never for 0.
  bool one_in(std::uint64_t in) noexcept { return in != 0 && below(in) == 0; }

 private:
  std::uint64_t state_;
};

}  // namespace feedbench::transports::sim
