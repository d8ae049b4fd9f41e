#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mock_exchange/feed_cursor.hpp"
#include "mock_exchange/prepared_session.hpp"
#include "reference/venues/credentials.hpp"
#include "reference/venues/venue.hpp"
#include "reference/websocket/handshake.hpp"

/// One client's side of a venue, the same interface for all venues: who the client is, what it
/// asked for, what it gets.
namespace feedbench::mock_exchange {

/// What the exchange does after an event of the connection.
struct Replies {
  std::vector<std::string> texts;  ///< Text messages to send, in order.
  std::uint16_t close_code = 0;    ///< Not 0: then close with this code.
  std::string close_reason;
};

/// What all connections of an exchange share.
class Venue {
 public:
  Venue(venues::Venue kind, std::shared_ptr<const PreparedSession> session,
        venues::Credentials credentials, bool refuse_auth, std::size_t logins_max = SIZE_MAX);

  [[nodiscard]] venues::Venue kind() const noexcept { return kind_; }
  [[nodiscard]] const venues::Credentials& credentials() const noexcept { return credentials_; }
  /// Alpaca: connections that are logged in, and how many may be.
  [[nodiscard]] const std::shared_ptr<std::size_t>& logins() const noexcept { return logins_; }
  [[nodiscard]] std::size_t logins_max() const noexcept { return logins_max_; }
  [[nodiscard]] bool refuses_auth() const noexcept { return refuse_auth_; }
  [[nodiscard]] const std::shared_ptr<const PreparedSession>& session() const noexcept {
    return session_;
  }

  /// The session in Binance's combined or raw form. The first call for a form that the recording
  /// does not have makes it (some tens of ms for a large one); it is kept.
  const std::shared_ptr<const PreparedSession>& binance_form(bool combined);

 private:
  venues::Venue kind_;
  std::shared_ptr<const PreparedSession> session_;
  std::shared_ptr<const PreparedSession> combined_;
  std::shared_ptr<const PreparedSession> raw_;
  venues::Credentials credentials_;
  bool refuse_auth_;
  std::shared_ptr<std::size_t> logins_ = std::make_shared<std::size_t>(0);
  std::size_t logins_max_;
};

/// thread: one. now_ns: of any monotonic clock, the same one in all calls.
class VenuePort {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  virtual ~VenuePort() = default;
  /// Right after the upgrade.
  virtual Replies on_open(std::int64_t now_ns) = 0;
  /// A whole message of the client, text or binary.
  virtual Replies on_message(std::string_view message, std::int64_t now_ns) = 0;
  /// A ping or pong of the client.
  virtual Replies on_control(std::int64_t) { return {}; }
  /// To be called at deadline_ns() or later.
  virtual Replies on_time(std::int64_t) { return {}; }
  [[nodiscard]] virtual std::int64_t deadline_ns() const { return kNever; }
  /// Logged in and subscribed to something.
  [[nodiscard]] virtual bool ready() const = 0;
  /// Grows with each change of selection().
  [[nodiscard]] virtual std::uint64_t revision() const = 0;
  [[nodiscard]] virtual Selection selection() = 0;
  /// What a reader that lags too far is told before it is closed; empty: nothing.
  [[nodiscard]] virtual std::string slow_reader_text() const { return {}; }
};

/// A refused upgrade.
struct Refusal {
  unsigned http_status = 404;
  std::string text;
};

/// Opens the port that the request asks for. venue must outlive it.
tl::expected<std::unique_ptr<VenuePort>, Refusal> open_port(
    Venue& venue, const websocket::HandshakeRequest& request);

}  // namespace feedbench::mock_exchange
