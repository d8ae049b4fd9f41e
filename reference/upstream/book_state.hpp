#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "reference/upstream/subscription_book_venue.hpp"

namespace feedbench::upstream {

/// What a SubscriptionBook knows, between two requests of its users: enough for another book to go on.
struct BookState {
  struct Key {
    SubscriptionRequest text;
    bool held = false;  ///< The venue has it.
    /// Users that have it, and how often.
    std::vector<std::pair<std::uint64_t, std::uint32_t>> counts;
  };
  /// A request that has no result yet; to be made again, in this order.
  struct Waiting {
    std::uint64_t user = 0;
    std::uint32_t request_id = 0;
    bool subscribes = true;
    SubscriptionRequest text;
  };
  std::vector<Key> keys;
  std::vector<Waiting> waiting;
  std::int64_t next_id = 0;
};

}  // namespace feedbench::upstream
