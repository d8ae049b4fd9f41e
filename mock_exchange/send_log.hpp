#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "transports/transport.hpp"

/// When each frame left the exchange, in shared memory: one writer, any number of readers in this
/// or another process.
namespace feedbench::mock_exchange {

/// One sent frame of the logged connection. TSC values are ticks of this machine's invariant TSC.
struct SendLogEntry {
  std::uint64_t intended_tsc = 0;  ///< When the schedule wanted it sent.
  /// Read just before the write call that carried the frame's last byte.
  std::uint64_t actual_tsc = 0;
  std::uint32_t frame_index = 0;  ///< In the PreparedSession.
  std::uint32_t length = 0;       ///< Wire bytes, header included.
  std::uint32_t connection = 0;   ///< Which connection of the exchange, counted from 1: it changes
                                  ///< when the upstream reconnects.
  std::uint32_t loop = 0;         ///< Loop of the replay, counted from 0.
};
static_assert(sizeof(SendLogEntry) == 32);

/// The first page of the mapping. Entries follow at kSendLogDataOffset.
struct SendLogHeader {
  static constexpr std::uint64_t kMagic = 0x31474f4c444e5346;  // "FSNDLOG1"
  static constexpr std::uint32_t kVersion = 1;

  std::uint64_t magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t entry_bytes = sizeof(SendLogEntry);
  std::uint64_t capacity = 0;  ///< Entries that fit.
  alignas(64) std::atomic<std::uint64_t> count{
      0};  ///< Frames logged so far, written or not: > capacity is an overflow.
};
inline constexpr std::size_t kSendLogDataOffset = 4096;
static_assert(sizeof(SendLogHeader) <= kSendLogDataOffset);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// Owns one mapping and its descriptor.
class SendLogMapping {
 public:
  SendLogMapping() = default;
  SendLogMapping(SendLogMapping&& other) noexcept;
  SendLogMapping& operator=(SendLogMapping&& other) noexcept;
  ~SendLogMapping();

  [[nodiscard]] SendLogHeader* header() const noexcept {
    return static_cast<SendLogHeader*>(base_);
  }
  [[nodiscard]] SendLogEntry* entries() const noexcept {
    return reinterpret_cast<SendLogEntry*>(static_cast<std::byte*>(base_) + kSendLogDataOffset);
  }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  friend class SendLogWriter;
  friend class SendLogReader;
  void* base_ = nullptr;
  std::size_t bytes_ = 0;
  int descriptor_ = -1;
};

/// thread: one. After creation nothing here makes a system call.
class SendLogWriter {
 public:
  /// Makes a memfd of `capacity` entries (>= 1), all pages touched.
  static transports::Expected<SendLogWriter> create(std::uint64_t capacity);

  /// Takes a log that somebody else made with create() and passed on as a descriptor. The
  /// descriptor stays the caller's. Errors: not a send log, or not writable.
  static transports::Expected<SendLogWriter> attach(int descriptor);

  /// Adds one entry; visible after publish(). A full log counts and drops it. Cost: one 32 B store.
  void append(const SendLogEntry& entry) noexcept {
    if (count_ < capacity_) mapping_.entries()[count_] = entry;
    ++count_;
  }
  /// Makes what was appended visible to readers.
  void publish() noexcept { mapping_.header()->count.store(count_, std::memory_order_release); }

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }
  /// To map or to pass on; owned by this object.
  [[nodiscard]] int descriptor() const noexcept { return mapping_.descriptor(); }

 private:
  SendLogMapping mapping_;
  std::uint64_t capacity_ = 0;
  std::uint64_t count_ = 0;
};

/// Maps read-only. thread: any number of readers, each its own object.
class SendLogReader {
 public:
  /// The descriptor stays the caller's. Errors: not a send log.
  static transports::Expected<SendLogReader> map(int descriptor);

  /// Entries that can be read now. Those below it never change.
  [[nodiscard]] std::uint64_t count() const noexcept {
    const std::uint64_t logged = mapping_.header()->count.load(std::memory_order_acquire);
    return logged < capacity_ ? logged : capacity_;
  }
  /// Frames that did not fit.
  [[nodiscard]] std::uint64_t overflowed() const noexcept {
    const std::uint64_t logged = mapping_.header()->count.load(std::memory_order_acquire);
    return logged < capacity_ ? 0 : logged - capacity_;
  }
  /// index < count(), or the entry is meaningless.
  [[nodiscard]] const SendLogEntry& operator[](std::uint64_t index) const noexcept {
    return mapping_.entries()[index];
  }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }

 private:
  SendLogMapping mapping_;
  std::uint64_t capacity_ = 0;
};

}  // namespace feedbench::mock_exchange
