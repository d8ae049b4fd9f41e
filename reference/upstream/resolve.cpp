#include "reference/upstream/resolve.hpp"

#include <netdb.h>
#include <sys/socket.h>

#include <memory>
#include <utility>

#include "transports/quiet_thread.hpp"

namespace feedbench::upstream {
namespace {

Endpoints look_up(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
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

}  // namespace

std::optional<std::vector<transports::Endpoint>> numeric_endpoint(const std::string& host,
                                                                  std::uint16_t port) {
  auto found = look_up(host, port, AI_NUMERICHOST);
  if (!found) return std::nullopt;
  return std::move(*found);
}

Endpoints resolve(const std::string& host, std::uint16_t port) { return look_up(host, port, 0); }

transports::Expected<void> resolve_elsewhere(std::string host, std::uint16_t port,
                                             std::function<void(Endpoints)> done) {
  auto thread = transports::start_quiet_thread(
      [host = std::move(host), port, done = std::move(done)] { done(resolve(host, port)); });
  if (!thread)
    return tl::make_unexpected(
        transports::Error{"resolve a name: " + thread.error().message, thread.error().os_error});
  thread->detach();
  return {};
}

}  // namespace feedbench::upstream
