#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reference/websocket/frame_header.hpp"

/// Boost.Beast's own WebSocket endpoint as a test oracle. No Boost header is seen outside beast_peer.cpp.
namespace feedbench::websocket::testing {

/// A beast::websocket::stream over Beast's in-memory stream, whose wire ends in the test's hands. Nothing blocks: each
/// call runs Beast until it has nothing left to do.
class BeastPeer {
 public:
  struct Options {
    std::size_t read_chop_bytes = 0;  ///< At most so many bytes a read; 0: as many as there are.
    std::size_t fragment_bytes =
        0;  ///< Messages it sends are cut into frames of this size (8 or more); 0: whole.
    bool record = true;            ///< false: events() stays empty, messages() counts (benchmarks).
    std::string subprotocol = {};  ///< Chosen as a server, offered as a client.
  };

  /// role: Beast's, not ours.
  BeastPeer(Role role, Options options);
  ~BeastPeer();
  BeastPeer(const BeastPeer&) = delete;
  BeastPeer& operator=(const BeastPeer&) = delete;

  /// Bytes from us to it.
  void feed(std::span<const std::byte> bytes);
  /// Everything it has written since the last call.
  std::string take_output();

  void send(bool is_text, std::string_view payload);
  void send_ping(std::string_view payload);
  void send_pong(std::string_view payload);
  void close(unsigned code, std::string_view reason);

  /// What it has seen so far, in order: "T:payload", "B:payload", "ping:x", "pong:x", "close:1000:reason".
  [[nodiscard]] const std::vector<std::string>& events() const;
  /// Messages it has read so far.
  [[nodiscard]] std::size_t messages() const;
  [[nodiscard]] bool handshake_done() const;
  /// Its reading has ended, for whatever reason.
  [[nodiscard]] bool ended() const;
  /// Its reading has ended because of a Close that it took for valid.
  [[nodiscard]] bool ended_by_close() const;
  /// The error it ended with, in Beast's words; empty while it reads.
  [[nodiscard]] std::string error() const;
  /// close() has completed: its Close was answered.
  [[nodiscard]] bool close_completed() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace feedbench::websocket::testing
