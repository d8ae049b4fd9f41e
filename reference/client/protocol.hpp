#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

/// What a local client and feedproxy say to each other: packets over a Unix SOCK_SEQPACKET socket, one head and up to
/// five texts each, numbers as this machine has them. docs/local_clients.md explains the conversation.
/// Standard library alone.
namespace feedproxy::control {

inline constexpr std::uint64_t kMagic = 0x3178725064656546ULL;  // "FeedPrx1", little endian
inline constexpr std::uint32_t kVersion = 1;

inline constexpr std::size_t kTextsMax = 5;
/// All texts of one packet together. A larger packet ends the conversation.
inline constexpr std::size_t kTextBytesMax = 64 * 1024;
inline constexpr std::size_t kDescriptorsMax = 8;
/// Feeds one client may have open at a time; one more is refused (too_many).
inline constexpr std::uint32_t kFeedsPerClientMax = 16;
inline constexpr std::uint32_t kClientNameBytesMax = 64;

/// Each request is answered by exactly one done or failed with its number. Texts in brackets, in this order.
enum class Kind : std::uint32_t {
  // From the client. The first packet is hello, no other.
  hello = 1,  ///< [name, token]; value 0: magic, 1: version, 2: HelloFlags.
  /// [url, credentials, headers, subprotocol, venue], or feed: one that is open already; value 0: flags, 1: timeout
  /// in ms.
  open = 2,
  close = 3,          ///< feed.
  send = 4,           ///< [bytes]; feed; code: opcode, 1 text or 2 binary.
  subscribe = 5,      ///< [symbol, kind, request, release]; feed.
  unsubscribe = 6,    ///< [symbol, kind]; feed.
  set_log_level = 7,  ///< code: a LogLevel, the least that is told to this client as log events.
  status = 8,         ///< Answered with a descriptor of sealed memory that holds a JSON text.
  // From a proxy that takes over (same user, or root).
  replace =
      9,  ///< Let go of everything and hand it over; value 0: ms until the proxy takes it back.
  taken = 10,  ///< It was taken over: end. Until then the end of the conversation means: go on.
  // From the proxy.
  done = 32,    ///< request; values and descriptors as the request says (below).
  failed = 33,  ///< [sentence]; request; code: an Errc.
  event = 34,   ///< feed, or 0; code: an Event.
  handed = 35,  ///< Descriptors that belong to the state handed over, in their order.
};
// done of hello:     value 0: pid of the proxy; [version]; descriptors: client page, doorbell.
// done of open:      feed; value 0: is_new, 2: FeedState; descriptors: log. With kOpenLastValues also value 1: the
//                    sequence they are up to; descriptors: log, last values.
// done of subscribe: value 0: existing.
// done of replace:   value 0: how many descriptors follow (handed); descriptor: memory that holds the state.

enum HelloFlags : std::uint64_t {
  /// It only looks on: an open of its joins what somebody else has open, is answered at once, and makes it no user. It is
  /// not woken, and keeps neither a feed open nor a proxy running.
  kHelloMonitor = 1,
};

/// Flags of an open.
inline constexpr std::uint64_t kOpenNow =
    1;  ///< Answer at once, whatever state the upstream is in.
inline constexpr std::uint64_t kOpenLastValues = 2;  ///< With the newest message of each topic.

/// Before each message in the memory of the last values; its wire bytes follow, then the next.
struct LastValue {
  std::uint64_t sequence = 0;
  std::uint32_t length = 0;  ///< Wire bytes, frame headers included.
  std::uint8_t header_bytes = 0;
  std::uint8_t opcode = 0;
  std::uint16_t flags = 0;
  std::uint32_t generation = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(LastValue) == 24);

enum class FeedState : std::uint32_t { connecting = 0, live = 1, lost = 2 };

enum class Event : std::uint32_t {
  upstream_ready = 1,  ///< value 0: how many connections this feed has had.
  upstream_lost = 2,   ///< [why]; value 0: ms until the next attempt.
  upstream_ended = 3,  ///< [why]: refused for good. The feed is closed.
  stopping = 4,        ///< The proxy ends; the socket follows.
  /// [version]; value 1: pid: another process serves this conversation from here on. Before it, one for each feed of the
  /// client: feed; value 0: the last sequence of the log that the client has; descriptor: the log that goes on with the
  /// next.
  replaced = 5,
  log = 6,  ///< [text]; value 0: a LogLevel.
};

enum class LogLevel : std::uint32_t {
  trace = 0,
  debug = 1,
  info = 2,
  warn = 3,
  error = 4,
  off = 5
};

struct Head {
  std::uint32_t kind = 0;
  std::uint32_t request = 0;  ///< The client's number of a request; 0 in events.
  std::uint32_t feed = 0;     ///< The proxy's number of a feed; 0: none.
  std::uint32_t code = 0;
  std::array<std::uint64_t, 3> values{};
  std::array<std::uint32_t, kTextsMax> text_bytes{};
  std::uint32_t reserved = 0;
};
static_assert(sizeof(Head) == 64);
inline constexpr std::size_t kPacketBytesMax = sizeof(Head) + kTextBytesMax;

/// One packet, taken apart.
struct Packet {
  Head head;
  std::array<std::string_view, kTextsMax> texts;  ///< They point into the bytes given to decode().
  [[nodiscard]] Kind kind() const noexcept { return static_cast<Kind>(head.kind); }
};

/// bytes: [n] one packet. Nothing if they are not one: too short, or texts that are not as long as they say.
inline std::optional<Packet> decode(std::span<const std::byte> bytes) noexcept {
  Packet packet;
  if (bytes.size() < sizeof(Head)) return std::nullopt;
  std::memcpy(&packet.head, bytes.data(), sizeof(Head));
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof(Head);
  std::size_t left = bytes.size() - sizeof(Head);
  for (std::size_t i = 0; i < kTextsMax; ++i) {
    const std::size_t size = packet.head.text_bytes[i];
    if (size > left) return std::nullopt;
    packet.texts[i] = {text, size};
    text += size;
    left -= size;
  }
  return left == 0 ? std::optional(packet) : std::nullopt;
}

/// The packet's bytes. texts: at most kTextsMax; together they may be too long to be sent (check before).
template <class... Texts>
std::string encode(Head head, const Texts&... texts) {
  static_assert(sizeof...(Texts) <= kTextsMax);
  std::size_t next = 0;
  ((head.text_bytes[next++] = static_cast<std::uint32_t>(std::string_view(texts).size())), ...);
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  (bytes.append(std::string_view(texts)), ...);
  return bytes;
}

}  // namespace feedproxy::control

namespace feedproxy {

/// Why something could not be done.
enum class Errc : std::uint32_t {
  ok = 0,
  no_proxy = 1,       ///< Nobody listens at the path, and none was to be spawned.
  spawn_failed = 2,   ///< The proxy could not be started.
  wrong_version = 3,  ///< The proxy speaks another version of the protocol.
  not_allowed = 4,    ///< Another user, a wrong token, a URL that is not allowed.
  too_many = 5,       ///< A bound of docs/local_clients.md was reached.
  bad_request = 6,    ///< Malformed, or it contradicts itself.
  no_such_feed = 7,   ///< The feed's number is not one of this client's.
  venue_refused = 8,  ///< The venue said no; the sentence has its words.
  upstream_down = 9,  ///< Not connected at the moment.
  timed_out = 10,     ///< No answer in time.
  too_large = 11,     ///< More bytes than a packet or a message takes.
  proxy_lost = 12,    ///< The proxy ended while it was being asked.
  system = 13,        ///< The kernel refused; the sentence says what.
  stopping = 14,      ///< The proxy is going away.
};

}  // namespace feedproxy
