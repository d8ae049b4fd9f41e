#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "transports/connection_table.hpp"
#include "transports/mapped_array.hpp"
#include "transports/receive.hpp"
#include "transports/sim/network.hpp"
#include "transports/transport.hpp"

namespace feedbench::transports {

/// A transport in memory, over sim::Network: virtual time, no system calls, faults by seed. See README.md of this folder.
///
/// By itself it has a network of its own, and poll() moves the clock: to what happens next, at the latest to the
/// deadline. Several on one network are moved by whoever drives them (SimTransport(options, network)): then poll()
/// delivers what is there at this instant, and never waits.
class SimTransport : private sim::Port {
 public:
  /// Alone, with a network of its own.
  explicit SimTransport(const TransportOptions& options);
  enum class Clock : std::uint8_t {
    moved_by_poll,     ///< This transport is the only one that waits on this network.
    moved_by_a_driver  ///< Somebody else calls Network::advance_to().
  };
  /// network: outlives the transport.
  SimTransport(const TransportOptions& options, sim::Network& network,
               Clock clock = Clock::moved_by_a_driver);
  ~SimTransport();
  SimTransport(const SimTransport&) = delete;
  SimTransport& operator=(const SimTransport&) = delete;

  static constexpr std::string_view name() noexcept { return "sim"; }

  Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options);
  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options);
  SendStatus send(Conn conn, std::span<const ConstRange> ranges);
  void cancel_send(Conn conn) noexcept;
  void resume_receive(Conn conn) noexcept;
  void close(Conn conn);
  void abort(Conn conn);
  void stop_listening();
  /// What a foreign peer may do and a transport never does: FIN, and go on reading.
  void finish_writing(Conn conn);

  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline);
  void wake() noexcept;

  [[nodiscard]] MonotonicInstant now() const noexcept { return network_.now(); }
  [[nodiscard]] const TransportCounters& counters() const noexcept { return counters_; }

  /// Whether poll() would deliver something at this instant.
  [[nodiscard]] bool has_work() const noexcept {
    return !ready_.empty() || connection_waits_ || wake_requested_.load(std::memory_order_relaxed);
  }
  /// Connections that are open, opening or not yet told to be closed.
  [[nodiscard]] std::uint32_t connections() const noexcept { return connections_; }

 private:
  static constexpr std::size_t kListenersMax = 8;
  static constexpr int kAcceptsPerTurn = 64;

  struct Listener {
    Endpoint endpoint;
    ConnOptions options;
  };

  // The network's port.
  void end_changed(std::uint32_t slot) override { ready_.push_back(table_.slots(), slot); }
  void connection_waits() override { connection_waits_ = true; }

  static CloseInfo close_info(sim::EndState state) noexcept;
  Conn take_slot(ConnectionState state, const ConnOptions& options, bool accepted);
  ConnectionSlot* find_open(Conn conn) noexcept;
  void end(Conn conn, bool with_reset);

  template <class H>
  std::size_t deliver(H& handler);
  template <class H>
  void accept_some(H& handler);
  template <class H>
  void serve(H& handler, std::uint32_t index);
  template <class H>
  bool receive(H& handler, std::uint32_t index);
  template <class H>
  void push_send(H& handler, std::uint32_t index);
  template <class H>
  void finish(H& handler, std::uint32_t index, CloseInfo info);

  TransportOptions options_;
  std::unique_ptr<sim::Network> own_;
  sim::Network& network_;
  Clock clock_;
  ConnectionTable table_;
  MappedArray<sim::EndId> ends_;  // by slot
  SlotList<&ConnectionSlot::ready> ready_;
  MappedArray<std::byte> receive_buffer_;
  std::array<Listener, kListenersMax> listeners_{};
  std::size_t listener_count_ = 0;
  bool connection_waits_ = false;
  TransportCounters counters_;
  TscInstant wake_stamp_;
  std::size_t callbacks_ = 0;
  std::uint32_t connections_ = 0;
  std::atomic<bool> wake_requested_{false};  // written by any thread
};

// The path of a message.

template <TransportHandler H>
std::size_t SimTransport::poll(H& handler, MonotonicInstant deadline) {
  ++counters_.polls;
  for (;;) {
    network_.deliver_due();
    const std::size_t made = deliver(handler);
    if (made != 0 || has_work() || clock_ == Clock::moved_by_a_driver) return made;
    const MonotonicInstant next = std::min(network_.next_event(), deadline);
    if (next <= now()) return 0;
    if (next.ns == INT64_MAX) {  // nothing will happen but wake()
      if (options_.wait == Wait::spin) return 0;
      wake_requested_.wait(false, std::memory_order_acquire);
    } else {
      network_.advance_to(next);
    }
    if (options_.wait == Wait::spin) return deliver(handler);
  }
}

template <class H>
std::size_t SimTransport::deliver(H& handler) {
  callbacks_ = 0;
  if (!has_work()) return 0;
  wake_stamp_ = TscInstant::now();
  if (connection_waits_) accept_some(handler);
  // Each connection once: those that have more are queued again, behind the others.
  for (std::size_t count = ready_.size(); count > 0 && !ready_.empty(); --count) {
    const std::uint32_t index = ready_.front();
    ready_.remove(table_.slots(), index);
    serve(handler, index);
  }
  if (wake_requested_.load(std::memory_order_relaxed) &&
      wake_requested_.exchange(false, std::memory_order_acq_rel)) {
    ++callbacks_;
    handler.on_wake();
  }
  return callbacks_;
}

template <class H>
void SimTransport::accept_some(H& handler) {
  connection_waits_ = false;
  int accepts_left = kAcceptsPerTurn;
  for (std::size_t i = 0; i < listener_count_; ++i) {
    const Listener listener = listeners_[i];  // the handler may stop listening
    for (;;) {
      if (accepts_left == 0) {
        connection_waits_ = true;
        return;
      }
      const sim::EndId end = network_.accept(listener.endpoint);
      if (!end.valid()) break;
      --accepts_left;
      const Conn conn = take_slot(ConnectionState::open, listener.options, true);
      if (!conn.valid()) {
        ++counters_.accepts_refused;
        network_.reset(end);
        continue;
      }
      ends_[conn.index] = end;
      network_.attach(end, this, conn.index);
      ready_.push_back(table_.slots(), conn.index);  // something may have come already
      ++callbacks_;
      handler.on_open(conn, true);
    }
  }
}

template <class H>
void SimTransport::serve(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  const Conn conn = table_.handle(index);
  if (slot.state == ConnectionState::closing) {
    ++callbacks_;
    handler.on_close(conn, {slot.close_reason, slot.close_error});
    table_.release(index);
    --connections_;
    return;
  }
  if (slot.state == ConnectionState::connecting) {
    const sim::EndState state = network_.state(ends_[index]);
    if (state == sim::EndState::connecting) return;
    if (state != sim::EndState::open && state != sim::EndState::finished)
      return finish(handler, index, close_info(state));
    slot.state = ConnectionState::open;
    ready_.push_back(table_.slots(), index);
    ++callbacks_;
    return handler.on_open(conn, false);
  }
  if (slot.state != ConnectionState::open) return;
  if (!slot.paused && !receive(handler, index)) return;
  if (slot.generation != conn.generation || slot.state != ConnectionState::open) return;
  const sim::EndState state = network_.state(ends_[index]);
  if (state != sim::EndState::open) return finish(handler, index, close_info(state));
  if (slot.send.count != 0) push_send(handler, index);
}

/// One chunk. false: the connection has ended.
template <class H>
bool SimTransport::receive(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  const Conn conn = table_.handle(index);
  if (network_.readable(ends_[index]) == 0) return true;
  std::span<std::byte> space{receive_buffer_.data(), receive_buffer_.size()};
  if (slot.lend_memory) {
    space = handler.receive_space(conn);
    if (space.empty()) {
      slot.paused = true;
      return true;
    }
  }
  RxStamps stamps;
  stamps.wake = stamps.read = wake_stamp_;
  const std::size_t bytes =
      network_.read(ends_[index], space, slot.nic_stamps ? &stamps.nic : nullptr);
  put_in_order(stamps);
  if (slot.nic_stamps) ++counters_.nic_stamps;
  ++counters_.receives;
  counters_.bytes_received += bytes;
  ++callbacks_;
  const sim::EndId end = ends_[index];
  if (network_.readable(end) != 0) ready_.push_back(table_.slots(), index);
  handler.on_receive(conn, space.first(bytes), stamps);
  const bool lives = slot.generation == conn.generation && slot.state == ConnectionState::open;
  if (lives && slot.late_ack) network_.acknowledge(end);
  return lives;
}

template <class H>
void SimTransport::push_send(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  if (!slot.send.cancelled) {
    const std::size_t taken = network_.write(ends_[index], table_.left_to_send(index));
    counters_.bytes_sent += taken;
    if (taken == 0 || !table_.advance_send(index, taken)) return;
  }
  slot.send.cancelled = false;
  slot.send.count = 0;
  ++callbacks_;
  handler.on_sent(table_.handle(index), slot.send.sent_bytes);
}

template <class H>
void SimTransport::finish(H& handler, std::uint32_t index, CloseInfo info) {
  ConnectionSlot& slot = table_[index];
  slot.state = ConnectionState::closing;  // calls on this handle do nothing from here on
  network_.close(ends_[index]);
  ready_.remove(table_.slots(), index);
  ++callbacks_;
  handler.on_close(table_.handle(index), info);
  table_.release(index);
  --connections_;
}

}  // namespace feedbench::transports
