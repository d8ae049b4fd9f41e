#include "transports/testing/allocation_counter.hpp"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FEEDBENCH_OWN_HEAP 0
#else
#define FEEDBENCH_OWN_HEAP 1
#endif

namespace feedbench::transports::testing {
namespace {
std::atomic<std::uint64_t> g_allocations{0};
}

std::uint64_t allocations() noexcept { return g_allocations.load(std::memory_order_relaxed); }
bool allocations_are_counted() noexcept { return FEEDBENCH_OWN_HEAP != 0; }

#if FEEDBENCH_OWN_HEAP
void count_allocation() noexcept { g_allocations.fetch_add(1, std::memory_order_relaxed); }
#endif

}  // namespace feedbench::transports::testing

#if FEEDBENCH_OWN_HEAP
// glibc's own names of what is replaced here.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

__attribute__((visibility("default"))) void* malloc(std::size_t bytes) {
  feedbench::transports::testing::count_allocation();
  return __libc_malloc(bytes);
}
__attribute__((visibility("default"))) void* calloc(std::size_t count, std::size_t bytes) {
  feedbench::transports::testing::count_allocation();
  return __libc_calloc(count, bytes);
}
__attribute__((visibility("default"))) void* realloc(void* memory, std::size_t bytes) {
  feedbench::transports::testing::count_allocation();
  return __libc_realloc(memory, bytes);
}
__attribute__((visibility("default"))) void* aligned_alloc(std::size_t alignment,
                                                           std::size_t bytes) {
  feedbench::transports::testing::count_allocation();
  return __libc_memalign(alignment, bytes);
}
__attribute__((visibility("default"))) int posix_memalign(void** memory, std::size_t alignment,
                                                          std::size_t bytes) {
  feedbench::transports::testing::count_allocation();
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
}
#endif
