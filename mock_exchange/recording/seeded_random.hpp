#pragma once

#include <cstdint>

#include "transports/split_mix.hpp"

/// Random numbers that are the same on every machine: whole-number generator, and distributions made of operations that
/// IEEE 754 defines to the last bit (+ - * / and square root). The standard library's distributions, and its exp and log, are
/// left to the implementation, so none is used here.
namespace feedbench::recording {

/// ln x for x > 0, relative error below 1e-14.
double portable_log(double x) noexcept;
/// e^x for |x| < 700, relative error below 1e-14.
double portable_exp(double x) noexcept;

/// Distributions over the numbers of split_mix().
class SeededRandom {
 public:
  explicit SeededRandom(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t bits() noexcept { return split_mix(state_); }
  /// Uniform in [0, 1), 53 bits.
  double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  /// Uniform in 0 .. n-1, 0 < n < 2^53. The bias is below n / 2^53.
  std::uint64_t below(std::uint64_t n) noexcept {
    return static_cast<std::uint64_t>(uniform() * static_cast<double>(n));
  }
  bool chance(double probability) noexcept { return uniform() < probability; }

  double exponential(double mean) noexcept { return -mean * portable_log(1.0 - uniform()); }
  /// Standard normal.
  double normal() noexcept;
  double lognormal(double median, double sigma) noexcept {
    return median * portable_exp(sigma * normal());
  }
  /// Whole numbers k >= 1 with P(at least k) = k^-alpha, at most `most`.
  std::uint64_t pareto(double alpha, std::uint64_t most) noexcept;
  /// Whole numbers k >= 1 with P(k + 1) = `more` * P(k), at most `most`.
  std::uint64_t geometric(double more, std::uint64_t most) noexcept;

 private:
  std::uint64_t state_;
};

}  // namespace feedbench::recording
