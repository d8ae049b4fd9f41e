#pragma once

#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "transports/rings/descriptor.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/transport.hpp"

/// A lossless ring of messages between two processes: one producer, one consumer, variable sizes.
///
///     control page | (padding to a page) | byte ring, mapped twice in a row
///
/// A message is a header of 8 bytes {u32 length, u32 tag}, its bytes, and padding to 8. Positions
/// are bytes since the ring began and only grow; a position's place is position mod ring_bytes.
///
/// Each side stores its own position and loads the other's, on cache lines of their own, and keeps
/// the last it saw: the other's line is loaded only when the ring looks full or empty. Plain loads
/// and stores, no read-modify-write.
///
/// A peer is not trusted: both may write all of the memory. Each side believes only its own private
/// copy of the sizes and of its own position, and checks what it loads. Nonsense ends in `corrupt`,
/// for good, never in an access outside the ring. Of message bytes nothing is promised then. With
/// huge pages a hostile peer can also take pages away (hole punching, SIGBUS): keep to small pages
/// there. A peer that dies leaves the ring as it is: full or empty, no side ever waits in here; that
/// it died is to be learnt elsewhere (the end of file of a socket, for example).
namespace feedbench::rings {

inline constexpr std::uint64_t kSpscMagic = 0x3167695263737053ULL;  // "SpscRig1", little endian
inline constexpr std::uint32_t kSpscVersion = 1;
inline constexpr std::size_t kSpscHeaderBytes = 8;

/// Page 0. The first block is written once, before the descriptor leaves its creator.
struct SpscControl {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t page_bytes;  ///< 4,096 or 2 MiB: what mappings must be aligned to.
  std::uint64_t ring_bytes;
  std::uint64_t ring_offset;  ///< From the start of the file.

  alignas(
      128) std::atomic<std::uint64_t> write_position;     ///< The producer's: end of what is there.
  alignas(128) std::atomic<std::uint64_t> read_position;  ///< The consumer's: end of what is done.
};
static_assert(sizeof(SpscControl) <= 4096);

/// Bytes that a message of `length` takes in the ring.
constexpr std::uint64_t spsc_record_bytes(std::uint64_t length) noexcept {
  return (kSpscHeaderBytes + length + 7) & ~std::uint64_t{7};
}

/// The producing end. Valid as long as its SpscRing. thread: one.
///
///     span = try_reserve(n)   (fill it)   commit(k)            one message, visible at once
///     span = try_reserve(n)   (fill it)   stage(k) ... publish()   many, visible together
///
/// Cost: some stores to the ring and one to the position a publish(); a cache miss on the consumer's
/// position once a lap or less. No allocation, lock or system call.
class SpscProducer {
 public:
  SpscProducer(SpscControl* control, std::byte* ring, std::uint64_t ring_bytes) noexcept
      : control_(control), ring_(ring), mask_(ring_bytes - 1) {
    position_ = published_ = control->write_position.load(std::memory_order_acquire);
    read_seen_ = control->read_position.load(std::memory_order_acquire);
    corrupt_ = position_ - read_seen_ > ring_bytes || (position_ | read_seen_) % 8 != 0;
  }

  /// [n] writable bytes for the next message, contiguous, 8-aligned; empty when the ring has no room
  /// for it now, when n is 0 or more than largest_message_bytes(), or when the ring is corrupt().
  /// A second try_reserve() replaces the first. A full ring publishes what is staged.
  [[nodiscard]] std::span<std::byte> try_reserve(std::size_t n) noexcept {
    if (n - 1 >= largest_message_bytes()) return {};  // 0 too
    const std::uint64_t needed = spsc_record_bytes(n);
    if (needed > room() && !find_room(needed)) return {};
    reserved_bytes_ = n;
    return {ring_ + (position_ & mask_) + kSpscHeaderBytes, n};
  }

  /// Ends the reserved message at `length` bytes, 1 to what was reserved, not visible yet.
  /// tag: any number that the consumer gets with it.
  void stage(std::size_t length, std::uint32_t tag = 0) noexcept {
    assert(length > 0 && length <= reserved_bytes_);
    const std::uint64_t header = static_cast<std::uint32_t>(length) | std::uint64_t{tag} << 32;
    reinterpret_cast<std::atomic<std::uint64_t>*>(ring_ + (position_ & mask_))
        ->store(header, std::memory_order_relaxed);
    position_ += spsc_record_bytes(length);
    reserved_bytes_ = 0;
  }
  /// Makes all staged messages visible.
  void publish() noexcept {
    if (position_ == published_) return;
    published_ = position_;
    control_->write_position.store(position_, std::memory_order_release);
  }
  /// stage() and publish().
  void commit(std::size_t length, std::uint32_t tag = 0) noexcept {
    stage(length, tag);
    publish();
  }

  /// A message of this size fits an empty ring wherever it starts.
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return static_cast<std::size_t>(mask_ + 1) - kSpscHeaderBytes;
  }
  /// True once the consumer's position made no sense. It stays so.
  [[nodiscard]] bool corrupt() const noexcept { return corrupt_; }
  /// Bytes since the ring began, staged ones included.
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  [[nodiscard]] std::uint64_t room() const noexcept {
    return corrupt_ ? 0 : mask_ + 1 - (position_ - read_seen_);
  }
  [[gnu::noinline]] bool find_room(std::uint64_t needed) noexcept {
    publish();
    if (corrupt_) return false;
    const std::uint64_t read = control_->read_position.load(std::memory_order_acquire);
    // Between what it had read before and what there is to be read, and on a boundary.
    if (read - read_seen_ > published_ - read_seen_ || read % 8 != 0) {
      corrupt_ = true;
      return false;
    }
    read_seen_ = read;
    return needed <= room();
  }

  SpscControl* control_;
  std::byte* ring_;
  std::uint64_t mask_;
  std::uint64_t position_ = 0;   // end of what is staged
  std::uint64_t published_ = 0;  // as the shared memory has it
  std::uint64_t read_seen_ = 0;  // the consumer's position, as last loaded
  std::size_t reserved_bytes_ = 0;
  bool corrupt_ = false;
};

enum class SpscStatus : std::uint8_t {
  message,  ///< The oldest message is in `out`.
  none,     ///< Nothing is there now.
  corrupt,  ///< The producer's position or a length made no sense: nothing will come any more.
};

struct SpscMessage {
  std::span<const std::byte> bytes;  ///< [1..], contiguous, in the ring.
  std::uint32_t tag = 0;
};

/// The consuming end. Valid as long as its SpscRing. thread: one.
///
/// Cost: next() is a load from the ring; a cache miss on the producer's position a batch. The space
/// goes back to the producer a batch, or an eighth of the ring, at a time: one store.
class SpscConsumer {
 public:
  SpscConsumer(SpscControl* control, const std::byte* ring, std::uint64_t ring_bytes) noexcept
      : control_(control), ring_(ring), mask_(ring_bytes - 1) {
    position_ = released_ = control->read_position.load(std::memory_order_acquire);
    available_ = position_;
    corrupt_ = position_ % 8 != 0;
  }

  /// Gives the oldest message and goes past it. Its bytes stay until the call after this one, of
  /// next(), poll() or release().
  [[nodiscard]] SpscStatus next(SpscMessage& out) noexcept {
    if (position_ == available_) {
      if (const SpscStatus status = look(); status != SpscStatus::message) return status;
    } else if (position_ - released_ > mask_ >> 3) {
      release();
    }
    const std::byte* const at = ring_ + (position_ & mask_);
    // Loaded once: a hostile producer may change it at any moment.
    const std::uint64_t header =
        reinterpret_cast<const std::atomic<std::uint64_t>*>(at)->load(std::memory_order_relaxed);
    const auto length = static_cast<std::uint32_t>(header);
    const std::uint64_t bytes = spsc_record_bytes(length);
    if (length == 0 || bytes > available_ - position_) {
      corrupt_ = true;
      available_ = position_;
      return SpscStatus::corrupt;
    }
    out.bytes = {at + kSpscHeaderBytes, length};
    out.tag = static_cast<std::uint32_t>(header >> 32);
    position_ += bytes;
    return SpscStatus::message;
  }

  /// Calls fn(bytes, tag) for up to `max` messages and gives their space back together.
  /// count: how many there were. returns none, corrupt, or message (max reached).
  template <class Fn>
  SpscStatus poll(Fn&& fn, std::size_t max, std::size_t& count) noexcept {
    SpscMessage message;
    SpscStatus status = SpscStatus::message;
    for (count = 0; count < max; ++count) {
      status = next(message);
      if (status != SpscStatus::message) break;
      fn(message.bytes, message.tag);
    }
    release();
    return status;
  }

  /// Gives the space of all messages handed out back to the producer.
  void release() noexcept {
    if (position_ == released_) return;
    released_ = position_;
    control_->read_position.store(position_, std::memory_order_release);
  }

  /// True once something made no sense. It stays so.
  [[nodiscard]] bool corrupt() const noexcept { return corrupt_; }
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }

 private:
  SpscStatus look() noexcept {
    if (corrupt_) return SpscStatus::corrupt;
    release();
    const std::uint64_t written = control_->write_position.load(std::memory_order_acquire);
    if (written == position_) return SpscStatus::none;
    if (written - position_ > mask_ + 1 || written % 8 != 0) {
      corrupt_ = true;
      return SpscStatus::corrupt;
    }
    available_ = written;
    return SpscStatus::message;
  }

  SpscControl* control_;
  const std::byte* ring_;
  std::uint64_t mask_;
  std::uint64_t position_ = 0;   // of the next message
  std::uint64_t available_ = 0;  // the producer's position, as last loaded and checked
  std::uint64_t released_ = 0;   // as the shared memory has it
  bool corrupt_ = false;
};

struct SpscOptions {
  /// A power of two, 4 KiB to 2 GiB. A message may fill all of it but 8 bytes.
  std::size_t ring_bytes = std::size_t{1} << 20;
  std::string name = "spsc_ring";  ///< Shown in /proc/<pid>/maps.
  MemoryOptions memory{};          ///< Pre-faulting (on) and huge pages (off).
};

/// The memory of such a ring: made by one process, mapped by the other through the descriptor.
/// At most one producer() and one consumer() may be in use at a time, wherever they are; a new one
/// goes on where the last of its kind left off.
class SpscRing {
 public:
  /// errors: sizes that are not allowed, no memory, seals refused.
  static transports::Expected<SpscRing> create(const SpscOptions& options);
  /// Maps the ring behind a descriptor, which may be closed afterwards.
  /// errors: not such a ring, another version, not sealed against shrinking, no address space.
  static transports::Expected<SpscRing> map(int fd, bool populate = true);

  [[nodiscard]] SpscProducer producer() noexcept { return {control(), ring(), ring_bytes_}; }
  [[nodiscard]] SpscConsumer consumer() noexcept { return {control(), ring(), ring_bytes_}; }

  /// The sealed memfd, for the other process; -1 if this ring was mapped.
  [[nodiscard]] int share_descriptor() const noexcept { return descriptor_.get(); }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return ring_bytes_; }
  /// Empty, or why huge pages were asked for and not given.
  [[nodiscard]] const std::string& huge_pages_refused() const noexcept {
    return huge_pages_refused_;
  }
  /// Where the positions lie, for tests that play a hostile peer.
  [[nodiscard]] SpscControl* control() noexcept {
    return reinterpret_cast<SpscControl*>(mapping_.base());
  }
  [[nodiscard]] std::byte* ring() noexcept { return mapping_.ring(); }

 private:
  SpscRing(Descriptor descriptor, MirroredMapping mapping, std::string huge_pages_refused) noexcept
      : descriptor_(std::move(descriptor)),
        mapping_(std::move(mapping)),
        ring_bytes_(mapping_.ring_bytes()),
        huge_pages_refused_(std::move(huge_pages_refused)) {}

  Descriptor descriptor_;
  MirroredMapping mapping_;
  std::uint64_t ring_bytes_;
  std::string huge_pages_refused_;
};

}  // namespace feedbench::rings
