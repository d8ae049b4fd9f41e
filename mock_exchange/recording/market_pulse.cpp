#include "mock_exchange/recording/market_pulse.hpp"

#include <algorithm>

namespace feedbench::recording {

MarketPulse::MarketPulse(double events_hz, const std::vector<double>& weights) {
  const auto mean_below = [&](double most) {
    double sum = 0;
    for (const double weight : weights) sum += std::min(weight, most);
    return sum / static_cast<double>(weights.size());
  };
  weight_max_ = kWeightMax * mean_below(1e300);
  weight_mean_ = mean_below(weight_max_);
  double offspring = 0;
  for (const Kernel& kernel : kKernels) offspring += kernel.offspring;
  base_hz_ = events_hz * (1 - offspring);
}

double MarketPulse::next(SeededRandom& random) {
  // Between events the rate only falls, so the rate now bounds it: draw at that rate, keep in proportion.
  for (;;) {
    double bound_hz = base_hz_;
    for (const double excess : excess_hz_) bound_hz += excess;
    const double step = random.exponential(1 / bound_hz);
    now_ += step;
    double rate_hz = base_hz_;
    for (std::size_t i = 0; i < kKernels.size(); ++i) {
      const double age = step / kKernels[i].seconds;
      excess_hz_[i] = age < 600 ? excess_hz_[i] * portable_exp(-age) : 0;
      rate_hz += excess_hz_[i];
    }
    if (random.uniform() * bound_hz < rate_hz) return now_;
  }
}

void MarketPulse::excite(double weight) {
  const double relative = std::min(weight, weight_max_) / weight_mean_;
  for (std::size_t i = 0; i < kKernels.size(); ++i) {
    excess_hz_[i] += relative * kKernels[i].offspring / kKernels[i].seconds;
  }
}

SymbolMix::SymbolMix(std::uint32_t symbols, double zipf_exponent) {
  double sum = 0;
  for (std::uint32_t rank = 1; rank <= symbols; ++rank) {
    shares_.push_back(portable_exp(-zipf_exponent * portable_log(rank)));
    sum += shares_.back();
  }
  for (double& share : shares_) share /= sum;
}

std::uint32_t SymbolMix::next(SeededRandom& random) {
  if (random.chance(0.5)) return last_;
  double left = random.uniform();
  std::uint32_t symbol = 0;
  while (symbol + 1 < shares_.size() && left >= shares_[symbol]) left -= shares_[symbol++];
  return last_ = symbol;
}

std::int64_t gap_in_clump_ns(SeededRandom& random) {
  const double extra_ns = std::min(random.lognormal(650, 1.6), 90'000.0);
  return 400 + static_cast<std::int64_t>(extra_ns) / 100 * 100;
}

std::int64_t pause_in_clump_ns(SeededRandom& random) {
  const double pause_ns = std::min(random.lognormal(260'000, 1.0), 5'000'000.0);
  return static_cast<std::int64_t>(pause_ns) / 100 * 100;
}

std::uint64_t trades_of_order(SeededRandom& random) {
  const double choice = random.uniform();
  if (choice < 0.58) return 1;
  if (choice < 0.99) return 1 + random.geometric(0.74, 40);
  return 10 * random.pareto(1.3, 25);
}

std::uint64_t quotes_of_event(SeededRandom& random) {
  return random.chance(0.12) ? random.geometric(0.78, 30) : random.geometric(0.4, 30);
}

}  // namespace feedbench::recording
