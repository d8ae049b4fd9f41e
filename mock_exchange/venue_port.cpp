#include "mock_exchange/venue_port.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "mock_exchange/load_session.hpp"
#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/binance_target.hpp"

namespace feedbench::mock_exchange {

namespace alpaca = venues::alpaca;
namespace binance = venues::binance;

namespace {

/// Any path, everything, whatever the client says.
class RawPort final : public VenuePort {
 public:
  explicit RawPort(Venue& venue) : venue_(venue) {}
  Replies on_open(std::int64_t) override { return {}; }
  Replies on_message(std::string_view, std::int64_t) override { return {}; }
  [[nodiscard]] bool ready() const override { return true; }
  [[nodiscard]] std::uint64_t revision() const override { return 1; }
  [[nodiscard]] Selection selection() override { return Selection::all(venue_.session()); }

 private:
  Venue& venue_;
};

class BinancePort final : public VenuePort {
 public:
  BinancePort(Venue& venue, binance::Target target) : venue_(venue), session_(std::move(target)) {}
  Replies on_open(std::int64_t) override { return {}; }
  Replies on_message(std::string_view message, std::int64_t now_ns) override {
    return replies(session_.on_text(message, now_ns));
  }
  Replies on_control(std::int64_t now_ns) override { return replies(session_.on_control(now_ns)); }
  [[nodiscard]] bool ready() const override { return !session_.subscriptions().empty(); }
  [[nodiscard]] std::uint64_t revision() const override { return session_.revision(); }

  [[nodiscard]] Selection selection() override {
    const auto& session = venue_.binance_form(session_.combined());
    const std::unordered_set<std::string_view> streams(session_.subscriptions().begin(),
                                                       session_.subscriptions().end());
    std::vector<std::uint8_t> wanted;
    for (const std::string& topic : session->topics())
      wanted.push_back(streams.contains(topic) ? 1 : 0);
    return Selection::some(session, std::move(wanted));
  }

 private:
  static Replies replies(binance::Reply reply) {
    Replies all{{}, reply.close_code, std::move(reply.close_reason)};
    if (!reply.text.empty()) all.texts.push_back(std::move(reply.text));
    return all;
  }
  Venue& venue_;
  binance::Session session_;
};

/// A target with a malformed stream name: the venue accepts the upgrade and closes at once.
class IllegalStreamPort final : public VenuePort {
 public:
  explicit IllegalStreamPort(Venue& venue) : venue_(venue) {}
  Replies on_open(std::int64_t) override {
    return {{}, 1008, R"({"code":-1,"msg":"Illegal format ws or stream"})"};
  }
  Replies on_message(std::string_view, std::int64_t) override { return {}; }
  [[nodiscard]] bool ready() const override { return false; }
  [[nodiscard]] std::uint64_t revision() const override { return 1; }
  [[nodiscard]] Selection selection() override { return Selection::some(venue_.session(), {}); }

 private:
  Venue& venue_;
};

class AlpacaPort final : public VenuePort {
 public:
  AlpacaPort(Venue& venue, alpaca::SessionOptions options,
             const websocket::HandshakeRequest& request)
      : venue_(venue),
        auth_timeout_ns_(options.auth_timeout_ns),
        session_(std::move(options)),
        key_id_(websocket::find_header(request.headers, "APCA-API-KEY-ID")),
        secret_key_(websocket::find_header(request.headers, "APCA-API-SECRET-KEY")),
        authorization_(websocket::find_header(request.headers, "Authorization")) {}

  Replies on_open(std::int64_t now_ns) override {
    auth_deadline_ns_ = now_ns + auth_timeout_ns_;
    return replies(session_.on_open({key_id_, secret_key_, authorization_}, now_ns));
  }
  Replies on_message(std::string_view message, std::int64_t now_ns) override {
    return replies(session_.on_message(message, now_ns));
  }
  Replies on_time(std::int64_t now_ns) override { return replies(session_.on_time(now_ns)); }
  [[nodiscard]] std::int64_t deadline_ns() const override {
    return session_.authenticated() ? kNever : auth_deadline_ns_;
  }
  [[nodiscard]] bool ready() const override {
    return session_.authenticated() && session_.subscribed();
  }
  [[nodiscard]] std::uint64_t revision() const override { return session_.revision(); }
  [[nodiscard]] std::string slow_reader_text() const override { return alpaca::error_message(407); }

  [[nodiscard]] Selection selection() override {
    const auto& session = venue_.session();
    std::vector<std::uint8_t> wanted;
    for (const std::string& topic : session->topics()) wanted.push_back(wants(topic) ? 1 : 0);
    return Selection::some(session, std::move(wanted));
  }

 private:
  static Replies replies(alpaca::Reply reply) {
    return {std::move(reply.texts), reply.close_code, {}};
  }

  /// topic: "trades:AAPL".
  [[nodiscard]] bool wants(std::string_view topic) const {
    const std::size_t colon = topic.find(':');
    if (colon == std::string_view::npos) return true;
    for (std::size_t i = 0; i < alpaca::kChannels; ++i) {
      const auto channel = static_cast<alpaca::Channel>(i);
      if (alpaca::to_string(channel) != topic.substr(0, colon)) continue;
      const auto& symbols = session_.symbols(channel);
      return symbols.contains(topic.substr(colon + 1)) || symbols.contains(std::string_view("*"));
    }
    return false;
  }

  Venue& venue_;
  std::int64_t auth_timeout_ns_;
  std::int64_t auth_deadline_ns_ = kNever;
  alpaca::Session session_;
  std::string key_id_;
  std::string secret_key_;
  std::string authorization_;
};

tl::expected<std::unique_ptr<VenuePort>, Refusal> open_binance(Venue& venue,
                                                               const std::string& target) {
  auto parsed = binance::parse_target(target);
  if (parsed) return std::make_unique<BinancePort>(venue, std::move(*parsed));
  if (target.starts_with("/ws") || target.starts_with("/stream"))
    return std::make_unique<IllegalStreamPort>(venue);
  return tl::unexpected(Refusal{404, parsed.error().message});
}

tl::expected<std::unique_ptr<VenuePort>, Refusal> open_alpaca(
    Venue& venue, const websocket::HandshakeRequest& request) {
  const auto feed = alpaca::feed_of_target(request.target);
  if (!feed) return tl::unexpected(Refusal{404, feed.error().message});
  alpaca::SessionOptions options;
  options.feed = *feed;
  options.expected = venue.credentials();
  options.logins = venue.logins();
  options.logins_max = venue.logins_max();
  // Nobody can present a key with a control character in it.
  if (venue.refuses_auth()) options.expected = venues::Credentials("\x01", "\x01");
  return std::make_unique<AlpacaPort>(venue, std::move(options), request);
}

}  // namespace

Venue::Venue(venues::Venue kind, std::shared_ptr<const PreparedSession> session,
             venues::Credentials credentials, bool refuse_auth, std::size_t logins_max)
    : kind_(kind),
      session_(std::move(session)),
      credentials_(std::move(credentials)),
      refuse_auth_(refuse_auth),
      logins_max_(logins_max) {}

const std::shared_ptr<const PreparedSession>& Venue::binance_form(bool combined) {
  auto& form = combined ? combined_ : raw_;
  if (!form) form = in_binance_form(session_, combined);
  return form;
}

tl::expected<std::unique_ptr<VenuePort>, Refusal> open_port(
    Venue& venue, const websocket::HandshakeRequest& request) {
  if (venue.kind() == venues::Venue::alpaca) return open_alpaca(venue, request);
  if (venue.refuses_auth()) return tl::unexpected(Refusal{401, "credentials refused"});
  if (venue.kind() == venues::Venue::binance) return open_binance(venue, request.target);
  return std::make_unique<RawPort>(venue);
}

}  // namespace feedbench::mock_exchange
