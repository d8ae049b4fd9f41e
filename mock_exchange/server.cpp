#include "mock_exchange/server.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "mock_exchange/connection.hpp"

namespace feedbench::mock_exchange {

namespace asio = boost::asio;
using asio::ip::tcp;
using transports::Error;
using transports::Expected;
using transports::TscDuration;
using transports::TscInstant;

namespace {

constexpr std::size_t kReceiveBufferBytes = 64 * 1024;
constexpr auto kAcceptAgain = std::chrono::milliseconds(50);
constexpr std::int64_t kBinancePingIntervalNs = 20'000'000'000;

std::int64_t ping_interval_ns(const ExchangeOptions& options) {
  if (options.ping_interval_ns >= 0) return options.ping_interval_ns;
  return options.venue == venues::Venue::binance ? kBinancePingIntervalNs : 0;
}

bool refuses_auth(const ExchangeOptions& options) {
  return std::any_of(options.faults.begin(), options.faults.end(),
                     [](const Fault& fault) { return fault.kind == Fault::Kind::refuse_auth; });
}

std::string fault_of(const ExchangeOptions& options) {
  if (!options.session) return "no session to replay";
  if (!(options.tsc_hz > 0) || !std::isfinite(options.tsc_hz))
    return "the rate of the clock is not set";
  if (options.tls_certificate_file.empty() != options.tls_key_file.empty()) {
    return "TLS needs a certificate and a key: only one of them is given";
  }
  return {};
}

}  // namespace

Server::Server(asio::io_context& io, ExchangeOptions options)
    : io_(io),
      options_(std::move(options)),
      venue_(options_.venue, options_.session, options_.credentials, refuses_auth(options_),
             options_.logins_max),
      acceptor_(io),
      accept_again_(io),
      base_(options_.now()),
      ticks_per_ns_(options_.tsc_hz * 1e-9),
      fault_used_(options_.faults.size(), false),
      receive_buffer_(kReceiveBufferBytes) {
  options_.ping_interval_ns = ping_interval_ns(options_);
}

Server::~Server() {
  *alive_ = false;
  for (const auto& connection : connections_) connection->detach();
}

Expected<std::unique_ptr<Server>> Server::create(asio::io_context& io, ExchangeOptions options) {
  if (const std::string fault = fault_of(options); !fault.empty()) {
    return tl::unexpected(Error{fmt::format("mock exchange: {}", fault)});
  }
  std::unique_ptr<Server> server(new Server(io, std::move(options)));
  if (!server->options_.tls_certificate_file.empty()) {
    auto tls =
        TlsServer::load(server->options_.tls_certificate_file, server->options_.tls_key_file);
    if (!tls) return tl::unexpected(tls.error());
    server->tls_ = std::move(*tls);
  }
  if (auto listening = server->listen(); !listening) return tl::unexpected(listening.error());
  server->accept_next();
  return server;
}

Expected<void> Server::listen() {
  boost::system::error_code error;
  const auto refuse = [&] {
    const char* hint =
        error == asio::error::address_in_use ? " (choose another port with --listen)" : "";
    return tl::unexpected(
        Error{fmt::format("listen on {}: {}{}", to_string(options_.listen), error.message(), hint),
              error.value()});
  };
  const auto address = asio::ip::make_address(options_.listen.address, error);
  if (error) return refuse();
  const tcp::endpoint at(address, options_.listen.port);
  acceptor_.open(at.protocol(), error);
  if (error) return refuse();
  acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(at, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error) return refuse();
  const auto bound = acceptor_.local_endpoint(error);
  if (error) return refuse();
  endpoint_ = {bound.address().to_string(), bound.port()};
  return {};
}

void Server::accept_next() {
  acceptor_.async_accept(
      [this, alive = alive_](const boost::system::error_code& error, tcp::socket socket) {
        if (*alive) on_accept(error, std::move(socket));
      });
}

void Server::on_accept(const boost::system::error_code& error, tcp::socket socket) {
  if (error == asio::error::operation_aborted || !acceptor_.is_open()) return;
  if (error) {
    // Out of descriptors, most likely: the connection stays in the backlog until some are free
    // again.
    accept_again_.expires_after(kAcceptAgain);
    accept_again_.async_wait([this, alive = alive_](const boost::system::error_code& cancelled) {
      if (*alive && !cancelled) accept_next();
    });
    return;
  }
  ++counters_.accepted;
  if (connections() >= options_.connections_max) {
    ++counters_.refused_full;
  } else {
    boost::system::error_code ignored;
    socket.native_non_blocking(true, ignored);
    socket.set_option(tcp::no_delay(true), ignored);
    if (options_.send_buffer_bytes > 0) {
      socket.set_option(asio::socket_base::send_buffer_size(options_.send_buffer_bytes), ignored);
    }
    connections_.push_back(std::make_shared<Connection>(*this, std::move(socket), ++last_id_));
    connections_.back()->begin();
  }
  accept_next();
}

std::size_t Server::connections() const noexcept {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                [](const auto& one) { return !one->dead(); }));
}

std::size_t Server::sessions_ready() const noexcept {
  return static_cast<std::size_t>(std::count_if(connections_.begin(), connections_.end(),
                                                [](const auto& one) { return one->ready(); }));
}

// ---- time

std::int64_t Server::ns_of(TscInstant at) const noexcept {
  return static_cast<std::int64_t>(static_cast<double>((at - base_).ticks) / ticks_per_ns_);
}

TscInstant Server::instant_of(std::int64_t ns) const noexcept { return after(base_, ns); }

TscInstant Server::after(TscInstant from, std::int64_t ns) const noexcept {
  return from + TscDuration{static_cast<std::int64_t>(static_cast<double>(ns) * ticks_per_ns_)};
}

Timeline Server::own_timeline(TscInstant start) const {
  return Timeline(Schedule(options_.session, options_.pace, options_.loops), start,
                  options_.tsc_hz);
}

void Server::start(TscInstant at) {
  if (options_.start != Start::shared || timeline_) return;
  timeline_ = own_timeline(at);
  wake();
}

void Server::pump() {
  const TscInstant at = now();
  if (at.ticks < next_due_) return;
  next_due_ = kNever;  // whatever happens below may bring it forward
  if (timeline_) timeline_->advance(at);
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    const auto connection = connections_[i];
    connection->pump(at);
  }
  std::erase_if(connections_, [](const auto& connection) { return connection->dead(); });
  const auto bring_forward = [&](TscInstant due) {
    if (due.present()) next_due_ = std::min(next_due_, due.ticks);
  };
  if (timeline_) bring_forward(timeline_->next_due());
  if (timeline_ && options_.on_note && !end_noted_) note_shared_end();
  for (const auto& connection : connections_) bring_forward(connection->next_due());
}

TscInstant Server::next_due() const noexcept {
  return next_due_ == kNever ? TscInstant{} : TscInstant{next_due_};
}

bool Server::finished() const noexcept {
  const auto unserved = [](const auto& connection) {
    return connection->ready() && !connection->served();
  };
  if (std::any_of(connections_.begin(), connections_.end(), unserved)) return false;
  if (options_.start == Start::on_subscribe) {
    const auto served = [](const auto& connection) {
      return !connection->dead() && connection->served();
    };
    return served_and_gone_ > 0 || std::any_of(connections_.begin(), connections_.end(), served);
  }
  if (!timeline_) return false;
  const std::uint64_t total = timeline_->schedule().total_frames();
  const bool somebody_has_all = furthest_ >= total;
  return timeline_->due() >= total && (options_.pace.kind != Pace::Kind::max || somebody_has_all);
}

/// Start::shared: one line for all, when every client has everything.
void Server::note_shared_end() {
  const std::uint64_t total = timeline_->schedule().total_frames();
  if (timeline_->due() < total || !finished()) return;
  end_noted_ = true;
  note(Note::Level::info, "the replay is done: {} frames", total);
}

void Server::tell(Note::Level level, std::string text) {
  for (char& byte : text) {
    if (byte < ' ' || byte > '~') byte = '?';  // a client may have sent it
  }
  if (text.size() > Note::kTextBytesMax) text.replace(Note::kTextBytesMax - 3, text.npos, "...");
  options_.on_note({level, std::move(text)});
}

void Server::shut_down() {
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  accept_again_.cancel();
  for (std::size_t i = 0; i < connections_.size(); ++i) {
    const auto connection = connections_[i];
    connection->close_with(websocket::CloseCode::going_away, "the exchange stops");
  }
  wake();
}

// ---- what connections need

std::uint64_t Server::join_position() const noexcept {
  if (!timeline_) return 0;
  // At max pace all frames are due at once: the live edge is where the others are.
  return options_.pace.kind == Pace::Kind::max ? furthest_ : timeline_->due();
}

void Server::note_position(std::uint64_t next) noexcept { furthest_ = std::max(furthest_, next); }

SendLogWriter* Server::log_for(const Connection& connection) noexcept {
  if (options_.send_log == nullptr) return nullptr;
  if (logged_id_ == 0) logged_id_ = connection.id();
  return logged_id_ == connection.id() ? options_.send_log : nullptr;
}

void Server::use_fault(std::size_t index) {
  ++counters_.faults_injected;
  if (!options_.faults[index].every_connection) fault_used_[index] = true;
}

void Server::on_ready() {
  ++counters_.ready;
  wake();
  if (options_.on_change) options_.on_change();
}

void Server::on_gone(const Connection& connection, bool was_served) {
  ++counters_.closed;
  if (was_served) ++served_and_gone_;
  if (logged_id_ == connection.id()) logged_id_ = 0;
  wake();
  if (options_.on_change) options_.on_change();
}

}  // namespace feedbench::mock_exchange
