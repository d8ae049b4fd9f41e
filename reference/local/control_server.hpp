#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "reference/local/feed_registry.hpp"
#include "reference/local/listening_socket.hpp"

namespace feedbench::local {

struct ControlOptions {
  std::string path;   ///< Of the socket. Created with mode 0600, or 0660 with a group.
  std::string group;  ///< Members of this group may connect too; empty: the same user alone.
  std::string token;  ///< If not empty, a client must present it.
  std::uint32_t clients_max = 256;  ///< One more is told so and closed.
  /// The program ends this long after its last client went (or after the start); -1: never.
  std::int64_t linger_ns = -1;
  /// The same while no feed of it was ever live, and it had a client: that one may want another environment for the next.
  std::int64_t linger_unused_ns = -1;
  std::int64_t hello_timeout_ns = 5'000'000'000;  ///< For the first packet of a client.
  RegistryOptions registry;
};

/// The proxy's side of the local clients: one thread that sleeps in poll(), takes no signals, and never touches data.
/// It checks who connects (peer credentials, token), reads requests, and lets the FeedRegistry decide. A client that dies
/// is an end of file, and everything it held is let go of at once.
///
/// Bounds: clients_max clients; a packet of kPacketBytesMax; kOutboxPacketsMax packets waiting for a client that does not
/// read, then it is closed; kPacketsPerTurn requests of one client before the next client is looked at.
class ControlServer {
 public:
  /// Listens, and serves nobody before go().
  /// configured: the upstream of the proxy's own configuration, or null; must outlive the server, as must port.
  /// taken_over: what to go on with (see Succession), or null; its descriptors are taken.
  /// errors: the path (see ListeningSocket), an unknown group, no thread, something of taken_over that this
  /// configuration cannot have.
  static transports::Expected<std::unique_ptr<ControlServer>> create(
      ControlOptions options, FeedPort& port, const upstream::FeedParts* configured,
      const OpenRequest& configured_as, ProxyState* taken_over = nullptr);
  /// Serves from here on. Call it once.
  void go();
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  [[nodiscard]] const std::string& path() const noexcept;
  /// Clients connected now, ever (monitors and successors not counted), and refused ever (another user, a wrong token or
  /// version, too many). thread: any.
  [[nodiscard]] std::uint64_t clients() const noexcept;
  [[nodiscard]] std::uint64_t served() const noexcept;
  [[nodiscard]] std::uint64_t refused() const noexcept;

 private:
  class Loop;
  explicit ControlServer(std::unique_ptr<Loop> loop);

  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace feedbench::local
