#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "reference/local/feed_registry.hpp"
#include "reference/upstream/book_state.hpp"
#include "reference/upstream/handed_link.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

namespace feedbench::local {

/// Everything of a running proxy that its successor goes on with, at a moment when nothing is under way: no message is
/// being published, and each request that was read is answered or stands in here. What clients have sent since waits in
/// their sockets. Credentials go by their name; the keys of a TLS connection are in it, so it is for the same user alone.
struct ProxyState {
  /// An open without an answer; to be made again.
  struct PendingOpen {
    UserId user = 0;
    std::uint32_t request = 0;
    bool is_new = false;
    OpenRequest wanted;
  };
  struct Feed {
    FeedId id = 0;
    OpenRequest as;
    bool configured = false;
    std::vector<std::string> pinned;  ///< What its login subscribed to.
    std::uint64_t connects = 0;
    /// Of its log, which the successor's go on from. A proxy of before they were told: zeros, but for
    /// upstream_connects.
    struct Counters {
      std::uint64_t frames = 0;
      std::uint64_t bytes = 0;
      std::uint64_t upstream_connects = 0;
      std::uint64_t upstream_losses = 0;
      std::uint64_t upstream_failures = 0;
    };
    Counters counters;
    std::uint64_t credentials_digest = 0;  ///< What its login used; 0: not told.
    std::string last_error;
    std::uint64_t last_sequence = 0;  ///< Of its log; the successor's begins with the next.
    bool watching = false;            ///< See UpstreamLink::watch_answers().
    upstream::HandedLink link;
    upstream::BookState book;
    std::vector<std::pair<UserId, std::uint32_t>> users;  ///< And how often each has opened it.
    std::vector<PendingOpen> opening;
    rings::Descriptor last_values;  ///< As a client gets them; none if nobody has asked.
  };
  struct Session {
    UserId id = 0;
    std::string name;
    pid_t pid = 0;
    uid_t uid = 0;
    bool monitor = false;
    std::uint32_t log_level = 0;
    rings::Descriptor socket;
    rings::Descriptor page;      ///< None: it has not said hello yet.
    rings::Descriptor doorbell;  ///< The proxy's end.
  };

  std::string version;  ///< Of the program that wrote it.
  std::optional<std::string>
      ca;  ///< Which authorities it trusts (RegistryOptions::tls), if it told.
  UserId next_user = 1;
  FeedId next_feed = 2;
  std::vector<Feed> feeds;
  std::vector<PendingOpen> opening;  ///< Of feeds that are being closed.
  std::vector<Session> sessions;
  rings::Descriptor local_listener;
  std::vector<rings::Descriptor> listeners;  ///< Of WebSocket clients.
};

/// Has a feed of this process go on where the state's ended; takes its connection.
void continue_from(ProxyState::Feed& feed, upstream::FeedParts& parts);

/// The state as bytes, and the descriptors that travel beside them, in order; they stay the state's.
std::string encode(const ProxyState& state, std::vector<int>& descriptors);
/// errors: bytes that are no such state, or one of another version.
transports::Expected<ProxyState> decode_state(const std::string& bytes,
                                              std::vector<rings::Descriptor> descriptors);

}  // namespace feedbench::local
