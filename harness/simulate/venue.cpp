#include "harness/simulate/venue.hpp"

#include <algorithm>
#include <array>

#include "reference/websocket/build_frame.hpp"

namespace feedbench::simulate {

using websocket::Opcode;

namespace {

/// The proxy has one connection at a time; those it has lost may linger.
constexpr std::uint32_t kConnectionsMax = 32;

}  // namespace

struct Venue::Sink {
  Venue& venue;
  Peer& peer;
  void on_ping(std::span<const std::byte> payload) {
    if (!peer.closing) venue.frame(peer, Opcode::pong, websocket::as_text(payload));
  }
  void on_pong(std::span<const std::byte> payload) {
    if (websocket::as_text(payload) == peer.last_ping) peer.pong_came = true;
  }
  void on_close(const websocket::CloseStatus& status) {
    venue.world_.say("venue {}: the proxy closes with {} {}", peer.number, status.code, status.reason);
    const bool answers = peer.closing && peer.end == End::close_frame;
    const bool complains = peer.closing && peer.end == End::rubbish && status.code != 1000;
    const bool stops = venue.world_.stopping && status.code == 1000;
    if (!answers && !complains && !stops)
      venue.world_.fault("the proxy closes a good connection to its venue with {} {}", status.code,
                         status.reason);
    if (!std::exchange(peer.closing, true))
      venue.frame(peer, Opcode::close, std::string_view("\x03\xe8", 2));
  }
  void on_message(Opcode, std::span<const std::byte>) {
    venue.world_.fault("the proxy sent the venue a message that nobody asked for");
  }
};

Venue::Venue(World& world)
    : world_(world),
      transport_({.connections_max = kConnectionsMax, .receive_buffer_bytes = 4096}, world.network),
      peers_(kConnectionsMax) {
  if (auto bound = transport_.listen(kEndpoint, {}); !bound) throw bound.error();
}

void Venue::plan_next() {
  acts_at_ns_ = INT64_MAX;
  for (const auto& peer : peers_)
    if (peer)
      acts_at_ns_ = std::min({acts_at_ns_, peer->burst_at_ns, peer->end_at_ns, peer->drip_at_ns});
}

void Venue::act() {
  const std::int64_t now = world_.network.now().ns;
  for (const auto& each : peers_) {
    if (!each) continue;
    Peer& peer = *each;
    if (peer.drip_at_ns <= now) {
      const std::size_t part = std::min<std::size_t>(peer.drip.size(), 1 + world_.random.below(30));
      peer.out.append(peer.drip.substr(0, part));
      peer.drip.erase(0, part);
      peer.drip_at_ns = peer.drip.empty() ? INT64_MAX : now + world_.random.between(kMs, 20 * kMs);
      if (peer.drip.empty()) go_live(peer);
      peer.out.flush(transport_, peer.conn);
    }
    if (peer.end_at_ns <= now) {
      peer.end_at_ns = INT64_MAX;
      end(peer);
    } else if (peer.burst_at_ns <= now) {
      burst(peer);
    }
  }
  plan_next();
}

void Venue::on_open(Conn conn, bool) {
  peers_[conn.index] = std::make_unique<Peer>();
  Peer& peer = *peers_[conn.index];
  peer.conn = conn;
  if (!world_.healing && world_.random.one_in(world_.plan.venue.no_welcome_one_in))
    peer.welcome = static_cast<Welcome>(1 + world_.random.below(5));
  if (peer.welcome == Welcome::resets) transport_.abort(conn);
}

void Venue::on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps&) {
  Peer& peer = *peers_[conn.index];
  if (!peer.live && peer.drip.empty()) {
    const websocket::HandshakeStep step = peer.handshake.feed(bytes);
    if (step.status == websocket::HandshakeStatus::need_more) return;
    if (step.status == websocket::HandshakeStatus::failed)
      return world_.fault("the proxy's handshake request is not good: {}", peer.handshake.error());
    if (step.consumed_bytes != bytes.size()) world_.fault("the proxy sends before it is answered");
    return welcome(peer);
  }
  Sink sink{*this, peer};
  const websocket::ParseResult result = peer.parser.feed(bytes, sink);
  if (result.status == websocket::ParseStatus::failed)
    world_.fault("the proxy breaks the protocol towards the venue: {}", result.text());
  peer.out.flush(transport_, conn);
}

void Venue::welcome(Peer& peer) {
  switch (peer.welcome) {
    case Welcome::refuses:
      // 4xx ends a proxy that has never been connected; here it is to live.
      peer.out.append(
          websocket::http_refusal(ever_live_ && world_.random.one_in(2) ? 401 : 503, "not now\n"));
      peer.out.flush(transport_, peer.conn);
      return transport_.close(peer.conn);
    case Welcome::rubbish:
      peer.out.append("SSH-2.0-OpenSSH_9.2\r\n\r\n");
      return peer.out.flush(transport_, peer.conn);
    case Welcome::ignores:
      return;
    case Welcome::dripping:
      peer.drip = peer.handshake.accept();
      peer.drip_at_ns = world_.network.now().ns;
      return;
    default:
      peer.out.append(peer.handshake.accept());
      go_live(peer);
      // Messages may stand right behind the answer.
      if (world_.random.one_in(3)) burst(peer);
      return peer.out.flush(transport_, peer.conn);
  }
}

void Venue::go_live(Peer& peer) {
  const std::int64_t now = world_.network.now().ns;
  const VenuePlan& plan = world_.plan.venue;
  peer.live = ever_live_ = true;
  peer.number = next_number_++;
  world_.say("venue {}: live", peer.number);
  if (world_.healing) return;
  peer.burst_at_ns = now + world_.random.between(0, 2 * plan.burst_every_ns);
  if (world_.random.one_in(plan.trouble_one_in)) {
    peer.end = static_cast<End>(1 + world_.random.below(5));
    peer.end_at_ns = now + world_.random.between(0, world_.plan.session_ns);
  }
}

void Venue::burst(Peer& peer) {
  const VenuePlan& plan = world_.plan.venue;
  peer.burst_at_ns = world_.network.now().ns + world_.random.between(1, 2 * plan.burst_every_ns);
  // A proxy that does not read is not shouted at.
  if (peer.closing || world_.healing || peer.out.bytes() > kVenueBacklogBytes) return;
  std::uint64_t count = 1 + world_.random.below(plan.burst_messages_max);
  std::size_t before = peer.out.bytes();
  for (; count > 0 && world_.tape.sent() < world_.plan.messages_max; --count) {
    message(peer, plan.fragment_one_in);
    if (peer.out.bytes() - before > 48 * 1024) break;
  }
  peer.out.flush(transport_, peer.conn);
}

void Venue::message(Peer& peer, std::uint64_t fragment_one_in) {
  const VenuePlan& plan = world_.plan.venue;
  Random& random = world_.random;
  const std::size_t largest = plan.payload_bytes_max;
  const std::uint64_t sort = random.below(100);
  std::size_t bytes = 0;
  if (sort < 75)
    bytes = 8 + random.below(std::min<std::size_t>(largest, 400) - 7);
  else if (sort < 97)
    bytes = 8 + random.below(std::min<std::size_t>(largest, 4000) - 7);
  else if (sort < 99)
    bytes = 8 + random.below(largest - 7);
  else
    bytes = largest;
  if (random.one_in(plan.ping_one_in)) ping(peer);
  const std::string payload = world_.tape.payload(world_.tape.send(peer.number, bytes));
  std::string_view rest = payload;
  const Opcode first = random.one_in(10) ? Opcode::binary : Opcode::text;
  Opcode opcode = first;
  if (random.one_in(fragment_one_in)) {
    for (std::uint64_t parts = random.between(1, 3); parts > 0; --parts) {
      const std::size_t part = random.below(rest.size() + 1);
      frame(peer, opcode, rest.substr(0, part), false);
      rest.remove_prefix(part);
      opcode = Opcode::continuation;
      if (random.one_in(plan.ping_one_in)) ping(peer);
    }
  }
  frame(peer, opcode, rest);
}

void Venue::half_a_message(Peer& peer) {
  Outbox whole = std::exchange(peer.out, {});
  message(peer, 2);  // every other one in fragments
  const std::string bytes = peer.out.take_waiting();
  peer.out = std::move(whole);
  const std::size_t part = world_.random.below(bytes.size());
  world_.say("venue {}: half a message, {} of {} bytes", peer.number, part, bytes.size());
  peer.out.append(std::string_view(bytes).substr(0, part));
  peer.out.flush(transport_, peer.conn);
}

void Venue::ping(Peer& peer) {
  peer.last_ping = "ping " + std::to_string(world_.random.below(1'000'000));
  peer.pong_came = false;
  frame(peer, Opcode::ping, peer.last_ping);
}

void Venue::end(Peer& peer) {
  if (peer.closing || world_.healing) return;
  // Some die in the middle of a message.
  const bool can_be_cut =
      peer.end == End::fin || peer.end == End::reset || peer.end == End::falls_silent;
  if (can_be_cut && world_.random.one_in(2)) half_a_message(peer);
  peer.closing = true;
  switch (peer.end) {
    case End::close_frame:
      world_.say("venue {}: closes with 1001", peer.number);
      frame(peer, Opcode::close, std::string_view("\x03\xe9", 2));
      break;
    case End::fin:
      world_.say("venue {}: FIN", peer.number);
      return transport_.close(peer.conn);
    case End::reset:
      world_.say("venue {}: RST", peer.number);
      return transport_.abort(peer.conn);
    case End::rubbish:
      world_.say("venue {}: breaks the protocol", peer.number);
      say_rubbish(peer);
      break;
    default:
      world_.say("venue {}: falls silent", peer.number);
      return;
  }
  peer.out.flush(transport_, peer.conn);
}

void Venue::say_rubbish(Peer& peer) {
  switch (world_.random.below(4)) {
    case 0:  // masked, which a server's frame must not be
      return peer.out.append(std::string_view("\x81\x81\0\0\0\0x", 7));
    case 1:  // a reserved opcode
      return peer.out.append(std::string_view("\x83\x01x", 3));
    case 2:  // no UTF-8
      return peer.out.append(std::string_view("\x81\x02\xc3\x28", 4));
    default:  // larger than any message may be
      return peer.out.append(std::string_view("\x82\x7f\0\0\0\x7f\0\0\0\0", 10));
  }
}

void Venue::frame(Peer& peer, Opcode opcode, std::string_view payload, bool fin) {
  std::string out(websocket::kHeaderBytesMax + payload.size(), '\0');
  out.resize(websocket::build_server_frame(std::as_writable_bytes(std::span(out)), opcode,
                                           websocket::as_bytes(payload), fin));
  peer.out.append(out);
}

void Venue::on_sent(Conn conn, std::size_t) {
  Peer& peer = *peers_[conn.index];
  peer.out.sent();
  peer.out.flush(transport_, conn);
}

void Venue::on_close(Conn conn, transports::CloseInfo info) {
  world_.say("venue: connection ended: {}", transports::to_string(info.reason));
  peers_[conn.index].reset();
}

void Venue::heal() {
  for (const auto& peer : peers_) {
    if (!peer) continue;
    peer->burst_at_ns = peer->end_at_ns = INT64_MAX;
  }
  plan_next();
}

bool Venue::send_last() {
  bool any = false;
  for (const auto& peer : peers_) {
    if (!peer || !peer->live || peer->closing) continue;
    any = true;
    ping(*peer);
    frame(*peer, Opcode::text, world_.tape.payload(world_.tape.send(peer->number, 100)));
    peer->out.flush(transport_, peer->conn);
  }
  return any;
}

bool Venue::all_published() const {
  return std::any_of(peers_.begin(), peers_.end(), [this](const auto& peer) {
    return peer && peer->live && !peer->closing && peer->pong_came &&
           world_.tape.published_on(peer->number) == world_.tape.sent_on(peer->number);
  });
}

}  // namespace feedbench::simulate
