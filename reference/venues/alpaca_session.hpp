#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "reference/venues/credentials.hpp"
#include "reference/venues/venue.hpp"

namespace feedbench::venues::alpaca {

/// What a feed carries decides its channels.
enum class Feed : std::uint8_t { stocks, crypto };

enum class Channel : std::uint8_t {
  trades,
  quotes,
  bars,
  updated_bars,
  daily_bars,
  statuses,
  lulds,
  corrections,
  cancel_errors,
  orderbooks,
};
inline constexpr std::size_t kChannels = 10;
/// The name in messages: "updatedBars".
[[nodiscard]] std::string_view to_string(Channel channel) noexcept;

/// /v1beta3/crypto/us -> crypto; /v2/sip, /v2/iex, /v2/test... -> stocks. errors: an unknown path.
Expected<Feed> feed_of_target(std::string_view target);

struct SessionOptions {
  Feed feed = Feed::stocks;
  Credentials expected;  ///< Empty: any key and secret are good.
  std::size_t symbols_max =
      SIZE_MAX;  ///< Symbols of trades and quotes together; beyond: error 405.
  /// Logged-in connections of the account, counted over all its sessions; one more than logins_max is answered with
  /// error 406. Null: no limit.
  std::shared_ptr<std::size_t> logins = nullptr;
  std::size_t logins_max = SIZE_MAX;
  std::int64_t auth_timeout_ns =
      10'000'000'000;  ///< Error 404 and close when no good auth came by then.
};

/// Credentials of the opening handshake, if any.
struct HandshakeHeaders {
  std::string_view key_id;         ///< APCA-API-KEY-ID
  std::string_view secret_key;     ///< APCA-API-SECRET-KEY
  std::string_view authorization;  ///< Authorization: Basic base64(key:secret), or Bearer token
};

/// What the server does after an event.
struct Reply {
  std::vector<std::string> texts;  ///< Text messages to send, in this order.
  std::uint16_t close_code = 0;    ///< Not 0: close with this code after them.
};

/// The server's side of one Alpaca connection, without I/O. Where the venue documents nothing it
/// does the friendliest thing: it stays open after errors 400, 401, 402, 403, 405 and 410, and
/// closes after 404 alone. thread: one at a time.
class Session {
 public:
  explicit Session(SessionOptions options);

  /// The connection is open: "connected", alone in its array; "authenticated" too if the handshake
  /// held good credentials.
  Reply on_open(const HandshakeHeaders& headers, std::int64_t now_ns);
  /// A whole message of the client, text or binary, however many frames carried it.
  Reply on_message(std::string_view text, std::int64_t now_ns);
  /// Call now and then (each 100 ms will do): the authentication timeout.
  Reply on_time(std::int64_t now_ns);

  [[nodiscard]] bool authenticated() const noexcept { return authenticated_; }
  /// At least one symbol of one channel is subscribed.
  [[nodiscard]] bool subscribed() const noexcept;
  /// Is a data message of this type ("T") and symbol ("S") wanted? "*" counts for every symbol.
  [[nodiscard]] bool wants(std::string_view type, std::string_view symbol) const noexcept;
  /// Symbols of a channel, sorted; "*" among them means all.
  [[nodiscard]] const std::set<std::string, std::less<>>& symbols(Channel channel) const noexcept {
    return subscriptions_[static_cast<std::size_t>(channel)];
  }
  /// Grows with each change of the subscriptions.
  [[nodiscard]] std::uint64_t revision() const noexcept { return revision_; }
  /// The whole list, as every subscribe and unsubscribe is answered.
  [[nodiscard]] std::string subscription_message() const;

 private:
  using Lists = std::array<std::set<std::string, std::less<>>, kChannels>;
  struct Request;
  Reply authenticate(const Credentials& given);
  Reply change(const Request& request);
  [[nodiscard]] std::size_t limited_symbols(const Lists& lists) const;

  SessionOptions options_;
  Lists subscriptions_;
  std::int64_t opened_ns_ = 0;
  bool authenticated_ = false;
  std::shared_ptr<void> login_;  // takes itself off options_.logins
  bool closed_ = false;
  std::uint64_t revision_ = 1;
};

/// [{"T":"error","code":N,"msg":"..."}] with the venue's text for the code.
std::string error_message(int code);

/// Client side: {"action":"auth","key":...,"secret":...}.
std::string auth_request(const Credentials& credentials);
/// Client side: items are "channel:SYMBOL" ("trades:AAPL", "quotes:*"); a bare "AAPL" means trades
/// and quotes. errors: an unknown channel, an empty symbol.
Expected<std::string> subscribe_request(const std::vector<std::string>& items);
/// Client side: the opposite, of the same items.
Expected<std::string> unsubscribe_request(const std::vector<std::string>& items);

}  // namespace feedbench::venues::alpaca
