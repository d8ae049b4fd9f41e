#include "reference/upstream/subscription_book_venue.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <span>
#include <utility>

#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/binance_target.hpp"
#include "reference/websocket/utf8.hpp"

namespace feedbench::upstream {

namespace alpaca = venues::alpaca;
namespace binance = venues::binance;
namespace dom = simdjson::dom;
using venues::Venue;

namespace {

constexpr std::size_t kVenueTextBytesMax = 480;
constexpr char kBetween = '\n';  // a control character: no symbol and no kind holds it

bool is_utf8(std::string_view text) {
  return websocket::utf8_valid(std::as_bytes(std::span(text)));
}

/// Why a symbol or kind cannot be one, or empty.
std::string fault_of_text(std::string_view what, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max)
    return fmt::format("the {} has {} bytes; at most {} are taken", what, text.size(), bytes_max);
  const bool plain = std::all_of(text.begin(), text.end(), [](char byte) {
    return static_cast<unsigned char>(byte) >= 0x20 && byte != 0x7f && byte != '"' &&
           byte != '\'' && byte != '\\';
  });
  if (!plain) return fmt::format("the {} holds a control character, a quote or a backslash", what);
  if (!is_utf8(text)) return fmt::format("the {} is not UTF-8", what);
  return {};
}

std::string fault_of_message(std::string_view what, std::string_view text, std::size_t bytes_max) {
  if (text.size() > bytes_max)
    return fmt::format("the {} has {} bytes; at most {} are taken", what, text.size(), bytes_max);
  // The venue would close the connection of all for it.
  if (!is_utf8(text)) return fmt::format("the {} is not UTF-8", what);
  return {};
}

bool is_chosen_channel(std::string_view kind) {
  for (std::size_t i = 0; i < alpaca::kChannels; ++i) {
    const auto channel = static_cast<alpaca::Channel>(i);
    if (alpaca::to_string(channel) != kind) continue;
    return channel != alpaca::Channel::corrections && channel != alpaca::Channel::cancel_errors;
  }
  return false;
}

/// The venue's words inside a sentence of ours: one line, not endless, cut between characters.
std::string venue_text(std::string_view text) {
  std::string safe(text.substr(0, kVenueTextBytesMax));
  if (safe.size() < text.size()) {
    while (!safe.empty() && !is_utf8(safe)) safe.pop_back();
    safe += "...";
  }
  std::replace_if(
      safe.begin(), safe.end(),
      [](char byte) { return static_cast<unsigned char>(byte) < 0x20 || byte == 0x7f; }, ' ');
  return safe;
}

std::optional<std::string> id_in(const dom::object& object) {
  dom::element id;
  if (object["id"].get(id) != simdjson::SUCCESS || id.is_null()) return std::nullopt;
  return std::string(simdjson::minify(id));
}

VenueAnswer read_binance(std::string_view text) {
  VenueAnswer answer;
  dom::parser parser;
  dom::object root;
  if (parser.parse(text.data(), text.size(), true).get(root) != simdjson::SUCCESS) return answer;
  answer.id = id_in(root);
  // Errors come nested on the wire, and flat in the documentation.
  dom::object error;
  std::int64_t code = 0;
  if (root["error"].get(error) != simdjson::SUCCESS) {
    if (root["code"].get(code) != simdjson::SUCCESS) {
      dom::element result;
      if (root["result"].get(result) == simdjson::SUCCESS)
        answer.verdict = VenueAnswer::Verdict::accepted;
      return answer;
    }
    error = root;
  }
  std::string_view words;
  if (error["code"].get(code) != simdjson::SUCCESS) code = 0;
  if (error["msg"].get(words) != simdjson::SUCCESS) words = "no text given";
  answer.verdict = VenueAnswer::Verdict::refused;
  answer.error = fmt::format("{} (code {})", venue_text(words), code);
  return answer;
}

/// Errors that speak of the connection and not of a request.
bool is_about_connection(std::int64_t code) {
  return code == 403 || code == 404 || code == 406 || code == 407;
}

std::unordered_set<std::string> listed_in(const dom::object& subscription) {
  std::unordered_set<std::string> listed;
  for (const dom::key_value_pair field : subscription) {
    dom::array symbols;
    if (field.value.get(symbols) != simdjson::SUCCESS) continue;
    for (const dom::element& item : symbols) {
      std::string_view symbol;
      if (item.get(symbol) == simdjson::SUCCESS)
        listed.insert(key_name(Venue::alpaca, symbol, field.key));
    }
  }
  return listed;
}

VenueAnswer read_alpaca(std::string_view text) {
  VenueAnswer answer;
  dom::parser parser;
  dom::element root;
  dom::object message;  // control messages stand alone in their array
  std::string_view type;
  if (parser.parse(text.data(), text.size(), true).get(root) != simdjson::SUCCESS) return answer;
  if (root.at(0).get(message) != simdjson::SUCCESS) return answer;
  if (message["T"].get(type) != simdjson::SUCCESS) return answer;
  if (type == "subscription") {
    answer.verdict = VenueAnswer::Verdict::accepted;
    answer.listed = listed_in(message);
  } else if (type == "error") {
    std::int64_t code = 0;
    std::string_view words;
    if (message["code"].get(code) != simdjson::SUCCESS) code = 0;
    if (message["msg"].get(words) != simdjson::SUCCESS) words = "no text given";
    if (is_about_connection(code)) return answer;
    answer.verdict = VenueAnswer::Verdict::refused;
    answer.error = fmt::format("{} (code {})", venue_text(words), code);
  }
  return answer;
}

}  // namespace

std::string key_name(Venue venue, std::string_view symbol, std::string_view kind) {
  if (venue == Venue::binance) return key_label(venue, symbol, kind);
  std::string name(kind);
  name += kBetween;
  return name.append(symbol);
}

std::string key_label(Venue venue, std::string_view symbol, std::string_view kind) {
  if (kind.empty()) return std::string(symbol);
  return venue == Venue::binance ? fmt::format("{}@{}", symbol, kind)
                                 : fmt::format("{}:{}", kind, symbol);
}

std::string fault_of_request(Venue venue, const SubscriptionRequest& request,
                             std::size_t text_bytes_max, std::size_t request_bytes_max) {
  if (request.symbol.empty()) return "the symbol is empty";
  for (std::string fault : {fault_of_text("symbol", request.symbol, text_bytes_max),
                            fault_of_text("kind", request.kind, text_bytes_max),
                            fault_of_message("request", request.request, request_bytes_max),
                            fault_of_message("release", request.release, request_bytes_max)}) {
    if (!fault.empty()) return fault;
  }
  const bool builds = request.request.empty() || request.release.empty();
  switch (venue) {
    case Venue::raw:
      if (request.request.empty()) return "a raw venue needs the request to send, and it is empty";
      break;
    case Venue::binance:
      if (builds && !binance::is_stream_name(key_name(venue, request.symbol, request.kind)))
        return "symbol and kind give no stream name; they must read like btcusdt and trade";
      break;
    case Venue::alpaca:
      if (builds && !is_chosen_channel(request.kind))
        return "\"" + request.kind +
               "\" is no channel of alpaca to choose; use trades (corrections and cancelErrors "
               "come "
               "with them), quotes, bars, updatedBars, dailyBars, statuses, lulds or orderbooks";
      break;
  }
  return {};
}

PinnedKeys::PinnedKeys(Venue venue, const std::vector<std::string>& items) : venue_(venue) {
  for (const std::string& item : items) {
    const std::size_t colon = venue == Venue::alpaca ? item.find(':') : std::string::npos;
    if (colon != std::string::npos) {
      const std::string_view view = item;
      names_.insert(key_name(venue, view.substr(colon + 1), view.substr(0, colon)));
    } else if (venue == Venue::alpaca) {
      names_.insert(key_name(venue, item, "trades"));
      names_.insert(key_name(venue, item, "quotes"));
    } else {
      names_.insert(key_name(venue, item, ""));
    }
  }
}

bool PinnedKeys::cover(std::string_view symbol, std::string_view kind) const {
  return names_.contains(key_name(venue_, symbol, kind)) ||
         (venue_ == Venue::alpaca && names_.contains(key_name(venue_, "*", kind)));
}

std::string shared_request(Venue venue, bool subscribe, const std::vector<KeyText>& keys,
                           std::int64_t id) {
  std::vector<std::string> items;
  items.reserve(keys.size());
  for (const KeyText& key : keys) items.push_back(key_label(venue, key.symbol, key.kind));
  if (venue == Venue::binance)
    return subscribe ? binance::subscribe_request(items, id)
                     : binance::unsubscribe_request(items, id);
  // The channels were checked by fault_of_request(), so neither has an error to report.
  return (subscribe ? alpaca::subscribe_request(items) : alpaca::unsubscribe_request(items))
      .value_or(std::string());
}

std::string id_of_request(std::string_view request) {
  dom::parser parser;
  dom::object root;
  if (parser.parse(request.data(), request.size(), true).get(root) != simdjson::SUCCESS)
    return "null";
  return id_in(root).value_or("null");
}

VenueAnswer read_answer(Venue venue, std::string_view text) {
  if (text.size() > kAnswerBytesMax) return {};
  switch (venue) {
    case Venue::raw:
      break;
    case Venue::binance:
      return read_binance(text);
    case Venue::alpaca:
      return read_alpaca(text);
  }
  return {};
}

}  // namespace feedbench::upstream
