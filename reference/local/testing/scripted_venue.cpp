#include "reference/local/testing/scripted_venue.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <thread>

#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "transports/clock.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::local::testing {
namespace {

using websocket::Opcode;

std::string frame_of(Opcode opcode, std::string_view payload, bool fin = true) {
  std::string frame(websocket::kHeaderBytesMax + payload.size(), '\0');
  frame.resize(websocket::build_server_frame(std::as_writable_bytes(std::span(frame)), opcode,
                                             websocket::as_bytes(payload), fin));
  return frame;
}

}  // namespace

struct ScriptedVenue::Impl {
  struct Connection {
    rings::Descriptor socket;
    std::optional<tls::TlsSession> tls;
    websocket::ServerHandshake handshake;
    websocket::MessageParser<websocket::Role::server> parser;
    std::optional<venues::alpaca::Session> alpaca;
    std::optional<venues::binance::Session> binance;
    std::string out;
    bool open = false;
    bool ended = false;

    [[nodiscard]] bool wants_to_write() { return !out.empty() || (tls && !tls->output().empty()); }
  };

  explicit Impl(Options of) : options(std::move(of)) {
    if (!options.certificate_file.empty()) {
      auto context = tls::TlsContext::server(
          {options.certificate_file, options.key_file, options.client_ca_file});
      if (!context) throw std::runtime_error(context.error().message);
      tls.emplace(std::move(*context));
    }
    listener = rings::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(options.port);
    socklen_t length = sizeof address;
    if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::listen(listener.get(), 64) != 0)
      throw std::runtime_error(std::string("scripted venue: ") + std::strerror(errno));
    ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port = ntohs(address.sin_port);
    thread = std::thread([this] { run(); });
  }
  ~Impl() {
    stopping = true;
    thread.join();
  }

  void run() {
    while (!stopping) {
      std::vector<pollfd> polled;
      {
        const std::lock_guard lock(mutex);
        polled.push_back({stalled ? -1 : listener.get(), POLLIN, 0});
        for (const auto& each : connections)
          polled.push_back(
              {each->socket.get(),
               static_cast<short>((stalled ? 0 : POLLIN) | (each->wants_to_write() ? POLLOUT : 0)),
               0});
      }
      ::poll(polled.data(), polled.size(), 1);
      const std::lock_guard lock(mutex);
      for (std::size_t i = 0; i < connections.size() && i + 1 < polled.size(); ++i) {
        if ((polled[i + 1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive(*connections[i]);
        flush(*connections[i]);
      }
      std::erase_if(connections, [](const auto& each) { return each->ended; });
      if (polled[0].revents != 0) accept();
    }
  }

  void accept() {
    rings::Descriptor socket(
        ::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) return;
    const int on = 1;
    ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connections.push_back(std::make_unique<Connection>());
    connections.back()->socket = std::move(socket);
    if (tls) connections.back()->tls.emplace(std::move(*tls->new_session()));
  }

  void receive(Connection& connection) {
    std::array<std::byte, 64 * 1024> bytes;
    for (;;) {
      const ssize_t got = ::recv(connection.socket.get(), bytes.data(), bytes.size(), 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        connection.ended = true;
        return;
      }
      const auto received = std::span(bytes).first(static_cast<std::size_t>(got));
      connection.tls ? decrypt(connection, received) : feed(connection, received);
    }
  }

  void decrypt(Connection& connection, std::span<const std::byte> cipher) {
    std::array<std::byte, 64 * 1024> plain;
    connection.tls->feed(cipher);
    for (tls::TlsRead got{0, tls::TlsStatus::ok}; got.status == tls::TlsStatus::ok;) {
      got = connection.tls->read(plain);
      if (got.bytes > 0) feed(connection, std::span(plain).first(got.bytes));
      if (got.status == tls::TlsStatus::failed) connection.ended = true;
    }
    flush(connection);
  }

  void feed(Connection& connection, std::span<std::byte> bytes) {
    if (!connection.open) {
      const websocket::HandshakeStep step = connection.handshake.feed(bytes);
      if (step.status == websocket::HandshakeStatus::need_more) return;
      if (step.status == websocket::HandshakeStatus::failed) {
        connection.out += connection.handshake.rejection();
        return;
      }
      connection.out += connection.handshake.accept();
      connection.open = true;
      ++ever;
      begin(connection);
      bytes = bytes.subspan(step.consumed_bytes);
    }
    struct Sink {
      Impl& venue;
      Connection& of;
      void on_message(Opcode, std::span<const std::byte> payload) {
        venue.hear(of, websocket::as_text(payload));
      }
      void on_ping(std::span<const std::byte> payload) {
        of.out += frame_of(Opcode::pong, websocket::as_text(payload));
      }
      void on_pong(std::span<const std::byte>) {}
      void on_close(const websocket::CloseStatus&) {
        of.out += frame_of(Opcode::close, std::string_view("\x03\xe8", 2));
        of.ended = true;
      }
    } sink{*this, connection};
    connection.parser.feed(bytes, sink);
  }

  static std::int64_t now_ns() { return transports::MonotonicInstant::now().ns; }

  void begin(Connection& connection) {
    if (options.venue == venues::Venue::binance) {
      connection.binance.emplace(venues::binance::Target{});
    } else if (options.venue == venues::Venue::alpaca) {
      venues::alpaca::SessionOptions session;
      session.expected = {options.key, options.secret};
      session.logins = logins;
      session.logins_max = options.connections_max;
      connection.alpaca.emplace(session);
      answer(connection, connection.alpaca->on_open({}, now_ns()));
    }
  }

  void hear(Connection& connection, std::string_view text) {
    heard.emplace_back(text);
    if (connection.binance) {
      const auto reply = connection.binance->on_text(text, now_ns());
      if (!reply.text.empty()) connection.out += frame_of(Opcode::text, reply.text);
    } else if (connection.alpaca) {
      answer(connection, connection.alpaca->on_message(text, now_ns()));
    }
  }

  static void answer(Connection& connection, const venues::alpaca::Reply& reply) {
    for (const std::string& text : reply.texts) connection.out += frame_of(Opcode::text, text);
  }

  static bool live(const Connection& connection) {
    return connection.open && !connection.ended &&
           (!connection.alpaca || connection.alpaca->authenticated());
  }

  void flush(Connection& connection) {
    if (connection.tls) return flush_tls(connection);
    if (connection.out.empty()) return;
    const ssize_t sent =
        ::send(connection.socket.get(), connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
    if (sent > 0) connection.out.erase(0, static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN) connection.ended = true;
  }

  static void flush_tls(Connection& connection) {
    for (;;) {
      const tls::TlsWrite taken = connection.tls->write(websocket::as_bytes(connection.out));
      connection.out.erase(0, taken.bytes);
      const auto cipher = connection.tls->output();
      if (cipher.empty()) return;
      const ssize_t sent =
          ::send(connection.socket.get(), cipher.data(), cipher.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno != EAGAIN) connection.ended = true;
      if (sent <= 0) return;
      connection.tls->consume_output(static_cast<std::size_t>(sent));
    }
  }

  void to_all(std::string_view wire) {
    for (const auto& each : connections) {
      if (!live(*each)) continue;
      each->out += wire;
      flush(*each);
    }
  }

  Options options;
  std::optional<tls::TlsContext> tls;
  rings::Descriptor listener;
  std::uint16_t port = 0;
  mutable std::mutex mutex;
  std::vector<std::unique_ptr<Connection>> connections;
  std::vector<std::string> heard;
  std::shared_ptr<std::size_t> logins = std::make_shared<std::size_t>(0);
  std::uint64_t ever = 0;
  std::uint64_t numbered = 0;
  bool stalled = false;
  std::atomic<bool> stopping{false};
  std::thread thread;
};

ScriptedVenue::ScriptedVenue(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
ScriptedVenue::~ScriptedVenue() = default;

std::string ScriptedVenue::url(std::string_view target) const {
  return fmt::format("{}://127.0.0.1:{}{}", impl_->tls ? "wss" : "ws", impl_->port, target);
}

void ScriptedVenue::publish(std::string_view text) {
  const std::lock_guard lock(impl_->mutex);
  impl_->to_all(frame_of(Opcode::text, text));
}

void ScriptedVenue::publish_fragmented(std::string_view text, std::size_t fragment_bytes) {
  std::string wire;
  for (std::size_t at = 0; at < text.size(); at += fragment_bytes)
    wire += frame_of(at == 0 ? Opcode::text : Opcode::continuation, text.substr(at, fragment_bytes),
                     at + fragment_bytes >= text.size());
  const std::lock_guard lock(impl_->mutex);
  impl_->to_all(wire);
}

void ScriptedVenue::publish_numbered(std::uint64_t count, std::size_t bytes) {
  const std::string pad(bytes, 'x');
  for (std::uint64_t i = 0; i < count;) {
    std::unique_lock lock(impl_->mutex);
    const bool full = std::any_of(impl_->connections.begin(), impl_->connections.end(),
                                  [](const auto& each) { return each->out.size() > (1U << 20U); });
    if (full) {
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    std::string wire;
    for (; i < count && wire.size() < 32 * 1024; ++i)
      wire +=
          frame_of(Opcode::text, fmt::format(R"({{"n":{},"pad":"{}"}})", ++impl_->numbered, pad));
    impl_->to_all(wire);
  }
}

std::uint64_t ScriptedVenue::numbered() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->numbered;
}

void ScriptedVenue::drop_all() {
  const std::lock_guard lock(impl_->mutex);
  for (const auto& each : impl_->connections) {
    const linger reset{1, 0};
    ::setsockopt(each->socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  impl_->connections.clear();
}

void ScriptedVenue::stall(bool on) {
  const std::lock_guard lock(impl_->mutex);
  impl_->stalled = on;
}

std::size_t ScriptedVenue::connections() const {
  const std::lock_guard lock(impl_->mutex);
  return static_cast<std::size_t>(
      std::count_if(impl_->connections.begin(), impl_->connections.end(),
                    [](const auto& each) { return Impl::live(*each); }));
}
std::uint64_t ScriptedVenue::connections_ever() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->ever;
}
std::vector<std::string> ScriptedVenue::heard() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->heard;
}
std::vector<std::string> ScriptedVenue::subscriptions() const {
  const std::lock_guard lock(impl_->mutex);
  std::vector<std::string> all;
  for (const auto& each : impl_->connections) {
    if (each->ended) continue;
    all.clear();
    if (each->binance) all = each->binance->subscriptions();
    if (each->alpaca)
      for (const auto channel : {venues::alpaca::Channel::trades, venues::alpaca::Channel::quotes})
        for (const std::string& symbol : each->alpaca->symbols(channel))
          all.push_back(fmt::format("{}:{}", venues::alpaca::to_string(channel), symbol));
  }
  return all;
}

}  // namespace feedbench::local::testing
