#pragma once

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mock_exchange/byte_stream.hpp"
#include "mock_exchange/exchange.hpp"
#include "mock_exchange/venue_port.hpp"

/// Inside of the exchange: what all its connections share. Not for use outside this folder.
namespace feedbench::mock_exchange {

class Connection;

class Server {
 public:
  static transports::Expected<std::unique_ptr<Server>> create(boost::asio::io_context& io,
                                                              ExchangeOptions options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What Exchange passes on.
  [[nodiscard]] transports::Endpoint endpoint() const { return endpoint_; }
  [[nodiscard]] bool tls() const noexcept { return tls_.has_value(); }
  [[nodiscard]] std::size_t connections() const noexcept;
  [[nodiscard]] std::size_t sessions_ready() const noexcept;
  void start(transports::TscInstant at);
  [[nodiscard]] bool started() const noexcept { return timeline_.has_value(); }
  void pump();
  [[nodiscard]] transports::TscInstant next_due() const noexcept;
  [[nodiscard]] bool finished() const noexcept;
  void shut_down();

  // What connections need.
  [[nodiscard]] const ExchangeOptions& options() const noexcept { return options_; }
  [[nodiscard]] ExchangeCounters& counters() noexcept { return counters_; }
  [[nodiscard]] Venue& venue() noexcept { return venue_; }
  [[nodiscard]] const TlsServer* tls_server() const noexcept { return tls_ ? &*tls_ : nullptr; }
  [[nodiscard]] boost::asio::io_context& io() noexcept { return io_; }
  [[nodiscard]] std::span<std::byte> receive_buffer() noexcept { return receive_buffer_; }

  [[nodiscard]] transports::TscInstant now() const noexcept { return options_.now(); }
  [[nodiscard]] std::int64_t ns_of(transports::TscInstant at) const noexcept;
  [[nodiscard]] transports::TscInstant instant_of(std::int64_t ns) const noexcept;
  [[nodiscard]] transports::TscInstant after(transports::TscInstant from,
                                             std::int64_t ns) const noexcept;

  /// Makes the next pump() look at everything.
  void wake() noexcept { next_due_ = kAtOnce; }

  /// The shared replay, or null before start() and in Start::on_subscribe.
  [[nodiscard]] const Timeline* shared_timeline() const noexcept {
    return timeline_ ? &*timeline_ : nullptr;
  }
  [[nodiscard]] Timeline own_timeline(transports::TscInstant start) const;
  /// Where a connection that becomes ready joins the shared replay.
  [[nodiscard]] std::uint64_t join_position() const noexcept;
  void note_position(std::uint64_t next) noexcept;

  /// The log, if this connection is the one that is logged (the first ready one takes it).
  SendLogWriter* log_for(const Connection& connection) noexcept;

  /// Faults that were not used up: index in options().faults, or none.
  [[nodiscard]] bool fault_open(std::size_t index) const noexcept { return !fault_used_[index]; }
  void use_fault(std::size_t index);

  /// Tells the owner, if it wants to know. Cost without one: a comparison.
  template <class... Arguments>
  void note(Note::Level level, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    if (options_.on_note) tell(level, fmt::format(format, std::forward<Arguments>(arguments)...));
  }

  void on_ready();
  void on_gone(const Connection& connection, bool was_served);

 private:
  static constexpr std::uint64_t kAtOnce = 1;
  static constexpr std::uint64_t kNever = UINT64_MAX;

  Server(boost::asio::io_context& io, ExchangeOptions options);
  transports::Expected<void> listen();
  void accept_next();
  void tell(Note::Level level, std::string text);
  void note_shared_end();
  void on_accept(const boost::system::error_code& error, boost::asio::ip::tcp::socket socket);

  boost::asio::io_context& io_;
  ExchangeOptions options_;
  std::optional<TlsServer> tls_;
  Venue venue_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer accept_again_;
  transports::Endpoint endpoint_;
  ExchangeCounters counters_;

  std::vector<std::shared_ptr<Connection>> connections_;
  std::uint32_t last_id_ = 0;
  std::uint32_t logged_id_ = 0;
  std::size_t served_and_gone_ = 0;

  std::optional<Timeline> timeline_;
  std::uint64_t furthest_ = 0;
  bool end_noted_ = false;
  transports::TscInstant base_;
  double ticks_per_ns_ = 1;
  std::uint64_t next_due_ = kAtOnce;
  std::vector<bool> fault_used_;
  std::vector<std::byte> receive_buffer_;
  /// Handlers of the event loop outlive this object: they look here first.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace feedbench::mock_exchange
