#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reference/venues/credentials.hpp"
#include "reference/venues/venue.hpp"

namespace feedbench::venues {

enum class LoginStatus : std::uint8_t {
  working,  ///< Send what there is to send and go on.
  ready,    ///< Logged in and subscribed: data flows.
  retry,  ///< The venue refused for now (its connection limit, an internal error): close, back off,
          ///< connect again.
  refused,  ///< The venue refused for good (credentials, a wrong subscription): connecting again
            ///< will not help.
};

/// What to do after an event. `error` is one sentence for the user when the status is retry or
/// refused.
struct LoginStep {
  LoginStatus status = LoginStatus::working;
  std::vector<std::string> send;  ///< Text messages, in this order.
  std::string error;
};

struct LoginOptions {
  Venue venue = Venue::raw;
  Credentials credentials;  ///< alpaca; without them nothing but the handshake can authenticate.
  std::vector<std::string>
      subscriptions;  ///< binance: stream names; alpaca: "trades:AAPL", "quotes:*", or "AAPL".
};

/// The client's side of a venue's opening conversation, without I/O: from "the WebSocket is open"
/// to "data flows". raw: ready at once. binance: ready at once if nothing is to be subscribed (the
/// URL did it), otherwise SUBSCRIBE requests and their answers. alpaca: connected, auth,
/// authenticated, subscribe, subscription. One object a connection; make a new one for the next.
/// thread: one at a time.
class UpstreamLogin {
 public:
  /// errors: subscriptions that the venue does not know the form of, alpaca without credentials.
  static Expected<UpstreamLogin> create(LoginOptions options);

  /// Of a connection that another object logged in, with the same options: ready. errors: as create().
  static Expected<UpstreamLogin> resumed(LoginOptions options);

  /// The WebSocket is open.
  LoginStep on_open();
  /// A whole text message came. Data among the answers is passed over: it is for the clients, not
  /// for the login. Once ready, stays ready; an error of the venue that ends the session still
  /// gives retry or refused.
  LoginStep on_message(std::string_view text);

  [[nodiscard]] LoginStatus status() const noexcept { return status_; }

 private:
  enum class Expecting : std::uint8_t { nothing, connected, authenticated, subscription, answers };
  explicit UpstreamLogin(LoginOptions options, std::string subscribe_text);
  LoginStep step(LoginStatus status, std::string error = {});
  LoginStep on_alpaca(std::string_view text);
  LoginStep on_alpaca_error(int code, const std::string& text);
  LoginStep on_binance(std::string_view text);
  LoginStep after_authenticated();

  LoginOptions options_;
  std::string alpaca_subscribe_;  // empty: nothing to subscribe
  Expecting expecting_ = Expecting::nothing;
  LoginStatus status_ = LoginStatus::working;
  std::size_t answers_missing_ = 0;
};

}  // namespace feedbench::venues
