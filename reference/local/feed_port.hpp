#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "reference/local/client_bell.hpp"
#include "reference/program/mailbox.hpp"
#include "reference/upstream/feed_parts.hpp"
#include "reference/websocket/frame_header.hpp"

namespace feedbench::local {

using upstream::FeedId;

/// What the data thread gives up when another process takes over: every upstream, as it stood when nothing more was
/// published, and the sockets that WebSocket clients come to.
struct HandedFeeds {
  struct Feed {
    FeedId id = 0;
    std::uint64_t last_sequence = 0;  ///< Of its log.
    upstream::HandedLink link;
  };
  std::vector<Feed> feeds;
  std::vector<rings::Descriptor> listeners;
};

/// What the control thread asks of the data thread. Bounded: by the requests that the control thread has taken and not
/// answered yet (kRequestsMax a client).
struct FeedCommand {
  enum class Kind : std::uint8_t {
    add,            ///< parts: connect it and publish into its log.
    remove,         ///< Close the upstream; `removed` follows with the parts.
    attach,         ///< bell: wake it from now on; `attached` follows.
    detach,         ///< bell.
    send,           ///< text to the venue, as opcode; `sent` follows if tag is not 0.
    watch_answers,  ///< on: control messages of the venue come as `answer`, and are kept from the log.
    hand_over,      ///< Let go of all upstreams; `handed_over` follows.
    take_back,      ///< handed: go on with it, nobody took over.
    stop,           ///< End the program.
  };
  Kind kind = Kind::stop;
  FeedId feed = 0;
  std::uint64_t tag = 0;  ///< Comes back in the event that follows.
  std::string text;
  websocket::Opcode opcode = websocket::Opcode::text;
  bool on = false;
  std::shared_ptr<ClientBell> bell;
  std::unique_ptr<upstream::FeedParts> parts;
  std::unique_ptr<HandedFeeds> handed;
};

/// What the data thread tells the control thread. Bounded: by the commands, and one a state change of an upstream (which
/// its backoff bounds), and by the venue's control messages.
struct FeedEvent {
  enum class Kind : std::uint8_t {
    ready,     ///< Logged in: data flows.
    lost,      ///< text: why; wait_ns until the next attempt.
    refused,   ///< text: why. For good: nothing more comes of this feed but `removed`, when asked.
    answer,    ///< text: the venue's control message.
    attached,  ///< tag.
    sent,      ///< tag; result.
    removed,   ///< parts.
    handed_over,  ///< handed.
    logged,       ///< text: a line of the program's log; level.
  };
  Kind kind = Kind::ready;
  FeedId feed = 0;
  std::uint64_t tag = 0;
  std::string text;
  std::int64_t wait_ns = 0;
  upstream::SendResult result = upstream::SendResult::taken;
  std::uint32_t level = 0;
  std::unique_ptr<upstream::FeedParts> parts;
  std::unique_ptr<HandedFeeds> handed;
};

/// The two mailboxes between the control thread and the data thread.
struct FeedPort {
  program::Mailbox<FeedCommand> commands;
  program::Mailbox<FeedEvent> events;
  /// The least level that some client wants to be told (feedproxy::control::LogLevel). Single writer: the control thread.
  std::atomic<std::uint32_t> log_level{
      static_cast<std::uint32_t>(feedproxy::control::LogLevel::off)};
};

}  // namespace feedbench::local
