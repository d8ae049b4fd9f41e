#include "mock_exchange/recording/seeded_random.hpp"

#include <algorithm>
#include <cmath>

namespace feedbench::recording {
namespace {
constexpr double kLn2 = 0.69314718055994530942;
constexpr double kSqrtHalf = 0.70710678118654752440;
}  // namespace

double portable_log(double x) noexcept {
  int exponent = 0;
  double m = std::frexp(x, &exponent);  // exact: x = m * 2^exponent, m in [0.5, 1)
  if (m < kSqrtHalf) {
    m *= 2;
    --exponent;
  }
  // ln m = 2 artanh((m - 1) / (m + 1)), as a series in a number below 0.172.
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double power = s, sum = 0;
  for (int k = 1; k <= 21; k += 2) {
    sum += power / k;
    power *= square;
  }
  return 2 * sum + exponent * kLn2;
}

double portable_exp(double x) noexcept {
  const double k = std::floor(x / kLn2 + 0.5);
  const double rest = x - k * kLn2;  // within half of ln 2 of zero
  double term = 1, sum = 1;
  for (int i = 1; i <= 16; ++i) {
    term *= rest / i;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(k));  // exact
}

double SeededRandom::normal() noexcept {
  for (;;) {  // the polar method; 4 in 5 tries succeed
    const double u = 2 * uniform() - 1;
    const double v = 2 * uniform() - 1;
    const double s = u * u + v * v;
    if (s > 0 && s < 1) return u * std::sqrt(-2 * portable_log(s) / s);
  }
}

std::uint64_t SeededRandom::pareto(double alpha, std::uint64_t most) noexcept {
  const double value = portable_exp(-portable_log(1.0 - uniform()) / alpha);
  return value >= static_cast<double>(most) ? most : static_cast<std::uint64_t>(value);
}

std::uint64_t SeededRandom::geometric(double more, std::uint64_t most) noexcept {
  std::uint64_t k = 1;
  while (k < most && chance(more)) ++k;
  return k;
}

}  // namespace feedbench::recording
