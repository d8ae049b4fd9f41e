#include "reference/baselines/addresses.hpp"

#include <arpa/inet.h>
#include <netdb.h>

#include <array>
#include <charconv>
#include <memory>

namespace feedbench::baselines {
namespace {

tl::unexpected<transports::Error> bad_endpoint(std::string_view text, std::string_view why) {
  return tl::make_unexpected(transports::Error{"bad address \"" + std::string(text) +
                                                   "\": " + std::string(why) +
                                                   " (expected HOST:PORT, as in 127.0.0.1:8080)",
                                               0});
}

bool is_numeric(const std::string& host) {
  std::array<std::byte, sizeof(in6_addr)> parsed;
  return ::inet_pton(AF_INET, host.c_str(), parsed.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), parsed.data()) == 1;
}

bool read_port(std::string_view text, std::uint16_t& port) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  return error == std::errc{} && rest == end;
}

}  // namespace

transports::Expected<transports::Endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad_endpoint(text, "it has no port");
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);

  transports::Endpoint endpoint{std::string(host), 0};
  if (!is_numeric(endpoint.address)) return bad_endpoint(text, "the host is not a numeric address");
  if (!read_port(port_text, endpoint.port))
    return bad_endpoint(text, "the port is not a number from 0 to 65535");
  return endpoint;
}

transports::Expected<transports::Endpoint> resolve(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &list); error != 0) {
    return tl::make_unexpected(transports::Error{
        "look up " + host + ": " + ::gai_strerror(error) + " (check the host in --upstream)", 0});
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, &::freeaddrinfo);
  const addrinfo* chosen = list;
  for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
    if (each->ai_family == AF_INET) {
      chosen = each;
      break;
    }
  }
  std::array<char, NI_MAXHOST> text{};
  ::getnameinfo(chosen->ai_addr, chosen->ai_addrlen, text.data(), text.size(), nullptr, 0,
                NI_NUMERICHOST);
  return transports::Endpoint{text.data(), port};
}

}  // namespace feedbench::baselines
