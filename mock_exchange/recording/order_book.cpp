#include "mock_exchange/recording/order_book.hpp"

#include <algorithm>

namespace feedbench::recording {
namespace {

constexpr std::int64_t kLevelsAtFirst = 300;  // a side
constexpr std::size_t kLevelsMin = 50;        // a side is refilled below this
constexpr std::uint64_t kDeepestTicks = 4000;

/// One tick away from the middle.
std::int64_t outwards(Side side) { return side == Side::bid ? -1 : 1; }

}  // namespace

OrderBook::OrderBook(std::int64_t mid_price, std::int64_t typical_quantity,
                     std::uint64_t first_update_id, SeededRandom& random)
    : typical_quantity_(typical_quantity), update_id_(first_update_id), taken_id_(first_update_id) {
  for (const Side side : {Side::bid, Side::ask}) {
    std::int64_t price = side == Side::bid ? mid_price : mid_price + 1;
    for (std::int64_t i = 0; i < kLevelsAtFirst && price > 0; ++i) {
      set(side, price, some_quantity(random));
      price += outwards(side) * static_cast<std::int64_t>(random.geometric(0.6, 20));
    }
  }
  changed_bids_.clear();
  changed_asks_.clear();
  update_id_ = taken_id_ = first_update_id;
}

std::int64_t OrderBook::some_quantity(SeededRandom& random) const {
  const double quantity = random.lognormal(static_cast<double>(typical_quantity_), 1.3);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(quantity));
}

void OrderBook::set(Side side, std::int64_t price, std::int64_t quantity) {
  const auto apply = [&](auto& levels, auto& changed) {
    if (quantity > 0) {
      levels[price] = quantity;
    } else {
      levels.erase(price);
    }
    changed[price] = quantity;
  };
  if (side == Side::bid) {
    apply(bids_, changed_bids_);
  } else {
    apply(asks_, changed_asks_);
  }
  ++update_id_;
}

std::int64_t OrderBook::quantity_at(Side side, std::int64_t price) const {
  const auto look = [&](const auto& levels) {
    const auto found = levels.find(price);
    return found == levels.end() ? std::int64_t{0} : found->second;
  };
  return side == Side::bid ? look(bids_) : look(asks_);
}

Level OrderBook::best(Side side) const {
  if (side == Side::bid) return {bids_.begin()->first, bids_.begin()->second};
  return {asks_.begin()->first, asks_.begin()->second};
}

/// Sweeps and cancellations wear a side down; new orders behind its last level make up for them.
void OrderBook::keep_deep(Side side, SeededRandom& random) {
  const std::size_t levels = side == Side::bid ? bids_.size() : asks_.size();
  if (levels >= kLevelsMin) return;
  const std::int64_t last = side == Side::bid ? bids_.rbegin()->first : asks_.rbegin()->first;
  std::int64_t price = last;
  for (std::size_t i = levels; i < kLevelsMin; ++i) {
    price += outwards(side) * static_cast<std::int64_t>(random.geometric(0.6, 20));
    if (price > 0) set(side, price, some_quantity(random));
  }
}

void OrderBook::change_top(SeededRandom& random) {
  const Side side = random.chance(0.5) ? Side::bid : Side::ask;
  const Level top = best(side);
  const std::int64_t spread = best(Side::ask).price - best(Side::bid).price;
  const double choice = random.uniform();
  if (spread > 1 && choice < 0.6) {
    // Somebody bids more: most often next to the old best, sometimes right at the other side.
    const auto steps =
        random.chance(0.7) ? 1 : 1 + random.below(static_cast<std::uint64_t>(spread - 1));
    set(side, top.price - outwards(side) * static_cast<std::int64_t>(steps), some_quantity(random));
  } else if (choice > 0.96) {
    set(side, top.price, 0);
    keep_deep(side, random);
  } else {
    std::int64_t quantity = top.quantity;
    while (quantity == top.quantity) {
      quantity = random.chance(0.5) ? top.quantity + some_quantity(random)
                                    : 1 + static_cast<std::int64_t>(random.below(
                                              static_cast<std::uint64_t>(top.quantity) + 1));
    }
    set(side, top.price, quantity);
  }
}

Level OrderBook::take(Side side, SeededRandom& random) {
  const Level top = best(side);
  const std::int64_t resting = std::max<std::int64_t>(1, some_quantity(random) / 4);
  const Level taken{top.price, std::min(top.quantity, resting)};
  set(side, top.price, top.quantity - taken.quantity);
  keep_deep(side, random);
  return taken;
}

void OrderBook::change_deep(SeededRandom& random) {
  const Side side = random.chance(0.5) ? Side::bid : Side::ask;
  const auto distance = static_cast<std::int64_t>(random.pareto(0.45, kDeepestTicks));
  const std::int64_t price = best(side).price + outwards(side) * distance;
  if (price <= 0) return;
  const bool there = quantity_at(side, price) > 0;
  set(side, price, there && random.chance(0.6) ? 0 : some_quantity(random));
  keep_deep(side, random);
}

OrderBook::Changes OrderBook::take_changes() {
  Changes changes{taken_id_ + 1, update_id_, {}, {}};
  for (const auto& [price, quantity] : changed_bids_) changes.bids.push_back({price, quantity});
  for (const auto& [price, quantity] : changed_asks_) changes.asks.push_back({price, quantity});
  changed_bids_.clear();
  changed_asks_.clear();
  taken_id_ = update_id_;
  return changes;
}

}  // namespace feedbench::recording
