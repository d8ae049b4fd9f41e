// A turn of the engine: what has arrived goes into lwIP, what lwIP noted goes to the handler, what
// is to be sent leaves with one system call.
#include <lwip/etharp.h>
#include <lwip/ip4.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "transports/receive.hpp"
#include "transports/sockets.hpp"
#include "transports/xdp/lwip_engine.hpp"
#include "transports/xdp/stack_memory.hpp"

namespace feedbench::transports::xdp {

void LwipEngine::look_at_clock() noexcept {
  looked_at_clock_ticks_ = TscInstant::now().ticks;
  now_ms_ = static_cast<std::uint32_t>(now().ns / 1'000'000);
}

void LwipEngine::run_timers() noexcept {
  if (now_ms_ == timers_ran_ms_) return;
  timers_ran_ms_ = now_ms_;
  sys_check_timeouts();
  if (any_starved_) feed_starved();
  expire_lingering();
}

void LwipEngine::sleep(MonotonicInstant deadline) noexcept {
  look_at_clock();
  std::int64_t until_ns = deadline.ns;
  const std::int64_t now_ns = now().ns;
  if (const std::uint32_t timer_ms = sys_timeouts_sleeptime();
      timer_ms != SYS_TIMEOUTS_SLEEPTIME_INFINITE) {
    until_ns = std::min(until_ns, now_ns + std::int64_t{timer_ms} * 1'000'000);
  }
  if (!lingering_.empty()) {
    until_ns = std::min(until_ns, table_[lingering_.front()].linger_deadline_ns);
  }
  pollfd watched[2] = {{device_->descriptor(), POLLIN, 0}, {wake_descriptor_.get(), POLLIN, 0}};
  const std::int64_t left_ns = std::max<std::int64_t>(until_ns - now_ns, 0);
  const timespec timeout{left_ns / 1'000'000'000, left_ns % 1'000'000'000};
  ++counters_.system_calls;
  if (::ppoll(watched, 2, until_ns == INT64_MAX ? nullptr : &timeout, nullptr) > 0 &&
      (watched[1].revents & POLLIN) != 0) {
    std::uint64_t count;
    ++counters_.system_calls;
    [[maybe_unused]] const ssize_t n = ::read(wake_descriptor_.get(), &count, sizeof(count));
  }
}

void LwipEngine::look_for_loss() {
  constexpr std::uint32_t kEveryMs = 1000;
  if (now_ms_ - looked_for_loss_ms_ < kEveryMs) return;
  looked_for_loss_ms_ = now_ms_;
  if (const int os_error = device_->loss(); os_error != 0) {
    throw sockets::make_error("poll xdp", "the interface " + xdp_.interface + " is gone", os_error,
                              "start again when it is back");
  }
}

void LwipEngine::begin_poll(MonotonicInstant deadline) {
  look_for_loss();
  ++counters_.polls;
  in_poll_ = true;
  wake_stamp_ = {};
  const bool idle = ready_.empty() && looped_ == 0 && !device_->readable();
  if (idle && !ack_due_.empty()) {
    acknowledge(true);
    kick();
  }
  if (options_.wait == Wait::block && idle && looped_ == 0) {
    sleep(deadline);
    look_at_clock();
  } else if (TscInstant::now().ticks - looked_at_clock_ticks_ > kLookAtClockTicks) {
    look_at_clock();
  }
  if (device_->readable()) take_up_frames();
  if (looped_ != 0) take_up_looped();
  run_timers();
  left_ = ready_.size();
}

void LwipEngine::take_up_frames() noexcept {
  wake_stamp_ = TscInstant::now();
  const std::size_t count = device_->receive(frames_);
  xdp_counters_.frames_received += count;
  for (std::size_t i = 0; i < count; ++i) input_frame(frames_[i]);
}

void LwipEngine::free_frame(pbuf* packet) {
  current()->device_->release(reinterpret_cast<ReceivedPacket*>(packet)->token);
}

void LwipEngine::free_copy(pbuf* packet) { stack_memory::give_back(packet); }

pbuf* LwipEngine::copy_packet(std::span<const std::byte> bytes, std::int64_t tai_ns) noexcept {
  void* const memory = stack_memory::take(kPacketHeaderBytes + bytes.size());
  if (memory == nullptr) {
    ++xdp_counters_.dropped_no_memory;
    return nullptr;
  }
  auto* const packet = new (memory) ReceivedPacket{};
  packet->header.custom_free_function = free_copy;
  packet->tai_ns = tai_ns;
  std::byte* const data = static_cast<std::byte*>(memory) + kPacketHeaderBytes;
  std::memcpy(data, bytes.data(), bytes.size());
  const auto size = static_cast<u16_t>(bytes.size());
  return pbuf_alloced_custom(PBUF_RAW, size, PBUF_REF, &packet->header, data, size);
}

void LwipEngine::input_frame(const ReceivedFrame& frame) noexcept {
  // The least that ARP, ICMP or TCP has; lwIP looks at the headers of IP before it counts them.
  constexpr std::uint32_t kFrameBytesLeast = 42;
  if (frame.bytes < kFrameBytesLeast) {
    ++xdp_counters_.dropped_short;
    device_->release(frame.token);
    return;
  }
  pbuf* packet = nullptr;
  if (device_->may_hold()) {
    ReceivedPacket& held = packets_[frame.token];
    held.header.custom_free_function = free_frame;
    held.tai_ns = frame.tai_ns;
    held.token = frame.token;
    const auto size = static_cast<u16_t>(frame.bytes);
    packet = pbuf_alloced_custom(PBUF_RAW, size, PBUF_REF, &held.header, frame.data, size);
  } else {
    ++xdp_counters_.frames_copied;
    packet = copy_packet({frame.data, frame.bytes}, frame.tai_ns);
    device_->release(frame.token);
  }
  if (packet == nullptr) return;
  tcp_pcb* const pcb = find_pcb({static_cast<std::byte*>(packet->payload), packet->len});
  const err_t result = pcb == nullptr || pcb == tcp_active_pcbs
                           ? interface_.input(packet, &interface_)
                           : input_for(pcb, packet);
  if (result != ERR_OK) pbuf_free(packet);
}

err_t LwipEngine::output_ip(netif* interface, pbuf* packet, const ip4_addr_t* to) {
  LwipEngine& engine = *current();
  if (!ip4_addr_cmp(to, &engine.own_)) return etharp_output(interface, packet, to);
  // To ourselves: it waits for the next turn, as a frame would.
  if (engine.looped_ >= kLoopedMax || packet->tot_len > 3072) {
    ++engine.xdp_counters_.dropped_no_room;
    return ERR_MEM;
  }
  std::array<std::byte, 3072> flat;
  pbuf_copy_partial(packet, flat.data(), packet->tot_len, 0);
  pbuf* const copy = engine.copy_packet({flat.data(), packet->tot_len}, 0);
  if (copy == nullptr) return ERR_MEM;
  (engine.looped_head_ == nullptr ? engine.looped_head_ : engine.looped_tail_->next) = copy;
  engine.looped_tail_ = copy;
  ++engine.looped_;
  return ERR_OK;
}

void LwipEngine::take_up_looped() noexcept {
  // What these cause in turn waits for the next round.
  for (std::size_t count = looped_; count > 0; --count) {
    pbuf* const packet = looped_head_;
    looped_head_ = packet->next;
    if (looped_head_ == nullptr) looped_tail_ = nullptr;
    --looped_;
    packet->next = nullptr;
    if (ip4_input(packet, &interface_) != ERR_OK) pbuf_free(packet);
  }
}

err_t LwipEngine::output_frame(netif*, pbuf* frame) {
  LwipEngine& engine = *current();
  constexpr std::size_t kFrameBytesMin =
      60;  // what an Ethernet has at least, without its check sequence
  const std::span<std::byte> space = engine.device_->transmit_space();
  if (space.size() < std::max<std::size_t>(frame->tot_len, kFrameBytesMin)) {
    ++engine.xdp_counters_.dropped_no_room;
    return ERR_MEM;  // TCP keeps it and tries again
  }
  std::size_t bytes = 0;
  for (const pbuf* part = frame; part != nullptr; part = part->next) {
    std::memcpy(space.data() + bytes, part->payload, part->len);
    bytes += part->len;
    if (part->len == part->tot_len) break;
  }
  if (bytes < kFrameBytesMin) {
    std::memset(space.data() + bytes, 0, kFrameBytesMin - bytes);
    bytes = kFrameBytesMin;
  }
  engine.device_->transmit(bytes);
  ++engine.xdp_counters_.frames_sent;
  return ERR_OK;
}

bool LwipEngine::next(Step& step) noexcept {
  finish_step();
  for (;;) {
    if (serving_ == kNone) {
      if (left_ == 0 || ready_.empty()) break;
      --left_;
      serving_ = ready_.front();
      ready_.remove(table_.slots(), serving_);
      chunks_left_ = kChunksPerTurn;
    }
    if (serve(step)) return true;
    serving_ = kNone;
  }
  if (wake_requested_.load(std::memory_order_relaxed) &&
      wake_requested_.exchange(false, std::memory_order_acq_rel)) {
    step.kind = Step::Kind::woken;
    return true;
  }
  end_round();
  return false;
}

// What the handler is to be told next about the connection that is served. returns false when there
// is nothing more.
bool LwipEngine::serve(Step& step) noexcept {
  ConnectionSlot& slot = table_[serving_];
  Side& side = sides_[serving_];
  step.conn = table_.handle(serving_);
  const bool alive = slot.state == ConnectionState::open || slot.state == ConnectionState::failed;
  if (side.open_due && alive) {
    side.open_due = false;
    step.kind = Step::Kind::opened;
    step.accepted = slot.accepted;
    return true;
  }
  if (side.sent_due && slot.state == ConnectionState::open) {
    side.sent_due = false;
    slot.send.count = 0;
    slot.send.cancelled = false;
    step.kind = Step::Kind::sent;
    step.sent_bytes = slot.send.sent_bytes;
    return true;
  }
  if (alive && side.queued != 0) {
    if (slot.paused) return false;
    if (deliver(step)) return true;
    if (!slot.paused && side.queued != 0) make_ready(serving_);  // the others are served first
    return false;
  }
  const bool ended =
      slot.state == ConnectionState::failed || slot.state == ConnectionState::closing;
  if (slot.state == ConnectionState::open && side.fin && !slot.paused) {
    begin_close(serving_, {CloseReason::peer, 0});
    ready_.remove(table_.slots(), serving_);
    forget_pcb(serving_);  // FIN in answer, behind what was sent
  } else if (!ended) {
    return false;
  }
  slot.state = ConnectionState::closing;
  side.telling_close = true;
  closing_ = serving_;
  step.kind = Step::Kind::closed;
  step.close = {slot.close_reason, slot.close_error};
  return true;
}

// Hands on a chunk, or asks for the space for it. returns false when the connection rests or had
// its share of this turn.
bool LwipEngine::deliver(Step& step) noexcept {
  ConnectionSlot& slot = table_[serving_];
  Side& side = sides_[serving_];
  std::span<std::byte> space{receive_buffer_.data(), receive_buffer_.size()};
  if (slot.lend_memory) {
    if (!space_asked_) {
      if (chunks_left_ == 0) return false;
      space_asked_ = true;
      step.kind = Step::Kind::space_wanted;
      return true;
    }
    space_asked_ = false;
    space = lent_;
    if (space.empty()) {
      slot.paused = true;
      return false;
    }
  }
  if (chunks_left_-- == 0) return false;
  if (!wake_stamp_.present()) wake_stamp_ = TscInstant::now();
  step.stamps = {{}, wake_stamp_, TscInstant::now()};
  step.kind = Step::Kind::received;
  if (!slot.lend_memory && side.head->next == nullptr) {
    // One packet: handed on where the device put it.
    pbuf* const packet = side.head;
    side.head = side.tail = nullptr;
    const std::uint32_t taken = std::exchange(side.head_taken, 0u);
    step.bytes = {static_cast<std::byte*>(packet->payload) + taken,
                  packet->len - std::size_t{taken}};
    side.queued = 0;
    delivered_packet_ = packet;
    const bool from_device = (packet->flags & PBUF_FLAG_IS_CUSTOM) != 0;
    stamp(slot, from_device ? reinterpret_cast<ReceivedPacket*>(packet)->tai_ns : 0, step);
  } else {
    fill_from_queue(space, step);
  }
  side.unannounced += static_cast<std::uint32_t>(step.bytes.size());
  delivered_to_ = serving_;
  ++counters_.receives;
  counters_.bytes_received += step.bytes.size();
  return true;
}

// Copies what is queued, as much as fits: one read, with the stamp of its last byte.
void LwipEngine::fill_from_queue(std::span<std::byte> space, Step& step) noexcept {
  Side& side = sides_[serving_];
  std::size_t filled = 0;
  std::int64_t tai_ns = 0;
  while (side.head != nullptr && filled < space.size()) {
    pbuf* const packet = side.head;
    const std::size_t bytes =
        std::min<std::size_t>(packet->len - side.head_taken, space.size() - filled);
    std::memcpy(space.data() + filled, static_cast<std::byte*>(packet->payload) + side.head_taken,
                bytes);
    filled += bytes;
    side.head_taken += static_cast<std::uint32_t>(bytes);
    const bool from_device = (packet->flags & PBUF_FLAG_IS_CUSTOM) != 0;
    tai_ns = from_device ? reinterpret_cast<ReceivedPacket*>(packet)->tai_ns : 0;
    if (side.head_taken < packet->len) break;
    side.head_taken = 0;
    side.head = packet->next;
    packet->next = nullptr;
    pbuf_free(packet);
  }
  if (side.head == nullptr) side.tail = nullptr;
  side.queued -= static_cast<std::uint32_t>(filled);
  step.bytes = space.first(filled);
  stamp(table_[serving_], tai_ns, step);
}

void LwipEngine::stamp(const ConnectionSlot& slot, std::int64_t tai_ns, Step& step) noexcept {
  if (!slot.nic_stamps) return;
  if (tai_ns == 0) {
    ++counters_.nic_stamps_absent;
    return;
  }
  step.stamps.nic = clock_->to_tsc(WallInstant{tai_ns - tai_offset_ns_});
  put_in_order(step.stamps);
  ++counters_.nic_stamps;
}

void LwipEngine::give_space(std::span<std::byte> space) noexcept { lent_ = space; }

// What is owed after the handler has returned: the window of what it was given, the end of what it
// was told has ended.
void LwipEngine::finish_step() noexcept {
  if (delivered_packet_ != nullptr) pbuf_free(std::exchange(delivered_packet_, nullptr));
  if (delivered_to_ != kNone) {
    Side& side = sides_[std::exchange(delivered_to_, kNone)];
    std::uint32_t bytes = std::exchange(side.unannounced, 0u);
    while (side.pcb != nullptr && bytes != 0) {
      const auto piece = static_cast<u16_t>(std::min<std::uint32_t>(bytes, 0xFFFF));
      tcp_recved(side.pcb, piece);
      bytes -= piece;
    }
  }
  if (closing_ != kNone) {
    finish_close(std::exchange(closing_, kNone));
    serving_ = kNone;
  }
}

void LwipEngine::finish_close(std::uint32_t index) noexcept {
  Side& side = sides_[index];
  side.telling_close = false;
  side.open_due = false;
  if (side.pcb == nullptr) {
    release(index);
    return;
  }
  ConnectionSlot& slot = table_[index];
  slot.state = ConnectionState::lingering;
  slot.linger_deadline_ns = now().ns + kLingerNs;
  ready_.remove(table_.slots(), index);
  lingering_.push_back(table_.slots(), index);
}

// An acknowledgement goes with the next data that the connection sends, or alone when a turn finds
// nothing to receive. Under load it stands for the segments of several turns, of a bounded number.
void LwipEngine::acknowledge(bool all) noexcept {
  std::size_t kept = 0;
  for (const std::uint32_t index : ack_due_) {
    Side& side = sides_[index];
    if (!all && !table_[index].late_ack) {
      ack_due_[kept++] = index;
      continue;
    }
    side.ack_listed = false;
    if (side.pcb == nullptr || (side.pcb->flags & TF_ACK_DELAY) == 0) continue;
    tcp_ack_now(side.pcb);
    tcp_output(side.pcb);
  }
  ack_due_.resize(kept);
  if (kept == 0) turns_unacknowledged_ = 0;
}

void LwipEngine::end_round() noexcept {
  if (!ack_due_.empty()) acknowledge(++turns_unacknowledged_ >= kTurnsUnacknowledgedMax);
  kick();
  if (clock_) {
    clock_->follow(wake_stamp_.present() ? wake_stamp_ : TscInstant::now());
    if (clock_->reanchors() != tai_offset_of_anchor_) read_tai_offset();
  }
  in_poll_ = false;
}

void LwipEngine::kick() noexcept {
  const unsigned kicks = device_->kick();
  xdp_counters_.kicks += kicks;
  counters_.system_calls += kicks;
  const std::uint64_t device_calls = device_->other_calls();
  counters_.system_calls += device_calls - std::exchange(device_calls_, device_calls);
}

}  // namespace feedbench::transports::xdp
