#include "reference/upstream/resolve.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <memory>

namespace feedbench::upstream {

transports::Expected<std::vector<transports::Endpoint>> resolve(const std::string& host,
                                                                std::uint16_t port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (failure != 0)
    return tl::make_unexpected(
        transports::Error{"resolve " + host + ": " + ::gai_strerror(failure), 0});
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<transports::Endpoint> endpoints;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    char text[NI_MAXHOST];
    if (::getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST) ==
        0)
      endpoints.push_back({text, port});
  }
  if (endpoints.empty())
    return tl::make_unexpected(transports::Error{"resolve " + host + ": no address", 0});
  return endpoints;
}

}  // namespace feedbench::upstream
