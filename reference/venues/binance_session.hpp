#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reference/venues/binance_target.hpp"

namespace feedbench::venues::binance {

inline constexpr std::size_t kStreamsMax = 1024;  ///< Streams of one connection.
inline constexpr std::size_t kMessagesPerSecondMax =
    5;  ///< Incoming messages (text, ping, pong) of one connection.

/// What the server does after a message.
struct Reply {
  std::string text;              ///< To be sent as one text message; empty: nothing.
  std::uint16_t close_code = 0;  ///< Not 0: send `text` if any, then close with this code.
  std::string close_reason;
};

/// The server's side of one Binance connection, without I/O: what is subscribed, in which form
/// frames go out, what each client message is answered with. thread: one at a time.
/// source: binance-spot-api-docs, web-socket-streams.md; docs/venues.md says what is done where that is silent.
class Session {
 public:
  explicit Session(Target target);

  /// A whole text message of the client (one message, however many frames carried it) at `now_ns`
  /// of any monotonic clock.
  Reply on_text(std::string_view text, std::int64_t now_ns);
  /// A ping or pong of the client: they count towards the message limit.
  Reply on_control(std::int64_t now_ns);

  /// Frames go out wrapped in {"stream":...,"data":...}.
  [[nodiscard]] bool combined() const noexcept { return combined_; }
  /// In the order subscribed.
  [[nodiscard]] const std::vector<std::string>& subscriptions() const noexcept { return streams_; }
  [[nodiscard]] bool subscribed(std::string_view stream) const noexcept;
  /// Grows with each change of subscriptions() or combined(): rebuild what you derived from them
  /// when it differs.
  [[nodiscard]] std::uint64_t revision() const noexcept { return revision_; }

 private:
  struct Request;
  std::optional<Reply> over_limit(std::int64_t now_ns);
  std::string answer(const Request& request);
  std::string subscribe(const Request& request);
  std::string unsubscribe(const Request& request);
  std::string list(const Request& request) const;
  std::string set_property(const Request& request);
  std::string get_property(const Request& request) const;

  bool combined_;
  std::vector<std::string> streams_;
  std::uint64_t revision_ = 1;
  std::array<std::int64_t, kMessagesPerSecondMax>
      recent_ns_{};  // times of the last messages, a ring
  std::uint64_t messages_ = 0;
};

/// Builds one SUBSCRIBE or UNSUBSCRIBE request.
std::string subscribe_request(const std::vector<std::string>& streams, std::int64_t id);
std::string unsubscribe_request(const std::vector<std::string>& streams, std::int64_t id);

}  // namespace feedbench::venues::binance
