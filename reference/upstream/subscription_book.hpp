#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "reference/upstream/book_state.hpp"
#include "reference/upstream/subscription_book_venue.hpp"
#include "reference/venues/venue.hpp"
#include "transports/clock.hpp"

namespace feedbench::upstream {

struct SubscriptionBookOptions {
  venues::Venue venue = venues::Venue::raw;
  std::vector<std::string> pinned;  ///< What the login subscribed to; see PinnedKeys.
  std::int64_t answer_timeout_ns =
      10'000'000'000;  ///< Of the venue; how long a subscribe waits for an upstream that is down;
                       ///< and the pause before a key that its users had is asked for again.
  std::int64_t requests_interval_ns =
      250'000'000;  ///< The least time between two requests: binance takes 5 messages a second.
  std::size_t keys_max = 10'000;  ///< Keys at a time, pinned ones in use among them. binance:
                                  ///< 1,024 streams with the pinned ones, if that is less.
  std::size_t waiting_per_user_max =
      10'000;                        ///< Requests of one user without a result; beyond, they fail.
  std::size_t text_bytes_max = 128;  ///< Of symbol and of kind.
  std::size_t request_bytes_max = 16 * 1024;  ///< Of request and of release.
};

/// Counts what many local clients (users) subscribe to over one upstream connection, and asks the venue for what the first
/// user of a key wants and the last one leaves. Without I/O: events and the time go in, requests and results come out.
///
/// A key is symbol and kind, counted per user: who subscribes twice must unsubscribe twice. Each subscribe and unsubscribe
/// gets one result, unless its user goes first:
/// - subscribe: success once the venue acknowledged the key (raw: once the request is out), at once if it has it already.
///   The venue's refusal, or none of its answers in time, fails all who wait for the key.
/// - unsubscribe: success at once while others hold the key, otherwise when the venue acknowledged. The user's share is
///   given up even if the venue then refuses. One that comes before its subscribe has its result waits for that.
/// - a subscribe to a key that is being released waits, then asks again.
///
/// One request is outstanding at a time. Meanwhile keys gather, and the next request takes up to 256 of them; releases go
/// first, since they make room at the venue. A refused request of many keys is asked again in halves, down to the keys that
/// are at fault: 16 more requests find one bad key of 256.
/// A key whose users have it already, and which is refused when asked again after a reconnect, stays theirs and is asked for
/// again after each answer timeout. A subscribe that was not answered is released, in case the venue had done it after all.
/// alpaca's answers have no ids: one that comes after its timeout may be taken for the next request's. An error then leaves
/// a key in doubt (released or asked for again); at worst the venue sends what nobody wants until the next connection.
///
/// Bounds: keys_max keys; waiting_per_user_max requests waiting a user; kCountMax subscriptions of one user to one key;
/// one request outstanding and one text in take_requests() a call (raw with no interval: one a key); as many results as
/// requests came. The number of users is bounded by the owner. Cost of a call: logarithmic in keys and users, plus what the
/// call's own keys have waiting; upstream_ready() and upstream_lost() pass over all keys.
/// Times given must not decrease. thread: one at a time. Allocates; not for the hot path.
class SubscriptionBook {
 public:
  using UserId = std::uint64_t;
  using Instant = transports::MonotonicInstant;

  static constexpr std::size_t kKeysPerRequest = 256;
  static constexpr std::uint32_t kCountMax = 1'000'000;
  /// Ids of binance requests count from here: those of UpstreamLogin from 1.
  static constexpr std::int64_t kFirstId = 1'000'000;
  static constexpr Instant kNever{INT64_MAX};

  struct Result {
    UserId user = 0;
    std::uint32_t request_id = 0;
    bool existing = false;  ///< subscribe: the key was pinned, or had been asked for before.
    std::string error;      ///< Empty: success. Otherwise one sentence with the venue's own text.
  };

  explicit SubscriptionBook(SubscriptionBookOptions options);
  SubscriptionBook(const SubscriptionBook&) = delete;  // keys are pointed at
  SubscriptionBook& operator=(const SubscriptionBook&) = delete;

  void subscribe(UserId user, std::uint32_t request_id, SubscriptionRequest request, Instant now);
  void unsubscribe(UserId user, std::uint32_t request_id, std::string_view symbol,
                   std::string_view kind, Instant now);
  /// Releases all that the user had. What it still waits for gets no result, nor does what was not taken yet.
  void user_gone(UserId user, Instant now);

  /// A control message of the venue. Any bytes: what answers nothing that is outstanding is counted and passed over.
  void on_answer(std::string_view text, Instant now);
  /// Connected and logged in: every key in use is asked for, after the login's own requests had their intervals.
  void upstream_ready(Instant now);
  /// Requests not taken and the outstanding one are forgotten; who waits for a key goes on waiting.
  void upstream_lost(Instant now);
  /// Timeouts, and requests whose time has come. Call it at next_deadline().
  void on_time(Instant now);
  /// kNever if nothing is due. Never a time at which on_time() has nothing to do.
  [[nodiscard]] Instant next_deadline() const;
  [[nodiscard]] bool awaiting_answer() const noexcept { return outstanding_.has_value(); }

  /// For another process that goes on with the connection. Take the requests and results first.
  [[nodiscard]] BookState save() const;
  /// Of a book that has nothing yet. up: the connection that state.keys are held on is live here. What waited is asked for
  /// again; keys beyond this book's bounds are left out. The users are to be there.
  void restore(const BookState& state, bool up, Instant now);

  /// Texts to send to the venue now, each a message, in this order.
  [[nodiscard]] std::vector<std::string> take_requests() { return std::exchange(requests_, {}); }
  [[nodiscard]] std::vector<Result> take_results() { return std::exchange(results_, {}); }

  // For the monitor.
  struct Numbers {
    std::size_t users = 0;         ///< That have a key or wait for one.
    std::size_t keys = 0;          ///< In use, waited for or being released.
    std::size_t keys_active = 0;   ///< In use, and the venue has them.
    std::size_t keys_missing = 0;  ///< In use, and the venue does not have them now.
    std::size_t keys_queued = 0;   ///< To be asked for or released by requests to come.
    std::uint64_t requests_sent = 0;
    std::uint64_t requests_refused = 0;
    std::uint64_t requests_unanswered = 0;
    std::uint64_t answers_ignored = 0;  ///< Answered nothing that was outstanding.
  };
  /// Cost: a pass over all keys.
  [[nodiscard]] Numbers numbers() const;
  struct KeyNumbers {
    std::string symbol;
    std::string kind;
    std::size_t users = 0;    ///< Different users that have it.
    std::size_t waiting = 0;  ///< Subscribes without a result.
    bool active = false;      ///< Data of it comes.
    bool pinned = false;
  };
  /// All keys, in the order of their names; pinned ones only where users ask for them.
  [[nodiscard]] std::vector<KeyNumbers> keys() const;
  /// Different users that have the key.
  [[nodiscard]] std::size_t users_of(std::string_view symbol, std::string_view kind) const;

 private:
  struct Key;
  using KeyList = std::list<Key*>;

  /// What the venue makes of a key, as far as is known.
  enum class State : std::uint8_t {
    none,       ///< It does not have it.
    unknown,    ///< It did not answer when asked for it.
    asking,     ///< The outstanding request asks for it.
    held,       ///< It sends it.
    releasing,  ///< The outstanding request releases it.
  };
  /// A request without a result.
  struct Waiter {
    UserId user = 0;
    std::uint32_t request_id = 0;
    bool subscribes = false;
    bool existing = false;
    Instant since;
  };
  struct Key {
    std::string name;  // key_name()
    SubscriptionRequest text;
    std::uint64_t serial = 0;
    State state = State::none;
    State before = State::none;  // the outstanding request
    bool pinned = false;
    std::uint64_t count = 0;                     // of all users
    std::size_t users = 0;                       // whose count is not 0
    std::size_t waiting = 0;                     // subscribes among `waiters`
    std::vector<Waiter> waiters;                 // for the venue to have the key, as they came
    std::vector<Waiter> leaving;                 // unsubscribes that wait for its release
    std::size_t together_max = kKeysPerRequest;  // halved with each refusal in company
    Instant again_at;                            // in again_
    std::optional<std::int64_t> waits_since_ns;  // in expiring_
    KeyList* list = nullptr;                     // asks_, releases_, again_, or none of them
    KeyList::iterator at;
  };
  struct Older {
    bool operator()(const Key* a, const Key* b) const noexcept { return a->serial < b->serial; }
  };
  /// What one user has of one key. Gone when count and owed are 0.
  struct Share {
    std::uint32_t count = 0;    // subscriptions it has
    std::uint32_t waiting = 0;  // subscribes without a result
    std::uint32_t owed = 0;     // results to come, of both sorts
  };
  struct User {
    std::map<Key*, Share, Older> shares;
    std::size_t owed = 0;
  };
  struct Outstanding {
    bool subscribes = false;
    bool given = false;  // the text is a client's, not ours
    std::string id;      // binance, as JSON text
    Instant sent;
    std::vector<Key*> keys;
  };

  [[nodiscard]] static bool wanted(const Key& key) noexcept { return key.count + key.waiting > 0; }
  [[nodiscard]] bool available(const Key& key) const noexcept {
    return up_ && (key.pinned || key.state == State::held);
  }
  [[nodiscard]] bool must_be_released(const Key& key) const noexcept;
  [[nodiscard]] std::string label(const Key& key) const;

  [[nodiscard]] Key* find(std::string_view symbol, std::string_view kind);
  Key* add(std::string name, const SubscriptionRequest& request, std::string& error);
  void forget(Key& key);
  void refuse(UserId user, std::uint32_t request_id, std::string error);

  void settle(Key& key);
  void move_to(Key& key, KeyList* list, bool front = false);
  void note_expiry(Key& key);
  void answer_waiters(Key& key, const std::string& error, Instant until);
  void finish_leaving(Key& key, const std::string& error);
  void finish(Key& key, const Waiter& waiter, std::string error);
  static void give_up_one(Key& key, Share& share);

  void pump(Instant now);
  void send_next(Instant now);
  [[nodiscard]] std::vector<Key*> take_batch(KeyList& list, bool subscribes) const;
  void accepted(const VenueAnswer& answer);
  void refused(const std::string& error, Instant now);
  void unanswered(Instant now);
  void ask_failed(Key& key, const std::string& reason, State state, Instant now);
  void release_failed(Key& key, const std::string& reason);

  SubscriptionBookOptions options_;
  PinnedKeys pinned_;
  bool up_ = false;
  std::map<std::string, Key, std::less<>> keys_;  // by name; a Key never moves
  std::size_t keys_of_venue_ = 0;                 // those not pinned
  std::uint64_t serials_ = 0;
  std::unordered_map<UserId, User> users_;
  KeyList asks_;
  KeyList releases_;
  KeyList again_;                                     // by again_at, since the pause is constant
  std::set<std::pair<std::int64_t, Key*>> expiring_;  // while down: by the oldest waiter
  std::optional<Outstanding> outstanding_;
  bool late_errors_ = false;  // of this connection's requests that were not answered in time
  Instant next_request_at_;
  std::int64_t next_id_ = kFirstId;
  std::vector<std::string> requests_;
  std::vector<Result> results_;
  std::uint64_t requests_sent_ = 0;
  std::uint64_t requests_refused_ = 0;
  std::uint64_t requests_unanswered_ = 0;
  std::uint64_t answers_ignored_ = 0;
};

}  // namespace feedbench::upstream
