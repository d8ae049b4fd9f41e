#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "transports/rings/descriptor.hpp"
#include "transports/rings/mirrored_range.hpp"
#include "transports/transport.hpp"

/// Rings mapped twice, back to back, so that any stretch of up to the ring's size is contiguous
/// memory whatever offset it starts at: nothing that reads or writes a ring ever sees its edge.
namespace feedbench::rings {

/// How the memory of a new anonymous file is made.
struct MemoryOptions {
  /// Allocate and map every page at once, so that the first touch (about 1.4 us a page) and a
  /// lack of memory happen at set-up, never in the loop.
  bool pre_fault = true;
  /// Ask for 2 MiB pages. Where the kernel has none free, small pages are used and
  /// MemoryFile::huge_pages_refused says why.
  bool huge_pages = false;
};

/// An anonymous file (memfd) of a fixed size, not yet sealed.
struct MemoryFile {
  Descriptor descriptor;
  std::size_t bytes = 0;  ///< Size of the file: what was asked, rounded up to page_bytes.
  std::size_t page_bytes =
      4096;  ///< 4,096, or 2 MiB: offsets and addresses of mappings are multiples.
  std::string huge_pages_refused;  ///< Empty, or why huge pages were asked for and not given.
};

/// bytes, or the next multiple of unit above it.
constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) noexcept {
  return (bytes + unit - 1) / unit * unit;
}

/// Creates an anonymous file of at least `bytes`.
/// name: shown in /proc/<pid>/maps only. errors: no memory, no descriptor. Cost: see MemoryOptions.
transports::Expected<MemoryFile> create_memory_file(const std::string& name, std::size_t bytes,
                                                    const MemoryOptions& options);
/// The page size that create_memory_file is going to use at best: round sizes up to this.
std::size_t page_bytes_wanted(const MemoryOptions& options) noexcept;

/// A MirroredRange whose failures are sentences.
class MirroredMapping : public MirroredRange {
 public:
  /// As MirroredRange::map. errors: sizes, no address space, not allowed (sealed against writing).
  static transports::Expected<MirroredMapping> map(int fd, std::size_t head_bytes,
                                                   std::size_t ring_bytes, Access access,
                                                   bool populate, std::size_t page_bytes = 4096);
};

/// A private byte ring: one producer and one consumer of the same thread, for reassembly and
/// output queues. Bytes are pushed at the back and taken from the front, both contiguous.
///
/// Bound: capacity() bytes; writable() then is empty and the caller stops producing.
/// No allocation after create(). thread: one.
class MirroredBuffer {
 public:
  /// capacity_bytes: a power of two, at least 4,096.
  static transports::Expected<MirroredBuffer> create(std::size_t capacity_bytes,
                                                     const std::string& name = "mirrored");

  /// [n] all the free space, contiguous.
  [[nodiscard]] std::span<std::byte> writable() noexcept {
    return {mapping_.ring() + (write_ & mask_), capacity() - size()};
  }
  /// The first `bytes` of writable() now hold data. bytes <= writable().size().
  void written(std::size_t bytes) noexcept { write_ += bytes; }
  /// [n] all the data, contiguous, oldest first.
  [[nodiscard]] std::span<std::byte> readable() noexcept {
    return {mapping_.ring() + (read_ & mask_), size()};
  }
  /// Drops the first `bytes` of readable(). bytes <= size().
  void consume(std::size_t bytes) noexcept { read_ += bytes; }

  [[nodiscard]] std::size_t size() const noexcept {
    return static_cast<std::size_t>(write_ - read_);
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return mapping_.ring_bytes(); }
  [[nodiscard]] bool empty() const noexcept { return write_ == read_; }
  void clear() noexcept { read_ = write_; }

 private:
  explicit MirroredBuffer(MirroredMapping mapping) noexcept
      : mapping_(std::move(mapping)), mask_(mapping_.ring_bytes() - 1) {}

  MirroredMapping mapping_;
  std::uint64_t mask_ = 0;
  std::uint64_t write_ = 0;
  std::uint64_t read_ = 0;
};

}  // namespace feedbench::rings
