#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "reference/client/packet_socket.hpp"
#include "reference/local/client_bell.hpp"
#include "reference/local/feed_registry.hpp"
#include "transports/clock.hpp"

namespace feedbench::local {

/// One connected client, as the control thread sees it: its socket, who it is, and what waits to be told to it.
class ControlSession {
 public:
  /// Packets that may wait for a client that does not read; one more ends it.
  static constexpr std::size_t kOutboxPacketsMax = 1024;

  ControlSession(UserId user, rings::Descriptor connection, const ucred& peer,
                 transports::MonotonicInstant until)
      : id(user), socket(std::move(connection)), pid(peer.pid), uid(peer.uid), hello_until(until) {}

  /// Queues one packet and sends what the socket takes. descriptors: duplicated if they must wait.
  void tell(std::string packet, const std::vector<int>& descriptors);
  /// Sends what waits. Call when the socket can be written.
  void flush();
  [[nodiscard]] bool wants_to_write() const noexcept { return !outbox_.empty(); }

  /// It is to be let go of: it said something that no client says, does not read, or is gone.
  void end(std::string why) {
    if (!ended) ending = std::move(why);
    ended = true;
  }

  UserId id;
  rings::Descriptor socket;
  pid_t pid;
  uid_t uid;
  std::string name;
  bool greeted = false;  ///< Its hello was good.
  bool monitor = false;  ///< It only looks on (kHelloMonitor).
  bool ended = false;
  std::string ending;  ///< Why, for the log; empty: it went by itself.
  transports::MonotonicInstant hello_until;
  std::shared_ptr<ClientBell> bell;
  std::uint32_t log_level = static_cast<std::uint32_t>(feedproxy::control::LogLevel::off);

 private:
  struct Outgoing {
    std::string packet;
    std::vector<rings::Descriptor> descriptors;
  };
  /// false: the packet must wait, or never will be sent.
  bool send(const std::string& packet, const std::vector<int>& descriptors);

  std::deque<Outgoing> outbox_;
};

}  // namespace feedbench::local
