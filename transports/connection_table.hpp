#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/mapped_array.hpp"
#include "transports/transport.hpp"

/// The connections of one transport: slots by index, generations, and the lists that slots are
/// queued on. Nothing here allocates after construction; a slot costs 128 bytes once it was used.
namespace feedbench::transports {

enum class ConnectionState : std::uint8_t {
  free = 0,    // zero: a fresh page is a run of free slots
  connecting,  // connect() was started
  adopted,     // it was open when it came; on_open is still to be delivered
  open,
  failed,     // an error is known; what was received before is still to be delivered, then on_close
  closing,    // close() or abort() was called; on_close is still to be delivered
  lingering,  // on_close was delivered; the socket waits for the peer's FIN so that no RST eats
              // what was sent
};

/// Membership of a doubly linked list of slots.
struct SlotLinks {
  std::uint32_t previous;
  std::uint32_t next;
  bool linked;
};

/// What is left of an outstanding send. Up to two ranges live in the slot, more in the table's
/// spill area.
struct PendingSend {
  static constexpr std::size_t kInlineRanges = 2;
  std::array<ConstRange, kInlineRanges> ranges;
  std::uint64_t sent_bytes;
  std::uint8_t count;  // 0: no send is outstanding
  std::uint8_t first;
  bool spilled;
  bool cancelled;  // on_sent with what has left is due
};

struct alignas(64) ConnectionSlot {
  int descriptor;
  std::uint32_t generation;
  SlotLinks ready;     // to be read although no event will say so; also links the free list
  SlotLinks deferred;  // a callback is due that no kernel event brings; also links the lingering
  ConnectionState state;
  bool accepted;
  bool nic_stamps;
  bool lend_memory;
  bool late_ack;
  bool backlogged;  // its last chunk was larger than kLateAckBytesMax
  bool paused;      // the handler had no space
  bool readable;    // an edge was seen and the socket not yet drained
  bool hang_up;     // the peer is gone: read to the end, a short read does not mean drained
  CloseReason close_reason;
  int close_error;
  std::int64_t linger_deadline_ns;
  // io_uring alone: which operations the kernel holds for this connection.
  bool receiving;
  bool sending;
  bool polling;
  bool cancelling;  // those that do not end by themselves were told to
  bool aborted;     // close at once: RST instead of FIN, or the lingering is over
  bool unnoticed;   // a zero-copy send is done, but the kernel still holds its memory
  bool timed;       // closing, and for that reason among the lingering
  PendingSend send;
  int unnoticed_result;      // of that send
  std::uint32_t taking_off;  // bytes that were handed on and are being taken off the socket
};
static_assert(sizeof(ConnectionSlot) == 128);

/// A list threaded through slots. Every operation is O(1).
template <SlotLinks ConnectionSlot::*Links>
class SlotList {
 public:
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] std::uint32_t front() const noexcept { return head_; }

  void push_back(MappedArray<ConnectionSlot>& slots, std::uint32_t index) noexcept {
    SlotLinks& links = slots[index].*Links;
    if (links.linked) return;
    links = {tail_, kNone, true};
    (tail_ == kNone ? head_ : (slots[tail_].*Links).next) = index;
    tail_ = index;
    ++count_;
  }

  void push_front(MappedArray<ConnectionSlot>& slots, std::uint32_t index) noexcept {
    SlotLinks& links = slots[index].*Links;
    if (links.linked) return;
    links = {kNone, head_, true};
    (head_ == kNone ? tail_ : (slots[head_].*Links).previous) = index;
    head_ = index;
    ++count_;
  }

  void remove(MappedArray<ConnectionSlot>& slots, std::uint32_t index) noexcept {
    SlotLinks& links = slots[index].*Links;
    if (!links.linked) return;
    (links.previous == kNone ? head_ : (slots[links.previous].*Links).next) = links.next;
    (links.next == kNone ? tail_ : (slots[links.next].*Links).previous) = links.previous;
    links.linked = false;
    --count_;
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  std::uint32_t head_ = kNone;
  std::uint32_t tail_ = kNone;
  std::size_t count_ = 0;
};

class ConnectionTable {
 public:
  explicit ConnectionTable(std::uint32_t connections_max)
      : slots_(connections_max), spill_(std::size_t{connections_max} * kMaxRanges) {}

  [[nodiscard]] std::uint32_t capacity() const noexcept {
    return static_cast<std::uint32_t>(slots_.size());
  }
  /// How many slots were ever used: all others are free.
  [[nodiscard]] std::uint32_t high_water() const noexcept { return high_water_; }
  MappedArray<ConnectionSlot>& slots() noexcept { return slots_; }
  ConnectionSlot& operator[](std::uint32_t index) noexcept { return slots_[index]; }
  const ConnectionSlot& operator[](std::uint32_t index) const noexcept { return slots_[index]; }

  /// Takes a free slot, the last freed first (its memory is warm). returns an invalid Conn when all
  /// are in use.
  Conn take(int descriptor, ConnectionState state, const ConnOptions& options,
            bool accepted) noexcept {
    std::uint32_t index;
    if (!free_.empty()) {
      index = free_.front();
      free_.remove(slots_, index);
    } else if (high_water_ < capacity()) {
      index = high_water_++;
    } else {
      return {};
    }
    const std::uint32_t generation = slots_[index].generation;
    ConnectionSlot& slot = slots_[index];
    slot = ConnectionSlot{};
    slot.descriptor = descriptor;
    slot.generation = generation;
    slot.state = state;
    slot.accepted = accepted;
    slot.nic_stamps = options.nic_stamps;
    slot.lend_memory = options.lend_memory;
    slot.late_ack = options.late_ack;
    return {index, generation};
  }

  /// Gives the slot back; its handles are dead from now on.
  void release(std::uint32_t index) noexcept {
    ConnectionSlot& slot = slots_[index];
    slot.state = ConnectionState::free;
    slot.descriptor = -1;
    ++slot.generation;
    free_.push_front(slots_, index);
  }

  [[nodiscard]] Conn handle(std::uint32_t index) const noexcept {
    return {index, slots_[index].generation};
  }

  /// The slot of a handle, or nullptr when the handle is dead.
  ConnectionSlot* find(Conn conn) noexcept {
    if (conn.index >= high_water_) return nullptr;
    ConnectionSlot& slot = slots_[conn.index];
    if (slot.generation != conn.generation || slot.state == ConnectionState::free ||
        slot.state == ConnectionState::lingering) {
      return nullptr;
    }
    return &slot;
  }

  /// Remembers what of `ranges` is left after `sent` bytes of it went out.
  void begin_send(std::uint32_t index, std::span<const ConstRange> ranges,
                  std::size_t sent) noexcept {
    PendingSend& send = slots_[index].send;
    send.sent_bytes = sent;
    std::size_t skipped = 0;
    while (sent >= ranges[skipped].bytes) sent -= ranges[skipped++].bytes;
    const std::span<const ConstRange> left = ranges.subspan(skipped);
    send.spilled = left.size() > PendingSend::kInlineRanges;
    send.count = static_cast<std::uint8_t>(left.size());
    send.first = 0;
    send.cancelled = false;
    ConstRange* to = range_array(index);
    for (std::size_t i = 0; i < left.size(); ++i) to[i] = left[i];
    to[0].data += sent;
    to[0].bytes -= sent;
  }

  /// The ranges that are still to be sent.
  std::span<const ConstRange> left_to_send(std::uint32_t index) noexcept {
    const PendingSend& send = slots_[index].send;
    return {range_array(index) + send.first, static_cast<std::size_t>(send.count - send.first)};
  }

  /// Takes `bytes` off what is left. returns true when nothing is.
  bool advance_send(std::uint32_t index, std::size_t bytes) noexcept {
    PendingSend& send = slots_[index].send;
    ConstRange* ranges = range_array(index);
    send.sent_bytes += bytes;
    while (send.first < send.count && bytes >= ranges[send.first].bytes) {
      bytes -= ranges[send.first].bytes;
      ++send.first;
    }
    if (send.first == send.count) return true;
    ranges[send.first].data += bytes;
    ranges[send.first].bytes -= bytes;
    return false;
  }

 private:
  ConstRange* range_array(std::uint32_t index) noexcept {
    PendingSend& send = slots_[index].send;
    return send.spilled ? &spill_[std::size_t{index} * kMaxRanges] : send.ranges.data();
  }

  MappedArray<ConnectionSlot> slots_;
  MappedArray<ConstRange> spill_;
  SlotList<&ConnectionSlot::ready> free_;
  std::uint32_t high_water_ = 0;
};

}  // namespace feedbench::transports
