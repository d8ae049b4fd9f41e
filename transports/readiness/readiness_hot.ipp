// The path of a message through ReadinessTransport. Included by readiness_transport.hpp alone.
#pragma once

namespace feedbench::transports::readiness {

template <class P>
SendStatus ReadinessTransport<P>::send(Conn conn, std::span<const ConstRange> ranges) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open) return SendStatus::closed;
  if (slot->send.count != 0) return SendStatus::busy;
  if (ranges.empty() || ranges.size() > kMaxRanges) return SendStatus::invalid;
  const std::size_t asked = total_bytes(ranges);
  if (asked == 0) return SendStatus::invalid;
  ++counters_.system_calls;
  ssize_t sent = send_ranges(slot->descriptor, ranges);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      // The peer is gone. What it sent before is delivered first, then on_close tells why.
      defer_close(conn.index, sockets::close_info(errno), ConnectionState::failed);
      return SendStatus::closed;
    }
    sent = 0;
  }
  ++counters_.sends;
  const auto taken = static_cast<std::size_t>(sent);
  counters_.bytes_sent += taken;
  if (taken == asked) return SendStatus::completed;
  ++counters_.sends_partial;
  table_.begin_send(conn.index, ranges, taken);
  poller_.want_write(slot->descriptor, true);
  return SendStatus::pending;
}

template <class P>
template <TransportHandler H>
std::size_t ReadinessTransport<P>::poll(H& handler, MonotonicInstant deadline) {
  ++counters_.polls;
  callbacks_ = 0;
  if (options_.wait == Wait::spin && options_.spin_on_connected) {
    if (hot_stale_) [[unlikely]]
      find_hot();
    if (hot_ != kNoIndex && hot_was_idle(handler)) return 0;
  }
  if (!deferred_.empty()) run_deferred(handler);
  const std::size_t ready_before = ready_.size();
  const std::int64_t timeout = callbacks_ != 0 ? 0 : timeout_ns(deadline);
  ++counters_.system_calls;
  bool woke = false;
  poller_.wait(timeout, [&](Token token, Ready ready) {
    if (!woke) {
      woke = true;
      wake_stamp_ = TscInstant::now();
    }
    dispatch(handler, token, ready);
  });
  if (ready_before != 0) {
    if (!woke) wake_stamp_ = TscInstant::now();
    run_ready(handler, ready_before);
  }
  if (wake_requested_.load(std::memory_order_relaxed) &&
      wake_requested_.exchange(false, std::memory_order_acq_rel)) {
    ++callbacks_;
    handler.on_wake();
  }
  if (!deferred_.empty()) run_deferred(handler);
  expire_lingering();
  if (clock_) clock_->follow(woke ? wake_stamp_ : TscInstant::now());
  return callbacks_;
}

// Reads the hot connection without asking whether there is something. returns true when there was not and the others
// need not be looked at yet.
template <class P>
template <class H>
bool ReadinessTransport<P>::hot_was_idle(H& handler) {
  const ConnectionSlot& slot = table_[hot_];
  if (slot.state == ConnectionState::open && !slot.paused) {
    wake_stamp_ = TscInstant::now();
    woken_to_read_ = true;
    read_some(handler, hot_);
    woken_to_read_ = false;
  }
  const bool idle = callbacks_ == 0 && deferred_.empty() && ready_.empty() &&
                    !wake_requested_.load(std::memory_order_relaxed);
  if (idle && ++hot_looks_ < kHotLooks) return true;
  hot_looks_ = 0;
  return false;
}

template <class P>
template <class H>
void ReadinessTransport<P>::dispatch(H& handler, Token token, Ready ready) {
  const auto index = static_cast<std::uint32_t>(token);
  if (index >= kListenerIndex) {
    if (index == kWakeIndex) {
      if (poller_.wake_read_needed()) {
        std::uint64_t count;
        ++counters_.system_calls;
        [[maybe_unused]] const ssize_t n = ::read(wake_descriptor_, &count, sizeof(count));
      }
    } else if (index - kListenerIndex < listener_count_) {
      accept_some(handler, listeners_[index - kListenerIndex]);
    }
    return;
  }
  const Conn conn{index, static_cast<std::uint32_t>(token >> 32)};
  ConnectionSlot& slot = table_[index];
  if (slot.generation != conn.generation) return;  // an event of a connection closed in this turn
  if (slot.state == ConnectionState::lingering) {
    ++counters_.system_calls;
    if (discard_received(slot.descriptor)) end_linger(index);
    return;
  }
  if (slot.state == ConnectionState::connecting) {
    finish_connect(handler, index);
    if (table_.find(conn) == nullptr) return;
  }
  slot.hang_up |= ready.hang_up;
  if ((ready.readable || ready.hang_up) && slot.state == ConnectionState::open) {
    slot.readable = true;
    if (!slot.paused) read_some(handler, index);
    if (table_.find(conn) == nullptr) return;
  }
  if (ready.writable && slot.state == ConnectionState::open && slot.send.count != 0 &&
      !slot.send.cancelled) {
    write_some(handler, index);
  }
}

template <class P>
template <class H>
void ReadinessTransport<P>::accept_some(H& handler, const Listener& listener) {
  const int descriptor = listener.descriptor;
  const ConnOptions options = listener.options;  // the handler may stop listening
  for (int i = 0; i < kAcceptsPerTurn && listener.descriptor == descriptor; ++i) {
    ++counters_.system_calls;
    const int accepted = ::accept4(descriptor, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if ((errno == EMFILE || errno == ENFILE) && spare_.refuse_one(descriptor)) {
        ++counters_.accepts_refused;
        continue;
      }
      return;
    }
    Conn conn;
    if (poller_.can_watch(accepted)) {
      conn = take_slot(accepted, ConnectionState::open, options, true);
    }
    if (!conn.valid() || poller_.add(accepted, token_of(conn), false) != 0) {
      if (conn.valid()) table_.release(conn.index);
      ++counters_.accepts_refused;
      sockets::set_reset_on_close(accepted);
      ::close(accepted);
      continue;
    }
    ++callbacks_;
    handler.on_open(conn, true);
  }
}

template <class P>
template <class H>
void ReadinessTransport<P>::finish_connect(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  ++counters_.system_calls;
  const int os_error = sockets::take_error(slot.descriptor);
  if (os_error != 0) {
    finish(handler, index, sockets::close_info(os_error));
    return;
  }
  slot.state = ConnectionState::open;
  hot_stale_ = true;
  poller_.want_write(slot.descriptor, false);
  ++callbacks_;
  handler.on_open(table_.handle(index), false);
}

template <class P>
ssize_t ReadinessTransport<P>::receive(ConnectionSlot& slot, std::span<std::byte> space, int flags,
                                       RxStamps& stamps) noexcept {
  ++counters_.system_calls;
  stamps.wake = wake_stamp_;
  // The look at the hot connection is its read: one reading of the clock for both.
  stamps.read = woken_to_read_ ? wake_stamp_ : TscInstant::now();
  woken_to_read_ = false;
  if (!slot.nic_stamps) return receive_plain(slot.descriptor, space, flags);
  WallInstant nic;
  const ssize_t received = receive_stamped(slot.descriptor, space, flags, nic);
  if (received <= 0) return received;
  if (nic.present()) {
    stamps.nic = clock_->to_tsc(nic);
    put_in_order(stamps);
    ++counters_.nic_stamps;
  } else {
    ++counters_.nic_stamps_absent;
  }
  return received;
}

template <class P>
template <class H>
void ReadinessTransport<P>::read_some(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  const Conn conn = table_.handle(index);
  // A failed connection is read to its end in one turn: its buffer is finite, the peer adds
  // nothing.
  for (int turn = 0; turn < kReadsPerTurn || slot.state == ConnectionState::failed; ++turn) {
    std::span<std::byte> space{receive_buffer_.data(), receive_buffer_.size()};
    if (slot.lend_memory) {
      space = handler.receive_space(conn);
      if (space.empty()) {
        slot.paused = true;
        poller_.want_read(slot.descriptor, false);
        return;
      }
    }
    // recv() would send the ACK before it returns, which takes longer than all that is done with a message here. So the
    // message is read with MSG_PEEK, handed on, and only then taken off the socket.
    const bool peek = slot.late_ack && !slot.backlogged;
    RxStamps stamps;
    const ssize_t received = receive(slot, space, peek ? MSG_PEEK : 0, stamps);
    if (received <= 0) {
      if (received < 0 && errno == EINTR) continue;
      if (received < 0 && errno == EAGAIN) {
        slot.readable = false;
        slot.hang_up = false;
        return;
      }
      if (slot.state == ConnectionState::open) {
        finish(handler, index, sockets::close_info(received == 0 ? 0 : errno));
      }
      return;
    }
    const auto bytes = static_cast<std::size_t>(received);
    ++counters_.receives;
    counters_.bytes_received += bytes;
    ++callbacks_;
    // New data raises a new edge, so a short read means drained; only a FIN that is already there
    // would be missed.
    const bool drained = bytes < space.size() && !slot.hang_up;
    if (drained) slot.readable = false;
    slot.backlogged = bytes > kLateAckBytesMax;
    handler.on_receive(conn, space.first(bytes), stamps);
    if (peek && slot.generation == conn.generation && slot.descriptor >= 0) {
      ++counters_.system_calls;
      if (const int os_error = consume_peeked(slot.descriptor, bytes); os_error != 0) [[unlikely]] {
        if (slot.state == ConnectionState::open || slot.state == ConnectionState::failed) {
          finish(handler, index, sockets::close_info(os_error));
        }
        return;
      }
    }
    if (slot.generation != conn.generation ||
        (slot.state != ConnectionState::open && slot.state != ConnectionState::failed)) {
      return;
    }
    if (drained && slot.state == ConnectionState::open) return;
  }
  ready_.push_back(table_.slots(), index);
}

template <class P>
template <class H>
void ReadinessTransport<P>::write_some(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  ++counters_.system_calls;
  const ssize_t sent = send_ranges(slot.descriptor, table_.left_to_send(index));
  if (sent < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    defer_close(index, sockets::close_info(errno), ConnectionState::failed);
    return;
  }
  const auto bytes = static_cast<std::size_t>(sent);
  counters_.bytes_sent += bytes;
  if (!table_.advance_send(index, bytes)) return;
  slot.send.count = 0;
  poller_.want_write(slot.descriptor, false);
  ++callbacks_;
  handler.on_sent(table_.handle(index), slot.send.sent_bytes);
}

template <class P>
template <class H>
void ReadinessTransport<P>::finish(H& handler, std::uint32_t index, CloseInfo info) {
  ConnectionSlot& slot = table_[index];
  const Conn conn = table_.handle(index);
  ready_.remove(table_.slots(), index);
  deferred_.remove(table_.slots(), index);
  slot.state =
      ConnectionState::closing;  // calls of the handler on this handle do nothing from here on
  forget_descriptor(slot);
  ++callbacks_;
  handler.on_close(conn, info);
  table_.release(index);
}

template <class P>
template <class H>
void ReadinessTransport<P>::finish_hand_over(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  poller_.let_go(slot.descriptor);
  ++counters_.system_calls;
  handed_over_ = rings::Descriptor(std::exchange(slot.descriptor, -1));
  ++callbacks_;
  handler.on_close(table_.handle(index), {CloseReason::handed_over, 0});
  handed_over_.reset();
  table_.release(index);
}

template <class P>
template <class H>
void ReadinessTransport<P>::run_ready(H& handler, std::size_t count) {
  for (; count > 0 && !ready_.empty(); --count) {
    const std::uint32_t index = ready_.front();
    ready_.remove(table_.slots(), index);
    if (table_[index].state == ConnectionState::open && !table_[index].paused) {
      read_some(handler, index);
    }
  }
}

template <class P>
template <class H>
void ReadinessTransport<P>::run_deferred(H& handler) {
  for (std::size_t count = deferred_.size(); count > 0 && !deferred_.empty(); --count) {
    const std::uint32_t index = deferred_.front();
    deferred_.remove(table_.slots(), index);
    ConnectionSlot& slot = table_[index];
    const Conn conn = table_.handle(index);
    if (slot.state == ConnectionState::adopted) {
      slot.state = ConnectionState::open;
      slot.readable = true;
      hot_stale_ = true;
      ready_.push_back(table_.slots(), index);
      ++callbacks_;
      handler.on_open(conn, false);
    } else if (slot.state == ConnectionState::failed) {
      const CloseInfo info{slot.close_reason, slot.close_error};
      read_some(handler, index);
      if (slot.generation == conn.generation && slot.state == ConnectionState::failed) {
        finish(handler, index, info);
      }
    } else if (slot.state == ConnectionState::closing &&
               slot.close_reason == CloseReason::handed_over) {
      finish_hand_over(handler, index);
    } else if (slot.state == ConnectionState::closing) {
      ++callbacks_;
      handler.on_close(conn, {slot.close_reason, slot.close_error});
      linger(index);
    } else if (slot.send.cancelled) {
      slot.send.cancelled = false;
      slot.send.count = 0;
      ++callbacks_;
      handler.on_sent(conn, slot.send.sent_bytes);
    }
  }
}

}  // namespace feedbench::transports::readiness
