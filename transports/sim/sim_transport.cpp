#include "transports/sim/sim_transport.hpp"

#include <cerrno>
#include <string>

#include "transports/sockets.hpp"

namespace feedbench::transports {

SimTransport::SimTransport(const TransportOptions& options)
    : options_(options),
      own_(std::make_unique<sim::Network>()),
      network_(*own_),
      clock_(Clock::moved_by_poll),
      table_(options.connections_max),
      ends_(options.connections_max),
      receive_buffer_(options.receive_buffer_bytes) {}

SimTransport::SimTransport(const TransportOptions& options, sim::Network& network, Clock clock)
    : options_(options),
      network_(network),
      clock_(clock),
      table_(options.connections_max),
      ends_(options.connections_max),
      receive_buffer_(options.receive_buffer_bytes) {}

SimTransport::~SimTransport() {
  stop_listening();
  for (std::uint32_t index = 0; index < table_.high_water(); ++index) {
    const ConnectionState state = table_[index].state;
    if (state == ConnectionState::open || state == ConnectionState::connecting)
      network_.close(ends_[index]);
  }
}

Expected<Endpoint> SimTransport::listen(const Endpoint& endpoint, const ConnOptions& options) {
  if (listener_count_ == kListenersMax) {
    return tl::unexpected(sockets::make_error(
        "listen sim", to_string(endpoint), 0,
        "at most " + std::to_string(kListenersMax) + " endpoints for one transport"));
  }
  auto bound = network_.listen("listen sim", endpoint, this, options);
  if (bound) listeners_[listener_count_++] = {*bound, options};
  return bound;
}

void SimTransport::stop_listening() {
  while (listener_count_ > 0) network_.stop_listening(listeners_[--listener_count_].endpoint);
  connection_waits_ = false;
}

Expected<Conn> SimTransport::connect(const Endpoint& endpoint, const ConnOptions& options) {
  const Conn conn = take_slot(ConnectionState::connecting, options, false);
  if (!conn.valid()) {
    return tl::unexpected(sockets::make_error(
        "connect sim", "all " + std::to_string(table_.capacity()) + " connections are in use", 0,
        "raise connections_max"));
  }
  auto end = network_.connect("connect sim", endpoint, this, conn.index, options);
  if (!end) {
    table_.release(conn.index);
    --connections_;
    return tl::unexpected(end.error());
  }
  ends_[conn.index] = *end;
  return conn;
}

Conn SimTransport::take_slot(ConnectionState state, const ConnOptions& options, bool accepted) {
  const Conn conn = table_.take(-1, state, options, accepted);
  if (conn.valid()) ++connections_;
  return conn;
}

ConnectionSlot* SimTransport::find_open(Conn conn) noexcept {
  ConnectionSlot* const slot = table_.find(conn);
  return slot != nullptr && slot->state == ConnectionState::open ? slot : nullptr;
}

SendStatus SimTransport::send(Conn conn, std::span<const ConstRange> ranges) {
  ConnectionSlot* const slot = find_open(conn);
  if (slot == nullptr) return SendStatus::closed;
  if (slot->send.count != 0) return SendStatus::busy;
  if (ranges.empty() || ranges.size() > kMaxRanges) return SendStatus::invalid;
  const std::size_t asked = total_bytes(ranges);
  if (asked == 0) return SendStatus::invalid;
  if (const sim::EndId end = ends_[conn.index]; network_.broken(end)) return SendStatus::closed;
  ++counters_.sends;
  const std::size_t taken = network_.write(ends_[conn.index], ranges);
  counters_.bytes_sent += taken;
  if (taken == asked) return SendStatus::completed;
  ++counters_.sends_partial;
  table_.begin_send(conn.index, ranges, taken);
  return SendStatus::pending;
}

void SimTransport::cancel_send(Conn conn) noexcept {
  ConnectionSlot* const slot = find_open(conn);
  if (slot == nullptr || slot->send.count == 0) return;
  slot->send.cancelled = true;
  ready_.push_back(table_.slots(), conn.index);
}

void SimTransport::resume_receive(Conn conn) noexcept {
  ConnectionSlot* const slot = find_open(conn);
  if (slot == nullptr || !slot->paused) return;
  slot->paused = false;
  ready_.push_back(table_.slots(), conn.index);
}

void SimTransport::close(Conn conn) { end(conn, false); }
void SimTransport::abort(Conn conn) { end(conn, true); }

void SimTransport::end(Conn conn, bool with_reset) {
  ConnectionSlot* const slot = table_.find(conn);
  if (slot == nullptr || slot->state == ConnectionState::closing) return;
  slot->state = ConnectionState::closing;
  slot->close_reason = CloseReason::local;
  slot->close_error = 0;
  with_reset ? network_.reset(ends_[conn.index]) : network_.close(ends_[conn.index]);
  ready_.push_back(table_.slots(), conn.index);
}

void SimTransport::finish_writing(Conn conn) {
  if (find_open(conn) != nullptr) network_.finish_writing(ends_[conn.index]);
}

void SimTransport::wake() noexcept {
  wake_requested_.store(true, std::memory_order_release);
  wake_requested_.notify_one();
}

CloseInfo SimTransport::close_info(sim::EndState state) noexcept {
  switch (state) {
    case sim::EndState::finished:
      return {CloseReason::peer, 0};
    case sim::EndState::refused:
      return {CloseReason::refused, ECONNREFUSED};
    case sim::EndState::timed_out:
      return {CloseReason::timed_out, ETIMEDOUT};
    case sim::EndState::reset:
      return {CloseReason::reset, ECONNRESET};
    default:
      return {CloseReason::error, 0};
  }
}

}  // namespace feedbench::transports
