#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

/// The mirrored mapping itself. Standard library and Linux alone; mirrored.hpp makes the files and
/// tells what went wrong in words.
namespace feedbench::rings {

enum class Access : std::uint8_t { read_only, read_write };

/// One address range that shows a file's first `head_bytes` and then its next `ring_bytes` twice:
///
///     base()            base() + head_bytes                        + ring_bytes
///     | head            | ring                                     | the same ring again |
///
/// thread: creation and destruction by one thread; the memory by whoever the owner lets.
class MirroredRange {
 public:
  MirroredRange() noexcept = default;
  MirroredRange(MirroredRange&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)),
        head_bytes_(std::exchange(other.head_bytes_, 0)),
        ring_bytes_(std::exchange(other.ring_bytes_, 0)) {}
  MirroredRange& operator=(MirroredRange&& other) noexcept {
    if (this != &other) {
      unmap();
      base_ = std::exchange(other.base_, nullptr);
      head_bytes_ = std::exchange(other.head_bytes_, 0);
      ring_bytes_ = std::exchange(other.ring_bytes_, 0);
    }
    return *this;
  }
  MirroredRange(const MirroredRange&) = delete;
  MirroredRange& operator=(const MirroredRange&) = delete;
  ~MirroredRange() { unmap(); }

  /// head_bytes, ring_bytes: multiples of page_bytes; together no more than the file holds.
  /// populate: map every page now. returns 0, or errno: EINVAL sizes that are not whole pages, ENOMEM
  /// no address space, EPERM or EACCES not allowed (sealed against writing). What was mapped
  /// before is let go.
  [[nodiscard]] int map(int fd, std::size_t head_bytes, std::size_t ring_bytes, Access access,
                        bool populate, std::size_t page_bytes) noexcept {
    constexpr std::size_t kSmallPageBytes = 4096;
    unmap();
    if (ring_bytes == 0 || head_bytes % page_bytes != 0 || ring_bytes % page_bytes != 0)
      return EINVAL;
    // Reserve the whole range first, so that both mappings are sure to be neighbours. Alignment to
    // a huge page may need slack, which is given back.
    const std::size_t wanted = head_bytes + 2 * ring_bytes;
    const std::size_t slack = page_bytes - kSmallPageBytes;
    void* reserved = ::mmap(nullptr, wanted + slack, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) return errno;
    auto* const start = static_cast<std::byte*>(reserved);
    const auto address = reinterpret_cast<std::uintptr_t>(reserved);
    const std::size_t skip = (page_bytes - address % page_bytes) % page_bytes;
    std::byte* const base = start + skip;
    if (skip > 0) ::munmap(start, skip);
    if (slack > skip) ::munmap(base + wanted, slack - skip);

    const int protection = access == Access::read_write ? PROT_READ | PROT_WRITE : PROT_READ;
    const int flags = MAP_SHARED | MAP_FIXED | (populate ? MAP_POPULATE : 0);
    const bool mapped =
        ::mmap(base, head_bytes + ring_bytes, protection, flags, fd, 0) != MAP_FAILED &&
        ::mmap(base + head_bytes + ring_bytes, ring_bytes, protection, flags, fd,
               static_cast<off_t>(head_bytes)) != MAP_FAILED;
    if (!mapped) {
      const int os_error = errno;
      ::munmap(base, wanted);
      return os_error;
    }
    base_ = base;
    head_bytes_ = head_bytes;
    ring_bytes_ = ring_bytes;
    return 0;
  }

  [[nodiscard]] std::byte* base() const noexcept { return base_; }
  [[nodiscard]] std::byte* ring() const noexcept { return base_ + head_bytes_; }
  [[nodiscard]] std::size_t head_bytes() const noexcept { return head_bytes_; }
  [[nodiscard]] std::size_t ring_bytes() const noexcept { return ring_bytes_; }

 private:
  void unmap() noexcept {
    if (base_ != nullptr) ::munmap(base_, head_bytes_ + 2 * ring_bytes_);
    base_ = nullptr;
  }

  std::byte* base_ = nullptr;
  std::size_t head_bytes_ = 0;
  std::size_t ring_bytes_ = 0;
};

}  // namespace feedbench::rings
