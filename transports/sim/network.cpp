#include "transports/sim/network.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "transports/sockets.hpp"

namespace feedbench::transports::sim {
namespace {

constexpr std::uint8_t other(std::uint8_t side) { return side == 0 ? 1 : 0; }

}  // namespace

void Network::note(std::uint64_t a, std::uint64_t b) noexcept {
  trace_ = (trace_ ^ a) * 0x9E3779B97F4A7C15ull;
  trace_ = ((trace_ ^ (trace_ >> 29)) ^ b) * 0xBF58476D1CE4E5B9ull;
}

void Network::tell(const End& end) {
  if (end.port != nullptr) end.port->end_changed(end.slot);
}

void Network::schedule(std::int64_t at_ns, std::uint32_t link, What what, std::uint8_t side) {
  events_.push_back({at_ns, order_++, link, links_[link].generation, what, side});
  std::push_heap(events_.begin(), events_.end());
}

void Network::advance_to(MonotonicInstant to) {
  while (!events_.empty() && events_.front().at_ns <= to.ns) {
    const Event event = events_.front();
    std::pop_heap(events_.begin(), events_.end());
    events_.pop_back();
    now_ns_ = std::max(now_ns_, event.at_ns);
    if (links_[event.link].generation == event.generation) happen(event);
  }
  now_ns_ = std::max(now_ns_, to.ns);
}

void Network::happen(const Event& event) {
  switch (event.what) {
    case What::arrival:
      return arrive(event.link, event.side);
    case What::syn:
      return take_syn(event.link);
    case What::established:
    case What::refused: {
      End& end = links_[event.link].ends[0];
      end.state = event.what == What::refused ? EndState::refused : EndState::open;
      return tell(end);
    }
    case What::give_up:
      return give_up(event.link, event.side);
    case What::cut:
      return cut(event.link);
  }
}

// Connections.

Network::Listener* Network::find_listener(const Endpoint& endpoint) {
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [&](const Listener& each) { return each.endpoint == endpoint; });
  return found == listeners_.end() ? nullptr : &*found;
}

Expected<Endpoint> Network::listen(const std::string& what, const Endpoint& endpoint, Port* port,
                                   const ConnOptions& options) {
  if (auto good = sockets::require_numeric(what, endpoint); !good)
    return tl::unexpected(good.error());
  Endpoint bound = endpoint;
  if (bound.port == 0) {
    do {
      bound.port = next_port_;
      next_port_ = next_port_ == 65'535 ? 40'000 : static_cast<std::uint16_t>(next_port_ + 1);
    } while (find_listener(bound) != nullptr);
  }
  if (find_listener(bound) != nullptr)
    return tl::unexpected(sockets::make_error(what, "bind " + to_string(bound), EADDRINUSE));
  listeners_.push_back({bound, port, options, {}});
  return bound;
}

void Network::stop_listening(const Endpoint& endpoint) {
  Listener* const listener = find_listener(endpoint);
  if (listener == nullptr) return;
  for (const EndId waiting : std::exchange(listener->waiting, {})) reset(waiting);
  std::erase_if(listeners_, [&](const Listener& each) { return &each == listener; });
}

EndId Network::accept(const Endpoint& endpoint) {
  Listener* const listener = find_listener(endpoint);
  if (listener == nullptr || listener->waiting.empty()) return {};
  const EndId accepted = listener->waiting.front();
  listener->waiting.pop_front();
  return accepted;
}

void Network::attach(EndId end, Port* port, std::uint32_t slot) {
  of(end).ends[end.side].port = port;
  of(end).ends[end.side].slot = slot;
}

std::uint32_t Network::take_link() {
  if (free_links_.empty()) {
    links_.emplace_back();
    free_links_.push_back(static_cast<std::uint32_t>(links_.size() - 1));
  }
  const std::uint32_t index = free_links_.back();
  free_links_.pop_back();
  Link& link = links_[index];
  for (std::size_t side = 0; side < 2; ++side) {
    link.ends[side] = End{};
    Stream fresh;
    fresh.bytes = std::move(link.from[side].bytes);
    fresh.bytes.clear();
    fresh.on_the_way = std::move(link.from[side].on_the_way);
    fresh.on_the_way.clear();
    link.from[side] = std::move(fresh);
  }
  link.live = true;
  link.faults = {};
  link.silent_from_ns = link.silent_until_ns = INT64_MAX;
  ++live_links_;
  return index;
}

Expected<EndId> Network::connect(const std::string& what, const Endpoint& endpoint, Port* port,
                                 std::uint32_t slot, const ConnOptions& options) {
  if (auto good = sockets::require_numeric(what, endpoint); !good)
    return tl::unexpected(good.error());
  const std::uint32_t index = take_link();
  Link& link = links_[index];
  link.to = endpoint;
  if (choose_faults_) link.faults = choose_faults_(endpoint);
  End& mine = link.ends[0];
  mine.port = port;
  mine.slot = slot;
  mine.nic_stamps = options.nic_stamps;
  mine.late_ack = options.late_ack;
  if (options.send_buffer_bytes > 0)
    link.from[0].send_buffer_bytes = static_cast<std::size_t>(options.send_buffer_bytes);
  if (options.receive_buffer_bytes > 0)
    link.from[1].window_bytes = static_cast<std::size_t>(options.receive_buffer_bytes);
  const Faults& faults = link.faults;
  if (faults.buffer_bytes != 0) {
    for (Stream& stream : link.from)
      stream.send_buffer_bytes = stream.window_bytes = faults.buffer_bytes;
  }
  if (faults.silent_after_ns >= 0) {
    link.silent_from_ns = now_ns_ + faults.silent_after_ns;
    if (faults.silent_for_ns >= 0)
      link.silent_until_ns = link.silent_from_ns + faults.silent_for_ns;
  }
  if (faults.cut_after_ns >= 0) schedule(now_ns_ + faults.cut_after_ns, index, What::cut, 0);
  if (faults.unreachable)
    schedule(now_ns_ + kConnectTimeoutNs, index, What::give_up, 0);
  else
    schedule(now_ns_ + faults.delay_ns, index, What::syn, 0);
  return EndId{index, link.generation, 0};
}

void Network::take_syn(std::uint32_t index) {
  Link& link = links_[index];
  if (link.ends[0].state != EndState::connecting) return;  // it was cut meanwhile
  const std::int64_t answer_ns = now_ns_ + link.faults.delay_ns;
  Listener* const listener = find_listener(link.to);
  if (listener == nullptr) return schedule(answer_ns, index, What::refused, 0);
  End& theirs = link.ends[1];
  theirs.state = EndState::open;
  theirs.nic_stamps = listener->options.nic_stamps;
  theirs.late_ack = listener->options.late_ack;
  if (listener->options.send_buffer_bytes > 0)
    link.from[1].send_buffer_bytes = static_cast<std::size_t>(listener->options.send_buffer_bytes);
  if (listener->options.receive_buffer_bytes > 0)
    link.from[0].window_bytes = static_cast<std::size_t>(listener->options.receive_buffer_bytes);
  link.from[1].last_arrival_ns = answer_ns;  // nothing overtakes the answer
  schedule(answer_ns, index, What::established, 0);
  listener->waiting.push_back({index, link.generation, 1});
  if (listener->port != nullptr) listener->port->connection_waits();
}

EndState Network::state(EndId end) const {
  const Link& link = of(end);
  const End& mine = link.ends[end.side];
  const Stream& in = link.from[other(end.side)];
  const bool ended = mine.state == EndState::finished || mine.state == EndState::reset;
  return ended && in.read != in.arrived ? EndState::open : mine.state;
}

// Streams.

bool Network::silent_for_ever(const Link& link) const noexcept {
  return now_ns_ >= link.silent_from_ns && link.silent_until_ns == INT64_MAX;
}

std::size_t Network::write(EndId end, std::span<const ConstRange> ranges, bool foreign) {
  Link& link = of(end);
  Stream& out = link.from[end.side];
  if (out.over || out.finishing) return 0;
  std::size_t room = out.send_buffer_bytes -
                     std::min<std::size_t>(out.send_buffer_bytes,
                                           static_cast<std::size_t>(out.accepted - out.departed));
  if (!foreign && link.faults.write_bytes_max != 0)
    room = std::min<std::size_t>(room, 1 + random_.below(link.faults.write_bytes_max));
  std::size_t taken = 0;
  bool whole = true;
  for (const ConstRange& range : ranges) {
    const std::size_t part = std::min(range.bytes, room - taken);
    if (part != 0) out.bytes.append({range.data, part});
    taken += part;
    whole = part == range.bytes;
    if (!whole) break;
  }
  out.accepted += taken;
  link.ends[end.side].wants_room = !whole;
  depart(end.link, end.side);
  // A partial send whose rest would find room at once: the writer is told, as by a socket that is writable.
  if (!whole && writable(end)) tell(link.ends[end.side]);
  return taken;
}

bool Network::writable(EndId end) const {
  const Stream& out = of(end).from[end.side];
  return !out.over && !out.finishing && out.accepted - out.departed < out.send_buffer_bytes;
}

/// Puts what the window lets through on its way.
void Network::depart(std::uint32_t index, std::uint8_t writer) {
  Link& link = links_[index];
  Stream& out = link.from[writer];
  const bool has_cargo = out.departed < out.accepted || (out.finishing && !out.fin_departed);
  if (out.over || !has_cargo) return;
  if (silent_for_ever(link)) {
    if (!std::exchange(out.give_up_due, true))
      schedule(now_ns_ + kSendTimeoutNs, index, What::give_up, writer);
    return;
  }
  while (out.departed < out.accepted) {
    const std::uint64_t unread = out.departed - out.read;
    if (unread >= out.window_bytes) return;
    std::uint64_t bytes = std::min(out.accepted - out.departed, out.window_bytes - unread);
    if (link.faults.segment_bytes_max != 0)
      bytes = std::min<std::uint64_t>(bytes, 1 + random_.below(link.faults.segment_bytes_max));
    out.departed += bytes;
    const bool stamped = link.ends[other(writer)].nic_stamps;
    carry(index, writer, {0, out.departed, stamped ? TscInstant::now() : TscInstant{}, Cargo::data},
          static_cast<std::size_t>(bytes));
  }
  if (out.finishing && !std::exchange(out.fin_departed, true))
    carry(index, writer, {0, out.departed, {}, Cargo::fin}, 0);
}

void Network::carry(std::uint32_t index, std::uint8_t writer, Segment segment, std::size_t bytes) {
  Link& link = links_[index];
  Stream& out = link.from[writer];
  const Faults& faults = link.faults;
  std::int64_t at_ns = now_ns_;
  if (faults.bytes_per_second != 0) {
    out.wire_free_ns = std::max(out.wire_free_ns, now_ns_) +
                       static_cast<std::int64_t>(bytes) * 1'000'000'000 / faults.bytes_per_second;
    at_ns = out.wire_free_ns;
  }
  at_ns += faults.delay_ns + random_.between(0, faults.jitter_ns);
  if (now_ns_ >= link.silent_from_ns && now_ns_ < link.silent_until_ns)
    at_ns = std::max(at_ns, link.silent_until_ns);
  at_ns = std::max(at_ns, out.last_arrival_ns);
  out.last_arrival_ns = segment.at_ns = at_ns;
  ++segments_;
  if (!out.on_the_way.empty()) {
    Segment& last = out.on_the_way.back();
    if (last.at_ns == at_ns && last.cargo == Cargo::data && segment.cargo == Cargo::data) {
      last.end = segment.end;
      last.sent = segment.sent;
      return;
    }
  }
  out.on_the_way.push(segment);
  expect_arrival(index, writer);
}

/// One event a stream, for the first segment of those on the way.
void Network::expect_arrival(std::uint32_t index, std::uint8_t writer) {
  Stream& stream = links_[index].from[writer];
  if (stream.arrival_due || stream.on_the_way.empty()) return;
  stream.arrival_due = true;
  schedule(stream.on_the_way.front().at_ns, index, What::arrival, writer);
}

void Network::arrive(std::uint32_t index, std::uint8_t writer) {
  Link& link = links_[index];
  Stream& stream = link.from[writer];
  End& reader = link.ends[other(writer)];
  while (!stream.on_the_way.empty() && stream.on_the_way.front().at_ns <= now_ns_) {
    const Segment segment = stream.on_the_way.front();
    stream.on_the_way.pop();
    note(static_cast<std::uint64_t>(now_ns_), (std::uint64_t{index} << 32) ^ segment.end);
    switch (segment.cargo) {
      case Cargo::data:
        stream.arrived = segment.end;
        stream.nic = segment.sent;
        if (!reader.late_ack || reader.closed) stream.acknowledged = stream.arrived;
        if (!reader.closed) break;
        read_to(index, writer, stream.arrived);
        if (now_ns_ - reader.closed_at_ns > kLingerNs) send_reset(index, other(writer));
        break;
      case Cargo::fin:
        if (reader.state == EndState::open) reader.state = EndState::finished;
        break;
      case Cargo::reset:
        if (reader.state == EndState::open || reader.state == EndState::finished ||
            reader.state == EndState::connecting)
          reader.state = EndState::reset;
        link.from[0].over = link.from[1].over = true;
        break;
    }
    tell(reader);
  }
  stream.arrival_due = false;
  expect_arrival(index, writer);
}

/// Takes the reader's position on; the window opens, and so does the writer's room.
void Network::read_to(std::uint32_t index, std::uint8_t writer, std::uint64_t position) {
  Link& link = links_[index];
  Stream& stream = link.from[writer];
  stream.bytes.drop(static_cast<std::size_t>(position - stream.read));
  stream.read = position;
  depart(index, writer);
  End& end = link.ends[writer];
  if (end.wants_room && writable({index, link.generation, writer})) {
    end.wants_room = false;
    tell(end);
  }
}

std::size_t Network::readable(EndId end) const {
  const Stream& in = of(end).from[other(end.side)];
  return static_cast<std::size_t>(in.arrived - in.read);
}

std::size_t Network::read(EndId end, std::span<std::byte> to, TscInstant* nic) {
  Stream& in = of(end).from[other(end.side)];
  const std::size_t bytes = std::min(to.size(), readable(end));
  if (bytes == 0) return 0;
  in.bytes.peek(to.first(bytes));
  std::uint64_t first = 0;
  std::memcpy(&first, to.data(), std::min(bytes, sizeof(first)));
  note(first, bytes);
  if (nic != nullptr) *nic = in.nic;
  read_to(end.link, other(end.side), in.read + bytes);
  return bytes;
}

void Network::acknowledge(EndId end) {
  Stream& in = of(end).from[other(end.side)];
  in.acknowledged = in.arrived;
}

bool Network::unacknowledged(EndId end) const {
  const Stream& out = of(end).from[end.side];
  return out.acknowledged < out.accepted;
}

// Ends.

void Network::finish_writing(EndId end) {
  of(end).from[end.side].finishing = true;
  depart(end.link, end.side);
}

void Network::close(EndId end) {
  if (!end.valid() || of(end).generation != end.generation) return;
  End& mine = of(end).ends[end.side];
  if (std::exchange(mine.closed, true)) return;
  mine.port = nullptr;
  mine.closed_at_ns = now_ns_;
  Stream& in = of(end).from[other(end.side)];
  in.acknowledged = in.arrived;
  read_to(end.link, other(end.side), in.arrived);
  if (mine.state == EndState::open || mine.state == EndState::finished) finish_writing(end);
  if (mine.state == EndState::connecting) take_back_connect(end.link);
  free_if_done(end.link);
}

void Network::reset(EndId end) {
  if (!end.valid() || of(end).generation != end.generation) return;
  Link& link = of(end);
  End& mine = link.ends[end.side];
  if (std::exchange(mine.closed, true)) return;
  mine.port = nullptr;
  mine.closed_at_ns = now_ns_;
  if (mine.state == EndState::open || mine.state == EndState::finished)
    send_reset(end.link, end.side);
  if (mine.state == EndState::connecting) take_back_connect(end.link);
  free_if_done(end.link);
}

/// Who connected has gone before it was answered; the other end, if it has come to be, is told.
void Network::take_back_connect(std::uint32_t index) {
  if (links_[index].ends[1].state != EndState::connecting) send_reset(index, 0);
}

void Network::send_reset(std::uint32_t index, std::uint8_t writer) {
  Link& link = links_[index];
  link.from[0].over = link.from[1].over = true;
  if (!silent_for_ever(link))
    carry(index, writer, {0, link.from[writer].departed, {}, Cargo::reset}, 0);
}

void Network::cut(std::uint32_t index) {
  Link& link = links_[index];
  for (std::size_t side = 0; side < 2; ++side) {
    link.from[side].over = true;
    link.from[side].on_the_way.clear();
    const EndState state = link.ends[side].state;
    const bool exists = side == 0 || state != EndState::connecting;
    if (exists && state != EndState::refused && state != EndState::timed_out)
      link.ends[side].state = EndState::reset;
  }
  tell(link.ends[0]);
  tell(link.ends[1]);
}

void Network::give_up(std::uint32_t index, std::uint8_t side) {
  Link& link = links_[index];
  End& end = link.ends[side];
  const bool unanswered = end.state == EndState::connecting || silent_for_ever(link);
  if (!unanswered || end.state == EndState::reset) return;
  end.state = EndState::timed_out;
  link.from[0].over = link.from[1].over = true;
  tell(end);
}

void Network::free_if_done(std::uint32_t index) {
  Link& link = links_[index];
  // The other end does not exist before the SYN has come.
  const bool alone = link.ends[1].state == EndState::connecting;
  if (!link.live || !link.ends[0].closed || !(link.ends[1].closed || alone)) return;
  link.live = false;
  ++link.generation;
  --live_links_;
  free_links_.push_back(index);
}

}  // namespace feedbench::transports::sim
