#pragma once

#include <liburing.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "transports/io_uring/kernel_constants.hpp"
#include "transports/mapped_array.hpp"

/// A small ring to try single operations on. Set-up alone: nothing here is on the path of a message.
namespace feedbench::transports::io_uring_trial {

using namespace io_uring_abi;

/// What a completion said.
struct Completion {
  std::int32_t result = 0;  ///< as io_uring gives it: a count, or a negative errno
  std::uint32_t flags = 0;
  [[nodiscard]] bool has(std::uint32_t flag) const noexcept { return (flags & flag) != 0; }
  [[nodiscard]] std::uint16_t buffer() const noexcept {
    return static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
  }
};

/// One ring of eight entries. thread: the one that made it.
class TrialRing {
 public:
  explicit TrialRing(unsigned setup_flags = 0);
  ~TrialRing();
  TrialRing(const TrialRing&) = delete;
  TrialRing& operator=(const TrialRing&) = delete;

  /// 0, or the errno with which the kernel refused the ring.
  [[nodiscard]] int os_error() const noexcept { return os_error_; }
  [[nodiscard]] io_uring& raw() noexcept { return ring_; }
  [[nodiscard]] std::uint32_t features() const noexcept { return ring_.features; }

  /// The next entry to fill; never null, since entries are submitted one by one.
  io_uring_sqe* entry() { return io_uring_get_sqe(&ring_); }
  /// Submits what was filled. returns 0 or an errno.
  int submit();
  /// Waits for a completion, a second at most (then nothing).
  std::optional<Completion> wait();
  /// io_uring_register(2) by system call. returns 0 or an errno.
  int register_with(unsigned what, void* argument, unsigned count);

 private:
  io_uring ring_{};
  int os_error_ = 0;
};

/// Four small buffers that the kernel picks from, as one group. Outlives no ring it is registered with.
class BufferGroup {
 public:
  static constexpr std::uint32_t kBuffers = 4;
  static constexpr std::uint32_t kBufferBytes = 64;

  /// flags: of the buffer ring. errors: os_error(); memory that is not there throws Error.
  BufferGroup(TrialRing& ring, std::uint16_t group, std::uint16_t flags = 0);
  [[nodiscard]] int os_error() const noexcept { return os_error_; }
  [[nodiscard]] std::uint16_t group() const noexcept { return group_; }

 private:
  MappedArray<io_uring_buf> entries_;
  MappedArray<std::byte> bytes_;
  std::uint16_t group_;
  int os_error_ = 0;
};

}  // namespace feedbench::transports::io_uring_trial
