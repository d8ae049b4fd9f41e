// Connections of the engine: how they open, send, close, and what lwIP tells about them.
#include <lwip/etharp.h>
#include <lwip/priv/tcp_priv.h>

#include <unistd.h>
#include <algorithm>
#include <cerrno>

#include "transports/receive.hpp"
#include "transports/xdp/lwip_engine.hpp"

namespace feedbench::transports::xdp {
namespace {

void* argument_of(std::uint32_t index) noexcept {
  return reinterpret_cast<void*>(std::uintptr_t{index} + 1);
}
std::uint32_t index_of(void* argument) noexcept {
  return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(argument) - 1);
}

int errno_of(err_t error) noexcept {
  switch (error) {
    case ERR_MEM:
      return ENOMEM;
    case ERR_BUF:
      return EADDRNOTAVAIL;  // every local port is taken
    case ERR_RTE:
      return ENETUNREACH;
    case ERR_USE:
      return EADDRINUSE;
    default:
      return EINVAL;
  }
}

/// lwIP takes no callbacks for this connection any more; it ends it by itself.
void detach(tcp_pcb* pcb) noexcept {
  tcp_arg(pcb, nullptr);
  tcp_recv(pcb, nullptr);
  tcp_sent(pcb, nullptr);
  tcp_err(pcb, nullptr);
}

/// Tells lwIP that `bytes` were taken, which opens the window; it counts in pieces of 64 KiB.
void announce(tcp_pcb* pcb, std::uint32_t bytes) noexcept {
  while (bytes != 0) {
    const auto piece = static_cast<u16_t>(std::min<std::uint32_t>(bytes, 0xFFFF));
    tcp_recved(pcb, piece);
    bytes -= piece;
  }
}

}  // namespace

Conn LwipEngine::take_slot(ConnectionState state, const ConnOptions& options,
                           bool accepted) noexcept {
  Conn conn = table_.take(-1, state, options, accepted);
  if (!conn.valid() && !lingering_.empty()) {
    end_linger(
        lingering_.front());  // a new connection is worth more than the last bytes of a closed one
    conn = table_.take(-1, state, options, accepted);
  }
  if (conn.valid()) {
    const bool listed = sides_[conn.index].ack_listed;  // in ack_due_ once, whosever the slot is
    sides_[conn.index] = Side{};
    sides_[conn.index].ack_listed = listed;
  }
  return conn;
}

void LwipEngine::configure(tcp_pcb* pcb, const ConnOptions& options, Side& side) noexcept {
  if (options.no_delay) tcp_nagle_disable(pcb);
  const auto asked = static_cast<std::uint32_t>(std::max(options.send_buffer_bytes, 0));
  pcb->snd_buf = std::clamp<std::uint32_t>(asked != 0 ? asked : xdp_.send_buffer_bytes, 2 * TCP_MSS,
                                           TCP_SND_BUF);
  // The SYN announces 64 KiB at most, and a window must not be taken back.
  if (options.receive_buffer_bytes > 0) {
    side.window_max =
        std::max<std::uint32_t>(static_cast<std::uint32_t>(options.receive_buffer_bytes), 0xFFFF);
  }
  if (xdp_.keep_alive_idle_ms != 0) {
    ip_set_option(pcb, SOF_KEEPALIVE);
    pcb->keep_idle = xdp_.keep_alive_idle_ms;
#if LWIP_TCP_KEEPALIVE
    pcb->keep_intvl = xdp_.keep_alive_interval_ms;
    pcb->keep_cnt = xdp_.keep_alive_probes;
#endif
  }
}

// The window is known when both ends have said whether they scale it.
void LwipEngine::limit_window(Side& side) noexcept {
  tcp_pcb* const pcb = side.pcb;
  if (side.window_max == 0 || side.window_max >= pcb->rcv_wnd) return;
  side.withheld = pcb->rcv_wnd - side.window_max;
  pcb->rcv_wnd = side.window_max;
  pcb->rcv_ann_wnd = std::min(pcb->rcv_ann_wnd, pcb->rcv_wnd);
}

void LwipEngine::adopt(std::uint32_t index, tcp_pcb* pcb, const ConnOptions& options) noexcept {
  Side& side = sides_[index];
  side.pcb = pcb;
  tcp_arg(pcb, argument_of(index));
  tcp_recv(pcb, on_received);
  tcp_sent(pcb, on_acknowledged);
  tcp_err(pcb, on_error);
  configure(pcb, options, side);
}

Expected<Conn> LwipEngine::connect(const Endpoint& endpoint, const ConnOptions& options) {
  const auto address = parse("connect xdp", endpoint);
  if (!address) return tl::unexpected(address.error());
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  if (!ip4_addr_netcmp(&*address, &own_, &mask_) && ip4_addr_isany_val(gateway_)) {
    return tl::unexpected(
        sockets::make_error("connect xdp", to_string(endpoint), ENETUNREACH,
                            "it is not in the network of " + xdp_.address + ": set gateway"));
  }
  const Conn conn = take_slot(ConnectionState::connecting, options, false);
  if (!conn.valid()) {
    return tl::unexpected(sockets::make_error(
        "connect xdp", "all " + std::to_string(table_.capacity()) + " connections are in use", 0,
        "raise connections_max"));
  }
  tcp_pcb* const pcb = tcp_new();
  if (pcb == nullptr) {
    table_.release(conn.index);
    return tl::unexpected(sockets::make_error("connect xdp", to_string(endpoint), ENOMEM,
                                              "raise stack_memory_bytes"));
  }
  adopt(conn.index, pcb, options);
  sides_[conn.index].remote = *address;
  ip_addr_t to;
  ip_addr_copy_from_ip4(to, *address);
  const err_t result = tcp_connect(pcb, &to, endpoint.port, on_connected);
  if (result != ERR_OK) {
    reset_pcb(conn.index);
    table_.release(conn.index);
    return tl::unexpected(
        sockets::make_error("connect xdp", to_string(endpoint), errno_of(result)));
  }
  remember(conn.index);
  return conn;
}

err_t LwipEngine::on_accept(void* argument, tcp_pcb* pcb, err_t error) {
  LwipEngine* const engine = current();
  if (error != ERR_OK || pcb == nullptr || engine == nullptr) return ERR_VAL;
  const std::uint32_t listener = index_of(argument);
  if (listener >= engine->listener_count_) return ERR_VAL;
  const ConnOptions& options = engine->listeners_[listener].options;
  const Conn conn = engine->take_slot(ConnectionState::open, options, true);
  if (!conn.valid()) {
    ++engine->counters_.accepts_refused;
    return ERR_MEM;  // lwIP answers RST
  }
  engine->adopt(conn.index, pcb, options);
  engine->limit_window(engine->sides_[conn.index]);
  engine->remember(conn.index);
  engine->sides_[conn.index].open_due = true;
  engine->make_ready(conn.index);
  return ERR_OK;
}

err_t LwipEngine::on_connected(void* argument, tcp_pcb*, err_t) {
  LwipEngine& engine = *current();
  const std::uint32_t index = index_of(argument);
  engine.table_[index].state = ConnectionState::open;
  engine.limit_window(engine.sides_[index]);
  engine.sides_[index].open_due = true;
  engine.make_ready(index);
  return ERR_OK;
}

err_t LwipEngine::on_received(void* argument, tcp_pcb* pcb, pbuf* packets, err_t) {
  LwipEngine& engine = *current();
  const std::uint32_t index = index_of(argument);
  ConnectionSlot& slot = engine.table_[index];
  Side& side = engine.sides_[index];
  // An acknowledgement that lwIP wants to send at once waits for the end of the round, microseconds
  // away: by then the answer carries it, or it stands for all segments of the batch.
  if (packets == nullptr) {
    tcp_ack_now(pcb);  // of a FIN: this may be the last time that we see the connection
  } else if (!engine.xdp_.delayed_ack && (pcb->flags & TF_ACK_NOW) != 0) {
    tcp_clear_flags(pcb, TF_ACK_NOW);
    tcp_set_flags(pcb, TF_ACK_DELAY);
  }
  if (!side.ack_listed && !engine.xdp_.delayed_ack) {
    side.ack_listed = true;
    engine.ack_due_.push_back(index);
  }
  const bool listening = slot.state == ConnectionState::open;
  if (packets == nullptr) {
    if (listening) {
      side.fin = true;
      engine.make_ready(index);
    } else if (slot.state == ConnectionState::lingering) {
      engine.end_linger(index);  // all that was sent has a reader, and nothing more comes
    } else {
      engine.forget_pcb(index);
    }
    return ERR_OK;
  }
  if (!listening) {
    announce(pcb, packets->tot_len);
    pbuf_free(packets);
    return ERR_OK;
  }
  side.queued += packets->tot_len;
  (side.head == nullptr ? side.head : side.tail->next) = packets;
  pbuf* last = packets;
  while (last->next != nullptr) last = last->next;
  side.tail = last;
  if (!slot.paused) engine.make_ready(index);
  return ERR_OK;
}

err_t LwipEngine::on_acknowledged(void* argument, tcp_pcb* pcb, u16_t) {
  LwipEngine& engine = *current();
  const std::uint32_t index = index_of(argument);
  // lwIP knows no least time-out. It is kept in the deviation, of which time-outs are made, also
  // after a retransmission.
  const auto least = static_cast<s16_t>((engine.xdp_.retransmit_ms_min + TCP_SLOW_INTERVAL - 1) /
                                        TCP_SLOW_INTERVAL);
  if (pcb->sv < least) {
    pcb->sv = least;
    pcb->rto = std::max<s16_t>(pcb->rto, static_cast<s16_t>((pcb->sa >> 3) + pcb->sv));
  }
  ConnectionSlot& slot = engine.table_[index];
  if (slot.state == ConnectionState::open && slot.send.count != 0 && !slot.send.cancelled &&
      !engine.sides_[index].sent_due && engine.write_some(index)) {
    engine.sides_[index].sent_due = true;
    engine.make_ready(index);
  }
  return ERR_OK;
}

void LwipEngine::on_error(void* argument, err_t error) {
  LwipEngine& engine = *current();
  const std::uint32_t index = index_of(argument);
  ConnectionSlot& slot = engine.table_[index];
  Side& side = engine.sides_[index];
  side.pcb = nullptr;  // lwIP has freed it, or is about to
  if (slot.state == ConnectionState::lingering) {
    engine.lingering_.remove(engine.table_.slots(), index);
    engine.release(index);
    return;
  }
  if (slot.state != ConnectionState::open && slot.state != ConnectionState::connecting) return;
  const bool connecting = slot.state == ConnectionState::connecting;
  int os_error = connecting ? ECONNREFUSED : ECONNRESET;
  if (error == ERR_ABRT) {
    os_error = ETIMEDOUT;
    // A neighbour that never told its MAC address is not there at all.
    if (connecting) {
      ip4_addr_t hop = side.remote;
      if (!ip4_addr_netcmp(&hop, &engine.own_, &engine.mask_)) hop = engine.gateway_;
      eth_addr* mac = nullptr;
      const ip4_addr_t* found = nullptr;
      if (etharp_find_addr(&engine.interface_, &hop, &mac, &found) < 0) os_error = EHOSTUNREACH;
    }
  }
  const CloseInfo info = sockets::close_info(os_error);
  slot.state = ConnectionState::failed;
  slot.close_reason = info.reason;
  slot.close_error = info.os_error;
  engine.make_ready(index);
}

// Writes as much of one range as there is room for. returns the bytes written.
std::size_t LwipEngine::write_range(tcp_pcb* pcb, const ConstRange& range, bool more,
                                    Side& side) noexcept {
  std::size_t written = 0;
  while (written < range.bytes) {
    std::size_t piece =
        std::min({range.bytes - written, std::size_t{tcp_sndbuf(pcb)}, std::size_t{0xFFFF}});
    if (piece == 0) break;
    err_t result = ERR_MEM;
    for (;; piece /= 2) {
      const bool last = !more && written + piece == range.bytes;
      result = tcp_write(pcb, range.data + written, static_cast<u16_t>(piece),
                         static_cast<u8_t>(TCP_WRITE_FLAG_COPY | (last ? 0 : TCP_WRITE_FLAG_MORE)));
      if (result != ERR_MEM || piece < 64) break;
    }
    if (result != ERR_OK) {
      // Too many small pieces wait, or the stack's memory is used up. Acknowledgements make room;
      // if none are due, the clock tries again.
      if (pcb->unacked == nullptr) {
        side.starved = true;
        any_starved_ = true;
      }
      break;
    }
    written += piece;
  }
  return written;
}

// Goes on with the pending send of a connection. returns true when all of it was taken.
bool LwipEngine::write_some(std::uint32_t index) noexcept {
  Side& side = sides_[index];
  bool all = false;
  while (!all) {
    const std::span<const ConstRange> left = table_.left_to_send(index);
    if (left.empty()) return true;
    const std::size_t written = write_range(side.pcb, left[0], left.size() > 1, side);
    const bool whole = written == left[0].bytes;
    counters_.bytes_sent += written;
    all = table_.advance_send(index, written);
    if (!whole) break;
  }
  return all;
}

void LwipEngine::feed_starved() noexcept {
  any_starved_ = false;
  for (std::uint32_t i = 0; i < table_.high_water(); ++i) {
    Side& side = sides_[i];
    if (!side.starved) continue;
    side.starved = false;
    ConnectionSlot& slot = table_[i];
    if (slot.state != ConnectionState::open || slot.send.count == 0 || side.sent_due ||
        slot.send.cancelled || side.pcb == nullptr) {
      continue;
    }
    if (write_some(i)) {
      side.sent_due = true;
      make_ready(i);
    }
    tcp_output(side.pcb);
  }
}

SendStatus LwipEngine::send(Conn conn, std::span<const ConstRange> ranges) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open) return SendStatus::closed;
  Side& side = sides_[conn.index];
  if (side.open_due) return SendStatus::closed;  // on_open has not been told
  if (slot->send.count != 0) return SendStatus::busy;
  if (ranges.empty() || ranges.size() > kMaxRanges) return SendStatus::invalid;
  if (total_bytes(ranges) == 0) return SendStatus::invalid;
  ++counters_.sends;
  table_.begin_send(conn.index, ranges, 0);
  const bool all = write_some(conn.index);
  tcp_output(side.pcb);
  if (!all) {
    ++counters_.sends_partial;
    return SendStatus::pending;
  }
  if (in_poll_) {
    slot->send.count = 0;
    return SendStatus::completed;
  }
  side.sent_due = true;
  make_ready(conn.index);
  return SendStatus::pending;
}

void LwipEngine::cancel_send(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state != ConnectionState::open || slot->send.count == 0) return;
  slot->send.cancelled = true;
  sides_[conn.index].sent_due = true;
  make_ready(conn.index);
}

void LwipEngine::resume_receive(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || !slot->paused) return;
  slot->paused = false;
  make_ready(conn.index);
}

// Throws away what was received and not delivered; the peer's window opens again.
void LwipEngine::drop_queue(std::uint32_t index) noexcept {
  Side& side = sides_[index];
  while (side.head != nullptr) {
    pbuf* const packet = side.head;
    side.head = packet->next;
    packet->next = nullptr;
    pbuf_free(packet);
  }
  side.tail = nullptr;
  if (side.pcb != nullptr) announce(side.pcb, side.queued + side.unannounced + side.withheld);
  side.queued = side.unannounced = side.withheld = side.head_taken = 0;
}

/// Takes the connection's lwIP side away from it: nullptr when there is none.
tcp_pcb* LwipEngine::let_go(std::uint32_t index) noexcept {
  drop_queue(index);
  tcp_pcb* const pcb = std::exchange(sides_[index].pcb, nullptr);
  if (pcb != nullptr) detach(pcb);
  return pcb;
}

void LwipEngine::forget_pcb(std::uint32_t index) noexcept {
  if (tcp_pcb* const pcb = let_go(index); pcb != nullptr) tcp_close(pcb);
}

void LwipEngine::reset_pcb(std::uint32_t index) noexcept {
  if (tcp_pcb* const pcb = let_go(index); pcb != nullptr) tcp_abort(pcb);
}

void LwipEngine::begin_close(std::uint32_t index, CloseInfo info) noexcept {
  ConnectionSlot& slot = table_[index];
  slot.state = ConnectionState::closing;
  slot.close_reason = info.reason;
  slot.close_error = info.os_error;
  slot.send.count = 0;
  sides_[index].sent_due = false;
  make_ready(index);
}

void LwipEngine::close(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || slot->state == ConnectionState::closing) return;
  const bool connecting = slot->state == ConnectionState::connecting || sides_[conn.index].open_due;
  begin_close(conn.index, {CloseReason::local, 0});
  drop_queue(conn.index);
  tcp_pcb* const pcb = sides_[conn.index].pcb;
  if (pcb == nullptr) return;
  if (connecting) {
    reset_pcb(conn.index);
  } else {
    // FIN behind what was sent; what still comes is thrown away (on_received) until the peer's FIN.
    tcp_shutdown(pcb, 0, 1);
  }
}

void LwipEngine::abort(Conn conn) noexcept {
  ConnectionSlot* slot = table_.find(conn);
  if (slot == nullptr || sides_[conn.index].telling_close) return;
  if (slot->state != ConnectionState::closing) begin_close(conn.index, {CloseReason::local, 0});
  reset_pcb(conn.index);
}

void LwipEngine::release(std::uint32_t index) noexcept {
  drop_queue(index);
  ready_.remove(table_.slots(), index);
  table_.release(index);
}

void LwipEngine::end_linger(std::uint32_t index) noexcept {
  lingering_.remove(table_.slots(), index);
  forget_pcb(index);
  release(index);
}

void LwipEngine::expire_lingering() noexcept {
  if (lingering_.empty()) return;
  const std::int64_t now_ns = now().ns;
  while (!lingering_.empty() && table_[lingering_.front()].linger_deadline_ns <= now_ns) {
    end_linger(lingering_.front());
  }
}

void LwipEngine::wake() noexcept {
  if (wake_requested_.exchange(true, std::memory_order_acq_rel)) return;
  if (options_.wait == Wait::spin) return;  // the next poll looks at the flag
  const int saved_errno = errno;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor_.get(), &one, sizeof(one));
  errno = saved_errno;
}

}  // namespace feedbench::transports::xdp
