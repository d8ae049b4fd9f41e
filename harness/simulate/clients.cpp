#include "harness/simulate/clients.hpp"

#include <algorithm>

#include "reference/websocket/build_frame.hpp"

namespace feedbench::simulate {

using websocket::Opcode;

struct Clients::Sink {
  Clients& clients;
  Client& client;
  void on_ping(std::span<const std::byte>) {
    clients.world_.fault("{}: the proxy pings, which it has no reason to", clients.name(client));
  }
  void on_pong(std::span<const std::byte> payload) {
    if (websocket::as_text(payload) == client.last_ping) client.pong_came = true;
  }
  void on_close(const websocket::CloseStatus& status) { clients.take_close(client, status); }
  void on_message(Opcode, std::span<const std::byte> payload) {
    clients.take_message(client, payload);
  }
};

Clients::Clients(World& world)
    : world_(world),
      transport_({.connections_max = static_cast<std::uint32_t>(world.plan.clients.size()) + 1},
                 world.network),
      mask_keys_(world.plan.seed),
      by_index_(world.plan.clients.size() + 1) {
  for (const ClientPlan& plan : world.plan.clients) {
    clients_.push_back(std::make_unique<Client>());
    Client& client = *clients_.back();
    client.plan = plan;
    client.number = clients_.size();
    client.act_at_ns = world.network.now().ns + plan.connect_at_ns;
    client.space.resize(plan.space_bytes);
  }
  plan_next();
}

std::string Clients::name(const Client& client) const {
  return fmt::format("client {} ({})", client.number, to_string(client.plan.kind));
}

void Clients::plan_next() {
  acts_at_ns_ = INT64_MAX;
  for (const auto& client : clients_) acts_at_ns_ = std::min(acts_at_ns_, client->act_at_ns);
}

void Clients::act() {
  const std::int64_t now = world_.network.now().ns;
  for (const auto& client : clients_) {
    if (client->act_at_ns > now) continue;
    client->act_at_ns = INT64_MAX;
    act(*client);
  }
  plan_next();
}

void Clients::connect(Client& client) {
  world_.next_link = client.plan.faults;
  const auto conn = transport_.connect(world_.plan.config.listen, {.lend_memory = true});
  if (!conn) throw conn.error();
  client.conn = *conn;
  client.state = State::connecting;
  client.published_at_connect = world_.tape.published().size();
  by_index_[conn->index] = &client;
  world_.say("{} connects", name(client));
}

void Clients::on_open(Conn conn, bool) {
  Client& client = *by_index_[conn.index];
  client.state = State::handshake;
  start_handshake(client);
  client.out.flush(transport_, conn);
}

void Clients::start_handshake(Client& client) {
  if (client.plan.kind == ClientKind::stranger) {
    client.broke_the_rules = true;
    client.out.append(world_.random.one_in(2) ? "POST / HTTP/1.1\r\nHost: a\r\n\r\n"
                                              : "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    return;
  }
  std::string nonce;
  for (int i = 0; i < 2; ++i) {
    const std::uint64_t word = world_.random.next();
    nonce.append(reinterpret_cast<const char*>(&word), sizeof(word));
  }
  client.handshake.emplace(
      *websocket::ClientHandshake::create({.host = "10.0.0.1:9001", .nonce = nonce}));
  const std::string& request = client.handshake->request();
  switch (client.plan.kind) {
    case ClientKind::hesitator:
      client.broke_the_rules = true;
      client.out.append(request.substr(0, world_.random.below(request.size())));
      return;
    case ClientKind::dripper:
      client.request = request;
      client.act_at_ns = acts_at_ns_ = world_.network.now().ns;
      return;
    case ClientKind::pipeliner:
      client.out.append(request);
      client.last_ping = "early";
      client.pong_came = false;
      return frame(client, Opcode::ping, client.last_ping);
    default:
      client.out.append(request);
  }
}

void Clients::act(Client& client) {
  const std::int64_t now = world_.network.now().ns;
  if (client.state == State::waiting) return world_.healing ? void() : connect(client);
  if (client.state == State::handshake && client.plan.kind == ClientKind::dripper) {
    const std::size_t part =
        std::min<std::size_t>(client.request.size(), 20 + world_.random.below(40));
    client.out.append(client.request.substr(0, part));
    client.request.erase(0, part);
    if (!client.request.empty()) client.act_at_ns = now + world_.random.between(kMs, 20 * kMs);
    return client.out.flush(transport_, client.conn);
  }
  if (client.state != State::streaming) return;
  const std::int64_t again_ns = now + world_.random.between(1, 2 * client.plan.acts_every_ns);
  switch (client.plan.kind) {
    case ClientKind::pinger:
      if (world_.healing) return;
      client.last_ping = std::to_string(world_.random.next());
      client.pong_came = false;
      frame(client, Opcode::ping, client.last_ping);
      client.act_at_ns = again_ns;
      break;
    case ClientKind::talker:
      if (world_.healing) return;
      frame(client, Opcode::text, std::string(world_.random.below(2000), 'x'));
      client.act_at_ns = again_ns;
      break;
    case ClientKind::slow:
      set_reading(client, !client.reads || world_.healing);
      if (!world_.healing) client.act_at_ns = again_ns;
      return;
    case ClientKind::stuck:
      return set_reading(client, false);
    case ClientKind::closer:
      world_.say("{} closes", name(client));
      client.state = State::closing;
      frame(client, Opcode::close, std::string_view("\x03\xe8", 2));
      break;
    case ClientKind::aborter:
      client.broke_the_rules = true;
      return transport_.abort(client.conn);
    case ClientKind::vanisher:
      client.broke_the_rules = true;
      return transport_.close(client.conn);
    case ClientKind::half_closer:
      client.broke_the_rules = true;
      return transport_.finish_writing(client.conn);
    case ClientKind::breaker:
      client.broke_the_rules = true;
      break_the_rules(client);
      break;
    default:
      return;
  }
  client.out.flush(transport_, client.conn);
}

void Clients::set_reading(Client& client, bool on) {
  if (client.reads == on) return;
  world_.say("{} {}", name(client), on ? "reads on" : "stops reading");
  client.reads = on;
  if (on) transport_.resume_receive(client.conn);
}

void Clients::break_the_rules(Client& client) {
  world_.say("{} breaks the protocol", name(client));
  switch (world_.random.below(4)) {
    case 0:  // not masked
      return client.out.append(std::string_view("\x81\x01x", 3));
    case 1:  // a reserved opcode
      return client.out.append(std::string_view("\x8b\x80\0\0\0\0", 6));
    case 2:  // a ping of 126 bytes
      return client.out.append(std::string_view("\x89\xfe\x00\x7e\0\0\0\0", 8));
    default:  // larger than a client may be
      return client.out.append(std::string_view("\x82\xff\0\0\0\0\x7f\xff\xff\xff\0\0\0\0", 14));
  }
}

void Clients::frame(Client& client, Opcode opcode, std::string_view payload) {
  std::string out(websocket::kHeaderBytesMax + payload.size(), '\0');
  out.resize(websocket::build_client_frame(std::as_writable_bytes(std::span(out)), opcode,
                                           websocket::as_bytes(payload), mask_keys_.next()));
  client.out.append(out);
}

std::span<std::byte> Clients::receive_space(Conn conn) {
  Client& client = *by_index_[conn.index];
  return client.reads ? std::span<std::byte>(client.space) : std::span<std::byte>{};
}

void Clients::on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps&) {
  Client& client = *by_index_[conn.index];
  if (client.plan.kind == ClientKind::stranger) {
    client.answer += websocket::as_text(bytes);
    return;
  }
  if (client.state == State::handshake) {
    const websocket::HandshakeStep step = client.handshake->feed(bytes);
    if (step.status == websocket::HandshakeStatus::failed)
      world_.fault("{}: the proxy refuses the handshake: {}", name(client),
                   client.handshake->error());
    if (step.status != websocket::HandshakeStatus::done) return;
    return welcome(client, bytes.subspan(step.consumed_bytes));
  }
  Sink sink{*this, client};
  const websocket::ParseResult result = client.parser.feed(bytes, sink);
  if (result.status == websocket::ParseStatus::failed)
    world_.fault("{}: what it gets is no WebSocket: {}", name(client), result.text());
  client.out.flush(transport_, conn);
}

void Clients::welcome(Client& client, std::span<std::byte> rest) {
  world_.say("{} is connected", name(client));
  client.state = State::streaming;
  client.published_at_welcome = world_.tape.published().size();
  client.act_at_ns = world_.network.now().ns + client.plan.acts_after_ns;
  acts_at_ns_ = std::min(acts_at_ns_, client.act_at_ns);
  if (!rest.empty()) on_receive(client.conn, rest, {});
}

void Clients::take_message(Client& client, std::span<const std::byte> payload) {
  const auto number = world_.tape.recognise(payload);
  if (!number)
    return world_.fault("{}: a message of {} bytes that the venue never sent", name(client),
                        payload.size());
  const auto position = world_.tape.position(*number);
  if (!position)
    return world_.fault("{}: message {} before it is in the log", name(client), *number);
  if (client.position && *position != *client.position + 1)
    world_.fault("{}: message {} of the stream follows {}", name(client), *position,
                 *client.position);
  if (!client.position &&
      (*position < client.published_at_connect || *position > client.published_at_welcome))
    world_.fault(
        "{}: begins with message {} of the stream, and {} to {} had been published while it "
        "connected",
        name(client), *position, client.published_at_connect, client.published_at_welcome);
  client.position = position;
  ++world_.delivered;
}

void Clients::take_close(Client& client, const websocket::CloseStatus& status) {
  world_.say("{} is told {} {}", name(client), status.code, status.reason);
  client.close_code = status.code;
  const bool own = client.state == State::closing;
  const bool slow = status.code == 1013 && client.plan.may_be_slow();
  const bool stops = status.code == 1001 && world_.stopping;
  const bool broke = client.plan.kind == ClientKind::breaker && client.broke_the_rules &&
                     (status.code == 1002 || status.code == 1007 || status.code == 1009);
  if (!own && !slow && !stops && !broke)
    world_.fault("{}: closed with {} {}, and there is no reason", name(client), status.code,
                 status.reason);
  if (!own) frame(client, Opcode::close, std::string_view("\x03\xe8", 2));
  client.state = State::closing;
}

void Clients::on_sent(Conn conn, std::size_t) {
  Client& client = *by_index_[conn.index];
  client.out.sent();
  client.out.flush(transport_, conn);
}

void Clients::on_close(Conn conn, transports::CloseInfo info) {
  Client& client = *by_index_[conn.index];
  world_.say("{} has ended: {}", name(client), transports::to_string(info.reason));
  const State before = std::exchange(client.state, State::ended);
  client.act_at_ns = INT64_MAX;
  if (info.reason == transports::CloseReason::local) return;
  if (client.plan.kind == ClientKind::stranger && !client.answer.starts_with("HTTP/1.1 4") &&
      !world_.plan.crowded && !client.plan.may_be_slow() && !client.plan.link_may_break() &&
      !world_.stopping)
    world_.fault("{}: ended without an answer", name(client));
  if (client.close_code || client.broke_the_rules || client.plan.link_may_break() ||
      client.plan.may_be_slow() || world_.stopping)
    return;
  if (world_.plan.crowded && (before == State::handshake || before == State::connecting)) return;
  world_.fault("{}: lost ({}) without a word", name(client), transports::to_string(info.reason));
}

void Clients::heal() {
  for (const auto& client : clients_)
    if (client->plan.kind != ClientKind::stuck && client->state != State::ended)
      set_reading(*client, true);
}

bool Clients::must_live(const Client& client) const {
  return client.plan.faultless() && !world_.plan.crowded && client.state != State::waiting;
}

bool Clients::caught_up(const Client& client) const {
  if (client.state != State::streaming || client.plan.link_may_break() || !client.reads ||
      client.broke_the_rules)
    return true;
  const std::size_t published = world_.tape.published().size();
  if (!client.position) return published == client.published_at_welcome;
  return *client.position + 1 == published && client.pong_came;
}

bool Clients::all_caught_up() const {
  return std::all_of(clients_.begin(), clients_.end(),
                     [this](const auto& client) { return caught_up(*client); });
}

void Clients::check_living() {
  for (const auto& client : clients_) {
    if (must_live(*client) && client->state != State::streaming)
      world_.fault("{}: has done nothing wrong, and is not connected", name(*client));
    if (!caught_up(*client))
      world_.fault("{}: has had messages up to {} of {}{}", name(*client),
                   client->position ? std::to_string(*client->position + 1) : "none",
                   world_.tape.published().size(), client->pong_came ? "" : ", and no pong");
    if (client->plan.kind == ClientKind::hesitator && client->state == State::handshake &&
        !client->plan.link_may_break())
      world_.fault("{}: still waited for", name(*client));
  }
}

void Clients::check_ended() {
  for (const auto& client : clients_) {
    if (!must_live(*client)) continue;
    if (client->state != State::ended || client->close_code != 1001)
      world_.fault("{}: was not told that the proxy stops", name(*client));
  }
}

std::size_t Clients::sure_to_stream() const {
  return static_cast<std::size_t>(
      std::count_if(clients_.begin(), clients_.end(), [this](const auto& client) {
        return client->state == State::streaming && must_live(*client);
      }));
}

}  // namespace feedbench::simulate
