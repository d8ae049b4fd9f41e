// Set-up, close and the bookkeeping of ReadinessTransport. Included by readiness_transport.hpp
// alone.
#pragma once

#include <sys/eventfd.h>

namespace feedbench::transports::readiness {

template <class P>
ReadinessTransport<P>::ReadinessTransport(const TransportOptions& options)
    : options_(options),
      poller_(options),
      table_(options.connections_max),
      receive_buffer_(options.receive_buffer_bytes, MappedArray<std::byte>::Pages::at_once) {
  wake_descriptor_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (wake_descriptor_ < 0) {
    throw sockets::make_error(std::string("open ") + std::string(name()), "eventfd", errno);
  }
  if (const int os_error = poller_.add_wake(wake_descriptor_, kWakeIndex); os_error != 0) {
    ::close(wake_descriptor_);
    throw sockets::make_error(std::string("open ") + std::string(name()), "watch the wake-up",
                              os_error);
  }
}

template <class P>
ReadinessTransport<P>::~ReadinessTransport() {
  for (std::uint32_t i = 0; i < table_.high_water(); ++i) {
    if (table_[i].state != ConnectionState::free && table_[i].descriptor >= 0) {
      ::close(table_[i].descriptor);
    }
  }
  stop_listening();
  ::close(wake_descriptor_);
}

template <class P>
Expected<void> ReadinessTransport<P>::prepare_stamps(const ConnOptions& options) {
  if (!options.nic_stamps || clock_) return {};
  auto clock = TscClock::calibrate();
  if (!clock) return tl::unexpected(clock.error());
  clock_.emplace(std::move(*clock));
  return {};
}

template <class P>
Expected<Endpoint> ReadinessTransport<P>::listen(const Endpoint& endpoint,
                                                 const ConnOptions& options) {
  const std::string what = std::string("listen ") + std::string(name());
  if (listener_count_ == kListenersMax) return tl::unexpected(too_many_listeners(what));
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto listening = sockets::listen(name(), endpoint, options);
  if (!listening) return tl::unexpected(listening.error());
  return watch_listener(*listening, what, options);
}

template <class P>
Error ReadinessTransport<P>::too_many_listeners(const std::string& what) {
  return sockets::make_error(
      what, "a transport listens on at most " + std::to_string(kListenersMax) + " endpoints", 0);
}

/// Takes the descriptor over, also when it fails.
template <class P>
Expected<Endpoint> ReadinessTransport<P>::watch_listener(const sockets::Listening& listening,
                                                         const std::string& what,
                                                         const ConnOptions& options) {
  const int descriptor = listening.descriptor;
  if (!poller_.can_watch(descriptor)) {
    ::close(descriptor);
    return tl::unexpected(
        sockets::make_error(what, to_string(listening.endpoint), EMFILE, poller_.limit_hint()));
  }
  if (const int os_error = poller_.add_listener(descriptor, kListenerIndex + listener_count_);
      os_error != 0) {
    ::close(descriptor);
    return tl::unexpected(
        sockets::make_error(what, "watch " + to_string(listening.endpoint), os_error));
  }
  listeners_[listener_count_++] = {descriptor, options};
  return listening.endpoint;
}

template <class P>
Expected<Conn> ReadinessTransport<P>::connect(const Endpoint& endpoint,
                                              const ConnOptions& options) {
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto started = sockets::connect(name(), endpoint, options);
  if (!started) return tl::unexpected(started.error());
  const Expected<Conn> conn =
      watch(started->descriptor, ConnectionState::connecting,
            std::string("connect ") + std::string(name()), to_string(endpoint), options);
  if (conn && started->os_error != 0) {
    defer_close(conn->index, sockets::close_info(started->os_error), ConnectionState::closing);
    forget_descriptor(table_[conn->index]);
  }
  // One that was established at once is reported as writable like any other.
  return conn;
}

/// Takes the descriptor over, also when it fails.
template <class P>
Expected<Conn> ReadinessTransport<P>::watch(int descriptor, ConnectionState state,
                                            const std::string& what, const std::string& peer,
                                            const ConnOptions& options) {
  const auto give_up = [&](std::string_view detail, int os_error, std::string_view hint) {
    ::close(descriptor);
    return tl::unexpected(sockets::make_error(what, detail, os_error, hint));
  };
  if (!poller_.can_watch(descriptor)) return give_up(peer, EMFILE, poller_.limit_hint());
  const Conn conn = take_slot(descriptor, state, options, false);
  if (!conn.valid()) {
    return give_up("all " + std::to_string(table_.capacity()) + " connections are in use", 0,
                   "raise connections_max");
  }
  const bool want_write = state == ConnectionState::connecting;
  if (const int os_error = poller_.add(descriptor, token_of(conn), want_write); os_error != 0) {
    table_.release(conn.index);
    return give_up("watch " + peer, os_error, {});
  }
  return conn;
}

template <class P>
bool ReadinessTransport<P>::hand_over(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open || slot->send.count != 0)
    return false;
  defer_close(conn.index, {CloseReason::handed_over, 0}, ConnectionState::closing);
  return true;
}

template <class P>
Expected<Conn> ReadinessTransport<P>::adopt(rings::Descriptor connection,
                                            const ConnOptions& options) {
  const std::string what = std::string("adopt ") + std::string(name());
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto taken = sockets::adopt(what, std::move(connection), options);
  if (!taken) return tl::unexpected(taken.error());
  const Expected<Conn> conn =
      watch(*taken, ConnectionState::adopted, what, "the connection", options);
  if (conn) deferred_.push_back(table_.slots(), conn->index);
  return conn;
}

template <class P>
std::vector<rings::Descriptor> ReadinessTransport<P>::hand_over_listeners() {
  std::vector<rings::Descriptor> handed;
  for (std::size_t i = 0; i < listener_count_; ++i) {
    poller_.let_go(listeners_[i].descriptor);
    handed.emplace_back(std::exchange(listeners_[i].descriptor, -1));
  }
  listener_count_ = 0;
  return handed;
}

template <class P>
Expected<Endpoint> ReadinessTransport<P>::adopt_listener(rings::Descriptor listener,
                                                         const ConnOptions& options) {
  const std::string what = std::string("adopt listener ") + std::string(name());
  if (listener_count_ == kListenersMax) return tl::unexpected(too_many_listeners(what));
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto taken = sockets::adopt_listener(what, std::move(listener), options);
  if (!taken) return tl::unexpected(taken.error());
  return watch_listener(*taken, what, options);
}

template <class P>
void ReadinessTransport<P>::stop_listening() noexcept {
  for (std::size_t i = 0; i < listener_count_; ++i) {
    poller_.remove(listeners_[i].descriptor);
    ::close(listeners_[i].descriptor);
    listeners_[i].descriptor = -1;
  }
  listener_count_ = 0;
}

template <class P>
Conn ReadinessTransport<P>::take_slot(int descriptor, ConnectionState state,
                                      const ConnOptions& options, bool accepted) noexcept {
  Conn conn = table_.take(descriptor, state, options, accepted);
  if (!conn.valid() && !lingering_.empty()) {
    end_linger(
        lingering_.front());  // a new connection is worth more than the last bytes of a closed one
    conn = table_.take(descriptor, state, options, accepted);
  }
  return conn;
}

template <class P>
void ReadinessTransport<P>::forget_descriptor(ConnectionSlot& slot) noexcept {
  if (slot.descriptor < 0) return;
  poller_.remove(slot.descriptor);
  ::close(slot.descriptor);
  ++counters_.system_calls;
  slot.descriptor = -1;
}

template <class P>
void ReadinessTransport<P>::defer_close(std::uint32_t index, CloseInfo info,
                                        ConnectionState state) noexcept {
  ConnectionSlot& slot = table_[index];
  hot_stale_ |= !slot.accepted;
  slot.state = state;
  slot.close_reason = info.reason;
  slot.close_error = info.os_error;
  slot.send.cancelled = false;
  ready_.remove(table_.slots(), index);
  deferred_.push_back(table_.slots(), index);
}

template <class P>
void ReadinessTransport<P>::cancel_send(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open || slot->send.count == 0) return;
  slot->send.cancelled = true;
  poller_.want_write(slot->descriptor, false);
  deferred_.push_back(table_.slots(), conn.index);
}

template <class P>
int ReadinessTransport<P>::offload_tls(Conn conn, std::span<const std::byte> keys) noexcept {
  const ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open) return ENOTCONN;
  if (slot->send.count != 0) return EBUSY;
  counters_.system_calls += 2;
  return sockets::offload_tls(slot->descriptor, keys);
}

template <class P>
bool ReadinessTransport<P>::send_tls_record(Conn conn, std::uint8_t type,
                                            std::span<const std::byte> bytes) noexcept {
  const ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open || slot->send.count != 0)
    return false;
  ++counters_.system_calls;
  return sockets::send_tls_record(slot->descriptor, type, bytes);
}

template <class P>
void ReadinessTransport<P>::resume_receive(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || !slot->paused) return;
  slot->paused = false;
  if (slot->state != ConnectionState::open) return;
  poller_.want_read(slot->descriptor, true);
  ready_.push_back(table_.slots(), conn.index);
}

template <class P>
void ReadinessTransport<P>::close(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state == ConnectionState::closing) return;
  const bool was_connecting = slot->state == ConnectionState::connecting;
  defer_close(conn.index, {CloseReason::local, 0}, ConnectionState::closing);
  if (was_connecting) {
    forget_descriptor(*slot);
    return;
  }
  ::shutdown(slot->descriptor, SHUT_WR);
  ++counters_.system_calls;
}

template <class P>
void ReadinessTransport<P>::abort(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->descriptor < 0) return;
  defer_close(conn.index, {CloseReason::local, 0}, ConnectionState::closing);
  sockets::set_reset_on_close(slot->descriptor);
  ++counters_.system_calls;
  forget_descriptor(*slot);
}

// A socket that is closed while bytes of the peer are unread sends RST, and the RST makes the peer
// drop what it has not read yet: the very bytes that close() promises to deliver. So the socket
// stays until the peer's FIN, for a second at most.
template <class P>
void ReadinessTransport<P>::linger(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  if (slot.descriptor < 0) {
    table_.release(index);
    return;
  }
  slot.state = ConnectionState::lingering;
  slot.linger_deadline_ns = now().ns + kLingerNs;
  lingering_.push_back(table_.slots(), index);
  ++counters_.system_calls;
  if (discard_received(slot.descriptor)) {
    end_linger(index);
    return;
  }
  poller_.want_write(slot.descriptor, false);
  poller_.want_read(slot.descriptor, true);
}

template <class P>
void ReadinessTransport<P>::end_linger(std::uint32_t index) noexcept {
  lingering_.remove(table_.slots(), index);
  forget_descriptor(table_[index]);
  table_.release(index);
}

template <class P>
void ReadinessTransport<P>::expire_lingering() noexcept {
  if (lingering_.empty()) return;
  const std::int64_t now_ns = now().ns;
  while (!lingering_.empty() && table_[lingering_.front()].linger_deadline_ns <= now_ns) {
    end_linger(lingering_.front());
  }
}

template <class P>
void ReadinessTransport<P>::find_hot() noexcept {
  hot_stale_ = false;
  hot_ = kNoIndex;
  for (std::uint32_t i = 0; i < table_.high_water(); ++i) {
    if (table_[i].accepted || table_[i].state != ConnectionState::open) continue;
    if (hot_ != kNoIndex) {
      hot_ = kNoIndex;  // two are none: looking at each of them costs more than asking for all
      return;
    }
    hot_ = i;
  }
}

template <class P>
std::int64_t ReadinessTransport<P>::timeout_ns(MonotonicInstant deadline) const noexcept {
  if (options_.wait == Wait::spin || !ready_.empty() || !deferred_.empty()) return 0;
  std::int64_t until_ns = deadline.ns;
  if (!lingering_.empty()) {
    until_ns = std::min(until_ns, table_[lingering_.front()].linger_deadline_ns);
  }
  if (until_ns == INT64_MAX) return -1;
  return std::max<std::int64_t>(until_ns - now().ns, 0);
}

template <class P>
void ReadinessTransport<P>::wake() noexcept {
  if (wake_requested_.exchange(true, std::memory_order_acq_rel)) return;
  if (options_.wait == Wait::spin) return;  // the next poll looks at the flag
  const int saved_errno = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor_, &one, sizeof(one));
  errno = saved_errno;
}

}  // namespace feedbench::transports::readiness
