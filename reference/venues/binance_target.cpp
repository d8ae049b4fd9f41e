#include "reference/venues/binance_target.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "reference/venues/binance_session.hpp"

namespace feedbench::venues::binance {
namespace {

constexpr std::size_t kNameBytesMax = 96;

bool is_alphanumeric(char byte) noexcept {
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
         (byte >= 'A' && byte <= 'Z');
}

bool is_name_byte(char byte) noexcept {
  return is_alphanumeric(byte) || std::string_view("_!@+:.-").find(byte) != std::string_view::npos;
}

int hex_digit(char byte) noexcept {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return -1;
}

/// "btcusdt%40trade" -> "btcusdt@trade"; nothing if an escape is cut off or no hex.
std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_digit(text[i + 1]);
    const int low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

Error fault(std::string_view target, std::string_view what) {
  return Error{fmt::format("binance target \"{}\": {}", target, what), 0};
}

/// Adds the names of "a/b/c". Returns what is wrong, or nothing.
std::optional<std::string> add_streams(std::string_view list, std::vector<std::string>& streams) {
  while (!list.empty()) {
    const std::size_t slash = std::min(list.find('/'), list.size());
    const std::string_view name = list.substr(0, slash);
    list.remove_prefix(std::min(slash + 1, list.size()));
    if (name.empty()) continue;
    if (is_stream_name(name)) {
      if (std::find(streams.begin(), streams.end(), name) == streams.end())
        streams.emplace_back(name);
    } else if (!std::all_of(name.begin(), name.end(), is_alphanumeric)) {
      return fmt::format("\"{}\" is no stream name", name);
    }
  }
  if (streams.size() > kStreamsMax) {
    return fmt::format("{} streams; the most is {}", streams.size(), kStreamsMax);
  }
  return std::nullopt;
}

std::optional<std::string> read_query(std::string_view query, Target& parsed) {
  while (!query.empty()) {
    const std::size_t ampersand = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, ampersand);
    query.remove_prefix(std::min(ampersand + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view key = pair.substr(0, equals);
    const auto value = percent_decode(pair.substr(std::min(equals + 1, pair.size())));
    if (!value) return "a % escape is malformed";
    if (key == "streams" && parsed.combined) {
      if (auto wrong = add_streams(*value, parsed.streams)) return wrong;
    } else if (key == "timeUnit") {
      const bool micro = *value == "MICROSECOND" || *value == "microsecond";
      const bool milli = *value == "MILLISECOND" || *value == "millisecond";
      if (!micro && !milli) return "timeUnit is neither MILLISECOND nor MICROSECOND";
      parsed.microseconds = micro;
    }
  }
  return std::nullopt;
}

}  // namespace

bool is_stream_name(std::string_view name) noexcept {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  if (!std::all_of(name.begin(), name.end(), is_name_byte)) return false;
  if (name.front() == '!') return name.size() > 1;
  const std::size_t at = name.find('@');
  return at != std::string_view::npos && at > 0 && at + 1 < name.size();
}

Expected<Target> parse_target(std::string_view target) {
  const std::size_t question = std::min(target.find('?'), target.size());
  const auto path = percent_decode(target.substr(0, question));
  if (!path) return tl::unexpected(fault(target, "a % escape is malformed"));
  Target parsed;
  std::string_view streams;
  if (*path == "/stream" || *path == "/stream/") {
    parsed.combined = true;
  } else if (*path == "/ws" || path->starts_with("/ws/")) {
    streams = std::string_view(*path).substr(3);
  } else {
    return tl::unexpected(
        fault(target, "no such path; use /ws, /ws/<stream>/... or /stream?streams=<stream>/..."));
  }
  auto wrong = add_streams(streams, parsed.streams);
  if (!wrong) wrong = read_query(target.substr(std::min(question + 1, target.size())), parsed);
  if (wrong) return tl::unexpected(fault(target, *wrong));
  return parsed;
}

}  // namespace feedbench::venues::binance
