#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "mock_exchange/recording/seeded_random.hpp"

namespace feedbench::recording {

/// Prices are whole ticks, quantities whole lots: a generated book is never off by a rounding.
struct Level {
  std::int64_t price = 0;
  std::int64_t quantity = 0;
};

enum class Side : std::uint8_t { bid, ask };

/// A book that random orders act upon. It keeps itself sane: never crossed, never empty on a side, every change counted
/// by one update id and remembered until the next depth update takes it.
class OrderBook {
 public:
  OrderBook(std::int64_t mid_price, std::int64_t typical_quantity, std::uint64_t first_update_id,
            SeededRandom& random);

  [[nodiscard]] Level best(Side side) const;
  [[nodiscard]] std::uint64_t update_id() const noexcept { return update_id_; }

  /// A limit order at the top arrives or leaves: the best price or its quantity changes.
  void change_top(SeededRandom& random);
  /// A market order hits one resting order of `side`; returns its price and quantity.
  Level take(Side side, SeededRandom& random);
  /// A change below the top, at a distance of Pareto's law.
  void change_deep(SeededRandom& random);

  /// What changed since the last call: bids downwards, asks upwards; quantity 0 means gone.
  struct Changes {
    std::uint64_t first_id = 0, last_id = 0;
    std::vector<Level> bids, asks;
  };
  [[nodiscard]] std::size_t changed_levels() const noexcept {
    return changed_bids_.size() + changed_asks_.size();
  }
  Changes take_changes();

 private:
  using Bids = std::map<std::int64_t, std::int64_t, std::greater<>>;
  using Asks = std::map<std::int64_t, std::int64_t>;
  void set(Side side, std::int64_t price, std::int64_t quantity);
  std::int64_t quantity_at(Side side, std::int64_t price) const;
  std::int64_t some_quantity(SeededRandom& random) const;
  void keep_deep(Side side, SeededRandom& random);

  Bids bids_, changed_bids_;
  Asks asks_, changed_asks_;
  std::int64_t typical_quantity_;
  std::uint64_t update_id_;
  std::uint64_t taken_id_;  // last id that a depth update has told
};

}  // namespace feedbench::recording
