#include "reference/venues/alpaca_session.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/base64.hpp"

namespace feedbench::venues::alpaca {

namespace dom = simdjson::dom;

namespace {

constexpr std::array<std::string_view, kChannels> kChannelNames = {
    "trades",   "quotes", "bars",        "updatedBars",  "dailyBars",
    "statuses", "lulds",  "corrections", "cancelErrors", "orderbooks"};

constexpr Channel kStockChannels[] = {
    Channel::trades,       Channel::quotes,      Channel::bars,
    Channel::updated_bars, Channel::daily_bars,  Channel::statuses,
    Channel::lulds,        Channel::corrections, Channel::cancel_errors};
constexpr Channel kCryptoChannels[] = {Channel::trades, Channel::quotes,       Channel::orderbooks,
                                       Channel::bars,   Channel::updated_bars, Channel::daily_bars};

std::span<const Channel> channels_of(Feed feed) noexcept {
  if (feed == Feed::crypto) return kCryptoChannels;
  return kStockChannels;
}

std::optional<Channel> channel_named(std::string_view name) noexcept {
  const auto found = std::find(kChannelNames.begin(), kChannelNames.end(), name);
  if (found == kChannelNames.end()) return std::nullopt;
  return static_cast<Channel>(found - kChannelNames.begin());
}

constexpr std::pair<int, std::string_view> kErrorTexts[] = {
    {400, "invalid syntax"},
    {401, "not authenticated"},
    {402, "auth failed"},
    {403, "already authenticated"},
    {404, "auth timeout"},
    {405, "symbol limit exceeded"},
    {406, "connection limit exceeded"},
    {407, "slow client"},
    {409, "insufficient subscription"},
    {410, "invalid subscribe action for this feed"},
    {500, "internal error"},
};

constexpr std::string_view kConnected = R"([{"T":"success","msg":"connected"}])";
constexpr std::string_view kAuthenticated = R"([{"T":"success","msg":"authenticated"}])";

/// "*", or what tickers and pairs are made of: AAPL, BRK.B, BTC/USD.
bool is_symbol(std::string_view symbol) noexcept {
  if (symbol == "*") return true;
  return !symbol.empty() && symbol.size() <= 32 &&
         std::all_of(symbol.begin(), symbol.end(), [](char byte) {
           return (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') || byte == '.' ||
                  byte == '/' || byte == '-';
         });
}

/// A token goes by the key "oauth" or "access_token"; both mean the same.
Credentials normalised(std::string_view key, std::string_view secret) {
  return Credentials(std::string(key == "access_token" ? "oauth" : key), std::string(secret));
}

/// The credentials of the handshake; nothing if it has none.
std::optional<Credentials> credentials_of(const HandshakeHeaders& headers) {
  if (!headers.key_id.empty() || !headers.secret_key.empty()) {
    return normalised(headers.key_id, headers.secret_key);
  }
  std::string_view authorization = headers.authorization;
  if (authorization.empty()) return std::nullopt;
  if (authorization.starts_with("Bearer ")) return normalised("oauth", authorization.substr(7));
  std::string pair;
  if (authorization.starts_with("Basic ") && decode_base64(authorization.substr(6), pair)) {
    const std::size_t colon = pair.find(':');
    if (colon != std::string::npos) {
      return normalised(std::string_view(pair).substr(0, colon),
                        std::string_view(pair).substr(colon + 1));
    }
  }
  return Credentials{};  // an Authorization header that holds none: not good ones
}

Reply error_reply(int code) { return Reply{{error_message(code)}, 0}; }

}  // namespace

std::string_view to_string(Channel channel) noexcept {
  return kChannelNames[static_cast<std::size_t>(channel)];
}

std::string error_message(int code) {
  for (const auto& [known, text] : kErrorTexts) {
    if (known == code) return fmt::format(R"([{{"T":"error","code":{},"msg":"{}"}}])", code, text);
  }
  return fmt::format(R"([{{"T":"error","code":{},"msg":"unknown error"}}])", code);
}

Expected<Feed> feed_of_target(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  if (path.starts_with("/v1beta3/crypto/") && path.size() > 16) return Feed::crypto;
  if (path == "/v1beta1/boats" || path == "/v1beta1/overnight") return Feed::stocks;
  if (path.starts_with("/v2/") && path.size() > 4 && path.find('/', 4) == std::string_view::npos) {
    return Feed::stocks;
  }
  return tl::unexpected(
      Error{fmt::format("alpaca target \"{}\": no such feed; use /v2/sip, /v2/iex, /v2/test or "
                        "/v1beta3/crypto/us",
                        target),
            0});
}

/// A client message, taken apart.
struct Session::Request {
  enum class Action : std::uint8_t { malformed, auth, subscribe, unsubscribe };
  Action action = Action::malformed;
  Credentials credentials;
  std::vector<std::pair<Channel, std::string>> symbols;
  bool wrong_channel = false;  // a channel that this feed does not have, with symbols in it

  static Request parse(std::string_view text, Feed feed);

 private:
  bool read_auth(const dom::object& object);
  bool read_channels(const dom::object& object, Feed feed);
};

bool Session::Request::read_auth(const dom::object& object) {
  std::string_view key, secret;
  if (object["key"].get(key) != simdjson::SUCCESS) return false;
  if (object["secret"].get(secret) != simdjson::SUCCESS) return false;
  credentials = normalised(key, secret);
  return true;
}

bool Session::Request::read_channels(const dom::object& object, Feed feed) {
  const auto channels = channels_of(feed);
  for (const dom::key_value_pair field : object) {
    if (field.key == "action") continue;
    dom::array list;
    if (field.value.get(list) != simdjson::SUCCESS) return false;
    const auto channel = channel_named(field.key);
    const bool known =
        channel && std::find(channels.begin(), channels.end(), *channel) != channels.end();
    for (const dom::element& item : list) {
      std::string_view symbol;
      if (item.get(symbol) != simdjson::SUCCESS || !is_symbol(symbol)) return false;
      if (known) symbols.emplace_back(*channel, symbol);
      wrong_channel =
          wrong_channel || !known;  // an empty list of any name is no error: SDKs send them all
    }
  }
  return true;
}

Session::Request Session::Request::parse(std::string_view text, Feed feed) {
  Request request;
  dom::parser parser;
  dom::object object;
  std::string_view action;
  if (parser.parse(text.data(), text.size(), true).get(object) != simdjson::SUCCESS) return request;
  if (object["action"].get(action) != simdjson::SUCCESS) return request;
  if (action == "auth") {
    if (request.read_auth(object)) request.action = Action::auth;
  } else if (action == "subscribe" || action == "unsubscribe") {
    if (request.read_channels(object, feed)) {
      request.action = action == "subscribe" ? Action::subscribe : Action::unsubscribe;
    }
  }
  return request;
}

Session::Session(SessionOptions options) : options_(std::move(options)) {}

Reply Session::on_open(const HandshakeHeaders& headers, std::int64_t now_ns) {
  opened_ns_ = now_ns;
  Reply reply{{std::string(kConnected)}, 0};
  if (const auto given = credentials_of(headers)) {
    for (std::string& text : authenticate(*given).texts) reply.texts.push_back(std::move(text));
  }
  return reply;
}

Reply Session::authenticate(const Credentials& given) {
  if (authenticated_) return error_reply(403);
  const bool complete = !given.reveal_key().empty() && !given.reveal_secret().empty();
  const Credentials expected =
      normalised(options_.expected.reveal_key(), options_.expected.reveal_secret());
  if (!complete || (!expected.empty() && given != expected)) return error_reply(402);
  if (options_.logins != nullptr) {
    if (*options_.logins >= options_.logins_max) return error_reply(406);
    ++*options_.logins;
    login_ = std::shared_ptr<void>(nullptr, [logins = options_.logins](void*) { --*logins; });
  }
  authenticated_ = true;
  return Reply{{std::string(kAuthenticated)}, 0};
}

Reply Session::on_message(std::string_view text, std::int64_t now_ns) {
  if (Reply late = on_time(now_ns); late.close_code != 0) return late;
  if (closed_) return {};
  const Request request = Request::parse(text, options_.feed);
  if (request.action == Request::Action::malformed) return error_reply(400);
  if (request.action == Request::Action::auth) return authenticate(request.credentials);
  if (!authenticated_) return error_reply(401);
  if (request.wrong_channel) return error_reply(410);
  return change(request);
}

Reply Session::on_time(std::int64_t now_ns) {
  if (authenticated_ || closed_ || now_ns - opened_ns_ < options_.auth_timeout_ns) return {};
  closed_ = true;
  return Reply{{error_message(404)}, 1008};
}

std::size_t Session::limited_symbols(const Lists& lists) const {
  std::size_t count = 0;
  for (const Channel channel : {Channel::trades, Channel::quotes}) {
    const auto& symbols = lists[static_cast<std::size_t>(channel)];
    if (symbols.contains("*")) return SIZE_MAX;
    count += symbols.size();
  }
  return count;
}

Reply Session::change(const Request& request) {
  Lists lists = subscriptions_;
  for (const auto& [channel, symbol] : request.symbols) {
    // Corrections and cancellations follow trades; they cannot be chosen.
    if (channel == Channel::corrections || channel == Channel::cancel_errors) continue;
    auto& symbols = lists[static_cast<std::size_t>(channel)];
    if (request.action == Request::Action::subscribe) {
      symbols.insert(symbol);
    } else {
      symbols.erase(symbol);
    }
  }
  if (options_.feed == Feed::stocks) {
    const auto& trades = lists[static_cast<std::size_t>(Channel::trades)];
    lists[static_cast<std::size_t>(Channel::corrections)] = trades;
    lists[static_cast<std::size_t>(Channel::cancel_errors)] = trades;
  }
  if (options_.symbols_max != SIZE_MAX && request.action == Request::Action::subscribe &&
      limited_symbols(lists) > options_.symbols_max) {
    return error_reply(405);
  }
  if (lists != subscriptions_) ++revision_;
  subscriptions_ = std::move(lists);
  return Reply{{subscription_message()}, 0};
}

bool Session::subscribed() const noexcept {
  return std::any_of(subscriptions_.begin(), subscriptions_.end(),
                     [](const auto& symbols) { return !symbols.empty(); });
}

bool Session::wants(std::string_view type, std::string_view symbol) const noexcept {
  const auto channel = channel_named(channel_of_type(type));
  if (!channel) return false;
  const auto& wanted = symbols(*channel);
  return wanted.contains(symbol) || wanted.contains("*");
}

std::string Session::subscription_message() const {
  std::string text = R"([{"T":"subscription")";
  for (const Channel channel : channels_of(options_.feed)) {
    fmt::format_to(std::back_inserter(text), R"(,"{}":[)", to_string(channel));
    bool first = true;
    for (const std::string& symbol : symbols(channel)) {
      fmt::format_to(std::back_inserter(text), R"({}"{}")", std::exchange(first, false) ? "" : ",",
                     symbol);
    }
    text += ']';
  }
  return text + "}]";
}

}  // namespace feedbench::venues::alpaca
