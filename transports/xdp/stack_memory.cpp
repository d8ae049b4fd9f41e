#include "transports/xdp/stack_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "transports/transport.hpp"
#include "transports/xdp/lwip/lwipopts.h"

namespace feedbench::transports::xdp::stack_memory {
namespace {

constexpr std::uint64_t kSlabBytes = 64 * 1024;
constexpr std::uint64_t kArenaBytes = 4ULL << 30;
constexpr std::size_t kHeaderBytes =
    64;  // of a slab: its block size; keeps blocks apart from slab starts
constexpr std::size_t kStep = 64;
// A full segment with its headers and bookkeeping is about 1600 bytes, a connection about 350.
constexpr std::array<std::uint32_t, 13> kBlockBytes = {64,   128,  192,  256,  384,  512, 768,
                                                       1024, 1280, 1664, 2048, 3072, 4096};

struct FreeBlock {
  FreeBlock* next;
};

struct Arena {
  std::byte* base = nullptr;
  std::uint64_t used = 0;
  std::uint64_t bound = 0;
  std::uint64_t blocks = 0;
  std::array<FreeBlock*, kBlockBytes.size()> free{};
  std::array<std::uint8_t, kBlockBytesMax / kStep + 1> class_of{};
};
Arena g_arena;

bool refill(std::size_t size_class) noexcept {
  if (g_arena.used + kSlabBytes > g_arena.bound) return false;
  std::byte* const slab = g_arena.base + g_arena.used;
  g_arena.used += kSlabBytes;
  const std::uint32_t bytes = kBlockBytes[size_class];
  std::memcpy(slab, &size_class, sizeof(size_class));
  // From the end, so that blocks are given in the order of their addresses.
  const std::uint64_t count = (kSlabBytes - kHeaderBytes) / bytes;
  for (std::uint64_t i = count; i-- > 0;) {
    auto* block = reinterpret_cast<FreeBlock*>(slab + kHeaderBytes + i * bytes);
    block->next = g_arena.free[size_class];
    g_arena.free[size_class] = block;
  }
  return true;
}

}  // namespace

void set_bound(std::uint64_t bytes) {
  if (g_arena.base == nullptr) {
    // Twice a slab more, to start at the multiple of a slab: that is how a block finds its slab.
    void* at = ::mmap(nullptr, kArenaBytes + kSlabBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
      throw Error{"open xdp: cannot map 4 GiB of address space for the TCP/IP stack", errno};
    }
    const auto address = reinterpret_cast<std::uintptr_t>(at);
    g_arena.base =
        reinterpret_cast<std::byte*>((address + kSlabBytes - 1) / kSlabBytes * kSlabBytes);
    std::uint8_t size_class = 0;
    for (std::size_t i = 0; i < g_arena.class_of.size(); ++i) {
      while (kBlockBytes[size_class] < i * kStep) ++size_class;
      g_arena.class_of[i] = size_class;
    }
  }
  g_arena.bound = std::min(bytes, kArenaBytes);
}

void* take(std::size_t bytes) noexcept {
  if (bytes > kBlockBytesMax) return nullptr;
  const std::size_t size_class = g_arena.class_of[(bytes + kStep - 1) / kStep];
  FreeBlock* block = g_arena.free[size_class];
  if (block == nullptr) [[unlikely]] {
    if (!refill(size_class)) return nullptr;
    block = g_arena.free[size_class];
  }
  g_arena.free[size_class] = block->next;
  ++g_arena.blocks;
  return block;
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  std::size_t size_class;
  std::memcpy(&size_class, reinterpret_cast<void*>(address / kSlabBytes * kSlabBytes),
              sizeof(size_class));
  auto* block = static_cast<FreeBlock*>(memory);
  block->next = g_arena.free[size_class];
  g_arena.free[size_class] = block;
  --g_arena.blocks;
}

std::uint64_t slab_bytes() noexcept { return g_arena.used; }
std::uint64_t blocks_in_use() noexcept { return g_arena.blocks; }

}  // namespace feedbench::transports::xdp::stack_memory

extern "C" {
void* feedbench_stack_malloc(size_t bytes) {
  return feedbench::transports::xdp::stack_memory::take(bytes);
}
void* feedbench_stack_calloc(size_t count, size_t bytes) {
  void* memory = feedbench::transports::xdp::stack_memory::take(count * bytes);
  if (memory != nullptr) std::memset(memory, 0, count * bytes);
  return memory;
}
void feedbench_stack_free(void* memory) {
  feedbench::transports::xdp::stack_memory::give_back(memory);
}
}
