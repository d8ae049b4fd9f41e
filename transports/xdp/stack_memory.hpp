#pragma once

#include <cstddef>
#include <cstdint>

/// The memory of the TCP/IP stack: blocks of a few sizes, kept on free lists, out of one bounded
/// stretch of address space. One per process, as lwIP is. A block is given and taken back in O(1),
/// without the heap; the last one given back comes first, because it is warm.
namespace feedbench::transports::xdp::stack_memory {

/// The largest block, bytes.
inline constexpr std::size_t kBlockBytesMax = 4096;

/// Sets the bound, bytes; rounded down to slabs of 64 KiB. Memory beyond it that is in use already
/// stays. At most 4 GiB. errors: throws Error when the address space cannot be had.
void set_bound(std::uint64_t bytes);

/// returns 16-aligned memory, or nullptr: the bound is reached, or bytes > kBlockBytesMax.
void* take(std::size_t bytes) noexcept;
/// memory: from take(), or nullptr.
void give_back(void* memory) noexcept;

/// Bytes of slabs that were ever needed: pages that are resident.
[[nodiscard]] std::uint64_t slab_bytes() noexcept;
/// Blocks that are in use.
[[nodiscard]] std::uint64_t blocks_in_use() noexcept;

}  // namespace feedbench::transports::xdp::stack_memory
