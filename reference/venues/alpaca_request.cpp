#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>

#include "reference/venues/alpaca_session.hpp"

/// The client's side: what the proxy sends to the venue.
namespace feedbench::venues::alpaca {
namespace {

/// Credentials come from outside, so whatever they hold has to survive as JSON.
void append_json_string(std::string_view text, std::string& into) {
  into += '"';
  for (const char byte : text) {
    if (byte == '"' || byte == '\\') into += '\\';
    if (static_cast<unsigned char>(byte) < 0x20) {
      fmt::format_to(std::back_inserter(into), "\\u{:04x}", static_cast<unsigned>(byte));
    } else {
      into += byte;
    }
  }
  into += '"';
}

Expected<std::string> request_text(std::string_view action, const std::vector<std::string>& items) {
  std::array<std::string, kChannels> lists;
  const auto add = [&](std::size_t channel, std::string_view symbol) {
    if (!lists[channel].empty()) lists[channel] += ',';
    append_json_string(symbol, lists[channel]);
  };
  for (const std::string& item : items) {
    const std::size_t colon = item.find(':');
    const std::string_view symbol =
        std::string_view(item).substr(colon + 1);  // npos + 1 is 0: all of it
    if (symbol.empty()) {
      return tl::unexpected(
          Error{fmt::format("alpaca subscription \"{}\": no symbol behind the colon", item), 0});
    }
    if (colon == std::string::npos) {
      add(static_cast<std::size_t>(Channel::trades), symbol);
      add(static_cast<std::size_t>(Channel::quotes), symbol);
      continue;
    }
    const std::string_view name = std::string_view(item).substr(0, colon);
    std::size_t channel = 0;
    while (channel < kChannels && to_string(static_cast<Channel>(channel)) != name) ++channel;
    if (channel == kChannels) {
      return tl::unexpected(Error{fmt::format("alpaca subscription \"{}\": \"{}\" is no channel; "
                                              "use trades, quotes, bars, updatedBars, "
                                              "dailyBars, statuses, lulds or orderbooks",
                                              item, name),
                                  0});
    }
    add(channel, symbol);
  }
  std::string text = fmt::format(R"({{"action":"{}")", action);
  for (std::size_t channel = 0; channel < kChannels; ++channel) {
    if (lists[channel].empty()) continue;
    fmt::format_to(std::back_inserter(text), R"(,"{}":[{}])",
                   to_string(static_cast<Channel>(channel)), lists[channel]);
  }
  return text + '}';
}

}  // namespace

std::string auth_request(const Credentials& credentials) {
  std::string text = R"({"action":"auth","key":)";
  append_json_string(credentials.reveal_key(), text);
  text += R"(,"secret":)";
  append_json_string(credentials.reveal_secret(), text);
  return text + '}';
}

Expected<std::string> subscribe_request(const std::vector<std::string>& items) {
  return request_text("subscribe", items);
}
Expected<std::string> unsubscribe_request(const std::vector<std::string>& items) {
  return request_text("unsubscribe", items);
}

}  // namespace feedbench::venues::alpaca
