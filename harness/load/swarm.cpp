#include "harness/load/swarm.hpp"

#include <fmt/format.h>

#include <cstring>

namespace feedbench::load {
namespace {

transports::TransportOptions transport_options(const SwarmOptions& options) {
  transports::TransportOptions out;
  out.wait = transports::Wait::spin;
  out.connections_max = options.clients_max + 1;
  out.receive_buffer_bytes = options.receive_buffer_bytes;
  return out;
}

}  // namespace

Swarm::Swarm(std::shared_ptr<const mock_exchange::PreparedSession> session,
             const SwarmOptions& options)
    : options_(options),
      transport_(transport_options(options)),
      checker_(std::move(session), options.clients_max),
      client_of_(options.clients_max + 1, UINT32_MAX) {
  clients_.reserve(options.clients_max);
}

transports::Expected<void> Swarm::connect(const transports::Endpoint& server, std::uint32_t total) {
  host_ = transports::to_string(server);
  while (clients_.size() < total && clients_.size() < options_.clients_max) {
    const auto conn = transport_.connect(server, {});
    if (!conn) return tl::unexpected(conn.error());
    client_of_[conn->index] = static_cast<std::uint32_t>(clients_.size());
    clients_.push_back({*conn, Phase::connecting, nullptr});
  }
  return {};
}

void Swarm::opened(transports::Conn conn) {
  const std::uint32_t client = client_of_[conn.index];
  Client& state = clients_[client];
  if (options_.kind == ClientKind::tcp) {
    state.phase = Phase::streaming;
    ++ready_;
    return;
  }
  websocket::ClientHandshakeOptions options;
  options.host = host_;
  auto made = websocket::ClientHandshake::create(options);
  if (!made) {
    fail(client, made.error().message);
    return;
  }
  state.handshake = std::make_unique<websocket::ClientHandshake>(std::move(*made));
  state.phase = Phase::handshaking;
  const std::string& request = state.handshake->request();
  const transports::ConstRange range{reinterpret_cast<const std::byte*>(request.data()),
                                     request.size()};
  // Some hundred bytes on a fresh connection: the socket takes them at once.
  if (transport_.send(conn, {&range, 1}) != transports::SendStatus::completed) {
    fail(client, "the upgrade request could not be sent at once");
  }
}

std::span<const std::byte> Swarm::handshake(std::uint32_t client,
                                            std::span<const std::byte> bytes) {
  Client& state = clients_[client];
  if (state.phase != Phase::handshaking) return {};
  const auto step = state.handshake->feed(bytes);
  if (step.status == websocket::HandshakeStatus::need_more) return {};
  if (step.status == websocket::HandshakeStatus::failed) {
    fail(client, state.handshake->error());
    return {};
  }
  state.handshake.reset();
  state.phase = Phase::streaming;
  ++ready_;
  return bytes.subspan(step.consumed_bytes);
}

void Swarm::fail(std::uint32_t client, const std::string& why) {
  if (first_failure_.empty()) first_failure_ = fmt::format("client {}: {}", client, why);
  transport_.abort(clients_[client].conn);
}

void Swarm::ended(transports::Conn conn, transports::CloseInfo info) {
  const std::uint32_t client = client_of_[conn.index];
  Client& state = clients_[client];
  if (state.phase == Phase::streaming) --ready_;
  if (!closing_ && first_failure_.empty()) {
    first_failure_ = fmt::format("client {}: the connection ended: {}", client,
                                 transports::to_string(info.reason));
    if (info.reason == transports::CloseReason::error)
      first_failure_ += fmt::format(" ({})", std::strerror(info.os_error));
  }
  state.phase = Phase::closed;
  ++closed_;
  checker_.on_end(client);
}

void Swarm::close_all() {
  closing_ = true;
  for (std::uint32_t client = 0; client < clients_.size(); ++client) {
    if (clients_[client].phase == Phase::closed) continue;
    transport_.close(clients_[client].conn);
    checker_.on_end(client);
  }
}

}  // namespace feedbench::load
