// The path of a message through IoUringTransport. Included by io_uring_transport.hpp alone.
#pragma once

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "transports/sockets.hpp"

namespace feedbench::transports {

inline bool IoUringTransport::kernel_has_work() const noexcept {
  return (__atomic_load_n(ring_.raw.sq.kflags, __ATOMIC_RELAXED) &
          (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

inline io_uring_sqe* IoUringTransport::next_entry() noexcept {
  io_uring_sqe* entry = io_uring_get_sqe(&ring_.raw);
  if (entry != nullptr) [[likely]]
    return entry;
  if (!enabled_) enable();
  ++counters_.system_calls;
  io_uring_submit(&ring_.raw);
  return io_uring_get_sqe(&ring_.raw);
}

inline void IoUringTransport::enter(MonotonicInstant deadline) noexcept {
  const bool look_only = options_.wait == Wait::spin || callbacks_ != 0 || !ready_.empty() ||
                         !deferred_.empty() || io_uring_cq_ready(&ring_.raw) != 0;
  if (!look_only) {
    sleep(deadline);
  } else if (ring_options_.submission_thread) {
    const unsigned flags = __atomic_load_n(ring_.raw.sq.kflags, __ATOMIC_RELAXED);
    if ((flags & (IORING_SQ_NEED_WAKEUP | IORING_SQ_CQ_OVERFLOW)) != 0) ++counters_.system_calls;
    if ((flags & IORING_SQ_CQ_OVERFLOW) != 0) io_uring_get_events(&ring_.raw);
    if (io_uring_sq_ready(&ring_.raw) != 0) io_uring_submit(&ring_.raw);  // a call if it sleeps
  } else if (io_uring_sq_ready(&ring_.raw) != 0 || kernel_has_work()) {
    ++counters_.system_calls;
    io_uring_submit_and_get_events(&ring_.raw);
  }
}

// Asks for the bytes of the one connection that connect() made, in the same call that submits all else. To be told that
// they are there takes longer than to look.
template <class H>
void IoUringTransport::look(H& handler) {
  look_stamp_ = {};
  if (look_stale_) [[unlikely]]
    find_looked_at();
  if (looked_at_ == kNone) return;
  ConnectionSlot& slot = table_[looked_at_];
  if (slot.state != ConnectionState::open || slot.paused || slot.receiving) return;
  const std::span<std::byte> lent = handler.receive_space(table_.handle(looked_at_));
  if (lent.empty()) {
    slot.paused = true;
    return;
  }
  queue_receive(looked_at_, lent);
  look_stamp_ = TscInstant::now();
}

template <TransportHandler H>
std::size_t IoUringTransport::poll(H& handler, MonotonicInstant deadline) {
  ++counters_.polls;
  callbacks_ = 0;
  if (!enabled_) enable();
  if (setup_missing_) [[unlikely]]
    queue_missing();
  if (!deferred_.empty()) run_deferred(handler);
  for (std::size_t count = ready_.size(); count > 0 && !ready_.empty(); --count) {
    const std::uint32_t index = ready_.front();
    ready_.remove(table_.slots(), index);
    arm(handler, index);
  }
  if (options_.wait == Wait::spin) look(handler);
  enter(deadline);
  unsigned completions = io_uring_cq_ready(&ring_.raw);
  if (completions != 0) wake_stamp_ = TscInstant::now();
  for (; completions > 0; --completions) {
    const unsigned head = *ring_.raw.cq.khead;
    const io_uring_cqe completion = ring_.raw.cq.cqes[head & *ring_.raw.cq.kring_mask];
    io_uring_cq_advance(&ring_.raw, 1);
    handle(handler, completion);
  }
  // Spinning, what the handlers queued leaves now, and not after what the caller does between turns.
  if (options_.wait == Wait::spin && callbacks_ != 0 && io_uring_sq_ready(&ring_.raw) != 0)
    enter(deadline);
  if (wake_requested_.load(std::memory_order_relaxed) &&
      wake_requested_.exchange(false, std::memory_order_acq_rel)) {
    ++callbacks_;
    handler.on_wake();
  }
  if (!deferred_.empty()) run_deferred(handler);
  if (!lingering_.empty()) expire_lingering();
  if (clock_) clock_->follow(TscInstant::now());
  return callbacks_;
}

inline void IoUringTransport::queue_send(std::uint32_t index) noexcept {
  ConnectionSlot& slot = table_[index];
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    retry_later(index);
    return;
  }
  // Without MSG_DONTWAIT the kernel would keep the request, and the memory, until the socket has
  // room.
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  const std::span<const ConstRange> left = table_.left_to_send(index);
  const std::size_t zero_copy = ring_options_.zero_copy_bytes;
  if (left.size() == 1 && zero_copy != 0 && left[0].bytes >= zero_copy) {
    io_uring_prep_send_zc(entry, slot.descriptor, left[0].data, left[0].bytes, kFlags, 0);
    if (const auto stretch = registered_stretch(left[0].data, left[0].bytes)) {
      entry->ioprio |= IORING_RECVSEND_FIXED_BUF;
      entry->buf_index = *stretch;
    }
  } else if (left.size() == 1) {
    io_uring_prep_send(entry, slot.descriptor, left[0].data, left[0].bytes, kFlags);
  } else {
    static_assert(sizeof(ConstRange) == sizeof(iovec) &&
                  offsetof(ConstRange, bytes) == offsetof(iovec, iov_len));
    msghdr& message = send_messages_[index];
    message = msghdr{};
    message.msg_iov = reinterpret_cast<iovec*>(const_cast<ConstRange*>(left.data()));
    message.msg_iovlen = left.size();
    io_uring_prep_sendmsg(entry, slot.descriptor, &message, kFlags);
  }
  target(entry, index);
  entry->user_data = token_of(Kind::send, index);
  slot.sending = true;
}

inline SendStatus IoUringTransport::send(Conn conn, std::span<const ConstRange> ranges) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open) return SendStatus::closed;
  if (slot->send.count != 0) return SendStatus::busy;
  if (ranges.empty() || ranges.size() > kMaxRanges) return SendStatus::invalid;
  if (total_bytes(ranges) == 0) return SendStatus::invalid;
  ++counters_.sends;
  table_.begin_send(conn.index, ranges, 0);
  queue_send(conn.index);
  return SendStatus::pending;
}

inline void IoUringTransport::stamp(ConnectionSlot& slot, msghdr& header,
                                    RxStamps& stamps) noexcept {
  if (!slot.nic_stamps) return;
  const WallInstant nic = find_nic_stamp(header);
  if (nic.present()) {
    stamps.nic = clock_->to_tsc(nic);
    ++counters_.nic_stamps;
  } else {
    ++counters_.nic_stamps_absent;
  }
}

inline void IoUringTransport::queue_receive(std::uint32_t index,
                                            std::span<std::byte> lent) noexcept {
  ConnectionSlot& slot = table_[index];
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {
    retry_later(index);
    return;
  }
  if (!slot.lend_memory) {
    if (slot.nic_stamps) {
      io_uring_prep_recvmsg_multishot(entry, slot.descriptor, &stamped_template_, 0);
    } else {
      io_uring_prep_recv_multishot(entry, slot.descriptor, nullptr, 0, 0);
      if (ring_options_.receive_bundles) entry->ioprio |= io_uring_abi::kBundle;
    }
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = ProvidedBuffers::kGroup;
  } else {
    ReceiveMessage& message = receive_messages_[index];
    const bool looked_at = index == looked_at_;
    // A receive would acknowledge before it completes, which takes longer than all that is done with a message here: with
    // late_ack the message stays on the socket until it has been handed on. See take_off().
    const bool peek = slot.late_ack && !slot.backlogged;
    const int flags = (looked_at ? MSG_DONTWAIT : 0) | (peek ? MSG_PEEK : 0);
    message.peeks = peek;
    message.to = {lent.data(), lent.size()};
    if (slot.nic_stamps) {
      message.header = msghdr{};
      message.header.msg_iov = &message.to;
      message.header.msg_iovlen = 1;
      message.header.msg_control = message.control.data();
      message.header.msg_controllen = message.control.size();
      io_uring_prep_recvmsg(entry, slot.descriptor, &message.header, static_cast<unsigned>(flags));
    } else {
      io_uring_prep_recv(entry, slot.descriptor, lent.data(), lent.size(), flags);
    }
    // After a short read there is nothing to read yet: waiting at once saves an attempt that would
    // find nothing.
    if (!slot.readable && !looked_at) entry->ioprio |= IORING_RECVSEND_POLL_FIRST;
  }
  target(entry, index);
  entry->user_data = token_of(Kind::receive, index);
  slot.receiving = true;
}

// Submitted behind the sends that the message caused, and before the next receive.
inline void IoUringTransport::take_off(std::uint32_t index, std::size_t bytes) noexcept {
  ConnectionSlot& slot = table_[index];
  io_uring_sqe* entry = next_entry();
  if (entry == nullptr) {  // the queue is full although it was just submitted: at once, then
    ++counters_.system_calls;
    if (const int os_error = consume_peeked(slot.descriptor, bytes); os_error != 0)
      fail(index, os_error);
    return;
  }
  io_uring_prep_recv(entry, slot.descriptor, nullptr, bytes, MSG_TRUNC | MSG_DONTWAIT);
  target(entry, index);
  entry->user_data = token_of(Kind::take_off, index);
  slot.taking_off = static_cast<std::uint32_t>(bytes);
}

inline void IoUringTransport::taken_off(std::uint32_t index, int result) noexcept {
  ConnectionSlot& slot = table_[index];
  const auto asked = static_cast<int>(std::exchange(slot.taking_off, 0u));
  // What was handed on must not come again.
  if (result != asked && wants_bytes(slot)) {
    const CloseInfo info = sockets::close_info(result < 0 ? -result : ECONNRESET);
    if (is_handing_over(slot)) {
      slot.close_reason = info.reason;
      slot.close_error = info.os_error;
    } else {
      begin_close(index, info);
    }
  }
  settle(index);
}

template <class H>
void IoUringTransport::arm_receive(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  if (slot.receiving || slot.paused) return;
  if (index == looked_at_ && slot.state == ConnectionState::open) return;  // look() does it
  std::span<std::byte> lent;
  if (slot.lend_memory) {
    lent = handler.receive_space(table_.handle(index));
    if (lent.empty()) {
      slot.paused = true;
      return;
    }
  }
  queue_receive(index, lent);
}

template <class H>
void IoUringTransport::arm(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  switch (slot.state) {
    case ConnectionState::connecting:
      if (!slot.polling) queue_poll(index, POLLOUT);
      break;
    case ConnectionState::open:
      if (slot.send.count != 0 && !slot.sending && !slot.polling) queue_send(index);
      arm_receive(handler, index);
      break;
    case ConnectionState::failed:
      arm_receive(handler, index);
      break;
    case ConnectionState::closing:
      queue_cancels(index);
      break;
    case ConnectionState::lingering:
      if (slot.aborted) {
        queue_cancels(index);
      } else if (!slot.polling) {
        queue_poll(index, POLLIN | POLLRDHUP);
      }
      break;
    case ConnectionState::adopted:  // run_deferred() opens it
    case ConnectionState::free:
      break;
  }
}

template <class H>
void IoUringTransport::handle(H& handler, const io_uring_cqe& completion) {
  const auto kind = static_cast<Kind>(completion.user_data & 0xFF);
  const auto index = static_cast<std::uint32_t>(completion.user_data >> 8) & 0xFF'FFFF;
  const auto generation = static_cast<std::uint32_t>(completion.user_data >> 32);
  const bool more = (completion.flags & IORING_CQE_F_MORE) != 0;
  switch (kind) {
    case Kind::receive:
      received(handler, index, completion.res, completion.flags);
      break;
    case Kind::take_off:
      taken_off(index, completion.res);
      break;
    case Kind::send:
      sent(handler, index, completion.res, completion.flags);
      break;
    case Kind::poll:
      polled(handler, index);
      break;
    case Kind::accept:
      accepted(handler, index, generation, completion.res, more);
      break;
    case Kind::backlog:
      if (index < listener_count_ && listeners_[index].generation == generation)
        queue_accept(index);
      break;
    case Kind::wake:
      if (!more) {
        wake_armed_ = false;
        queue_wake_watch();
      }
      break;
    case Kind::cancel:
      break;
  }
}

template <class H>
void IoUringTransport::accepted(H& handler, std::uint32_t listener, std::uint32_t generation,
                                int result, bool more) {
  const bool current = listener < listener_count_ && listeners_[listener].generation == generation;
  if (!current) {
    if (result >= 0) ::close(result);  // it came after stop_listening()
    return;
  }
  if (result >= 0) {
    const Conn conn = take_slot(result, ConnectionState::open, listeners_[listener].options, true);
    if (conn.valid()) {
      table_[conn.index].readable = true;
      if (acks_by_delay(table_[conn.index])) sockets::delay_acks(result);
      ++callbacks_;
      handler.on_open(conn, true);
      if (table_[conn.index].state == ConnectionState::open) arm_receive(handler, conn.index);
    } else {
      ++counters_.accepts_refused;
      sockets::set_reset_on_close(result);
      ::close(result);
    }
  } else if (result == -EMFILE || result == -ENFILE) {
    if (spare_.refuse_one(listeners_[listener].descriptor)) ++counters_.accepts_refused;
    // Without a descriptor to give, an accept fails at once though nobody asks: wait for the next who does.
    if (!more && listener < listener_count_) watch_backlog(listener);
    return;
  } else if (result == -EINVAL || result == -EBADF || result == -ECANCELED) {
    return;
  }
  // The handler may have stopped listening.
  if (!more && listener < listener_count_ && listeners_[listener].generation == generation) {
    listeners_[listener].armed = false;
    queue_accept(listener);
  }
}

template <class H>
void IoUringTransport::deliver(H& handler, std::uint32_t index, std::span<std::byte> bytes,
                               RxStamps& stamps) {
  const bool looked = index == looked_at_ && look_stamp_.present();
  stamps.wake = looked ? look_stamp_ : wake_stamp_;
  stamps.read = looked ? look_stamp_ : TscInstant::now();
  put_in_order(stamps);
  ++counters_.receives;
  counters_.bytes_received += bytes.size();
  ++callbacks_;
  handler.on_receive(table_.handle(index), bytes, stamps);
}

// Of a connection that lends no memory: one stretch, or with bundles several.
template <class H>
void IoUringTransport::received_in_buffers(H& handler, std::uint32_t index, int result,
                                           std::uint32_t flags) {
  ConnectionSlot& slot = table_[index];
  buffers_.take(result, flags, [&](std::span<std::byte> bytes) {
    RxStamps stamps;
    if (slot.nic_stamps) {
      // In front of the bytes: what recvmsg tells, which stands anywhere, and the control message.
      const std::size_t head = sizeof(io_uring_recvmsg_out) + stamped_template_.msg_controllen;
      if (bytes.size() <= head) return;
      io_uring_recvmsg_out told;
      std::memcpy(&told, bytes.data(), sizeof(told));
      alignas(cmsghdr) std::array<std::byte, kStampControlBytes> control;
      std::memcpy(control.data(), bytes.data() + sizeof(told), control.size());
      msghdr header{};
      header.msg_control = control.data();
      header.msg_controllen = told.controllen;
      bytes = bytes.subspan(head);
      stamp(slot, header, stamps);
    }
    if (!wants_bytes(slot)) return;
    slot.readable = true;
    deliver(handler, index, bytes, stamps);
  });
}

template <class H>
void IoUringTransport::received(H& handler, std::uint32_t index, int result, std::uint32_t flags) {
  ConnectionSlot& slot = table_[index];
  if ((flags & IORING_CQE_F_MORE) == 0) slot.receiving = false;
  bool at_end = result == 0;
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const std::uint64_t received_before = counters_.bytes_received;
    const bool wanted = wants_bytes(slot);
    received_in_buffers(handler, index, result, flags);
    // A message without bytes is how a stamped receive says that there are no more.
    at_end |=
        slot.nic_stamps && wanted && result > 0 && counters_.bytes_received == received_before;
  } else if (result > 0 && wants_bytes(slot)) {
    ReceiveMessage& message = receive_messages_[index];
    const auto bytes = static_cast<std::size_t>(result);
    slot.readable = bytes == message.to.iov_len;
    RxStamps stamps;
    stamp(slot, message.header, stamps);
    const bool peeked = message.peeks;
    slot.backlogged = bytes > kLateAckBytesMax;
    deliver(handler, index, {static_cast<std::byte*>(message.to.iov_base), bytes}, stamps);
    if (peeked && wants_bytes(slot)) take_off(index, bytes);
  }
  const bool again = result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN;
  if (slot.state == ConnectionState::open || slot.state == ConnectionState::failed) {
    if (at_end || !again) {
      fail(index, at_end ? 0 : -result);
    } else if (result == -ENOBUFS && slot.readable) {
      // It has had its share of the buffers: those that got none are served before it.
      slot.readable = false;
      retry_later(index);
    } else if (!slot.receiving && result > 0 && !slot.lend_memory) {
      retry_later(index);  // a bundle that took the last buffers
    } else if (!slot.receiving) {
      arm_receive(handler, index);
    }
  } else if (is_handing_over(slot) && (at_end || (!again && result != -ECANCELED))) {
    const CloseInfo info = sockets::close_info(at_end ? 0 : -result);  // it has ended meanwhile
    slot.close_reason = info.reason;
    slot.close_error = info.os_error;
  }
  settle(index);
}

// The peer is gone. What it sent before is received first; then on_close tells why.
inline void IoUringTransport::send_failed(std::uint32_t index, int os_error) noexcept {
  ConnectionSlot& slot = table_[index];
  slot.state = ConnectionState::failed;
  const CloseInfo info = sockets::close_info(os_error);
  slot.close_reason = info.reason;
  slot.close_error = info.os_error;
  if (slot.paused) {
    begin_close(index, info);
  } else if (!slot.receiving) {
    retry_later(index);
  }
}

template <class H>
void IoUringTransport::sent(H& handler, std::uint32_t index, int result, std::uint32_t flags) {
  ConnectionSlot& slot = table_[index];
  const auto is_full = [](int r) { return r == -EAGAIN || r == -ENOBUFS || r == -EINTR; };
  const bool open = slot.state == ConnectionState::open;
  if ((flags & IORING_CQE_F_MORE) != 0) {  // zero copy: a second completion gives the memory back
    slot.unnoticed = true;
    slot.unnoticed_result = result;
    if (open && result < 0 && !is_full(result))
      send_failed(index, -result);
    else if (open && slot.send.cancelled)
      abort(table_.handle(index));
    return;
  }
  if ((flags & IORING_CQE_F_NOTIF) != 0) {
    result = slot.unnoticed_result;
    slot.unnoticed = false;
  }
  slot.sending = false;
  const std::size_t bytes = is_full(result) || result < 0 ? 0 : static_cast<std::size_t>(result);
  counters_.bytes_sent += bytes;
  if (open && result < 0 && !is_full(result)) {
    send_failed(index, -result);
  } else if (open) {
    if (table_.advance_send(index, bytes) || slot.send.cancelled) {
      slot.send.count = 0;
      slot.send.cancelled = false;
      ++callbacks_;
      handler.on_sent(table_.handle(index), slot.send.sent_bytes);
    } else {
      if (slot.send.sent_bytes == bytes) ++counters_.sends_partial;
      if (!slot.polling) queue_poll(index, POLLOUT);
    }
  }
  settle(index);
}

template <class H>
void IoUringTransport::polled(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  slot.polling = false;
  if (slot.state == ConnectionState::lingering) {
    linger_on(index);
    return;
  }
  if (slot.state == ConnectionState::connecting) {
    ++counters_.system_calls;
    const int os_error = sockets::take_error(slot.descriptor);
    if (os_error != 0) {
      begin_close(index, sockets::close_info(os_error));
    } else {
      slot.state = ConnectionState::open;
      look_stale_ = true;
      slot.readable = true;
      if (acks_by_delay(slot)) sockets::delay_acks(slot.descriptor);
      ++callbacks_;
      handler.on_open(table_.handle(index), false);
      if (slot.state == ConnectionState::open) arm_receive(handler, index);
    }
  } else if (slot.state == ConnectionState::open && slot.send.count != 0 && !slot.sending &&
             !slot.send.cancelled) {
    queue_send(index);
  }
  settle(index);
}

template <class H>
void IoUringTransport::finish(H& handler, std::uint32_t index) {
  ConnectionSlot& slot = table_[index];
  const bool handed_over = slot.close_reason == CloseReason::handed_over && !slot.aborted;
  if (handed_over) register_file(index, -1);
  if (handed_over) handed_over_ = rings::Descriptor(std::exchange(slot.descriptor, -1));
  ++callbacks_;
  handler.on_close(table_.handle(index), {slot.close_reason, slot.close_error});
  if (handed_over) {
    handed_over_.reset();
    ready_.remove(table_.slots(), index);
    deferred_.remove(table_.slots(), index);
    table_.release(index);
    return;
  }
  if (slot.close_reason != CloseReason::local || slot.aborted) {
    release(index);
    return;
  }
  ::shutdown(slot.descriptor, SHUT_WR);
  ++counters_.system_calls;
  slot.state = ConnectionState::lingering;
  slot.cancelling = false;
  slot.linger_deadline_ns = now().ns + kLingerNs;
  lingering_.push_back(table_.slots(), index);
  linger_on(index);
}

template <class H>
void IoUringTransport::run_deferred(H& handler) {
  for (std::size_t count = deferred_.size(); count > 0 && !deferred_.empty(); --count) {
    const std::uint32_t index = deferred_.front();
    deferred_.remove(table_.slots(), index);
    ConnectionSlot& slot = table_[index];
    if (slot.state == ConnectionState::adopted) {
      slot.state = ConnectionState::open;
      look_stale_ = true;
      slot.readable = true;
      if (acks_by_delay(slot)) sockets::delay_acks(slot.descriptor);
      ++callbacks_;
      handler.on_open(table_.handle(index), false);
      if (slot.state == ConnectionState::open) arm_receive(handler, index);
    } else if (slot.state == ConnectionState::closing) {
      if (in_flight(slot)) {
        queue_cancels(index);
        if (slot.unnoticed && !slot.timed) await_notice(index);
      } else {
        finish(handler, index);
      }
    } else if (slot.state == ConnectionState::open && slot.send.cancelled && !slot.sending) {
      slot.send.cancelled = false;
      slot.send.count = 0;
      ++callbacks_;
      handler.on_sent(table_.handle(index), slot.send.sent_bytes);
    }
  }
}

}  // namespace feedbench::transports
