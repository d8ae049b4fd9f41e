#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <string_view>

#include "transports/transport.hpp"

namespace feedbench::mock_exchange::testing {

/// A TCP connection at the level of bytes, non-blocking: for what no WebSocket library would send.
class RawClient {
 public:
  explicit RawClient(const transports::Endpoint& endpoint)
      : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    ::inet_pton(AF_INET, endpoint.address.c_str(), &address.sin_addr);
    if (::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("connect failed");
    }
    ::fcntl(descriptor_, F_SETFL, O_NONBLOCK);
  }
  ~RawClient() { ::close(descriptor_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void send(std::string_view bytes) {
    ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void upgrade(std::string_view target = "/") {
    send("GET " + std::string(target) +
         " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  }

  /// Takes in what has come. Returns everything received so far.
  const std::string& receive() {
    char chunk[65536];
    while (!ended_) {
      const ssize_t bytes = ::recv(descriptor_, chunk, sizeof chunk, 0);
      if (bytes > 0) {
        received_.append(chunk, static_cast<std::size_t>(bytes));
        continue;
      }
      if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) break;
      ended_ = true;
      reset_ = bytes < 0;
    }
    return received_;
  }
  /// What follows the head of the HTTP response.
  std::string after_head() {
    const std::size_t end = receive().find("\r\n\r\n");
    return end == std::string::npos ? std::string() : received_.substr(end + 4);
  }
  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool was_reset() const { return reset_; }

 private:
  int descriptor_;
  std::string received_;
  bool ended_ = false;
  bool reset_ = false;
};

}  // namespace feedbench::mock_exchange::testing
