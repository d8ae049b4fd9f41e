#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "harness/load/stream_checker.hpp"
#include "reference/websocket/handshake.hpp"
#include "transports/epoll/epoll_transport.hpp"
#include "transports/transport.hpp"

namespace feedbench::load {

enum class ClientKind : std::uint8_t {
  websocket,  ///< opening handshake, then frames
  tcp,        ///< frames from the first byte on (the relay)
};

/// What a swarm is created with.
struct SwarmOptions {
  ClientKind kind = ClientKind::websocket;
  std::uint32_t clients_max = 1;  ///< tables are sized once for this many
  std::size_t receive_buffer_bytes =
      256U * 1024U;  ///< one buffer, shared by all clients; the largest chunk
};

/// Many clients of one server in one thread. Every chunk is checked as it comes (StreamChecker); who listens is told
/// which frames became whole.
/// thread: one.
class Swarm {
 public:
  /// throws transports::Error.
  Swarm(std::shared_ptr<const mock_exchange::PreparedSession> session, const SwarmOptions& options);

  /// Opens connections until there are `total`. Their handshakes go on in poll().
  transports::Expected<void> connect(const transports::Endpoint& server, std::uint32_t total);

  /// Connections that are ready for frames now.
  [[nodiscard]] std::uint32_t ready() const noexcept { return ready_; }
  /// Connections that ended or never came up; the reason of the first.
  [[nodiscard]] std::uint32_t closed() const noexcept { return closed_; }
  [[nodiscard]] const std::string& first_failure() const noexcept { return first_failure_; }
  [[nodiscard]] const StreamChecker& checker() const noexcept { return checker_; }

  /// Looks at every connection once. delivered(client, first, last, now): sequences [first, last) became whole.
  /// returns how much was done; 0: nothing.
  template <class Delivered>
  std::size_t poll(Delivered&& delivered) {
    Handler<Delivered> handler{*this, delivered};
    return transport_.poll(handler, transports::MonotonicInstant{});
  }

  /// Closes what is open and concludes open questions of the checker.
  void close_all();

 private:
  enum class Phase : std::uint8_t { connecting, handshaking, streaming, closed };
  struct Client {
    transports::Conn conn;
    Phase phase = Phase::connecting;
    std::unique_ptr<websocket::ClientHandshake> handshake;  // until it is done
  };

  // Told apart from Swarm so that the callback is inlined into the receive loop.
  template <class Delivered>
  struct Handler {
    Swarm& swarm;
    Delivered& delivered;

    void on_open(transports::Conn conn, bool) { swarm.opened(conn); }
    void on_receive(transports::Conn conn, std::span<std::byte> bytes,
                    const transports::RxStamps&) {
      const transports::TscInstant now = transports::TscInstant::now();
      const std::uint32_t client = swarm.client_of_[conn.index];
      std::span<const std::byte> frames = bytes;
      if (swarm.clients_[client].phase != Phase::streaming) [[unlikely]] {
        frames = swarm.handshake(client, bytes);
        if (frames.empty()) return;
      }
      const auto advance = swarm.checker_.on_bytes(client, frames);
      delivered(client, advance.first, advance.last, now);
    }
    void on_sent(transports::Conn, std::size_t) {}
    void on_close(transports::Conn conn, transports::CloseInfo info) { swarm.ended(conn, info); }
    void on_wake() {}
    std::span<std::byte> receive_space(transports::Conn) { return {}; }
  };

  void opened(transports::Conn conn);
  std::span<const std::byte> handshake(std::uint32_t client, std::span<const std::byte> bytes);
  void ended(transports::Conn conn, transports::CloseInfo info);
  void fail(std::uint32_t client, const std::string& why);

  SwarmOptions options_;
  transports::EpollTransport transport_;
  StreamChecker checker_;
  std::vector<Client> clients_;
  std::vector<std::uint32_t> client_of_;  // by Conn::index
  std::string host_;
  std::string first_failure_;
  std::uint32_t ready_ = 0;
  std::uint32_t closed_ = 0;
  bool closing_ = false;
};

}  // namespace feedbench::load
