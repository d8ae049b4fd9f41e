#include "reference/local/testing/secure_client.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "transports/rings/descriptor.hpp"

namespace feedbench::local::testing {

struct SecureClient::Impl {
  rings::Descriptor socket;
  tls::TlsSession session;
  websocket::MessageParser<websocket::Role::client> parser;
  std::uint64_t last = 0;
  std::uint64_t wrong = 0;
  std::uint16_t close_code = 0;
  bool ended = false;

  explicit Impl(tls::TlsSession made) : session(std::move(made)) {}

  void on_message(websocket::Opcode, std::span<const std::byte> payload) {
    constexpr std::string_view kBegin = R"({"n":)";
    const std::string text(websocket::as_text(payload));
    if (!text.starts_with(kBegin)) throw std::runtime_error("not a numbered message: " + text);
    const std::uint64_t number = std::strtoull(text.c_str() + kBegin.size(), nullptr, 10);
    if (last != 0 && number != last + 1) ++wrong;
    last = number;
  }
  void on_ping(std::span<const std::byte>) {}
  void on_pong(std::span<const std::byte>) {}
  void on_close(const websocket::CloseStatus& status) { close_code = status.code; }

  [[noreturn]] void fail(const std::string& what) const {
    throw std::runtime_error(session.error().empty() ? what : session.error());
  }

  void connect(std::uint16_t port) {
    socket = rings::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    // For broken code alone: nothing here waits so long.
    const timeval a_minute{60, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &a_minute, sizeof a_minute);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error(std::string("connect: ") + std::strerror(errno));
  }

  void send() {
    for (auto output = session.output(); !output.empty(); output = session.output()) {
      const ssize_t sent = ::send(socket.get(), output.data(), output.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the reason is there to be read
      session.consume_output(static_cast<std::size_t>(sent));
    }
  }

  /// Reads once and hands all plaintext to `take`.
  template <class Take>
  void receive(Take&& take) {
    std::array<std::byte, 16 * 1024> cipher;
    std::array<std::byte, 16 * 1024> plain;
    const ssize_t got = ::recv(socket.get(), cipher.data(), cipher.size(), 0);
    if (got < 0) fail(std::string("recv: ") + std::strerror(errno));
    if (got == 0) {
      ended = true;
      if (session.end_of_input() == tls::TlsStatus::failed) fail("the stream was cut");
      return;
    }
    if (session.feed(std::span(cipher).first(static_cast<std::size_t>(got))) ==
        tls::TlsStatus::failed) {
      send();
      fail("the handshake failed");
    }
    for (tls::TlsRead read{0, tls::TlsStatus::ok}; read.status == tls::TlsStatus::ok;) {
      read = session.read(plain);
      if (read.bytes != 0) take(std::span(plain).first(read.bytes));
      if (read.status == tls::TlsStatus::failed) fail("the connection failed");
    }
    send();
  }
  void receive_frames() {
    receive([this](std::span<const std::byte> bytes) { parser.feed(bytes, *this); });
  }

  void shake_hands() {
    session.start();
    send();
    while (!session.established()) receive([](std::span<const std::byte>) {});
    auto handshake = websocket::ClientHandshake::create({.host = "127.0.0.1"});
    session.write(websocket::as_bytes(handshake->request()));
    send();
    bool open = false;
    while (!open && !ended) {
      receive([&](std::span<const std::byte> bytes) {
        if (!open) {
          const websocket::HandshakeStep step = handshake->feed(bytes);
          if (step.status == websocket::HandshakeStatus::failed)
            throw std::runtime_error(handshake->error());
          open = step.status == websocket::HandshakeStatus::done;
          bytes = bytes.subspan(step.consumed_bytes);
        }
        if (open) parser.feed(bytes, *this);
      });
    }
    if (!open) throw std::runtime_error("it closed before it answered");
  }
};

namespace {

tls::TlsSession new_session(const tls::TlsClientOptions& options) {
  const auto context = tls::TlsContext::client(options);
  if (!context) throw std::runtime_error(context.error().message);
  auto session = context->new_session();
  if (!session) throw std::runtime_error(session.error().message);
  return std::move(*session);
}

}  // namespace

SecureClient::SecureClient(std::uint16_t port, const tls::TlsClientOptions& options)
    : impl_(std::make_unique<Impl>(new_session(options))) {
  impl_->connect(port);
  impl_->shake_hands();
}
SecureClient::~SecureClient() = default;

void SecureClient::until_number(std::uint64_t number) {
  while (impl_->last < number && !impl_->ended) impl_->receive_frames();
  if (impl_->last < number)
    throw std::runtime_error("it ended after message " + std::to_string(impl_->last));
}

std::uint16_t SecureClient::until_closed() {
  while (impl_->close_code == 0 && !impl_->ended) impl_->receive_frames();
  return impl_->close_code;
}

std::uint64_t SecureClient::last() const { return impl_->last; }
std::uint64_t SecureClient::wrong() const { return impl_->wrong; }

}  // namespace feedbench::local::testing
