#include "reference/venues/binance_frame.hpp"

#include <algorithm>
#include <utility>

#include "reference/venues/json_scan.hpp"

namespace feedbench::venues::binance {
namespace {

using json_scan::Member;
using json_scan::ObjectScanner;
using json_scan::string_of;

constexpr std::string_view kEnvelope = R"({"stream":")";
constexpr std::string_view kDataKey = R"(","data":)";

/// Event type in a frame -> stream type in a name. What is not here has the same name in both.
constexpr std::pair<std::string_view, std::string_view> kStreamTypes[] = {
    {"depthUpdate", "depth"},         {"24hrTicker", "ticker"},  {"24hrMiniTicker", "miniTicker"},
    {"1hTicker", "ticker_1h"},        {"4hTicker", "ticker_4h"}, {"1dTicker", "ticker_1d"},
    {"markPriceUpdate", "markPrice"},
};

std::string_view stream_type(std::string_view event) noexcept {
  for (const auto& [name, type] : kStreamTypes) {
    if (name == event) return type;
  }
  return event;
}

/// Puts a name together; one that does not fit is no name.
class NameWriter {
 public:
  explicit NameWriter(NameBuffer& buffer) noexcept : buffer_(buffer) {}
  void add(std::string_view text) noexcept {
    fits_ = fits_ && text.size() <= buffer_.size() - size_;
    if (!fits_) return;
    std::copy(text.begin(), text.end(), buffer_.begin() + static_cast<std::ptrdiff_t>(size_));
    size_ += text.size();
  }
  void add_lower(std::string_view text) noexcept {
    const std::size_t from = size_;
    add(text);
    for (std::size_t i = from; i < size_; ++i) {
      if (buffer_[i] >= 'A' && buffer_[i] <= 'Z') buffer_[i] = static_cast<char>(buffer_[i] + 32);
    }
  }
  [[nodiscard]] std::string_view name() const noexcept {
    return fits_ ? std::string_view{buffer_.data(), size_} : std::string_view{};
  }

 private:
  NameBuffer& buffer_;
  std::size_t size_ = 0;
  bool fits_ = true;
};

/// The keys of an event that its stream's name is made of.
struct EventKeys {
  std::string_view event, symbol, pair, contract, kline;
  bool book_ticker = false;
};

/// Reads on only until the name is known: a large depth update is left after its third key.
EventKeys read_keys(ObjectScanner scan) noexcept {
  EventKeys keys;
  bool bid = false, ask = false, first = true, id_first = false;
  for (Member member; scan.next(member); first = false) {
    if (member.key.size() > 2) break;  // an answer, or partial depth: events have short keys
    id_first = id_first || (first && member.key == "u");
    if (member.key == "e") keys.event = string_of(member.value);
    if (member.key == "s") keys.symbol = string_of(member.value);
    if (member.key == "ps") keys.pair = string_of(member.value);
    if (member.key == "ct") keys.contract = string_of(member.value);
    if (member.key == "k") keys.kline = member.value;
    bid = bid || member.key == "B";
    ask = ask || member.key == "A";
    if (id_first && keys.event.empty() && !keys.symbol.empty()) {
      // Of all events spot's bookTicker alone begins with update id and symbol and has no type.
      keys.book_ticker = true;
      return keys;
    }
    const bool is_kline = keys.event == "kline" || keys.event == "continuous_kline";
    if (!keys.event.empty() && !is_kline && !keys.symbol.empty()) break;
    if (is_kline && !keys.kline.empty()) break;
  }
  keys.book_ticker = keys.event.empty() && bid && ask;
  return keys;
}

std::string_view interval_of(std::string_view kline) noexcept {
  ObjectScanner scan(kline, 0);
  for (Member member; scan.next(member);) {
    if (member.key == "i") return string_of(member.value);
  }
  return {};
}

std::string_view array_stream(std::string_view frame, NameBuffer& buffer) noexcept {
  const EventKeys keys = read_keys(ObjectScanner(frame, json_scan::skip_space(frame, 1)));
  if (keys.event.empty()) return {};
  NameWriter name(buffer);
  name.add("!");
  name.add(stream_type(keys.event));
  name.add("@arr");
  return name.name();
}

}  // namespace

std::string_view stream_of_combined(std::string_view frame) noexcept {
  if (!is_combined(frame)) return {};
  frame.remove_prefix(kEnvelope.size());
  // A name is short; looking no further keeps a frame that lacks the closing quote from costing its
  // whole length.
  const std::string_view head = frame.substr(0, 256);
  const std::size_t quote = head.find('"');
  if (quote == std::string_view::npos) return {};
  return head.substr(0, quote);
}

std::string_view stream_of_raw(std::string_view frame, NameBuffer& buffer) noexcept {
  if (frame.empty()) return {};
  if (frame.front() == '[') return array_stream(frame, buffer);
  const EventKeys keys = read_keys(ObjectScanner(frame, 0));
  NameWriter name(buffer);
  if (keys.event == "continuous_kline") {
    name.add_lower(keys.pair);
    name.add("_");
    name.add_lower(keys.contract);
    name.add("@continuousKline_");
    name.add(interval_of(keys.kline));
    return name.name();
  }
  if (keys.symbol.empty() || (keys.event.empty() && !keys.book_ticker)) return {};
  name.add_lower(keys.symbol);
  name.add("@");
  name.add(keys.book_ticker ? "bookTicker" : stream_type(keys.event));
  if (keys.event == "kline") {
    name.add("_");
    name.add(interval_of(keys.kline));
  }
  return name.name();
}

std::string_view stream_of(std::string_view frame, NameBuffer& buffer) noexcept {
  return is_combined(frame) ? stream_of_combined(frame) : stream_of_raw(frame, buffer);
}

std::string_view data_of_combined(std::string_view frame) noexcept {
  const std::string_view stream = stream_of_combined(frame);
  if (stream.data() == nullptr) return {};
  frame.remove_prefix(kEnvelope.size() + stream.size());
  if (!frame.starts_with(kDataKey) || !frame.ends_with('}')) return {};
  return frame.substr(kDataKey.size(), frame.size() - kDataKey.size() - 1);
}

bool is_server_shutdown(std::string_view frame) noexcept {
  return frame.starts_with(R"({"e":"serverShutdown")") ||
         frame.starts_with(R"({"stream":"!serverShutdown")");
}

bool is_answer(std::string_view frame) noexcept {
  ObjectScanner scan(frame, 0);
  Member first;
  return scan.next(first) && (first.key == "result" || first.key == "error" || first.key == "id" ||
                              first.key == "code");
}

std::string_view symbol_of_stream(std::string_view stream) noexcept {
  if (stream.starts_with('!')) return {};
  const std::size_t at = stream.find('@');
  return at == std::string_view::npos ? std::string_view{} : stream.substr(0, at);
}

std::string_view type_of_stream(std::string_view stream) noexcept {
  if (stream.starts_with('!')) return stream;
  const std::size_t at = stream.find('@');
  return at == std::string_view::npos ? stream : stream.substr(at + 1);
}

}  // namespace feedbench::venues::binance
