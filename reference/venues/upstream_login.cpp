#include "reference/venues/upstream_login.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_frame.hpp"
#include "reference/venues/binance_session.hpp"

namespace feedbench::venues {
namespace {

/// Streams of one SUBSCRIBE request: the most streams of a connection then fit into 4 messages,
/// within the limit of 5 a second.
constexpr std::size_t kStreamsPerRequest = 256;

std::size_t requests_for(std::size_t streams) {
  return (streams + kStreamsPerRequest - 1) / kStreamsPerRequest;
}

Expected<void> check_binance(const std::vector<std::string>& streams) {
  for (const std::string& name : streams) {
    if (!binance::is_stream_name(name)) {
      return tl::unexpected(Error{
          fmt::format("binance subscription \"{}\" is no stream name; write it like btcusdt@trade",
                      name),
          0});
    }
  }
  if (streams.size() > binance::kStreamsMax) {
    return tl::unexpected(
        Error{fmt::format("binance subscription of {} streams: one connection takes {}",
                          streams.size(), binance::kStreamsMax),
              0});
  }
  return {};
}

/// The text of an error answer, nested or flat; empty if the answer is no error.
std::string binance_error(std::string_view answer) {
  simdjson::dom::parser parser;
  simdjson::dom::object root;
  if (parser.parse(answer.data(), answer.size(), true).get(root) != simdjson::SUCCESS) return {};
  simdjson::dom::object error;
  if (root["error"].get(error) != simdjson::SUCCESS) {
    std::int64_t ignored = 0;
    if (root["code"].get(ignored) != simdjson::SUCCESS) return {};
    error = root;
  }
  std::int64_t code = 0;
  std::string_view text = "no text given";
  if (error["code"].get(code) != simdjson::SUCCESS) code = 0;
  if (error["msg"].get(text) != simdjson::SUCCESS) text = "no text given";
  return fmt::format("{} (code {})", text, code);
}

}  // namespace

Expected<UpstreamLogin> UpstreamLogin::create(LoginOptions options) {
  std::string alpaca_subscribe;
  if (options.venue == Venue::binance) {
    if (auto good = check_binance(options.subscriptions); !good)
      return tl::unexpected(good.error());
  }
  if (options.venue == Venue::alpaca) {
    if (options.credentials.reveal_key().empty() || options.credentials.reveal_secret().empty()) {
      return tl::unexpected(
          Error{"alpaca needs a key and a secret, and none (or half) was given", 0});
    }
    if (!options.subscriptions.empty()) {
      auto request = alpaca::subscribe_request(options.subscriptions);
      if (!request) return tl::unexpected(request.error());
      alpaca_subscribe = std::move(*request);
    }
  }
  return UpstreamLogin(std::move(options), std::move(alpaca_subscribe));
}

Expected<UpstreamLogin> UpstreamLogin::resumed(LoginOptions options) {
  auto login = create(std::move(options));
  if (login) login->status_ = LoginStatus::ready;
  return login;
}

UpstreamLogin::UpstreamLogin(LoginOptions options, std::string subscribe_text)
    : options_(std::move(options)), alpaca_subscribe_(std::move(subscribe_text)) {}

LoginStep UpstreamLogin::step(LoginStatus status, std::string error) {
  status_ = status;
  if (status != LoginStatus::working) expecting_ = Expecting::nothing;
  return LoginStep{status, {}, std::move(error)};
}

LoginStep UpstreamLogin::on_open() {
  if (options_.venue == Venue::alpaca) {
    expecting_ = Expecting::connected;
    return step(LoginStatus::working);
  }
  const auto& streams = options_.subscriptions;
  if (options_.venue == Venue::raw || streams.empty()) return step(LoginStatus::ready);
  expecting_ = Expecting::answers;
  answers_missing_ = requests_for(streams.size());
  LoginStep next = step(LoginStatus::working);
  for (std::size_t i = 0; i < answers_missing_; ++i) {
    const auto from = streams.begin() + static_cast<std::ptrdiff_t>(i * kStreamsPerRequest);
    const auto count = std::min(kStreamsPerRequest, streams.size() - i * kStreamsPerRequest);
    next.send.push_back(binance::subscribe_request(
        {from, from + static_cast<std::ptrdiff_t>(count)}, static_cast<std::int64_t>(i + 1)));
  }
  return next;
}

LoginStep UpstreamLogin::on_message(std::string_view text) {
  switch (options_.venue) {
    case Venue::raw:
      break;
    case Venue::binance:
      return on_binance(text);
    case Venue::alpaca:
      return on_alpaca(text);
  }
  return LoginStep{status_, {}, {}};
}

LoginStep UpstreamLogin::on_binance(std::string_view text) {
  if (expecting_ != Expecting::answers || !binance::is_answer(text))
    return LoginStep{status_, {}, {}};
  if (const std::string error = binance_error(text); !error.empty()) {
    return step(LoginStatus::refused, fmt::format("binance refused the subscription: {}", error));
  }
  --answers_missing_;
  return step(answers_missing_ == 0 ? LoginStatus::ready : LoginStatus::working);
}

LoginStep UpstreamLogin::after_authenticated() {
  if (alpaca_subscribe_.empty()) return step(LoginStatus::ready);
  expecting_ = Expecting::subscription;
  LoginStep next = step(LoginStatus::working);
  next.send.push_back(alpaca_subscribe_);
  return next;
}

LoginStep UpstreamLogin::on_alpaca_error(int code, const std::string& text) {
  const std::string sentence = fmt::format("alpaca answered with error {} ({})", code, text);
  switch (code) {
    case 403:  // The handshake authenticated already.
      if (expecting_ == Expecting::authenticated) return after_authenticated();
      break;
    case 401:
    case 402:
    case 404:
    case 409:
    case 411:
      return step(LoginStatus::refused, sentence);
    case 406:
    case 407:
    case 500:
      return step(LoginStatus::retry, sentence);
    default:
      if (status_ == LoginStatus::working) return step(LoginStatus::refused, sentence);
      break;  // An answer to something that was asked later: not the login's business.
  }
  return LoginStep{status_, {}, {}};
}

LoginStep UpstreamLogin::on_alpaca(std::string_view text) {
  const alpaca::Control control = alpaca::control_of(text);
  switch (control.kind) {
    case alpaca::ControlKind::none:
      break;
    case alpaca::ControlKind::connected:
      if (expecting_ == Expecting::connected) {
        expecting_ = Expecting::authenticated;
        LoginStep next = step(LoginStatus::working);
        next.send.push_back(alpaca::auth_request(options_.credentials));
        return next;
      }
      break;
    case alpaca::ControlKind::authenticated:
      if (expecting_ == Expecting::connected || expecting_ == Expecting::authenticated) {
        return after_authenticated();
      }
      break;
    case alpaca::ControlKind::subscription:
      if (expecting_ == Expecting::subscription) return step(LoginStatus::ready);
      break;
    case alpaca::ControlKind::error:
      return on_alpaca_error(control.code, control.text);
  }
  return LoginStep{status_, {}, {}};
}

}  // namespace feedbench::venues
