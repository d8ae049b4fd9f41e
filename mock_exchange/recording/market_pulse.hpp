#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "mock_exchange/recording/seeded_random.hpp"

namespace feedbench::recording {

/// When something happens in a market: a self-exciting (Hawkes) process. Each event raises the rate of further ones for
/// about 1 ms, 20 ms, 200 ms and 2 s, the more the larger it was; so events come in clumps of clumps and the index of
/// dispersion grows with the window, as in real sessions, where no Poisson process at any rate does.
class MarketPulse {
 public:
  /// events_hz: mean rate. weights: a sample of the weights that excite() will be given, not empty.
  MarketPulse(double events_hz, const std::vector<double>& weights);

  /// Time of the next event, seconds since the start; never goes back.
  double next(SeededRandom& random);
  /// The event just given had this weight (its number of frames).
  void excite(double weight);

 private:
  struct Kernel {
    double offspring;  // mean number of events that one event of mean weight brings about
    double seconds;    // how long the excitement lasts (time constant)
  };
  static constexpr std::array<Kernel, 4> kKernels = {Kernel{0.16, 0.001}, Kernel{0.29, 0.008},
                                                     Kernel{0.25, 0.08}, Kernel{0.19, 0.8}};
  static constexpr double kWeightMax =
      12;  // of the mean: keeps one giant order from feeding on itself

  double base_hz_;
  double weight_max_;
  double weight_mean_;  // of the weights, none above weight_max_
  double now_ = 0;
  std::array<double, kKernels.size()> excess_hz_{};
};

/// Which symbol an event concerns: shares by Zipf's law, runs of the same symbol as in a market that reacts to itself.
class SymbolMix {
 public:
  SymbolMix(std::uint32_t symbols, double zipf_exponent);
  std::uint32_t next(SeededRandom& random);
  [[nodiscard]] double share(std::uint32_t symbol) const noexcept { return shares_[symbol]; }

 private:
  std::vector<double> shares_;
  std::uint32_t last_ = 0;
};

/// Time from one frame of a clump to the next: most share a TCP segment and are read within 0.4 to 2 us.
std::int64_t gap_in_clump_ns(SeededRandom& random);

/// Time to the next part of a clump that did not share its TCP segment: some 100 us.
std::int64_t pause_in_clump_ns(SeededRandom& random);

/// Number of trades of a market order: more than half are one, one in a thousand is above fifty.
std::uint64_t trades_of_order(SeededRandom& random);
/// Number of quote changes in a row.
std::uint64_t quotes_of_event(SeededRandom& random);
/// Share of events that are market orders.
inline constexpr double kOrderShare = 0.18;

}  // namespace feedbench::recording
