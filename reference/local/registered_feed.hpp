#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "reference/local/feed_registry.hpp"
#include "reference/local/last_values.hpp"
#include "reference/websocket/url.hpp"

// What the registry knows of one feed. For the registry's own files.
namespace feedbench::local {

/// An open that is not answered yet.
struct FeedRegistry::Opening {
  UserId user;
  std::uint32_t request;
  std::uint64_t tag;  // of the attach
  std::uint64_t flags;
  bool is_new;
  bool attached;
  transports::MonotonicInstant deadline;
};

struct FeedRegistry::Feed {
  struct User {
    std::uint32_t opens = 0;
    std::shared_ptr<ClientBell> bell;
  };
  /// An open of the same key while the upstream is being closed: it waits, because venues count connections.
  struct Deferred {
    UserId user;
    std::uint32_t request;
    OpenRequest wanted;
    std::shared_ptr<ClientBell> bell;
  };

  explicit Feed(const upstream::FeedParts& parts)
      : id(parts.id),
        url(parts.link.url),
        venue(parts.link.login.venue),
        log(parts.log),
        book(book_options(parts.link.login)),
        pinned(parts.link.login.subscriptions),
        credentials_digest(digest_of(parts.link.login.credentials)),
        adopted_live(parts.adopted && parts.adopted->connection.valid()) {}

  static upstream::SubscriptionBookOptions book_options(const venues::LoginOptions& login) {
    upstream::SubscriptionBookOptions options;
    options.venue = login.venue;
    options.pinned = login.subscriptions;
    return options;
  }

  /// Tells secrets apart and not what they are; never 0.
  static std::uint64_t digest_of(const venues::Credentials& credentials) {
    std::uint64_t digest = 0xcbf29ce484222325U;
    for (const std::string* const part : {&credentials.reveal_key(), &credentials.reveal_secret()})
      for (const char c : *part + '\n')
        digest = (digest ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return digest | 1U;
  }

  FeedId id;
  std::string key;
  OpenRequest as;  // what made it
  websocket::WsUrl url;
  venues::Venue venue;
  const rings::FeedLogWriter&
      log;  // the descriptor and the counters; alive until `removed` brought the parts back
  upstream::SubscriptionBook book;
  feedproxy::control::FeedState state = feedproxy::control::FeedState::connecting;
  std::uint64_t connects = 0;
  std::string last_error;
  std::map<UserId, User> users;
  std::vector<Opening> openings;
  std::vector<Deferred> deferred;
  std::unique_ptr<LastValues> last_values;  // once somebody has asked for them
  transports::MonotonicInstant follow_at;
  std::vector<std::string> pinned;   // what its login subscribes to
  std::uint64_t credentials_digest;  // of its login
  std::uint64_t continues =
      0;                      // the last sequence of the log before this one, if it was taken over
  bool adopted_live = false;  // it goes on with another process's connection
  bool configured = false;
  bool removing = false;
  bool watching = false;
};

}  // namespace feedbench::local
