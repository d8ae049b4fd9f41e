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

/// All WebSocket clients of the proxy, each as its plan says, and what each may demand: messages that follow one another
/// in the proxy's stream, an end that was explained. A node of the network.
class Clients {
 public:
  using Conn = transports::Conn;

  explicit Clients(World& world);

  [[nodiscard]] bool has_work() const { return transport_.has_work(); }
  void serve() { transport_.poll(*this, transport_.now()); }
  /// When one of them acts by itself next; INT64_MAX: never.
  [[nodiscard]] std::int64_t acts_at_ns() const { return acts_at_ns_; }
  void act();

  /// Those that had stopped reading for a while read on.
  void heal();
  /// Every client that lives has had everything there was.
  [[nodiscard]] bool all_caught_up() const;
  /// What is wrong with those that live, now that all has healed.
  void check_living();
  /// What is wrong with how they ended, now that the proxy has stopped.
  void check_ended();
  /// Those that the proxy must count among its clients.
  [[nodiscard]] std::size_t sure_to_stream() const;

  // The transport's handler.
  void on_open(Conn conn, bool accepted);
  void on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps&);
  void on_sent(Conn conn, std::size_t);
  void on_close(Conn conn, transports::CloseInfo info);
  void on_wake() {}
  std::span<std::byte> receive_space(Conn conn);

 private:
  enum class State : std::uint8_t { waiting, connecting, handshake, streaming, closing, ended };

  struct Client {
    ClientPlan plan;
    std::size_t number = 0;
    State state = State::waiting;
    Conn conn;
    std::int64_t act_at_ns = INT64_MAX;
    bool reads = true;
    bool broke_the_rules = false;  // so the proxy may end it as it likes
    std::vector<std::byte> space;
    std::string request;  // what of it is still to be sent
    std::string answer;   // a stranger's
    Outbox out;
    std::optional<websocket::ClientHandshake> handshake;
    websocket::MessageParser<websocket::Role::client> parser;
    std::size_t published_at_connect = 0;
    std::size_t published_at_welcome = 0;
    std::optional<std::size_t> position;  // of the last message, in the proxy's stream
    std::string last_ping;
    bool pong_came = true;
    std::optional<std::uint16_t> close_code;
  };
  struct Sink;

  void connect(Client& client);
  void start_handshake(Client& client);
  void welcome(Client& client, std::span<std::byte> rest);
  void act(Client& client);
  void take_message(Client& client, std::span<const std::byte> payload);
  void take_close(Client& client, const websocket::CloseStatus& status);
  void break_the_rules(Client& client);
  void frame(Client& client, websocket::Opcode opcode, std::string_view payload);
  void set_reading(Client& client, bool on);
  [[nodiscard]] bool must_live(const Client& client) const;
  [[nodiscard]] bool caught_up(const Client& client) const;
  [[nodiscard]] std::string name(const Client& client) const;
  void plan_next();

  World& world_;
  transports::SimTransport transport_;
  websocket::MaskKeys mask_keys_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<Client*> by_index_;
  std::int64_t acts_at_ns_ = INT64_MAX;
};

}  // namespace feedbench::simulate
