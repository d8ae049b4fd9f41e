#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reference/downstream/control_queue.hpp"
#include "reference/downstream/fan_out.hpp"
#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/transport.hpp"

namespace feedbench::downstream {

struct HubOptions {
  std::uint32_t connections_max = 4096;  ///< Size of the transport's connection table.
  std::uint32_t clients_max = 4000;  ///< One more is reset: the other places are not for clients.
  std::uint64_t lag_max_bytes = 8u << 20;  ///< A client further behind is evicted with 1013.
  std::int64_t handshake_timeout_ns = 10'000'000'000;
  std::int64_t close_timeout_ns =
      5'000'000'000;  ///< For what is left of a frame, our Close and the client's.
  std::uint64_t client_message_max_bytes =
      64 * 1024;  ///< Clients have nothing to say; a larger message is 1009.
  std::string allow_origin =
      "";  ///< The one Origin a browser may come from; "*": any; empty: none. No Origin is always good.
};

/// All WebSocket clients of the proxy: their handshake, their control frames, their stream (FanOut), their end.
/// What a client says is checked and counted, and goes nowhere: one client cannot change what another receives.
///
/// Bounds: one Client (some 300 bytes) a connection; a handshake's head is bounded by websocket::ServerHandshake; what
/// waits to be sent beside the log is bounded by ControlQueue; lag is bounded by lag_max_bytes, then eviction.
/// thread: the polling thread. Allocation: at accept, handshake and control frames alone.
/// T: a Transport; the owner forwards the callbacks of connections for which owns() is true.
template <class T>
class ClientHub {
 public:
  using Conn = transports::Conn;
  using CloseCode = websocket::CloseCode;

  ClientHub(T& transport, rings::FeedLogWriter& log, const HubOptions& options)
      : transport_(transport),
        log_(log),
        options_(options),
        fan_out_(transport, log, options.lag_max_bytes, options.connections_max),
        clients_(options.connections_max) {
    limits_.message_bytes_max = options.client_message_max_bytes;
    too_slow_.reserve(64);
  }

  [[nodiscard]] bool owns(Conn conn) const noexcept {
    return conn.index < clients_.size() && clients_[conn.index] &&
           clients_[conn.index]->conn == conn;
  }
  [[nodiscard]] std::size_t size() const noexcept { return connected_; }
  /// True while a send that reads the log is being cancelled: until then the log must not grow.
  [[nodiscard]] bool log_must_wait() const noexcept { return cancelling_ != 0; }

  /// The log has grown: sends it on, and evicts who is too far behind.
  void publish() {
    fan_out_.publish([this](Conn conn) { too_slow_.push_back(conn); });
    if (too_slow_.empty()) return;
    for (const Conn conn : too_slow_) evict(*clients_[conn.index]);
    too_slow_.clear();
  }

  void on_open(Conn conn) {
    if (connected_ == options_.clients_max) {
      log_.stats().clients_refused.add();
      return transport_.abort(conn);
    }
    clients_[conn.index] = std::make_unique<Client>(conn, limits_);
    clients_[conn.index]->deadline = transport_.now() + options_.handshake_timeout_ns;
    ++connected_;
  }

  void on_receive(Conn conn, std::span<std::byte> bytes) {
    Client& client = *clients_[conn.index];
    if (client.state == State::handshake) return shake_hands(client, bytes);
    if (client.refused || client.state == State::dropped) return;
    Sink sink{*this, client};
    const websocket::ParseResult result = client.parser.feed(bytes, sink);
    if (result.status == websocket::ParseStatus::failed && listens(client)) {
      log_.stats().clients_failed.add();
      client.peer_closed =
          true;  // nothing it says from here on is understood: its Close is not waited for
      start_close(client, result.close_code(), result.text());
    }
  }

  void on_sent(Conn conn, std::size_t bytes) {
    Client& client = *clients_[conn.index];
    log_.stats().bytes_sent.add(bytes);
    if (client.control.in_flight()) {
      client.control.sent(bytes);
    } else {
      fan_out_.sent(conn, bytes, client.state == State::streaming && client.control.empty());
      if (client.state == State::evicting && !client.cut) finish_eviction(client);
    }
    pump(client);
  }

  void on_close(Conn conn, transports::CloseInfo) {
    if (!owns(conn)) return;  // one more than clients_max
    Client& client = *clients_[conn.index];
    if (client.state == State::evicting && !client.cut) --cancelling_;
    fan_out_.remove(conn);
    if (client.counted) log_.stats().clients.subtract();
    clients_[conn.index].reset();
    --connected_;
  }

  /// Ends who is over its time. Call about once a second. Cost: a look at every connection.
  void on_time(transports::MonotonicInstant now) {
    for (const std::unique_ptr<Client>& client : clients_)
      if (client && client->deadline.ns != 0 && now > client->deadline)
        transport_.abort(client->conn);
  }

  /// Tells every client that this end goes away (1001) and closes each when it has answered.
  void stop() {
    for (const std::unique_ptr<Client>& client : clients_) {
      if (!client) continue;
      if (client->state == State::streaming)
        start_close(*client, CloseCode::going_away, "proxy stops");
      else if (client->state == State::handshake || client->state == State::answering)
        transport_.abort(client->conn);
    }
  }

 private:
  enum class State : std::uint8_t {
    handshake,  // the request is not whole
    answering,  // the 101, or a refusal, is being sent
    streaming,  // gets the log
    evicting,   // too slow: the frame in flight is finished, then Close 1013
    closing,    // a Close of ours is queued or sent; waits for the client's
    dropped,    // everything is said; the transport closes
  };

  struct Client {
    Client(Conn of, const websocket::ParserLimits& limits) : conn(of), parser(limits) {}
    Conn conn;
    State state = State::handshake;
    bool refused = false;      // answering: the answer is no
    bool counted = false;      // in stats().clients
    bool cut = false;          // evicting: the rest of the cut frame and the Close are queued
    bool peer_closed = false;  // its Close came
    transports::MonotonicInstant deadline;  // 0: none
    std::uint64_t eviction_begin =
        0;  // evicting: the frame boundary that the cancelled send started from
    ControlQueue control;
    websocket::MessageParser<websocket::Role::server, websocket::Delivery::discard> parser;
    std::unique_ptr<websocket::ServerHandshake> handshake =
        std::make_unique<websocket::ServerHandshake>();
  };

  /// What the parser hands out.
  struct Sink {
    ClientHub& hub;
    Client& client;
    void on_ping(std::span<const std::byte> payload) { hub.answer_ping(client, payload); }
    void on_pong(std::span<const std::byte>) {}
    void on_close(const websocket::CloseStatus& status) { hub.answer_close(client, status); }
  };

  void shake_hands(Client& client, std::span<std::byte> bytes) {
    const websocket::HandshakeStep step = client.handshake->feed(bytes);
    if (step.status == websocket::HandshakeStatus::need_more) return;
    client.refused = step.status == websocket::HandshakeStatus::failed;
    if (client.refused) {
      client.control.append(client.handshake->rejection());
    } else if (!origin_allowed(client.handshake->request().origin)) {
      client.refused = true;
      client.control.append(
          websocket::http_refusal(403, "this Origin may not read the feed (see --allow-origin)\n"));
    } else {
      client.control.append(client.handshake->accept());
    }
    client.handshake.reset();
    client.state = State::answering;
    const std::span<std::byte> rest = bytes.subspan(step.consumed_bytes);
    pump(client);
    // Frames may stand right behind the request; a server is not obliged to wait for its own answer to read them.
    if (!rest.empty()) on_receive(client.conn, rest);
  }

  /// Its frames mean something: the handshake is good, and no Close is queued. While the 101 is still on its way, what
  /// answers them queues behind it.
  static bool listens(const Client& client) noexcept {
    return client.state == State::streaming || client.state == State::answering;
  }
  /// The stream stops at a frame boundary, for a control frame.
  void hold_stream(Client& client) {
    if (fan_out_.has(client.conn)) fan_out_.hold(client.conn);
  }

  /// Only browsers send an Origin; without this any web page could read a proxy on the visitor's loopback.
  [[nodiscard]] bool origin_allowed(const std::string& origin) const {
    return origin.empty() || options_.allow_origin == "*" || options_.allow_origin == origin;
  }

  void answered(Client& client) {
    if (client.refused) {
      log_.stats().clients_refused.add();
      client.state = State::dropped;
      transport_.close(client.conn);
      return;
    }
    client.state = State::streaming;
    client.deadline = {};
    client.counted = true;
    log_.stats().clients.add();
    log_.stats().clients_accepted.add();
    fan_out_.add(client.conn);
  }

  void answer_ping(Client& client, std::span<const std::byte> payload) {
    if (!listens(client)) return;
    std::array<std::byte, websocket::kControlFrameBytesMax> frame;
    const std::size_t size = websocket::build_server_frame(frame, websocket::Opcode::pong, payload);
    client.control.append_pong({reinterpret_cast<const char*>(frame.data()), size});
    hold_stream(client);
    pump(client);
  }

  void answer_close(Client& client, const websocket::CloseStatus& status) {
    client.peer_closed = true;
    if (listens(client)) {
      start_close(client, static_cast<CloseCode>(status.code), {});
    } else {
      drop_when_done(client);
    }
  }

  /// Queues our Close; the client's answer, or the deadline, ends the connection.
  void start_close(Client& client, CloseCode code, std::string_view reason) {
    client.state = State::closing;
    client.deadline = transport_.now() + options_.close_timeout_ns;
    append_close(client, code, reason);
    hold_stream(client);
    pump(client);
  }

  static void append_close(Client& client, CloseCode code, std::string_view reason) {
    std::array<std::byte, websocket::kControlFrameBytesMax> frame;
    const std::size_t size = websocket::build_server_close(frame, code, reason);
    client.control.append_close({reinterpret_cast<const char*>(frame.data()), size});
  }

  /// Sends what waits, if the wire is at a frame boundary; then goes on with the log.
  void pump(Client& client) {
    if (client.control.in_flight() || client.state == State::dropped) return;
    if (fan_out_.has(client.conn)) {
      if (fan_out_.in_flight(client.conn)) return;
      if (client.state != State::streaming) fan_out_.remove(client.conn);
    }
    if (!client.control.empty()) {
      const transports::ConstRange range = client.control.take();
      switch (transport_.send(client.conn, std::span(&range, 1))) {
        case transports::SendStatus::pending:
          return;
        case transports::SendStatus::completed:
          client.control.sent(range.bytes);
          break;
        default:
          client.state = State::dropped;
          return;  // dead: on_close follows
      }
    }
    control_done(client);
  }

  void control_done(Client& client) {
    switch (client.state) {
      case State::answering:
        return answered(client);
      case State::streaming:
        return fan_out_.resume(client.conn);
      case State::closing:
      case State::evicting:
        return drop_when_done(client);
      default:
        return;
    }
  }

  /// Both Closes are through: the server closes the TCP connection first (RFC 6455 section 7.1.1). A client that broke
  /// the protocol is not waited for longer than the deadline either.
  void drop_when_done(Client& client) {
    if (client.control.in_flight() || !client.control.empty() || !client.peer_closed) return;
    client.state = State::dropped;
    transport_.close(client.conn);
  }

  /// Ends a client that is too slow. Its send in flight is cancelled, because the log is about to run over what it reads;
  /// until the transport has let go of those bytes, log_must_wait().
  void evict(Client& client) {
    if (client.state == State::evicting) return;  // the log grew again before it was gone
    log_.stats().clients_evicted.add();
    const bool was_closing = client.state == State::closing;
    client.state = State::evicting;
    client.deadline = transport_.now() + options_.close_timeout_ns;
    if (!fan_out_.in_flight(client.conn)) {  // what it does not read is a control frame of its own
      client.cut = true;
      append_close(client, CloseCode::try_again_later, kTooSlow);
      return pump(client);
    }
    client.eviction_begin = fan_out_.cursor(client.conn);
    ++cancelling_;
    // Behind a Close of ours nothing can be said any more.
    was_closing ? transport_.abort(client.conn) : transport_.cancel_send(client.conn);
  }

  /// The cancelled send told how far it came: the frame it stopped in is copied out and finished, then comes the Close.
  void finish_eviction(Client& client) {
    client.cut = true;
    --cancelling_;
    const std::uint64_t cursor = fan_out_.cursor(client.conn);
    std::uint64_t boundary = client.eviction_begin;
    while (boundary < cursor) {
      const auto room = static_cast<std::size_t>(log_.head_offset() - boundary);
      boundary += websocket::decode_header({log_.data(boundary), room}).header.frame_bytes();
    }
    client.control.prepend({reinterpret_cast<const char*>(log_.data(cursor)),
                            static_cast<std::size_t>(boundary - cursor)});
    append_close(client, CloseCode::try_again_later, kTooSlow);
  }

  static constexpr std::string_view kTooSlow =
      "too slow: further behind the feed than this proxy allows";

  T& transport_;
  rings::FeedLogWriter& log_;
  HubOptions options_;
  websocket::ParserLimits limits_;
  FanOut<T> fan_out_;
  std::vector<std::unique_ptr<Client>> clients_;  // by Conn::index
  std::vector<Conn> too_slow_;
  std::size_t connected_ = 0;
  std::uint32_t cancelling_ = 0;
};

}  // namespace feedbench::downstream
