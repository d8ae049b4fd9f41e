#include <algorithm>

#include "reference/upstream/subscription_book.hpp"

// How a book is taken to another process and goes on there.
namespace feedbench::upstream {

BookState SubscriptionBook::save() const {
  BookState state;
  state.next_id = next_id_;
  for (const auto& [name, key] : keys_) {
    BookState::Key saved;
    saved.text = key.text;
    // What is being asked for is asked again by who waits for it; what is being released, by who left.
    saved.held = key.state == State::held || key.state == State::releasing;
    for (const auto& [user, has] : users_) {
      const auto share = has.shares.find(const_cast<Key*>(&key));
      if (share == has.shares.end()) continue;
      const auto leaving = static_cast<std::uint32_t>(
          std::count_if(key.leaving.begin(), key.leaving.end(),
                        [user = user](const Waiter& waiter) { return waiter.user == user; }));
      if (share->second.count + leaving > 0)
        saved.counts.emplace_back(user, share->second.count + leaving);
    }
    if (saved.held || !saved.counts.empty()) state.keys.push_back(std::move(saved));
    for (const auto* list : {&key.leaving, &key.waiters})
      for (const Waiter& waiter : *list)
        state.waiting.push_back({waiter.user, waiter.request_id, waiter.subscribes, key.text});
  }
  return state;
}

void SubscriptionBook::restore(const BookState& state, bool up, Instant now) {
  up_ = up;
  next_id_ = std::max(next_id_, state.next_id);
  next_request_at_ =
      now + options_.requests_interval_ns;  // the last request may have left just now
  std::vector<Key*> restored;
  for (const BookState::Key& saved : state.keys) {
    std::string refusal;
    Key* const key =
        add(key_name(options_.venue, saved.text.symbol, saved.text.kind), saved.text, refusal);
    if (key == nullptr) continue;  // the bounds are lower now: it shows as not subscribed
    if (up && saved.held && !key->pinned) key->state = State::held;
    for (const auto& [user, count] : saved.counts) {
      users_[user].shares[key].count = count;
      key->count += count;
      ++key->users;
    }
    restored.push_back(key);
  }
  for (Key* const key : restored) settle(*key);
  for (const BookState::Waiting& again : state.waiting) {
    if (again.subscribes)
      subscribe(again.user, again.request_id, again.text, now);
    else
      unsubscribe(again.user, again.request_id, again.text.symbol, again.text.kind, now);
  }
  pump(now);
}

}  // namespace feedbench::upstream
