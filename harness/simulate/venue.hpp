#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/simulate/outbox.hpp"
#include "harness/simulate/world.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "transports/sim/sim_transport.hpp"

namespace feedbench::simulate {

/// The venue: takes the proxy's connections, well or badly, and sends what the tape records. A node of the network.
class Venue {
 public:
  using Conn = transports::Conn;
  static inline const transports::Endpoint kEndpoint{"10.0.0.2", 9443};

  explicit Venue(World& world);

  [[nodiscard]] bool has_work() const { return transport_.has_work(); }
  void serve() {
    transport_.poll(*this, transport_.now());
    plan_next();
  }
  /// When it acts by itself next; INT64_MAX: never.
  [[nodiscard]] std::int64_t acts_at_ns() const noexcept { return acts_at_ns_; }
  void act();

  /// Sends no more, and treats everybody well from now on.
  void heal();
  /// One more message, when all has healed, on every connection that looks alive from here. false: there is none.
  bool send_last();
  /// All of one of them is published, and its ping answered: that one is the proxy's.
  [[nodiscard]] bool all_published() const;
  [[nodiscard]] std::uint32_t connections() const noexcept { return next_number_; }

  // The transport's handler.
  void on_open(Conn conn, bool accepted);
  void on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps&);
  void on_sent(Conn conn, std::size_t);
  void on_close(Conn conn, transports::CloseInfo);
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }

 private:
  /// How a connection goes.
  enum class Welcome : std::uint8_t { good, dripping, refuses, rubbish, ignores, resets };
  enum class End : std::uint8_t { none, close_frame, fin, reset, rubbish, falls_silent };

  struct Peer {
    Conn conn;
    std::uint32_t number = 0;
    Welcome welcome = Welcome::good;
    End end = End::none;
    bool live = false;
    bool closing = false;  // nothing more is said
    std::int64_t burst_at_ns = INT64_MAX;
    std::int64_t end_at_ns = INT64_MAX;
    std::string drip;
    std::int64_t drip_at_ns = INT64_MAX;
    std::string last_ping;
    bool pong_came = true;
    Outbox out;
    websocket::ServerHandshake handshake;
    websocket::MessageParser<websocket::Role::server> parser;
  };
  struct Sink;

  void plan_next();
  void welcome(Peer& peer);
  void go_live(Peer& peer);
  void burst(Peer& peer);
  void message(Peer& peer, std::uint64_t fragment_one_in);
  void half_a_message(Peer& peer);
  void ping(Peer& peer);
  void end(Peer& peer);
  void say_rubbish(Peer& peer);
  void frame(Peer& peer, websocket::Opcode opcode, std::string_view payload, bool fin = true);

  World& world_;
  transports::SimTransport transport_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by Conn::index
  std::uint32_t next_number_ = 0;             // of connections that were welcomed
  bool ever_live_ = false;
  std::int64_t acts_at_ns_ = INT64_MAX;
};

}  // namespace feedbench::simulate
