#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "reference/baselines/beast/beast_server.hpp"

/// The server side, after Beast's chat example: a shared set of sessions, one queue of shared
/// strings a session, one async_write at a time. Private to the beast_*.cpp files.
namespace feedbench::baselines {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace ws = beast::websocket;
using tcp = asio::ip::tcp;
using Message = std::shared_ptr<const std::string>;

class Session;

/// Who is connected. thread: the one that runs the io_context.
class Room {
 public:
  Room(std::size_t queue_messages_max, BeastCounters& counters)
      : queue_messages_max_(queue_messages_max), counters_(counters) {}

  void join(Session* session) { sessions_.insert(session); }
  void leave(Session* session);
  void broadcast(const Message& message, bool text);
  /// Sends everybody a close frame with this code, behind what is queued; then calls emptied, once.
  void close_all(ws::close_code code, std::function<void()> emptied);

  /// What close_all() was given is not called any more.
  void tell_nobody() { emptied_ = nullptr; }

  [[nodiscard]] std::size_t queue_messages_max() const noexcept { return queue_messages_max_; }
  BeastCounters& counters() noexcept { return counters_; }

 private:
  std::size_t queue_messages_max_;
  BeastCounters& counters_;
  std::unordered_set<Session*> sessions_;
  std::function<void()> emptied_;
};

/// One client.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket&& socket, Room& room);
  ~Session();

  void run();
  void send(const Message& message, bool text);
  void close(ws::close_code code);

 private:
  struct Queued {
    Message message;
    bool text;
  };

  void read();
  void write();
  void finish();

  ws::stream<beast::tcp_stream> ws_;
  beast::flat_buffer buffer_;
  std::deque<Queued> queue_;
  Room& room_;
  bool closing_ = false;
  ws::close_code close_code_ = ws::close_code::normal;
};

/// Accepts clients for as long as it lives.
class Listener {
 public:
  /// Throws boost::system::system_error when the endpoint cannot be had.
  Listener(asio::io_context& io, const tcp::endpoint& endpoint, Room& room);

  [[nodiscard]] tcp::endpoint local_endpoint() const { return acceptor_.local_endpoint(); }
  void stop() { acceptor_.close(); }

 private:
  void accept();

  tcp::acceptor acceptor_;
  Room& room_;
};

}  // namespace feedbench::baselines
