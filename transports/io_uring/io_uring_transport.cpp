// What happens seldom: connections and listeners that come, go and are handed over.
#include "transports/io_uring/io_uring_transport.hpp"

#include <algorithm>
#include <cerrno>

namespace feedbench::transports {

Expected<void> IoUringTransport::prepare_stamps(const ConnOptions& options) {
  if (options.nic_stamps && !options.lend_memory && ring_options_.incremental_buffers) {
    // A stamp needs room in front of the bytes, which the rest of a buffer may not have.
    return tl::unexpected(sockets::make_error("open io_uring",
                                              "nic_stamps cannot be had with incremental_buffers",
                                              EINVAL, "lend memory, or leave one of them"));
  }
  if (!options.nic_stamps || clock_) return {};
  auto clock = TscClock::calibrate();
  if (!clock) return tl::unexpected(clock.error());
  clock_.emplace(std::move(*clock));
  return {};
}

Error IoUringTransport::too_many_listeners(const std::string& what) {
  return sockets::make_error(
      what, "a transport listens on at most " + std::to_string(kListenersMax) + " endpoints", 0);
}

Expected<Endpoint> IoUringTransport::listen(const Endpoint& endpoint, const ConnOptions& options) {
  if (listener_count_ == kListenersMax)
    return tl::unexpected(too_many_listeners("listen io_uring"));
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto listening = sockets::listen(name(), endpoint, options);
  if (!listening) return tl::unexpected(listening.error());
  return watch_listener(*listening, options);
}

Endpoint IoUringTransport::watch_listener(const sockets::Listening& listening,
                                          const ConnOptions& options) {
  listeners_[listener_count_] = {listening.descriptor, ++listener_generation_, false, options};
  queue_accept(listener_count_++);
  return listening.endpoint;
}

Expected<Conn> IoUringTransport::connect(const Endpoint& endpoint, const ConnOptions& options) {
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto started = sockets::connect(name(), endpoint, options);
  if (!started) return tl::unexpected(started.error());
  const Expected<Conn> conn = take_connection(started->descriptor, ConnectionState::connecting,
                                              "connect io_uring", options);
  if (!conn) return conn;
  if (started->os_error != 0) {
    begin_close(conn->index, sockets::close_info(started->os_error));
  } else {
    queue_poll(conn->index, POLLOUT);
  }
  return conn;
}

/// Takes the descriptor over, also when it fails.
Expected<Conn> IoUringTransport::take_connection(int descriptor, ConnectionState state,
                                                 const std::string& what,
                                                 const ConnOptions& options) {
  const Conn conn = take_slot(descriptor, state, options, false);
  if (conn.valid()) return conn;
  ::close(descriptor);
  return tl::unexpected(sockets::make_error(
      what, "all " + std::to_string(table_.capacity()) + " connections are in use", 0,
      "raise connections_max"));
}

bool IoUringTransport::hand_over(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open || slot->send.count != 0)
    return false;
  begin_close(conn.index, {CloseReason::handed_over, 0});
  return true;
}

Expected<Conn> IoUringTransport::adopt(rings::Descriptor connection, const ConnOptions& options) {
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto taken = sockets::adopt("adopt io_uring", std::move(connection), options);
  if (!taken) return tl::unexpected(taken.error());
  const Expected<Conn> conn =
      take_connection(*taken, ConnectionState::adopted, "adopt io_uring", options);
  if (conn) deferred_.push_back(table_.slots(), conn->index);
  return conn;
}

std::vector<rings::Descriptor> IoUringTransport::hand_over_listeners() {
  std::vector<rings::Descriptor> handed;
  for (std::size_t i = 0; i < listener_count_; ++i) {
    // Without the shutdown() of stop_listening(): the socket goes on listening.
    for (const Kind kind : {Kind::accept, Kind::backlog}) {
      cancel_now(token_of(kind, static_cast<std::uint32_t>(i), listeners_[i].generation), 0);
    }
    handed.emplace_back(listeners_[i].descriptor);
    listeners_[i] = {};
  }
  listener_count_ = 0;
  return handed;
}

Expected<Endpoint> IoUringTransport::adopt_listener(rings::Descriptor listener,
                                                    const ConnOptions& options) {
  if (listener_count_ == kListenersMax)
    return tl::unexpected(too_many_listeners("adopt listener io_uring"));
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  auto taken = sockets::adopt_listener("adopt listener io_uring", std::move(listener), options);
  if (!taken) return tl::unexpected(taken.error());
  return watch_listener(*taken, options);
}

void IoUringTransport::cancel_now(std::uint64_t token, unsigned flags) noexcept {
  if (!enabled_) return;
  io_uring_submit(&ring_.raw);  // what is queued would otherwise start after the cancel
  io_uring_sync_cancel_reg request{};
  request.addr = token;
  request.fd = -1;
  request.flags = flags;
  request.timeout = {1, 0};
  io_uring_register_sync_cancel(&ring_.raw, &request);
  counters_.system_calls += 2;
}

void IoUringTransport::stop_listening() noexcept {
  for (std::size_t i = 0; i < listener_count_; ++i) {
    const Listener& listener = listeners_[i];
    // An accept that is still armed holds the socket, and would take the next connection: end it
    // before the close.
    ::shutdown(listener.descriptor, SHUT_RDWR);
    for (const Kind kind : {Kind::accept, Kind::backlog}) {
      cancel_now(token_of(kind, static_cast<std::uint32_t>(i), listener.generation), 0);
    }
    ::close(listener.descriptor);
    listeners_[i] = {};
  }
  listener_count_ = 0;
}

Conn IoUringTransport::take_slot(int descriptor, ConnectionState state, const ConnOptions& options,
                                 bool accepted) noexcept {
  const Conn conn = table_.take(descriptor, state, options, accepted);
  // A new connection is worth more than the last bytes of a closed one, whose place is free after the next turn.
  if (!conn.valid() && !lingering_.empty()) table_[lingering_.front()].linger_deadline_ns = 0;
  if (conn.valid() && !register_file(conn.index, descriptor)) {
    table_.release(conn.index);
    return {};
  }
  look_stale_ |= !accepted;
  return conn;
}

/// descriptor: -1 for none. returns false when the kernel refuses, which only a lack of memory makes it do.
bool IoUringTransport::register_file(std::uint32_t index, int descriptor) noexcept {
  if (!ring_options_.registered_files) return true;
  ++counters_.system_calls;
  return io_uring_register_files_update(&ring_.raw, index, &descriptor, 1) == 1;
}

void IoUringTransport::close_descriptor(std::uint32_t index) noexcept {
  register_file(index, -1);  // else the socket would stay open
  ::close(table_[index].descriptor);
  ++counters_.system_calls;
}

/// Names the socket of a connection in a request. After io_uring_prep_*(), which names a descriptor.
void IoUringTransport::target(io_uring_sqe* entry, std::uint32_t index) noexcept {
  if (!ring_options_.registered_files) return;
  entry->fd = static_cast<int>(index);
  entry->flags |= IOSQE_FIXED_FILE;
}

void IoUringTransport::find_looked_at() noexcept {
  look_stale_ = false;
  const std::uint32_t before = std::exchange(looked_at_, kNone);
  if (options_.spin_on_connected && !ring_options_.submission_thread) {
    for (std::uint32_t i = 0; i < table_.high_water(); ++i) {
      const ConnectionSlot& slot = table_[i];
      if (slot.state != ConnectionState::open || slot.accepted) continue;
      if (looked_at_ != kNone || !slot.lend_memory) {
        looked_at_ = kNone;  // two are none: what is looked at costs the others time
        break;
      }
      looked_at_ = i;
    }
  }
  if (before != kNone && before != looked_at_ && table_[before].state == ConnectionState::open)
    retry_later(before);  // to be told of again
}

void IoUringTransport::sleep(MonotonicInstant deadline) noexcept {
  std::int64_t until_ns = deadline.ns;
  if (!lingering_.empty()) {
    until_ns = std::min(until_ns, table_[lingering_.front()].linger_deadline_ns);
  }
  ++counters_.system_calls;
  if (until_ns == INT64_MAX) {
    io_uring_submit_and_wait(&ring_.raw, 1);
    return;
  }
  const std::int64_t left_ns = until_ns - now().ns;
  if (left_ns <= 0) {
    io_uring_submit_and_get_events(&ring_.raw);
    return;
  }
  __kernel_timespec timeout{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
  io_uring_cqe* first = nullptr;
  io_uring_submit_and_wait_timeout(&ring_.raw, &first, 1, &timeout, nullptr);
}

void IoUringTransport::queue_accept(std::size_t listener) noexcept {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    setup_missing_ = true;
    return;
  }
  io_uring_prep_multishot_accept(entry, listeners_[listener].descriptor, nullptr, nullptr,
                                 SOCK_NONBLOCK | SOCK_CLOEXEC);
  entry->user_data =
      token_of(Kind::accept, static_cast<std::uint32_t>(listener), listeners_[listener].generation);
  listeners_[listener].armed = true;
}

void IoUringTransport::watch_backlog(std::size_t listener) noexcept {
  io_uring_sqe* entry = next_entry();
  listeners_[listener].armed = entry != nullptr;
  if (entry == nullptr) {
    setup_missing_ = true;
    return;
  }
  io_uring_prep_poll_add(entry, listeners_[listener].descriptor, POLLIN);
  entry->user_data = token_of(Kind::backlog, static_cast<std::uint32_t>(listener),
                              listeners_[listener].generation);
}

void IoUringTransport::queue_wake_watch() noexcept {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    setup_missing_ = true;
    return;
  }
  io_uring_prep_poll_multishot(entry, wake_descriptor_.get(), POLLIN);
  entry->user_data = token_of(Kind::wake, 0, 0);
  wake_armed_ = true;
}

void IoUringTransport::queue_missing() noexcept {
  setup_missing_ = false;
  if (!wake_armed_) queue_wake_watch();
  for (std::size_t i = 0; i < listener_count_; ++i) {
    if (!listeners_[i].armed) queue_accept(i);
  }
}

void IoUringTransport::queue_poll(std::uint32_t index, unsigned events) noexcept {
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    retry_later(index);
    return;
  }
  ConnectionSlot& slot = table_[index];
  io_uring_prep_poll_add(entry, slot.descriptor, events);
  target(entry, index);
  entry->user_data = token_of(Kind::poll, index);
  slot.polling = true;
}

void IoUringTransport::queue_cancels(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  if (slot.cancelling) return;
  // By user_data, never by descriptor: the descriptor's number may belong to another connection
  // when the kernel looks.
  for (const Kind kind : {Kind::receive, Kind::poll}) {
    if (!(kind == Kind::receive ? slot.receiving : slot.polling)) continue;
    io_uring_sqe* entry = next_entry();
    if (entry == nullptr) {
      retry_later(index);
      return;
    }
    io_uring_prep_cancel64(entry, token_of(kind, index), 0);
    entry->user_data = token_of(Kind::cancel, index);
  }
  slot.cancelling = true;
}

void IoUringTransport::begin_close(std::uint32_t index, CloseInfo info) noexcept {
  ConnectionSlot& slot = table_[index];
  slot.state = ConnectionState::closing;
  slot.close_reason = info.reason;
  slot.close_error = info.os_error;
  look_stale_ |= !slot.accepted;
  ready_.remove(table_.slots(), index);
  deferred_.push_back(table_.slots(), index);
}

void IoUringTransport::settle(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  if (slot.state == ConnectionState::closing && !in_flight(slot)) {
    if (std::exchange(slot.timed, false)) lingering_.remove(table_.slots(), index);
    deferred_.push_back(table_.slots(), index);
  }
}

/// A connection that is closed while the kernel still holds memory of a zero-copy send: until the peer has acknowledged it,
/// or for as long as a closed connection is given.
void IoUringTransport::await_notice(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  if (slot.aborted) return sockets::disconnect(slot.descriptor);
  slot.timed = true;
  slot.linger_deadline_ns = now().ns + kLingerNs;
  lingering_.push_back(table_.slots(), index);
}

void IoUringTransport::fail(std::uint32_t index, int os_error) noexcept {
  const ConnectionSlot& slot = table_[index];
  if (slot.state == ConnectionState::failed) {
    begin_close(index, {slot.close_reason, slot.close_error});
  } else {
    begin_close(index, sockets::close_info(os_error));
  }
}

void IoUringTransport::release(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  ready_.remove(table_.slots(), index);
  deferred_.remove(table_.slots(), index);
  if (slot.aborted && slot.close_reason == CloseReason::local) {
    if (slot.state == ConnectionState::closing) sockets::set_reset_on_close(slot.descriptor);
  }
  close_descriptor(index);
  table_.release(index);
}

// As in the readiness transports: the socket stays until the peer's FIN, so that no RST eats what
// was sent.
void IoUringTransport::linger_on(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  ++counters_.system_calls;
  if (slot.aborted || discard_received(slot.descriptor)) {
    lingering_.remove(table_.slots(), index);
    release(index);
    return;
  }
  queue_poll(index, POLLIN | POLLRDHUP);
}

void IoUringTransport::expire_lingering() noexcept {
  const std::int64_t now_ns = now().ns;
  while (!lingering_.empty() && table_[lingering_.front()].linger_deadline_ns <= now_ns) {
    const std::uint32_t index = lingering_.front();
    lingering_.remove(table_.slots(), index);
    if (std::exchange(table_[index].timed, false)) {
      sockets::disconnect(table_[index].descriptor);  // lets go of the memory; RST
      continue;
    }
    table_[index].aborted = true;
    if (table_[index].polling) {
      queue_cancels(index);
    } else {
      release(index);
    }
  }
}

void IoUringTransport::cancel_send(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open || slot->send.count == 0) return;
  slot->send.cancelled = true;
  if (slot->unnoticed) return abort(conn);  // the peer alone could give the memory back
  if (!slot->sending) deferred_.push_back(table_.slots(), conn.index);
}

void IoUringTransport::resume_receive(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || !slot->paused) return;
  slot->paused = false;
  slot->readable = true;
  if (slot->state == ConnectionState::open) retry_later(conn.index);
}

void IoUringTransport::close(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state == ConnectionState::closing) return;
  slot->aborted = slot->state == ConnectionState::connecting;
  begin_close(conn.index, {CloseReason::local, 0});
}

void IoUringTransport::abort(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr) return;
  slot->aborted = true;
  if (slot->timed) sockets::disconnect(slot->descriptor);
  if (slot->close_reason == CloseReason::handed_over) slot->close_reason = CloseReason::local;
  if (slot->state != ConnectionState::closing) begin_close(conn.index, {CloseReason::local, 0});
}

void IoUringTransport::wake() noexcept {
  if (wake_requested_.exchange(true, std::memory_order_acq_rel)) return;
  if (options_.wait == Wait::spin) return;  // the next poll looks at the flag
  const int saved_errno = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor_.get(), &one, sizeof(one));
  errno = saved_errno;
}

static_assert(Transport<IoUringTransport>);

}  // namespace feedbench::transports
