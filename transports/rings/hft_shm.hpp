#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "transports/clock.hpp"
#include "transports/rings/hft_shm_layout.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/rings/shared_bytes.hpp"
#include "transports/transport.hpp"

/// Writer and reader of the static-name layout (hft_shm_layout.hpp).
///
/// The producer never waits: a consumer that does not keep up is lapped. Why a lapped consumer never
/// believes a torn batch: the producer raises `cursor` before it writes a byte (release fence
/// between), the consumer loads it after it read the last (acquire fence between): the same message
/// passing as the feed log's (feed_log_appender.hpp).
///
/// Foreign producers may leave `cursor` behind and move `published` alone. Against those a lap shows
/// in `published` and in the `dirty` they set before they pass the consumer; what they overwrite
/// without either is beyond what any reader could tell. Of a producer that keeps its cursor, `dirty`
/// is not read: it would add nothing but its own delay.
///
/// The files have names and can be truncated by whoever may write them: that is a SIGBUS for whoever
/// has them mapped, and the layout's own weakness. They are made with mode 0600 for that reason; the
/// feed log has no names and is sealed.
namespace feedbench::rings {

struct HftShmOptions {
  /// Size of the ring: a power of two, 4 KiB to 2 GiB. A batch may be as large as it.
  std::uint32_t buffer_bytes = 1U << 20;
  bool pre_fault = true;  ///< Allocate all of it now.
};

/// Makes `<path>.hdr` and `<path>.dat`, mode 0600, and the folder they stand in (0700) if it is
/// missing. Files of that name that exist are refused, not overwritten; whoever made them removes
/// them. errors: size, permissions, no space, exists.
transports::Expected<void> create_hft_shm(const HftShmPath& path, const HftShmOptions& options);
/// Removes both files. Whoever has them mapped goes on.
void remove_hft_shm(const HftShmPath& path) noexcept;

/// Where the parts of a mapped segment lie. Owns nothing.
struct HftShmView {
  HftShmProducerSection* producer = nullptr;
  HftShmConsumerSection* consumer = nullptr;
  std::byte* ring = nullptr;  ///< [ring_bytes], twice in a row; read-only for a consumer.
  std::uint64_t ring_bytes = 0;
};

/// Unmaps the header file.
struct HftShmUnmap {
  std::size_t bytes = 0;
  void operator()(std::byte* at) const noexcept;
};

/// Both files, mapped and their header checked.
struct HftShmSegment {
  MirroredMapping data;
  std::unique_ptr<std::byte, HftShmUnmap> header;
  HftShmView view;

  /// Accepts any offsets that lie inside the header file, aligned, apart from each other and from
  /// the first 64 bytes. data_access: the consumer only reads the data; both write the header.
  /// errors: what is wrong, in which file.
  static transports::Expected<HftShmSegment> open(const HftShmPath& path, Access data_access);
};

/// A position as it stands in shared memory; a negative one means that nothing was written yet.
inline std::uint64_t load_hft_shm_position(const std::atomic<std::int64_t>& position) noexcept {
  return static_cast<std::uint64_t>(
      std::max<std::int64_t>(position.load(std::memory_order_acquire), 0));
}

/// The producer. thread: one.
///
///     span = reserve(n, frames)   (fill it)   commit(n', frames, status)
///
/// Cost: a line, the data's and the descriptors' stores, and two to the producer's section; the
/// consumer's line is loaded about once a lap. No allocation, lock or system call.
class HftShmWriter {
 public:
  /// Goes on where the last producer left off. errors: see HftShmSegment::open.
  static transports::Expected<HftShmWriter> open(const HftShmPath& path);

  /// [n] bytes for the data of the next batch, contiguous, 64-aligned; empty if n bytes with
  /// `frames` descriptors are more than largest_batch allows, or if n is 0. What they replace is
  /// lapped from here on. frames: as many as commit() is going to be given, or more.
  [[nodiscard]] std::span<std::byte> reserve(std::size_t n, std::size_t frames) noexcept {
    if (n == 0 || !fits(n, frames)) return {};
    claim(hft_shm_batch_bytes(n, frames));
    return {ring_ + (position_ & ring_mask_) + kHftShmLineBytes, n};
  }

  /// Ends the batch and makes it visible. data_bytes, frames: within what was reserved; frames lie in
  /// the data. ticks: of the commit, TSC.
  void commit(std::size_t data_bytes, std::span<const HftShmFrame> frames, std::uint8_t status,
              transports::TscInstant ticks) noexcept {
    assert(position_ + hft_shm_batch_bytes(data_bytes, frames.size()) <= claimed_);
    std::byte* const at = ring_ + (position_ & ring_mask_);
    HftShmBatchHeader header{};
    header.data_lines = static_cast<std::uint16_t>(hft_shm_lines(data_bytes));
    header.frame_count = static_cast<std::uint16_t>(frames.size());
    header.status = status;
    header.commit_ticks = ticks.ticks;
    const auto embedded = frames.first(std::min(frames.size(), kHftShmEmbeddedFrames));
    std::copy(embedded.begin(), embedded.end(), header.frames);
    store_shared_bytes(at, reinterpret_cast<const std::byte*>(&header), sizeof(header));
    const std::size_t padded = header.data_lines * kHftShmLineBytes;
    constexpr std::byte kZeros[kHftShmLineBytes]{};
    store_shared_bytes(at + kHftShmLineBytes + data_bytes, kZeros, padded - data_bytes);
    const auto more = std::as_bytes(frames.subspan(embedded.size()));
    store_shared_bytes(at + kHftShmLineBytes + padded, more.data(), more.size());
    position_ += hft_shm_batch_bytes(data_bytes, frames.size());
    segment_.view.producer->published.store(static_cast<std::int64_t>(position_),
                                            std::memory_order_release);
  }

  /// A batch without frames: the connection was lost, or came back.
  void publish_status(std::uint8_t status, transports::TscInstant ticks) noexcept {
    claim(kHftShmLineBytes);
    commit(0, {}, status, ticks);
  }

  /// True if n bytes with that many descriptors fit: in the ring, and in the header's 16 bits.
  [[nodiscard]] bool fits(std::size_t n, std::size_t frames) const noexcept {
    return n <= kHftShmDataBytesMax && frames <= kHftShmFramesMax &&
           hft_shm_batch_bytes(n, frames) <= ring_bytes();
  }
  /// Most data a batch of up to six frames can have.
  [[nodiscard]] std::size_t largest_data_bytes() const noexcept {
    return static_cast<std::size_t>(
        std::min<std::uint64_t>(ring_bytes() - kHftShmLineBytes, kHftShmDataBytesMax));
  }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return ring_mask_ + 1; }
  /// Bytes published since the ring began.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] const HftShmView& view() const noexcept { return segment_.view; }
  /// How often a consumer was found lapped and told so.
  [[nodiscard]] std::uint64_t consumer_lapped() const noexcept { return consumer_lapped_; }

 private:
  explicit HftShmWriter(HftShmSegment segment) noexcept;
  void claim(std::uint64_t bytes) noexcept {
    const std::uint64_t end = position_ + bytes;
    if (end <= claimed_) return;
    claimed_ = end;
    if (end - sequence_seen_ > ring_bytes()) look_at_consumer(end);
    segment_.view.producer->cursor.store(static_cast<std::int64_t>(end), std::memory_order_release);
    order_limit_before_bytes();
  }
  [[gnu::noinline]] void look_at_consumer(std::uint64_t end) noexcept {
    // Whatever a hostile consumer puts there, it is read for the sake of `dirty` alone.
    sequence_seen_ = std::min(load_hft_shm_position(segment_.view.consumer->sequence), position_);
    auto& dirty = segment_.view.consumer->dirty;
    if (end - sequence_seen_ <= ring_bytes() || dirty.load(std::memory_order_relaxed) != 0) return;
    ++consumer_lapped_;
    dirty.store(1, std::memory_order_release);
  }

  HftShmSegment segment_;
  std::byte* ring_ = nullptr;
  std::uint64_t ring_mask_ = 0;
  std::uint64_t position_ = 0;  // as published
  std::uint64_t claimed_ = 0;   // as the cursor says
  std::uint64_t sequence_seen_ = 0;
  std::uint64_t consumer_lapped_ = 0;
};

enum class HftShmStatus : std::uint8_t {
  batch,    ///< The oldest batch is in `out`.
  none,     ///< Nothing new has been published.
  gap,      ///< The producer lapped this reader: out.missed_bytes are gone; read on at the head.
  corrupt,  ///< A position or a batch header made no sense: nothing will come any more.
};

/// One batch as the reader found it. Its numbers are copies; the bytes lie in the ring and are to be
/// believed only after confirm().
struct HftShmBatch {
  std::uint64_t position = 0;  ///< Of its first byte in the stream.
  std::uint64_t end = 0;
  std::uint32_t frame_count = 0;       ///< 0: a status event.
  std::uint8_t status = 0;             ///< kHftShmDisconnected, ...
  transports::TscInstant committed{};  ///< The producer's TSC.
  std::span<const std::byte> data;     ///< Whole lines: padding included.
  HftShmFrame embedded[kHftShmEmbeddedFrames]{};
  const std::byte* more_frames = nullptr;  ///< In the ring: descriptors from the seventh on.

  std::uint64_t missed_bytes = 0;  ///< With gap alone: ring bytes, headers and padding included.
  [[nodiscard]] bool is_status_event() const noexcept { return frame_count == 0 && data.empty(); }
};

/// Where a reader may be held up, for tests. Every call is empty and compiled away.
struct NoHftShmHooks {
  static void header_read() noexcept {}     ///< The header's line is copied, the cursor not yet
                                            ///< checked again.
  static void before_confirm() noexcept {}  ///< Everything was read, nothing checked.
};

/// The consumer. thread: one.
///
///     while (next(batch) == batch) { read its frames; if (confirm(batch)) believe them; }
///
/// Cost: next() reads the producer's line and the batch's header line, confirm() the producer's line
/// again and stores the consumer's. No allocation, lock or system call.
template <class Hooks = NoHftShmHooks>
class BasicHftShmReader {
 public:
  /// Goes on where the last consumer left off, if that is still there, else at the head.
  /// errors: see HftShmSegment::open.
  static transports::Expected<BasicHftShmReader> open(const HftShmPath& path, Hooks hooks = {}) {
    auto segment = HftShmSegment::open(path, Access::read_only);
    if (!segment) return tl::unexpected(segment.error());
    return BasicHftShmReader(std::move(*segment), hooks);
  }
  /// The consumer in the producer's own process, through its mapping. The writer must outlive it.
  static BasicHftShmReader attach(const HftShmWriter& writer, Hooks hooks = {}) noexcept {
    HftShmSegment segment;
    segment.view = writer.view();
    return BasicHftShmReader(std::move(segment), hooks);
  }

  /// Goes to the head: what is published from now on comes next. Not counted as a gap.
  void seek_live() noexcept {
    if (!corrupt_) start_at(load_hft_shm_position(segment_.view.producer->published));
  }

  /// Gives the oldest batch not confirmed yet: the same again until confirm() was true.
  [[nodiscard]] HftShmStatus next(HftShmBatch& out) noexcept {
    if (corrupt_) return HftShmStatus::corrupt;
    const std::uint64_t published = load_hft_shm_position(segment_.view.producer->published);
    if (published == position_) return HftShmStatus::none;
    if (published < position_ || published % kHftShmLineBytes != 0) return fail();
    if (!whole(position_)) return lapped(out);
    HftShmBatchHeader header;
    const std::byte* const at = ring_ + (position_ & ring_mask_);
    load_shared_bytes(reinterpret_cast<std::byte*>(&header), at, sizeof(header));
    hooks_.header_read();
    order_bytes_before_limit();
    if (!whole(position_)) return lapped(out);  // before that nothing of the header is believed
    const std::uint64_t bytes =
        hft_shm_batch_bytes(header.data_lines * kHftShmLineBytes, header.frame_count);
    if (bytes > std::min(published - position_, ring_bytes()) ||
        (header.frame_count > 0 && header.data_lines == 0)) {
      return fail();
    }
    out.position = position_;
    out.end = position_ + bytes;
    out.frame_count = header.frame_count;
    out.status = header.status;
    out.committed = {header.commit_ticks};
    out.data = {at + kHftShmLineBytes, header.data_lines * kHftShmLineBytes};
    out.more_frames = at + kHftShmLineBytes + out.data.size();
    std::copy_n(header.frames, kHftShmEmbeddedFrames, out.embedded);
    return HftShmStatus::batch;
  }

  /// Descriptor `index` < batch.frame_count, checked against the data: false if it lies outside (a
  /// torn or a corrupt batch; confirm() tells which). A payload of 0 bytes is inside.
  [[nodiscard]] bool frame(const HftShmBatch& batch, std::uint32_t index,
                           HftShmFrame& out) const noexcept {
    if (index < kHftShmEmbeddedFrames) {
      out = batch.embedded[index];
    } else {
      load_shared_bytes(reinterpret_cast<std::byte*>(&out),
                        batch.more_frames + (index - kHftShmEmbeddedFrames) * sizeof(HftShmFrame),
                        sizeof(out));
    }
    return std::uint64_t{out.payload_start} + out.payload_len <= batch.data.size();
  }
  [[nodiscard]] static std::span<const std::byte> payload(const HftShmBatch& batch,
                                                          const HftShmFrame& frame) noexcept {
    return batch.data.subspan(frame.payload_start, frame.payload_len);
  }

  /// True if everything read of the batch up to now was the batch; the reader goes past it. False:
  /// throw it away, next() is going to say how much is gone.
  [[nodiscard]] bool confirm(const HftShmBatch& batch) noexcept {
    hooks_.before_confirm();
    order_bytes_before_limit();
    if (!whole(batch.position) || batch.position != position_) return false;
    move_to(batch.end);
    return true;
  }

  /// The same without going past it, for a batch whose frames are used one by one.
  [[nodiscard]] bool still_whole(const HftShmBatch& batch) const noexcept {
    order_bytes_before_limit();
    return whole(batch.position);
  }

  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return ring_mask_ + 1; }
  /// How often it was lapped, and the ring bytes that it missed.
  [[nodiscard]] std::uint64_t gaps() const noexcept { return gaps_; }
  [[nodiscard]] std::uint64_t missed_bytes() const noexcept { return missed_bytes_; }
  [[nodiscard]] bool corrupt() const noexcept { return corrupt_; }

 private:
  BasicHftShmReader(HftShmSegment segment, Hooks hooks) noexcept
      : segment_(std::move(segment)),
        ring_(segment_.view.ring),
        ring_mask_(segment_.view.ring_bytes - 1),
        hooks_(hooks) {
    const std::uint64_t published = load_hft_shm_position(segment_.view.producer->published);
    position_ = load_hft_shm_position(segment_.view.consumer->sequence);
    if (position_ > published || position_ % kHftShmLineBytes != 0 || !whole(position_))
      start_at(published);
  }

  // True if the bytes from `position` on were not yet free to be overwritten.
  [[nodiscard]] bool whole(std::uint64_t position) const noexcept {
    const std::uint64_t cursor = load_hft_shm_position(segment_.view.producer->cursor);
    const std::uint64_t published = load_hft_shm_position(segment_.view.producer->published);
    if (cursor >= published) return position + ring_bytes() >= cursor;
    return position + ring_bytes() >= published &&
           segment_.view.consumer->dirty.load(std::memory_order_acquire) == 0;
  }
  void start_at(std::uint64_t position) noexcept {
    corrupt_ = position % kHftShmLineBytes != 0;
    if (!corrupt_) move_to(position);
  }
  void move_to(std::uint64_t position) noexcept {
    position_ = position;
    segment_.view.consumer->sequence.store(static_cast<std::int64_t>(position),
                                           std::memory_order_release);
  }
  [[gnu::noinline, gnu::cold]] HftShmStatus fail() noexcept {
    corrupt_ = true;
    return HftShmStatus::corrupt;
  }
  [[gnu::noinline, gnu::cold]] HftShmStatus lapped(HftShmBatch& out) noexcept {
    // `dirty` first: a producer that laps again after the load of its position sets it again.
    segment_.view.consumer->dirty.store(0, std::memory_order_seq_cst);
    const std::uint64_t head = load_hft_shm_position(segment_.view.producer->published);
    if (head < position_ || head % kHftShmLineBytes != 0) return fail();
    out.missed_bytes = head - position_;
    missed_bytes_ += out.missed_bytes;
    ++gaps_;
    move_to(head);
    return HftShmStatus::gap;
  }

  HftShmSegment segment_;
  const std::byte* ring_;
  std::uint64_t ring_mask_;
  std::uint64_t position_ = 0;  // of the next batch
  std::uint64_t gaps_ = 0;
  std::uint64_t missed_bytes_ = 0;
  bool corrupt_ = false;
  [[no_unique_address]] Hooks hooks_;
};

using HftShmReader = BasicHftShmReader<>;

}  // namespace feedbench::rings
