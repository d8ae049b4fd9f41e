#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/close_handshake.hpp"
#include "reference/websocket/message_parser.hpp"

namespace feedbench::websocket::testing {

/// A WebSocket endpoint made of the codec alone: echoes messages, answers pings and Close, fails as
/// RFC 6455 demands. What it would send is appended to output(); dropped() tells when it would end
/// TCP.
template <Role kRole>
class EchoEndpoint {
 public:
  explicit EchoEndpoint(const ParserLimits& limits = kDefaultParserLimits) : parser_(limits) {}

  /// Bytes from the peer; a copy is fed, as a receive buffer would be.
  void feed(std::span<const std::byte> bytes) {
    if (dropped_) return;
    received_.assign(bytes.begin(), bytes.end());
    const ParseResult result = parser_.feed(received_, *this);
    if (result.status == ParseStatus::failed) {
      fault_ = result.fault;
      if (close_.fail()) send_close(result.close_code(), result.text());
    }
    if (close_.drop_now()) dropped_ = true;
  }

  void close(CloseCode code, std::string_view reason = {}) {
    if (close_.begin()) send_close(code, reason);
  }
  /// Sends a message if the closing handshake still allows it. returns whether it did.
  bool send(Opcode opcode, std::span<const std::byte> payload) {
    if (!close_.may_send()) return false;
    append(opcode, payload);
    return true;
  }

  [[nodiscard]] const std::vector<std::byte>& output() const { return output_; }
  void clear_output() { output_.clear(); }
  [[nodiscard]] bool dropped() const { return dropped_; }
  [[nodiscard]] Fault fault() const { return fault_; }
  [[nodiscard]] const CloseHandshake& closing() const { return close_; }
  [[nodiscard]] const ParserCounters& counters() const { return parser_.counters(); }

  // What the parser calls.
  void on_message(Opcode opcode, std::span<const std::byte> payload) { send(opcode, payload); }
  void on_ping(std::span<const std::byte> payload) { send(Opcode::pong, payload); }
  void on_pong(std::span<const std::byte>) {}
  void on_close(const CloseStatus& status) {
    if (close_.peer_closed(status)) send_close(close_.reply_code(), {});
  }

 private:
  void append(Opcode opcode, std::span<const std::byte> payload) {
    const std::size_t before = output_.size();
    output_.resize(before + kHeaderBytesMax + payload.size());
    const std::span<std::byte> room(output_.data() + before, kHeaderBytesMax + payload.size());
    std::size_t bytes = 0;
    if constexpr (kRole == Role::server) {
      bytes = build_server_frame(room, opcode, payload);
    } else {
      bytes = build_client_frame(room, opcode, payload, keys_.next());
    }
    output_.resize(before + bytes);
  }
  void send_close(CloseCode code, std::string_view reason) {
    append(Opcode::close, make_close_payload(code, reason).span());
  }

  MessageParser<kRole> parser_;
  CloseHandshake close_{kRole};
  MaskKeys keys_{1};
  std::vector<std::byte> received_;
  std::vector<std::byte> output_;
  Fault fault_ = Fault::none;
  bool dropped_ = false;
};

}  // namespace feedbench::websocket::testing
