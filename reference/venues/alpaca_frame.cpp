#include "reference/venues/alpaca_frame.hpp"

#include <simdjson.h>

#include <utility>

#include "reference/venues/json_scan.hpp"

namespace feedbench::venues::alpaca {
namespace {

using json_scan::Member;
using json_scan::ObjectScanner;
using json_scan::string_of;

constexpr std::string_view kTypeFirst = R"({"T":")";
constexpr std::string_view kSymbolSecond = R"(,"S":")";

constexpr std::pair<std::string_view, std::string_view> kChannelOfType[] = {
    {"t", "trades"},       {"q", "quotes"},     {"b", "bars"},  {"u", "updatedBars"},
    {"d", "dailyBars"},    {"s", "statuses"},   {"l", "lulds"}, {"c", "corrections"},
    {"x", "cancelErrors"}, {"o", "orderbooks"},
};

}  // namespace

MessageScanner::MessageScanner(std::string_view frame) noexcept : frame_(frame), position_(0) {
  position_ = json_scan::skip_space(frame, 0);
  position_ = position_ < frame.size() && frame[position_] == '[' ? position_ + 1 : frame.size();
}

bool MessageScanner::next(Message& message) noexcept {
  // An unescaped quote cannot stand inside a JSON string, so {"T":" occurs where an object begins
  // and nowhere else, and a search for braces finds the objects without looking at what lies
  // between them.
  std::size_t brace = frame_.find('{', position_);
  if (brace == std::string_view::npos) return false;
  if (object_ != std::string_view::npos && !frame_.substr(brace).starts_with(kTypeFirst)) {
    // This brace may stand in a string of the object before: step over that object by the book.
    brace = frame_.find('{', json_scan::skip_value(frame_, object_));
    if (brace == std::string_view::npos) return false;
  }
  object_ = std::string_view::npos;
  const std::string_view rest = frame_.substr(brace);
  if (rest.starts_with(kTypeFirst)) {
    const std::size_t type_end = rest.find('"', kTypeFirst.size());
    if (type_end == std::string_view::npos) return false;
    message.type = rest.substr(kTypeFirst.size(), type_end - kTypeFirst.size());
    message.symbol = {};
    const std::string_view behind = rest.substr(type_end + 1);
    const bool flat =
        message.type != "o";  // an order book holds objects: they are stepped over below
    if (flat && behind.starts_with(kSymbolSecond)) {
      const std::size_t symbol_end = behind.find('"', kSymbolSecond.size());
      if (symbol_end == std::string_view::npos) return false;
      message.symbol = behind.substr(kSymbolSecond.size(), symbol_end - kSymbolSecond.size());
      position_ = brace + type_end + 1 + symbol_end + 1;
      object_ = brace;
      return true;
    }
  }
  message = {};
  ObjectScanner scan(frame_, brace);
  for (Member member; scan.next(member);) {
    if (member.key == "T") message.type = string_of(member.value);
    if (member.key == "S") message.symbol = string_of(member.value);
  }
  if (scan.end() == json_scan::kNone) {
    position_ = frame_.size();
    return false;
  }
  position_ = scan.end();
  return true;
}

std::string_view channel_of_type(std::string_view type) noexcept {
  for (const auto& [name, channel] : kChannelOfType) {
    if (name == type) return channel;
  }
  return {};
}

Control control_of(std::string_view frame) {
  // Data types are one letter long, so the closing quote tells data from control at once.
  if (frame.starts_with(R"([{"T":")") && frame.size() > 8 && frame[8] == '"') return {};
  Message message;
  if (!MessageScanner(frame).next(message)) return {};
  if (message.type != "success" && message.type != "error" && message.type != "subscription")
    return {};
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  if (parser.parse(frame.data(), frame.size(), true).get(root) != simdjson::SUCCESS) return {};
  std::string_view text;
  std::int64_t code = 0;
  const auto object = root.at(0);
  const bool has_text = object["msg"].get(text) == simdjson::SUCCESS;
  if (message.type == "subscription") return {ControlKind::subscription, 0, {}};
  if (message.type == "error") {
    if (object["code"].get(code) != simdjson::SUCCESS) code = 0;
    return {ControlKind::error, static_cast<int>(code), std::string(text)};
  }
  if (has_text && text == "connected") return {ControlKind::connected, 0, {}};
  if (has_text && text == "authenticated") return {ControlKind::authenticated, 0, {}};
  return {};
}

}  // namespace feedbench::venues::alpaca
