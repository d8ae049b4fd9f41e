#include "reference/websocket/url.hpp"

#include <algorithm>
#include <charconv>

namespace feedbench::websocket {
namespace {

using transports::Error;

tl::unexpected<Error> bad(std::string_view url, std::string_view why) {
  std::string message = "WebSocket URL \"";
  message.append(url.substr(0, 200)).append("\": ").append(why);
  return tl::unexpected(Error{std::move(message), 0});
}

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool starts_with_no_case(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  for (std::size_t i = 0; i < prefix.size(); ++i) {
    if (to_lower(text[i]) != prefix[i]) return false;
  }
  return true;
}

/// Graphic ASCII; anything else must be percent-encoded by whoever writes the URL.
bool printable(std::string_view text) {
  for (const char c : text) {
    if (c <= ' ' || c > '~') return false;
  }
  return true;
}

}  // namespace

std::string WsUrl::host_header() const {
  std::string value = host;
  if (host.find(':') != std::string::npos) value.insert(0, 1, '[').push_back(']');
  if (port != (tls ? 443 : 80)) value.append(":").append(std::to_string(port));
  return value;
}

std::string WsUrl::normal() const {
  std::string where = host_header();
  std::transform(where.begin(), where.end(), where.begin(), to_lower);
  return (tls ? "wss://" : "ws://") + where + target;
}

transports::Expected<WsUrl> parse_url(std::string_view url) {
  WsUrl result;
  std::string_view rest = url;
  if (starts_with_no_case(rest, "wss://")) {
    result.tls = true;
    rest.remove_prefix(6);
  } else if (starts_with_no_case(rest, "ws://")) {
    rest.remove_prefix(5);
  } else {
    return bad(url, "must begin with ws:// or wss://");
  }
  if (!printable(rest))
    return bad(url, "holds a space, a control character or non-ASCII (percent-encode it)");
  if (rest.find('#') != std::string_view::npos) return bad(url, "a fragment (#...) is not allowed");

  const std::size_t authority_end = rest.find_first_of("/?");
  std::string_view authority = rest.substr(0, authority_end);
  if (authority_end != std::string_view::npos) {
    const std::string_view target = rest.substr(authority_end);
    result.target = target;
    if (target.front() == '?') result.target.insert(0, 1, '/');
  }
  if (authority.find('@') != std::string_view::npos) {
    // Without the authority: the message must not carry a password into a log.
    return bad(url.substr(0, url.find("//") + 2), "user names and passwords are not supported");
  }

  std::string_view port;
  bool has_port = false;
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos)
      return bad(url, "the bracket of the IPv6 address is not closed");
    result.host = authority.substr(1, end - 1);
    const std::string_view after = authority.substr(end + 1);
    if (!after.empty() && after.front() != ':')
      return bad(url, "expected :port after the IPv6 address");
    has_port = !after.empty();
    if (has_port) port = after.substr(1);
  } else {
    const std::size_t colon = authority.find(':');
    if (colon != authority.rfind(':')) {
      return bad(url, "an IPv6 address needs brackets, as in ws://[::1]:9001/");
    }
    result.host = authority.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = authority.substr(colon + 1);
  }
  if (result.host.empty()) return bad(url, "the host is missing");

  result.port = result.tls ? 443 : 80;
  if (has_port) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), result.port);
    if (error != std::errc{} || end != port.data() + port.size() || result.port == 0) {
      return bad(url, "the port must be a number from 1 to 65535");
    }
  }
  return result;
}

}  // namespace feedbench::websocket
