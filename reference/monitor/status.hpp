#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "transports/transport.hpp"

/// feedproxy top: a running proxy, live. Everything between the text of Client::status() and the text on the screen is
/// pure: status.hpp reads, model.hpp compares two of them, draw.hpp and picture_json.hpp write.
namespace feedbench::monitor {

/// One feed, as the proxy tells of it. The counts are since it was opened.
struct FeedStatus {
  std::uint64_t feed = 0;
  std::string url;  ///< Without its query.
  std::string venue;
  std::string state;          ///< connecting, live, lost, closing.
  std::uint64_t clients = 0;  ///< Local ones that have it open; monitors are not counted.
  std::uint64_t ws_clients = 0;
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;  ///< Of those, frame headers included.
  std::uint64_t connects = 0;
  std::uint64_t losses = 0;
  std::string last_error;
};

/// How far a client has read one feed: what it wrote into its page, at most 256 messages old while it is busy.
struct CursorStatus {
  std::uint64_t feed = 0;
  std::uint64_t sequence = 0;  ///< The last message handed out, or the one before the first.
  std::uint64_t messages = 0;  ///< Handed out, ever.
  std::uint64_t missed = 0;    ///< Lost to gaps, ever.
};

struct ClientStatus {
  std::uint64_t id = 0;  ///< Of the connection; never used twice.
  std::string name;
  std::int64_t pid = 0;
  bool monitor = false;  ///< It only looks on, as this program does.
  std::string waiting;   ///< no, futex, doorbell, unknown.
  std::vector<std::uint64_t> feeds;
  std::vector<CursorStatus> cursors;
};

/// The proxy at one instant.
struct ProxyStatus {
  std::int64_t pid = 0;
  std::string version;
  std::int64_t uptime_ns = 0;  ///< Also the clock by which rates are computed.
  std::vector<FeedStatus> feeds;
  std::vector<ClientStatus> clients;

  [[nodiscard]] const FeedStatus* find_feed(std::uint64_t feed) const noexcept;
  [[nodiscard]] const ClientStatus* find_client(std::uint64_t id) const noexcept;
};

/// json: what Client::status() returned. errors: not the status of a proxy of this version.
transports::Expected<ProxyStatus> parse_status(std::string_view json);

}  // namespace feedbench::monitor
