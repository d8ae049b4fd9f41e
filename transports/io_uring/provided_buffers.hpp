#pragma once

#include <liburing.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/io_uring/kernel_constants.hpp"
#include "transports/mapped_array.hpp"

namespace feedbench::transports {

/// The memory that the kernel picks from when bytes arrive on connections that lend none: a ring of equal buffers.
/// Bound: all are out when the kernel finds none (ENOBUFS) until one is given back. thread: the polling one.
class ProvidedBuffers {
 public:
  static constexpr std::uint32_t kCountMax = 1U << 15;  // what a buffer ring can hold
  static constexpr std::uint16_t kGroup = 1;

  /// count: a power of two, at most kCountMax. bytes: of each. incremental: see IoUringOptions.
  ProvidedBuffers(std::uint32_t count, std::size_t bytes, bool incremental)
      : count_(count),
        bytes_(bytes),
        incremental_(incremental),
        memory_(count * bytes, MappedArray<std::byte>::Pages::at_once),
        ring_(count, MappedArray<io_uring_buf>::Pages::at_once),
        place_(count, MappedArray<std::uint16_t>::Pages::at_once),
        used_(count, MappedArray<std::uint32_t>::Pages::at_once) {}

  /// Registers the ring and fills it. returns 0 or an errno. Cost: one system call.
  int register_with(io_uring& ring) noexcept {
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uintptr_t>(ring_.data());
    registration.ring_entries = count_;
    registration.bgid = kGroup;
    if (incremental_) registration.pad = io_uring_abi::kBufferRingIncremental;
    if (const int result = io_uring_register_buf_ring(&ring, &registration, 0); result != 0)
      return -result;
    io_uring_buf_ring_init(entries());
    for (std::uint32_t i = 0; i < count_; ++i) give_back(static_cast<std::uint16_t>(i));
    return 0;
  }

  /// Goes through what one completion brought, stretch by stretch, and gives back what is used up.
  /// result, flags: the completion's, with IORING_CQE_F_BUFFER. each(std::span<std::byte>): bytes are its to change until it
  /// returns; called never if result <= 0.
  template <class Each>
  void take(int result, std::uint32_t flags, Each&& each) {
    auto buffer = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    const bool last_goes_on = (flags & io_uring_abi::kCompletionBufferMore) != 0;
    if (result <= 0) {
      if (!last_goes_on) give_back(buffer);
      return;
    }
    for (auto left = static_cast<std::size_t>(result); left != 0;) {
      const std::uint32_t from = used_[buffer];
      const std::size_t bytes = std::min(left, bytes_ - from);
      const std::uint16_t following = entries()->bufs[(place_[buffer] + 1U) & (count_ - 1U)].bid;
      left -= bytes;
      each(std::span<std::byte>(memory_.data() + buffer * bytes_ + from, bytes));
      if (left == 0 && last_goes_on) {
        used_[buffer] = from + static_cast<std::uint32_t>(bytes);
      } else {
        give_back(buffer);
      }
      buffer = following;
    }
  }

 private:
  io_uring_buf_ring* entries() noexcept {
    return reinterpret_cast<io_uring_buf_ring*>(ring_.data());
  }

  void give_back(std::uint16_t buffer) noexcept {
    used_[buffer] = 0;
    place_[buffer] = static_cast<std::uint16_t>(tail_++ & (count_ - 1U));
    io_uring_buf_ring_add(entries(), memory_.data() + buffer * bytes_,
                          static_cast<unsigned>(bytes_), buffer, io_uring_buf_ring_mask(count_), 0);
    io_uring_buf_ring_advance(entries(), 1);
  }

  std::uint32_t count_;
  std::size_t bytes_;
  bool incremental_;
  std::uint32_t tail_ = 0;
  MappedArray<std::byte> memory_;
  MappedArray<io_uring_buf> ring_;
  MappedArray<std::uint16_t> place_;  // of a buffer in the ring: a bundle takes those behind it too
  MappedArray<std::uint32_t> used_;   // of a buffer that is filled bit by bit
};

}  // namespace feedbench::transports
