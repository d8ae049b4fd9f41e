#include "reference/upstream/subscription_book.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "reference/venues/binance_session.hpp"

namespace feedbench::upstream {

using venues::Venue;

namespace {

constexpr SubscriptionBook::Instant kAll =
    SubscriptionBook::kNever;  // all who wait, since whenever

std::string down_text(std::int64_t timeout_ns) {
  return fmt::format("the upstream is down, and was not up again within {} ms",
                     timeout_ns / 1'000'000);
}

}  // namespace

SubscriptionBook::SubscriptionBook(SubscriptionBookOptions options)
    : options_(std::move(options)), pinned_(options_.venue, options_.pinned) {}

// --- What users ask for ----------------------------------------------------------------------------------------------

SubscriptionBook::Key* SubscriptionBook::find(std::string_view symbol, std::string_view kind) {
  const auto found = keys_.find(key_name(options_.venue, symbol, kind));
  return found == keys_.end() ? nullptr : &found->second;
}

std::string SubscriptionBook::label(const Key& key) const {
  return key_label(options_.venue, key.text.symbol, key.text.kind);
}

void SubscriptionBook::refuse(UserId user, std::uint32_t request_id, std::string error) {
  results_.push_back({user, request_id, false, std::move(error)});
}

/// A new key, or nullptr and why there is no room for it.
SubscriptionBook::Key* SubscriptionBook::add(std::string name, const SubscriptionRequest& request,
                                             std::string& error) {
  const bool pinned = pinned_.cover(request.symbol, request.kind);
  if (keys_.size() >= options_.keys_max) {
    error = fmt::format("{} keys are subscribed already, as many as the proxy takes",
                        options_.keys_max);
    return nullptr;
  }
  if (options_.venue == Venue::binance && !pinned &&
      keys_of_venue_ + pinned_.size() >= venues::binance::kStreamsMax) {
    error = fmt::format(
        "the proxy has {} streams already, as many as one connection to binance "
        "takes",
        venues::binance::kStreamsMax);
    return nullptr;
  }
  Key& key = keys_[name];
  key.name = std::move(name);
  key.text = request;
  key.serial = ++serials_;
  key.pinned = pinned;
  if (!pinned) ++keys_of_venue_;
  return &key;
}

void SubscriptionBook::forget(Key& key) {
  move_to(key, nullptr);
  if (key.waits_since_ns) expiring_.erase({*key.waits_since_ns, &key});
  if (!key.pinned) --keys_of_venue_;
  keys_.erase(keys_.find(key.name));
}

void SubscriptionBook::subscribe(UserId user, std::uint32_t request_id, SubscriptionRequest request,
                                 Instant now) {
  std::string error = fault_of_request(options_.venue, request, options_.text_bytes_max,
                                       options_.request_bytes_max);
  if (!error.empty()) return refuse(user, request_id, "subscribe: " + error);
  const auto known = users_.find(user);
  if (known != users_.end() && known->second.owed >= options_.waiting_per_user_max) {
    return refuse(user, request_id,
                  fmt::format("subscribe: {} requests wait for their results already; wait for "
                              "some of them",
                              known->second.owed));
  }
  Key* key = find(request.symbol, request.kind);
  if (key == nullptr)
    key = add(key_name(options_.venue, request.symbol, request.kind), request, error);
  if (key == nullptr) return refuse(user, request_id, "subscribe: " + error);

  Share& share = users_[user].shares[key];
  if (share.count + share.waiting >= kCountMax) {
    return refuse(
        user, request_id,
        fmt::format("subscribe to {}: subscribed {} times already", label(*key), kCountMax));
  }
  const bool existing =
      key->pinned || wanted(*key) || key->state == State::held || key->state == State::asking;
  if (!existing) key->text = std::move(request);
  key->waiters.push_back({user, request_id, true, existing, now});
  ++key->waiting;
  ++share.waiting;
  ++share.owed;
  ++users_[user].owed;
  settle(*key);
  pump(now);
}

void SubscriptionBook::unsubscribe(UserId user, std::uint32_t request_id, std::string_view symbol,
                                   std::string_view kind, Instant now) {
  Key* key = find(symbol, kind);
  const auto known = users_.find(user);
  if (key == nullptr || known == users_.end())
    return refuse(user, request_id, "unsubscribe: not subscribed to this symbol and kind");
  const auto found = known->second.shares.find(key);
  if (found == known->second.shares.end() || found->second.count + found->second.waiting == 0)
    return refuse(user, request_id,
                  fmt::format("unsubscribe from {}: not subscribed to it", label(*key)));
  if (known->second.owed >= options_.waiting_per_user_max) {
    return refuse(user, request_id,
                  fmt::format("unsubscribe: {} requests wait for their results already; wait for "
                              "some of them",
                              known->second.owed));
  }
  Share& share = found->second;
  const Waiter waiter{user, request_id, false, false, now};
  ++share.owed;
  ++known->second.owed;
  if (share.count > 0) {
    give_up_one(*key, share);
    key->leaving.push_back(waiter);
  } else {
    key->waiters.push_back(waiter);  // behind the user's own subscribe
  }
  settle(*key);
  pump(now);
}

void SubscriptionBook::user_gone(UserId user, Instant now) {
  std::erase_if(results_, [&](const Result& result) { return result.user == user; });
  const auto gone = users_.extract(user);
  if (gone.empty()) return;
  const auto is_of_user = [&](const Waiter& waiter) { return waiter.user == user; };
  for (const auto& [key, share] : gone.mapped().shares) {
    key->count -= share.count;
    key->users -= share.count > 0 ? 1 : 0;
    key->waiting -= share.waiting;
    if (share.owed > 0) {
      std::erase_if(key->waiters, is_of_user);
      std::erase_if(key->leaving, is_of_user);
    }
    settle(*key);
  }
  pump(now);
}

void SubscriptionBook::give_up_one(Key& key, Share& share) {
  --key.count;
  if (--share.count == 0) --key.users;
}

// --- What follows for a key ------------------------------------------------------------------------------------------

bool SubscriptionBook::must_be_released(const Key& key) const noexcept {
  const bool sent = key.state == State::held || key.state == State::unknown;
  return up_ && !key.pinned && sent && !(options_.venue == Venue::raw && key.text.release.empty());
}

/// Brings a key whose users or state changed in order: gives the results that are due, and puts the key where the next
/// request finds it. Forgets a key that nobody wants and the venue does not have.
void SubscriptionBook::settle(Key& key) {
  const bool in_flight = key.state == State::asking || key.state == State::releasing;
  // Who leaves while others stay need not wait; before the others' results, as it came before them.
  const auto let_leave = [&] {
    if (key.state != State::releasing && (wanted(key) || key.pinned)) finish_leaving(key, {});
  };
  let_leave();
  if (available(key) && !key.waiters.empty()) {
    answer_waiters(key, {}, kAll);
    let_leave();  // an unsubscribe may have waited behind its subscribe
  }
  note_expiry(key);
  if (in_flight) return;
  if (wanted(key)) {
    if (!up_ || key.pinned || key.state == State::held) return move_to(key, nullptr);
    const bool pauses = key.list == &again_ && key.waiting == 0;
    if (!pauses) move_to(key, &asks_);
    return;
  }
  if (must_be_released(key)) return move_to(key, &releases_);
  finish_leaving(key, {});
  forget(key);
}

/// Puts a key into a list, or into none. One that is in it already keeps its place.
void SubscriptionBook::move_to(Key& key, KeyList* list, bool front) {
  if (key.list == list) return;
  if (key.list != nullptr) key.list->erase(key.at);
  key.list = list;
  if (list != nullptr) key.at = list->insert(front ? list->begin() : list->end(), &key);
}

/// While the upstream is down, the oldest who waits for a key decides when it is looked at.
void SubscriptionBook::note_expiry(Key& key) {
  std::optional<std::int64_t> since_ns;
  if (!up_ && !key.waiters.empty()) since_ns = key.waiters.front().since.ns;
  if (since_ns == key.waits_since_ns) return;
  if (key.waits_since_ns) expiring_.erase({*key.waits_since_ns, &key});
  if (since_ns) expiring_.insert({*since_ns, &key});
  key.waits_since_ns = since_ns;
}

/// Subscribes that wait since `until` or longer get their result: success if there is no error. Unsubscribes behind them
/// take effect, those behind a subscribe that stays wait on.
void SubscriptionBook::answer_waiters(Key& key, const std::string& error, Instant until) {
  std::vector<Waiter> waiters = std::exchange(key.waiters, {});
  std::set<UserId> staying;
  for (const Waiter& waiter : waiters) {
    const bool stays = waiter.subscribes ? waiter.since > until : staying.contains(waiter.user);
    if (stays) {
      key.waiters.push_back(waiter);
      staying.insert(waiter.user);
      continue;
    }
    Share& share = users_.at(waiter.user).shares.at(&key);
    if (waiter.subscribes) {
      --key.waiting;
      --share.waiting;
      if (error.empty()) {
        ++key.count;
        if (++share.count == 1) ++key.users;
      }
      finish(key, waiter, error);
    } else if (share.count > 0) {
      give_up_one(key, share);
      key.leaving.push_back(waiter);
    } else {
      finish(key, waiter, fmt::format("unsubscribe from {}: not subscribed to it", label(key)));
    }
  }
}

void SubscriptionBook::finish_leaving(Key& key, const std::string& error) {
  for (const Waiter& waiter : std::exchange(key.leaving, {})) finish(key, waiter, error);
}

/// The result of a request that waited.
void SubscriptionBook::finish(Key& key, const Waiter& waiter, std::string error) {
  results_.push_back({waiter.user, waiter.request_id, waiter.existing, std::move(error)});
  const auto user = users_.find(waiter.user);
  const auto share = user->second.shares.find(&key);
  --user->second.owed;
  --share->second.owed;
  if (share->second.owed > 0 || share->second.count > 0) return;
  user->second.shares.erase(share);
  if (user->second.shares.empty()) users_.erase(user);
}

// --- Requests to the venue -------------------------------------------------------------------------------------------

void SubscriptionBook::pump(Instant now) {
  while (up_ && !outstanding_ && now >= next_request_at_ && !(asks_.empty() && releases_.empty())) {
    send_next(now);
  }
}

/// The first keys of a list that may share a request: one alone if a client gave its text.
std::vector<SubscriptionBook::Key*> SubscriptionBook::take_batch(KeyList& list,
                                                                 bool subscribes) const {
  std::vector<Key*> batch;
  std::size_t together_max = kKeysPerRequest;
  for (Key* key : list) {
    const bool alone = options_.venue == Venue::raw ||
                       !(subscribes ? key->text.request : key->text.release).empty();
    together_max = std::min(together_max, alone ? 1 : key->together_max);
    if (batch.size() >= together_max) break;
    batch.push_back(key);
  }
  return batch;
}

void SubscriptionBook::send_next(Instant now) {
  const bool subscribes = releases_.empty();  // releases make room at the venue, so they go first
  const std::vector<Key*> batch = take_batch(subscribes ? asks_ : releases_, subscribes);
  const SubscriptionRequest& first = batch.front()->text;
  const std::string& given = subscribes ? first.request : first.release;
  Outstanding request{subscribes, !given.empty(), {}, now, batch};
  if (request.given) {
    if (options_.venue == Venue::binance) request.id = id_of_request(given);
    requests_.push_back(given);
  } else {
    std::vector<KeyText> texts;
    texts.reserve(batch.size());
    for (const Key* key : batch) texts.push_back({key->text.symbol, key->text.kind});
    request.id = std::to_string(next_id_);
    requests_.push_back(shared_request(options_.venue, subscribes, texts, next_id_++));
  }
  ++requests_sent_;
  next_request_at_ = now + options_.requests_interval_ns;

  const bool answered = options_.venue != Venue::raw;
  for (Key* key : batch) {
    move_to(*key, nullptr);
    key->before = key->state;
    if (answered) {
      key->state = subscribes ? State::asking : State::releasing;
    } else {
      key->state = subscribes ? State::held : State::none;
      settle(*key);
    }
  }
  if (answered) outstanding_ = std::move(request);
}

void SubscriptionBook::on_answer(std::string_view text, Instant now) {
  if (!outstanding_) {
    ++answers_ignored_;
    return;
  }
  const VenueAnswer answer = read_answer(options_.venue, text);
  bool ours = answer.verdict != VenueAnswer::Verdict::none;
  if (ours && options_.venue == Venue::binance) {
    // An error without id answers whatever is outstanding: the venue could not read the request.
    const bool refused = answer.verdict == VenueAnswer::Verdict::refused;
    ours = answer.id ? *answer.id == outstanding_->id : refused || outstanding_->id == "null";
  }
  if (!ours) {
    ++answers_ignored_;
    return;
  }
  if (answer.verdict == VenueAnswer::Verdict::refused) {
    refused(answer.error, now);
  } else {
    accepted(answer);
  }
  pump(now);
}

/// binance: all that was asked is done. alpaca: the keys that the list shows to be done; the others go on waiting, since
/// the list may be the late answer to an earlier request.
void SubscriptionBook::accepted(const VenueAnswer& answer) {
  Outstanding& request = *outstanding_;
  std::vector<Key*> done;
  if (options_.venue == Venue::alpaca && !request.given) {
    const auto is_open = [&](const Key* key) {
      const bool listed = answer.listed.contains(key->name);
      if (!request.subscribes) return listed;
      return !listed && !answer.listed.contains(key_name(options_.venue, "*", key->text.kind));
    };
    const auto open = std::stable_partition(request.keys.begin(), request.keys.end(), is_open);
    done.assign(open, request.keys.end());
    request.keys.erase(open, request.keys.end());
  } else {
    done = std::exchange(request.keys, {});
  }
  if (done.empty()) ++answers_ignored_;
  const State state = request.subscribes ? State::held : State::none;
  if (request.keys.empty()) outstanding_.reset();
  for (Key* key : done) {
    key->state = state;
    key->together_max = kKeysPerRequest;
    settle(*key);
  }
}

void SubscriptionBook::refused(const std::string& error, Instant now) {
  ++requests_refused_;
  const Outstanding request = *std::exchange(outstanding_, std::nullopt);
  const std::string reason = "the venue refused: " + error;
  // An error of alpaca has no id, and may belong to an earlier request: then nothing is known.
  const auto state_of = [&](const Key& key) { return late_errors_ ? State::unknown : key.before; };
  if (request.keys.size() == 1) {
    Key& key = *request.keys.front();
    return request.subscribes ? ask_failed(key, reason, state_of(key), now)
                              : release_failed(key, reason);
  }
  // Again in halves, before all others: at last each key at fault is asked for alone.
  const std::size_t half = (request.keys.size() + 1) / 2;
  for (auto at = request.keys.rbegin(); at != request.keys.rend(); ++at) {
    Key& key = **at;
    key.together_max = half;
    key.state = state_of(key);
    move_to(key, request.subscribes ? &asks_ : &releases_, true);
    settle(key);
  }
}

void SubscriptionBook::unanswered(Instant now) {
  ++requests_unanswered_;
  late_errors_ = options_.venue == Venue::alpaca;
  const Outstanding request = *std::exchange(outstanding_, std::nullopt);
  const std::string reason =
      fmt::format("the venue did not answer within {} ms", options_.answer_timeout_ns / 1'000'000);
  for (Key* key : request.keys) {
    if (request.subscribes) {
      ask_failed(*key, reason, State::unknown, now);
    } else {
      release_failed(*key, reason);
    }
  }
}

/// state: what is known of the key now.
void SubscriptionBook::ask_failed(Key& key, const std::string& reason, State state, Instant now) {
  key.state = state;
  key.together_max = kKeysPerRequest;
  answer_waiters(key, fmt::format("subscribe to {}: {}", label(key), reason), kAll);
  if (key.count > 0) {
    // Its users had it before a reconnect, and nothing told them that they lost it: try on.
    key.again_at = now + options_.answer_timeout_ns;
    move_to(key, &again_);
  }
  settle(key);
}

/// Nobody wants the key, so the venue may have its way; asking for it later does no harm if it still sends it.
void SubscriptionBook::release_failed(Key& key, const std::string& reason) {
  key.state = State::none;
  key.together_max = kKeysPerRequest;
  finish_leaving(key, fmt::format("unsubscribe from {}: {}", label(key), reason));
  settle(key);
}

// --- The upstream and the time ---------------------------------------------------------------------------------------

void SubscriptionBook::upstream_ready(Instant now) {
  if (up_) upstream_lost(now);
  up_ = true;
  // The login sent its own requests just now, and they count towards the venue's limit.
  const std::size_t login_requests = (pinned_.size() + kKeysPerRequest - 1) / kKeysPerRequest;
  next_request_at_ =
      now + static_cast<std::int64_t>(login_requests) * options_.requests_interval_ns;
  for (auto at = keys_.begin(); at != keys_.end();) settle((at++)->second);
  pump(now);
}

void SubscriptionBook::upstream_lost(Instant) {
  up_ = false;
  late_errors_ = false;
  requests_.clear();
  outstanding_.reset();
  for (auto at = keys_.begin(); at != keys_.end();) {
    Key& key = (at++)->second;
    key.state = State::none;
    key.together_max = kKeysPerRequest;
    settle(key);
  }
}

void SubscriptionBook::on_time(Instant now) {
  if (outstanding_ && now - outstanding_->sent >= options_.answer_timeout_ns) unanswered(now);
  while (up_ && !again_.empty() && again_.front()->again_at <= now)
    move_to(*again_.front(), &asks_);
  const Instant until = now + -options_.answer_timeout_ns;
  while (!expiring_.empty() && expiring_.begin()->first <= until.ns) {
    Key& key = *expiring_.begin()->second;
    answer_waiters(
        key, fmt::format("subscribe to {}: {}", label(key), down_text(options_.answer_timeout_ns)),
        until);
    settle(key);
  }
  pump(now);
}

SubscriptionBook::Instant SubscriptionBook::next_deadline() const {
  if (!up_) {
    return expiring_.empty() ? kNever
                             : Instant{expiring_.begin()->first} + options_.answer_timeout_ns;
  }
  Instant due = kNever;
  if (outstanding_) {
    due = outstanding_->sent + options_.answer_timeout_ns;
  } else if (!asks_.empty() || !releases_.empty()) {
    due = next_request_at_;
  }
  return again_.empty() ? due : std::min(due, again_.front()->again_at);
}

// --- The monitor -----------------------------------------------------------------------------------------------------

SubscriptionBook::Numbers SubscriptionBook::numbers() const {
  Numbers numbers;
  numbers.users = users_.size();
  numbers.keys = keys_.size();
  for (const auto& [name, key] : keys_) {
    if (key.count > 0) ++(available(key) ? numbers.keys_active : numbers.keys_missing);
  }
  numbers.keys_queued = asks_.size() + releases_.size();
  numbers.requests_sent = requests_sent_;
  numbers.requests_refused = requests_refused_;
  numbers.requests_unanswered = requests_unanswered_;
  numbers.answers_ignored = answers_ignored_;
  return numbers;
}

std::vector<SubscriptionBook::KeyNumbers> SubscriptionBook::keys() const {
  std::vector<KeyNumbers> all;
  all.reserve(keys_.size());
  for (const auto& [name, key] : keys_) {
    all.push_back(
        {key.text.symbol, key.text.kind, key.users, key.waiting, available(key), key.pinned});
  }
  return all;
}

std::size_t SubscriptionBook::users_of(std::string_view symbol, std::string_view kind) const {
  const auto found = keys_.find(key_name(options_.venue, symbol, kind));
  return found == keys_.end() ? 0 : found->second.users;
}

}  // namespace feedbench::upstream
