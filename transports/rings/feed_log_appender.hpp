#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "transports/rings/feed_log_layout.hpp"
#include "transports/rings/shared_bytes.hpp"

/// The writing half of the feed log over memory that is there already: every store to the shared
/// part happens here. FeedLogWriter (feed_log_writer.hpp) makes the memory and owns it.
/// Standard library and Linux alone.
namespace feedbench::rings {

/// What the writer says of one frame. [offset, offset + length) lies between the end of the frame
/// before and write_position().
struct FrameEntry {
  std::uint64_t offset = 0;
  std::uint32_t length =
      0;                    ///< Bytes of the frame(s), header included; 1 to largest_frame_bytes().
  std::uint32_t topic = 0;  ///< 0: none.
  std::uint8_t header_bytes = 0;
  std::uint8_t opcode = 0;
  std::uint16_t flags = 0;
  std::uint32_t upstream_generation = 0;  ///< Which upstream connection it came by.
  FrameStamps stamps{};
};

/// What the one writer of a feed log does. Bytes go straight into the ring (recv, decrypt), then the
/// frames found among them are staged and published.
///
///     span = reserve(n)   written(k)   stage(frame)... publish()
///
/// Why no reader is ever handed torn bytes:
///  - reserve() raises write_limit *before* the caller may touch the bytes, with a release fence
///    between. A reader copies, then (acquire fence) loads write_limit. If any byte it copied came
///    from the new data, fence synchronises with fence, so the load sees the raised limit and the
///    copy is thrown away. This is plain message passing (limit, then bytes / bytes, then limit),
///    not a store-load race, so no full barrier is needed on either side; on x86, where stores keep
///    their order (`rep movs` of the kernel's copies included), the fences bind the compiler alone.
///    It would not hold for non-temporal stores: do not write the ring with those.
///  - stage() marks the line (sequence | kStagedBit) before it changes any other word and publish()
///    stores the sequence last; all are release stores, the reader's loads acquire, so a reader
///    that finds its sequence before and after has read one line. A published sequence likewise
///    makes the frame's bytes visible.
///
/// Bounds: uncommitted bytes (received, not staged) are never overwritten by reserve(), which then
/// returns less than asked, down to nothing when one frame fills the ring: a frame of up to
/// largest_frame_bytes() always fits. Readers hold nothing up: who lags too far is lapped.
///
/// Cost: reserve, written, stage, publish are a few stores each; no allocation, system call or
/// lock. thread: one, the writer's.
template <class Memory>
class BasicFeedLogAppender {
 public:
  using Control = BasicFeedLogControl<Memory>;
  using Line = BasicIndexLine<Memory>;

  /// control, lines: [index_lines], all zeros; ring: [ring_bytes] mapped twice in a row. Both sizes
  /// are powers of two; ring_bytes is at least kLimitStepsPerLap.
  BasicFeedLogAppender(Control* control, Line* lines, std::byte* ring, std::uint64_t ring_bytes,
                       std::uint64_t index_lines) noexcept
      : control_(control),
        lines_(lines),
        ring_(ring),
        ring_mask_(ring_bytes - 1),
        line_mask_(index_lines - 1),
        limit_step_(ring_bytes / kLimitStepsPerLap) {}

  /// Numbers the first frame `sequence` (>= 1): this log goes on where another ended. Before the first stage(), and before
  /// anybody reads.
  void begin_at(std::uint64_t sequence) noexcept {
    assert(next_sequence_ == staged_begin_ && committed_ == 0 && sequence >= 1);
    next_sequence_ = staged_begin_ = sequence;
    control_->head_sequence.store(sequence - 1, std::memory_order_release);
  }

  /// Up to n writable bytes at write_position(), contiguous. Less than n (also 0) where more would
  /// overwrite bytes not committed yet. Readers of what they replace are lapped from here on,
  /// written or not: reserve what may really come. A second reserve() replaces the first.
  [[nodiscard]] std::span<std::byte> reserve(std::size_t n) noexcept {
    const std::size_t bytes = std::min<std::size_t>(n, reservable_bytes());
    const std::uint64_t end = position_ + bytes;
    if (end > write_limit_) {
      write_limit_ = (end + limit_step_ - 1) & ~(limit_step_ - 1);
      control_->write_limit.store(write_limit_, std::memory_order_release);
      Memory::order_limit_before_bytes();
    }
    reserved_end_ = end;
    return {ring_ + (position_ & ring_mask_), bytes};
  }

  /// The first `bytes` of the reserved span now hold data.
  void written(std::size_t bytes) noexcept {
    assert(position_ + bytes <= reserved_end_);
    position_ += bytes;
  }

  /// Forgets the bytes from `offset` on: the next reserve() starts there. offset lies between the
  /// end of the last staged frame and write_position(); below that it is raised to it.
  void rewind(std::uint64_t offset) noexcept {
    assert(offset >= committed_ && offset <= position_);
    position_ = std::clamp(offset, committed_, position_);
  }

  /// Prepares the index line of the next frame, not visible yet. Returns its sequence number.
  /// Half an index of staged lines publishes itself.
  std::uint64_t stage(const FrameEntry& entry) noexcept {
    assert(entry.offset >= committed_ && entry.offset + entry.length <= position_ &&
           entry.length > 0);
    if (next_sequence_ - staged_begin_ > (line_mask_ >> 1)) publish();
    const std::uint64_t sequence = next_sequence_++;
    Line& line = lines_[sequence & line_mask_];
    const PackedStamps stamps = PackedStamps::pack(entry.stamps);
    constexpr auto kRelease = std::memory_order_release;
    line.sequence.store(sequence | kStagedBit, kRelease);
    line.offset.store(entry.offset, kRelease);
    line.length_topic.store(entry.length | std::uint64_t{entry.topic} << 32, kRelease);
    line.header_opcode_flags_generation.store(
        entry.header_bytes | std::uint64_t{entry.opcode} << 8 | std::uint64_t{entry.flags} << 16 |
            std::uint64_t{entry.upstream_generation} << 32,
        kRelease);
    line.handler_ticks.store(stamps.handler_ticks, kRelease);
    line.back_nic_wake.store(pair(stamps.back_ticks[0], stamps.back_ticks[1]), kRelease);
    line.back_read_plain.store(pair(stamps.back_ticks[2], stamps.back_ticks[3]), kRelease);
    line.back_parsed.store(stamps.back_ticks[4], kRelease);
    committed_ = entry.offset + entry.length;
    return sequence;
  }

  /// Makes all staged frames visible, in order.
  void publish() noexcept {
    if (staged_begin_ == next_sequence_) return;
    for (std::uint64_t sequence = staged_begin_; sequence != next_sequence_; ++sequence) {
      lines_[sequence & line_mask_].sequence.store(sequence, std::memory_order_release);
    }
    staged_begin_ = next_sequence_;
    head_offset_ = committed_;
    control_->head_offset.store(head_offset_, std::memory_order_release);
    control_->head_sequence.store(next_sequence_ - 1, std::memory_order_release);
  }

  /// Stream offset of the next byte to be written.
  [[nodiscard]] std::uint64_t write_position() const noexcept { return position_; }
  /// Stream offset right after the last staged frame: what rewind() cannot go below.
  [[nodiscard]] std::uint64_t committed_offset() const noexcept { return committed_; }
  /// Stream offset right after the last published frame, and that frame's sequence (0: none).
  [[nodiscard]] std::uint64_t head_offset() const noexcept { return head_offset_; }
  [[nodiscard]] std::uint64_t head_sequence() const noexcept { return staged_begin_ - 1; }
  /// The sequence number that the next stage() gives.
  [[nodiscard]] std::uint64_t next_sequence() const noexcept { return next_sequence_; }
  /// Bytes from here on are intact; what lies before may have been overwritten. 0 in the first lap.
  [[nodiscard]] std::uint64_t oldest_safe_offset() const noexcept {
    return write_limit_ > ring_bytes() ? write_limit_ - ring_bytes() : 0;
  }
  /// Bytes before this offset may have been written over those of a lap before. Readers go by it.
  [[nodiscard]] std::uint64_t write_limit() const noexcept { return write_limit_; }
  /// The bytes at a stream offset; [n] contiguous for any n <= ring_bytes().
  [[nodiscard]] const std::byte* data(std::uint64_t offset) const noexcept {
    return ring_ + (offset & ring_mask_);
  }
  /// Moves `bytes` uncommitted bytes from stream offset `from` down to `to`: closes up a gap before
  /// staging. Both places are addressed from `to`: where the ring wraps between them, their own
  /// addresses are far apart although the bytes overlap, and memmove could not know.
  void move_down(std::uint64_t to, std::uint64_t from, std::size_t bytes) noexcept {
    assert(to >= committed_ && to <= from && from + bytes <= position_);
    std::byte* place = ring_ + (to & ring_mask_);
    std::memmove(place, place + (from - to), bytes);
  }
  /// How much reserve() could give now.
  [[nodiscard]] std::size_t reservable_bytes() const noexcept {
    // The limit may rise to where it would pass the first uncommitted byte, in whole steps.
    const std::uint64_t limit_max = (committed_ + ring_bytes()) & ~(limit_step_ - 1);
    return static_cast<std::size_t>(limit_max > position_ ? limit_max - position_ : 0);
  }
  /// A frame of up to this size fits wherever it starts.
  [[nodiscard]] std::size_t largest_frame_bytes() const noexcept {
    return static_cast<std::size_t>(ring_bytes() - limit_step_);
  }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return ring_mask_ + 1; }
  [[nodiscard]] std::uint64_t index_lines() const noexcept { return line_mask_ + 1; }

 private:
  static constexpr std::uint64_t kLimitStepsPerLap = 16;

  static constexpr std::uint64_t pair(std::uint32_t low, std::uint32_t high) noexcept {
    return low | std::uint64_t{high} << 32;
  }

  // Hot, and this thread's own: the shared memory is only ever stored to.
  Control* control_ = nullptr;
  Line* lines_ = nullptr;
  std::byte* ring_ = nullptr;
  std::uint64_t ring_mask_ = 0;
  std::uint64_t line_mask_ = 0;
  std::uint64_t limit_step_ = 0;
  std::uint64_t position_ = 0;       // next byte to write
  std::uint64_t reserved_end_ = 0;   // end of the last reserve()
  std::uint64_t write_limit_ = 0;    // as published
  std::uint64_t committed_ = 0;      // end of the last staged frame
  std::uint64_t head_offset_ = 0;    // end of the last published frame
  std::uint64_t next_sequence_ = 1;  // of the next stage()
  std::uint64_t staged_begin_ = 1;   // first staged, not published
};

}  // namespace feedbench::rings
