#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mock_exchange/byte_stream.hpp"
#include "mock_exchange/feed_cursor.hpp"
#include "mock_exchange/server.hpp"
#include "mock_exchange/venue_port.hpp"
#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"

/// Inside of the exchange: one client. Not for use outside this folder.
namespace feedbench::mock_exchange {

/// Lives in the server's list; handlers of the event loop hold it until they ran. thread: one.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Server& server, boost::asio::ip::tcp::socket socket, std::uint32_t id);

  void begin();
  /// Sends what is due and handles what time brought. The server advanced the shared timeline
  /// before.
  void pump(transports::TscInstant now);
  /// When pump() has something to do again; absent: when the socket says so.
  [[nodiscard]] transports::TscInstant next_due() const;

  /// Goes away with the code, politely.
  void close_with(websocket::CloseCode code, std::string_view reason);
  /// The server goes away: nothing may call it any more.
  void detach();

  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
  [[nodiscard]] bool dead() const noexcept { return phase_ == Phase::dead; }
  [[nodiscard]] bool ready() const noexcept { return cursor_.has_value() && phase_ == Phase::open; }
  /// It was sent the whole replay.
  [[nodiscard]] bool served() const noexcept;

  // Sink of the message parser.
  void on_message(websocket::Opcode opcode, std::span<const std::byte> payload);
  void on_ping(std::span<const std::byte> payload);
  void on_pong(std::span<const std::byte> payload);
  void on_close(const websocket::CloseStatus& status);

 private:
  enum class Phase : std::uint8_t {
    tls,       ///< TLS handshake.
    http,      ///< Upgrade request.
    open,      ///< Messages and frames.
    closing,   ///< Our Close is queued or sent; no more frames after the one begun.
    draining,  ///< Our side is finished; waiting for the peer's end, so that it reads all we sent.
    dead,
  };

  // connection.cpp: reading, the life of the connection
  void wait_readable();
  void on_readable();
  bool read_some();
  void advance_tls();
  void feed(std::span<std::byte> bytes);
  void upgrade();
  void refuse(unsigned status, const std::string& response);
  void apply(Replies replies);
  void select();
  void note_pong(std::string_view payload);
  void check_time(transports::TscInstant now);
  void finish();
  void drop(std::string why);

  // connection_write.cpp: writing
  void queue(std::span<const std::byte> bytes);
  void queue_frame(websocket::Opcode opcode, std::span<const std::byte> payload);
  void write(transports::TscInstant now);
  bool write_once();
  std::span<const iovec> gather_due();
  void account(std::size_t bytes, std::size_t rest_bytes, std::size_t control_bytes,
               transports::TscInstant stamp);
  void account_frames(std::size_t rest_bytes, std::size_t feed_bytes, transports::TscInstant stamp);
  void check_lag();
  void after_flush();
  void wait_writable();
  [[nodiscard]] const Timeline* timeline() const noexcept;
  [[nodiscard]] std::uint64_t due() const noexcept;

  // connection_fault.cpp: faults on request
  [[nodiscard]] std::optional<std::size_t> next_fault() const;
  [[nodiscard]] std::uint64_t frames_before_fault() const;
  [[nodiscard]] bool fault_is_due() const;
  bool inject_fault(transports::TscInstant now);
  bool close_mid_frame();
  void reset();

  Server* server_;
  boost::asio::ip::tcp::socket socket_;
  std::uint32_t id_;
  ByteStream stream_;
  Phase phase_ = Phase::tls;

  websocket::ServerHandshake handshake_;
  websocket::MessageParser<websocket::Role::server> parser_;
  std::unique_ptr<VenuePort> port_;
  std::uint64_t port_revision_ = 0;

  std::optional<FeedCursor> cursor_;      ///< From when the connection is ready.
  std::optional<Timeline> own_timeline_;  ///< Start::on_subscribe.
  std::uint64_t frames_sent_ = 0;
  bool served_counted_ = false;

  std::vector<std::byte> control_;  ///< Everything but session frames; sent at frame boundaries.
  bool blocked_ = false;  ///< The socket took less than was asked: waiting until it is writable.
  bool peer_closed_ = false;
  bool broken_ = false;  ///< The peer broke the protocol: what it sends is no longer read.

  /// Handshake, closing, draining: when patience ends. Absent in open.
  transports::TscInstant deadline_;
  transports::TscInstant next_ping_;      ///< Absent: no pings.
  transports::TscInstant pong_deadline_;  ///< Absent: no ping is unanswered.
  std::uint64_t pings_ = 0;
  std::uint64_t pongs_ = 0;  ///< Number of the last ping that was answered.
  transports::TscInstant stalled_until_;
  std::vector<bool> faults_done_;
};

}  // namespace feedbench::mock_exchange
