#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/rings/feed_log_layout.hpp"
#include "transports/rings/shared_bytes.hpp"

/// The reading half of the feed log over memory that is mapped already. feed_log_attach.hpp maps a
/// log; feed_log_mapping.hpp has FeedLogReader, which owns what it reads.
/// Standard library and Linux alone.
namespace feedbench::rings {

enum class ReadStatus : std::uint8_t {
  frame,  ///< The next frame is in `out`.
  none,  ///< Nothing new has been published (or the writer came round while a gap was being measured).
  gap,  ///< The writer lapped this reader: out.missed_frames (>= 1) frames are gone; read on.
};

inline constexpr std::uint64_t kMissedBytesUnknown = UINT64_MAX;

/// One frame as the reader found it. The numbers are its own copy; `data` points into the log,
/// where the bytes stay intact until the writer comes round: confirm() after use, or copy().
struct Frame {
  std::uint64_t sequence = 0;
  std::uint64_t offset = 0;  ///< Stream offset of the first byte.
  std::uint32_t length = 0;  ///< Bytes, header included.
  std::uint32_t topic = 0;   ///< 0: none.
  std::uint8_t header_bytes = 0;
  std::uint8_t opcode = 0;
  std::uint16_t flags = 0;
  std::uint32_t upstream_generation = 0;
  PackedStamps packed_stamps;
  const std::byte* data = nullptr;  ///< [length], contiguous, read-only.

  std::uint64_t missed_frames = 0;  ///< With ReadStatus::gap alone.
  /// Stream bytes between the frame, or the gap, told before and the next frame: with gap alone. kMissedBytesUnknown where
  /// seek() placed the reader at a frame that was gone already, and nowhere else.
  std::uint64_t missed_bytes = 0;

  [[nodiscard]] FrameStamps stamps() const noexcept { return packed_stamps.unpack(); }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data, length}; }
  [[nodiscard]] std::span<const std::byte> payload() const noexcept {
    return bytes().subspan(header_bytes);
  }
};

/// Where a reader may be held up, for tests. Every call is empty and compiled away.
struct NoReadHooks {
  static void line_read() noexcept {
  }  ///< The line's words are read, its sequence not yet checked again.
  static void before_copy() noexcept {}  ///< Checked, nothing copied yet.
  static void after_copy() noexcept {}   ///< Copied, not yet checked.
};

/// Where the parts of a mapped feed log lie, and its sizes, checked. Owns nothing.
template <class Memory>
struct BasicFeedLogView {
  const BasicFeedLogControl<Memory>* control = nullptr;
  const ProxyStats* stats = nullptr;
  const BasicIndexLine<Memory>* lines = nullptr;
  const std::byte* ring = nullptr;
  std::uint64_t ring_mask = 0;
  std::uint64_t line_mask = 0;
};
using FeedLogView = BasicFeedLogView<SharedMemory>;

/// The view of a log whose first page is at `base`. sizes: that page's first block, checked.
inline FeedLogView view_of_feed_log(const std::byte* base, const FeedLogControl& sizes) noexcept {
  return {.control = reinterpret_cast<const FeedLogControl*>(base),
          .stats = reinterpret_cast<const ProxyStats*>(base + sizes.stats_offset),
          .lines = reinterpret_cast<const IndexLine*>(base + sizes.index_offset),
          .ring = base + sizes.ring_offset,
          .ring_mask = sizes.ring_bytes - 1,
          .line_mask = sizes.index_lines - 1};
}

/// One consumer of a feed log: a cursor. Any number of them, in any process; the writer does not
/// know of them. Starts at the live edge.
///
/// A reader is lapped when the writer has overwritten the line or the bytes of the frame it wants.
/// It then gets one `gap` with the frames and bytes it missed, and goes on where the writer will not
/// be at once: at the oldest frame with a quarter of the ring and of the index between it and being
/// overwritten (of frames so large that none has, at the newest). The sums of frames and missed
/// frames, and of bytes, always equal the distance covered.
///
/// Cost: next() reads two shared cache lines, one of which seldom changes; no system call, no
/// allocation. A gap costs a binary search over the index. thread: one.
template <class Hooks = NoReadHooks, class Memory = SharedMemory>
class BasicFeedLogReader {
 public:
  using View = BasicFeedLogView<Memory>;
  using Line = BasicIndexLine<Memory>;

  /// view: of memory that outlives the reader.
  explicit BasicFeedLogReader(const View& view, Hooks hooks = {}) noexcept
      : view_(view), hooks_(hooks) {
    seek_live();
  }

  /// The next frame is the first one published from now on.
  void seek_live() noexcept {
    constexpr int kTries = 4;  // each fails only if the writer comes round the index meanwhile
    end_known_ = false;
    for (int i = 0; i < kTries && !end_known_; ++i) {
      const std::uint64_t head = head_sequence();
      next_ = head + 1;
      end_known_ = end_of_head(head, end_);
    }
  }
  /// The next frame is the oldest one that is still whole.
  void seek_oldest() noexcept {
    const Found oldest = first_whole(1, head_sequence(), 0);
    next_ = oldest.sequence;
    end_ = oldest.begin;
    end_known_ = oldest.known || boundary_before(next_, end_);
  }

  /// The next frame is `sequence`, published already or not; a gap tells if it is gone.
  void seek(std::uint64_t sequence) noexcept {
    next_ = sequence;
    end_known_ = boundary_before(next_, end_);
  }
  /// The same, for the first frame that this log ever holds.
  void seek_first(std::uint64_t sequence) noexcept {
    next_ = sequence;
    end_ = 0;
    end_known_ = true;
  }

  /// Gives the next frame, if there is one. Status as ReadStatus says.
  [[nodiscard]] ReadStatus next(Frame& out) noexcept {
    const Line& line = view_.lines[next_ & view_.line_mask];
    const std::uint64_t sequence = line.sequence.load(std::memory_order_acquire);
    if (sequence != next_) {
      // Never used, the lap before, or the wanted frame staged: not published yet. Else: lapped.
      return (sequence & ~kStagedBit) <= next_ ? ReadStatus::none : lapped(out);
    }
    read_line(line, out);
    hooks_.line_read();
    // The length is checked for the sake of a hostile writer alone: no copy may leave the mirror.
    const bool usable = line.sequence.load(std::memory_order_relaxed) == next_ &&
                        whole(out.offset) && out.length <= ring_bytes();
    if (!usable) return lapped(out);
    out.sequence = next_++;
    out.data = view_.ring + (out.offset & view_.ring_mask);
    end_ = out.offset + out.length;
    end_known_ = true;
    return ReadStatus::frame;
  }

  /// True if everything read from frame.data up to now was the frame. False: throw it away.
  [[nodiscard]] bool confirm(const Frame& frame) const noexcept {
    Memory::order_bytes_before_limit();
    return whole(frame.offset);
  }

  /// Copies the frame's bytes to the front of `to`. False, with `to` undefined, if the writer has
  /// come round (what was copied may be torn), or if `to` is shorter than the frame.
  [[nodiscard]] bool copy(const Frame& frame, std::span<std::byte> to) noexcept {
    if (to.size() < frame.length || !whole(frame.offset)) return false;
    hooks_.before_copy();
    Memory::load_bytes(to.data(), frame.data, frame.length);
    hooks_.after_copy();
    return confirm(frame);
  }

  /// Sequence number that next() gives next, if not lapped.
  [[nodiscard]] std::uint64_t next_sequence() const noexcept { return next_; }
  /// Last sequence number published, 0 if none.
  [[nodiscard]] std::uint64_t head_sequence() const noexcept {
    return view_.control->head_sequence.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return view_.ring_mask + 1; }
  [[nodiscard]] std::uint64_t index_lines() const noexcept { return view_.line_mask + 1; }
  [[nodiscard]] const ProxyStats& stats() const noexcept { return *view_.stats; }
  [[nodiscard]] WriterState writer_state() const noexcept {
    return static_cast<WriterState>(view_.stats->writer_state.load(std::memory_order_acquire));
  }

 private:
  // True if the bytes from `offset` on were not yet free to be overwritten, nor will be before the writer has come
  // `margin` bytes further.
  [[nodiscard]] bool whole(std::uint64_t offset, std::uint64_t margin = 0) const noexcept {
    return offset + ring_bytes() >=
           view_.control->write_limit.load(std::memory_order_acquire) + margin;
  }

  static void read_line(const Line& line, Frame& out) noexcept {
    constexpr auto kAcquire = std::memory_order_acquire;
    out.offset = line.offset.load(kAcquire);
    const std::uint64_t length_topic = line.length_topic.load(kAcquire);
    const std::uint64_t head = line.header_opcode_flags_generation.load(kAcquire);
    out.packed_stamps.handler_ticks = line.handler_ticks.load(kAcquire);
    const std::uint64_t nic_wake = line.back_nic_wake.load(kAcquire);
    const std::uint64_t read_plain = line.back_read_plain.load(kAcquire);
    const std::uint64_t parsed = line.back_parsed.load(kAcquire);
    out.length = static_cast<std::uint32_t>(length_topic);
    out.topic = static_cast<std::uint32_t>(length_topic >> 32);
    out.header_bytes = static_cast<std::uint8_t>(head);
    out.opcode = static_cast<std::uint8_t>(head >> 8);
    out.flags = static_cast<std::uint16_t>(head >> 16);
    out.upstream_generation = static_cast<std::uint32_t>(head >> 32);
    auto& back = out.packed_stamps.back_ticks;
    back[0] = static_cast<std::uint32_t>(nic_wake);
    back[1] = static_cast<std::uint32_t>(nic_wake >> 32);
    back[2] = static_cast<std::uint32_t>(read_plain);
    back[3] = static_cast<std::uint32_t>(read_plain >> 32);
    back[4] = static_cast<std::uint32_t>(parsed);
  }

  // Reads where a frame lies; false if its line holds it no longer (or not yet).
  bool locate(std::uint64_t sequence, std::uint64_t& begin, std::uint64_t& end) const noexcept {
    const Line& line = view_.lines[sequence & view_.line_mask];
    if (line.sequence.load(std::memory_order_acquire) != sequence) return false;
    begin = line.offset.load(std::memory_order_acquire);
    end = begin + static_cast<std::uint32_t>(line.length_topic.load(std::memory_order_acquire));
    return line.sequence.load(std::memory_order_relaxed) == sequence;
  }

  struct Found {
    std::uint64_t sequence;
    std::uint64_t begin;  // where the frame begins, if known
    bool known;
  };

  // The oldest frame from `from` on whose line and bytes are intact, with the `margin`th part of index and ring (0: none)
  // between it and being overwritten; else the one after `head`. Older frames are lost before younger ones, so the search
  // can halve.
  Found first_whole(std::uint64_t from, std::uint64_t head, std::uint64_t margin) const noexcept {
    const std::uint64_t bytes = margin == 0 ? 0 : ring_bytes() / margin;
    const std::uint64_t lines = index_lines() - (margin == 0 ? 0 : index_lines() / margin);
    std::uint64_t low = std::max(from, head >= lines ? head - lines + 1 : 1);
    Found found{std::max(head + 1, low), 0, false};
    while (low < found.sequence) {
      const std::uint64_t middle = low + (found.sequence - low) / 2;
      std::uint64_t begin = 0;
      std::uint64_t end = 0;
      if (locate(middle, begin, end) && whole(begin, bytes)) {
        found = {middle, begin, true};
      } else {
        low = middle + 1;
      }
    }
    return found;
  }

  // Where the stream stands right after frame `head`, which was the last one published. False if it cannot be told any
  // more.
  bool end_of_head(std::uint64_t head, std::uint64_t& offset) const noexcept {
    std::uint64_t begin = 0;
    if (locate(head, begin, offset)) return true;
    // The writer stores head_offset first: while it is 0, nothing had been published when `head` was read (which is what
    // a log that goes on where another ended began with).
    offset = 0;
    return view_.control->head_offset.load(std::memory_order_acquire) == 0;
  }

  // Where the stream stands just before frame `sequence`: its own start, or the end of the one
  // before if it is not published yet. False if both lines are gone already.
  bool boundary_before(std::uint64_t sequence, std::uint64_t& offset) const noexcept {
    std::uint64_t end = 0;
    if (locate(sequence, offset, end)) return true;
    offset = 0;
    if (sequence == 1) return true;
    const std::uint64_t head = head_sequence();
    std::uint64_t begin = 0;
    return head == sequence - 1 ? end_of_head(head, offset) : locate(sequence - 1, begin, offset);
  }

  // Tells how much is gone, once it is known exactly: if the writer comes round the index between two looks, nothing has
  // changed, and the next call looks again.
  [[gnu::noinline, gnu::cold]] ReadStatus lapped(Frame& out) noexcept {
    constexpr std::uint64_t kQuarter = 4;
    const std::uint64_t head = head_sequence();
    Found resume = first_whole(next_ + 1, head, kQuarter);  // next_ itself is known to be gone
    if (!resume.known) {
      std::uint64_t begin = 0;
      std::uint64_t end = 0;
      if (head < next_ || !locate(head, begin, end)) return ReadStatus::none;
      resume.begin = end;
      if (head > next_ && whole(begin)) resume = {head, begin, true};
    }
    out.missed_frames = resume.sequence - next_;
    out.missed_bytes = end_known_ ? resume.begin - end_ : kMissedBytesUnknown;
    next_ = resume.sequence;
    end_ = resume.begin;
    end_known_ = true;
    return ReadStatus::gap;
  }

  View view_;
  std::uint64_t next_ = 1;
  std::uint64_t end_ = 0;  // stream offset right after the last frame given, if end_known_
  bool end_known_ = true;
  [[no_unique_address]] Hooks hooks_;
};

}  // namespace feedbench::rings
