#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "transports/rings/frame_stamps.hpp"
#include "transports/rings/shared_bytes.hpp"

/// The shared memory of a feed log, as it lies in the memfd. docs/feed_log.md explains it whole.
///
///     control page | stats page | index: 64 B a line | (padding to a page) | byte ring
///
/// Positions are stream offsets (bytes since the log began) and sequence numbers (frames, from 1):
/// both only grow. An offset's place in the ring is offset mod ring_bytes, a sequence's line is
/// sequence mod index_lines; both sizes are powers of two. One writer; every field is written by
/// that writer alone.
///
/// This header and those it includes need the standard library and Linux alone.
namespace feedbench::rings {

static_assert(std::atomic<std::uint64_t>::is_always_lock_free &&
              sizeof(std::atomic<std::uint64_t>) == 8);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
              sizeof(std::atomic<std::uint32_t>) == 4);

inline constexpr std::uint64_t kFeedLogMagic = 0x31676f4c64656546ULL;  // "FeedLog1", little endian
inline constexpr std::uint32_t kFeedLogVersion = 1;
inline constexpr std::uint32_t kIndexLineBytes = 64;
inline constexpr std::size_t kSharedPageBytes = 4096;

/// Page 0. The first block is written once, before the descriptor leaves the writer.
template <class Memory>
struct BasicFeedLogControl {
  template <class T>
  using Atomic = typename Memory::template Atomic<T>;

  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t index_line_bytes;
  std::uint64_t ring_bytes;
  std::uint64_t index_lines;
  std::uint64_t stats_offset;  ///< From the start of the file, as the next two.
  std::uint64_t index_offset;
  std::uint64_t ring_offset;
  std::uint64_t page_bytes;  ///< 4,096 or 2 MiB: what mappings must be aligned to.

  /// Bytes before write_limit - ring_bytes may be overwritten at any moment. Only grows, in
  /// steps of ring_bytes / 16, so that readers seldom miss their cache on it.
  alignas(128) Atomic<std::uint64_t> write_limit;
  /// The last published frame (0: none) and the stream offset right after it.
  alignas(128) Atomic<std::uint64_t> head_sequence;
  Atomic<std::uint64_t> head_offset;
};
using FeedLogControl = BasicFeedLogControl<SharedMemory>;
static_assert(sizeof(FeedLogControl) <= kSharedPageBytes);

/// Set in IndexLine::sequence while the line is being filled or is not published yet.
inline constexpr std::uint64_t kStagedBit = 1ULL << 63;

/// Flags of an index line.
inline constexpr std::uint16_t kMessageFragmented = 1;  ///< It lies in several WebSocket frames.

/// One frame, one cache line. `sequence` is the validity word of a seqlock: a reader that finds the
/// number it wants before and after it read the rest has read one consistent line.
template <class Memory>
struct alignas(kIndexLineBytes) BasicIndexLine {
  template <class T>
  using Atomic = typename Memory::template Atomic<T>;

  Atomic<std::uint64_t> sequence;      ///< 0: never used; with kStagedBit: being filled.
  Atomic<std::uint64_t> offset;        ///< Stream offset of the frame's first byte.
  Atomic<std::uint64_t> length_topic;  ///< u32 length, u32 topic (0 none) << 32.
  /// u8, u8 << 8, u16 << 16, u32 << 32.
  Atomic<std::uint64_t> header_opcode_flags_generation;
  Atomic<std::uint64_t> handler_ticks;  ///< Stage 6, TSC ticks; 0 absent.
  Atomic<std::uint64_t> back_nic_wake;  ///< PackedStamps::back_ticks, two a word, low half first.
  Atomic<std::uint64_t> back_read_plain;
  Atomic<std::uint64_t> back_parsed;  ///< High half reserved, 0.
};
using IndexLine = BasicIndexLine<SharedMemory>;
static_assert(sizeof(IndexLine) == kIndexLineBytes);

/// A counter in shared memory: one writer thread, any number of readers.
class SharedCounter {
 public:
  /// thread: the writer's.
  void add(std::uint64_t by = 1) noexcept { value_.store(value() + by, std::memory_order_relaxed); }
  void subtract(std::uint64_t by = 1) noexcept {
    value_.store(value() - by, std::memory_order_relaxed);
  }
  void set(std::uint64_t to) noexcept { value_.store(to, std::memory_order_relaxed); }
  void raise_to(std::uint64_t at_least) noexcept {
    if (at_least > value()) set(at_least);
  }
  /// thread: any.
  [[nodiscard]] std::uint64_t value() const noexcept {
    return value_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_;
};

enum class WriterState : std::uint32_t { starting = 0, live = 1, upstream_lost = 2, stopped = 3 };

/// What a proxy tells about itself beside its log. Each counter has one writer, the proxy's thread,
/// is read relaxed by anybody, and is exact once the writer has stopped. Zero at the start.
struct ProxyStats {
  std::atomic<std::uint32_t> writer_state;  ///< A WriterState.
  std::uint32_t reserved;
  SharedCounter frames;              ///< Venue frames published.
  SharedCounter bytes;               ///< Bytes of those, headers included.
  SharedCounter control_frames;      ///< Upstream pings, pongs and closes; not in the log.
  SharedCounter upstream_connects;   ///< Upstream connections that came up.
  SharedCounter upstream_losses;     ///< ... and that went down.
  SharedCounter upstream_failures;   ///< Attempts that did not come up.
  SharedCounter clients;             ///< WebSocket clients now.
  SharedCounter clients_accepted;    ///< ... ever, handshake done.
  SharedCounter clients_refused;     ///< Handshakes refused.
  SharedCounter clients_evicted;     ///< Closed because they were too slow (1013).
  SharedCounter clients_failed;      ///< Closed for a protocol error.
  SharedCounter sends;               ///< Downstream sends begun.
  SharedCounter bytes_sent;          ///< Bytes downstream, all clients.
  SharedCounter sends_pending;       ///< Sends that did not complete at once.
  SharedCounter nic_stamps_absent;   ///< Frames without stage 1.
  SharedCounter bytes_rewound;       ///< Bytes received into the log and dropped again.
  SharedCounter loops;               ///< Turns of the event loop.
  SharedCounter loop_gap_ticks_max;  ///< Longest time between two turns that had work, TSC ticks.
};
static_assert(sizeof(ProxyStats) <= kSharedPageBytes);

}  // namespace feedbench::rings
