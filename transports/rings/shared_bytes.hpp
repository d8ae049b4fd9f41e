#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

/// Bytes that a reader copies while the writer may already be overwriting them. The copy is thrown
/// away when the check that follows says so; until then it must only not be *believed*.
///
/// In an ordinary build these are memcpy and a fence. ThreadSanitizer cannot see a fence and would
/// rightly call the copy a race, so under it the same protocol is spelled word by word in atomic
/// accesses (release stores, acquire loads), which it does see: a clean run then says something.
namespace feedbench::rings {

#if defined(__SANITIZE_THREAD__)
#define FEEDBENCH_RINGS_WORDWISE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FEEDBENCH_RINGS_WORDWISE 1
#endif
#endif

#ifdef FEEDBENCH_RINGS_WORDWISE

inline bool word_aligned(const void* at) noexcept {
  return reinterpret_cast<std::uintptr_t>(at) % 8 == 0;
}

inline void load_shared_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  while (bytes > 0 && (bytes < 8 || !word_aligned(from))) {
    *to++ = static_cast<std::byte>(
        __atomic_load_n(reinterpret_cast<const unsigned char*>(from++), __ATOMIC_ACQUIRE));
    --bytes;
    if (bytes == 0) return;
  }
  for (; bytes >= 8; bytes -= 8, from += 8, to += 8) {
    const std::uint64_t word =
        __atomic_load_n(reinterpret_cast<const std::uint64_t*>(from), __ATOMIC_ACQUIRE);
    std::memcpy(to, &word, 8);
  }
  for (; bytes > 0; --bytes) {
    *to++ = static_cast<std::byte>(
        __atomic_load_n(reinterpret_cast<const unsigned char*>(from++), __ATOMIC_ACQUIRE));
  }
}

inline void store_shared_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  for (; bytes > 0 && !word_aligned(to); --bytes) {
    __atomic_store_n(reinterpret_cast<unsigned char*>(to++), static_cast<unsigned char>(*from++),
                     __ATOMIC_RELEASE);
  }
  for (; bytes >= 8; bytes -= 8, from += 8, to += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, from, 8);
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(to), word, __ATOMIC_RELEASE);
  }
  for (; bytes > 0; --bytes) {
    __atomic_store_n(reinterpret_cast<unsigned char*>(to++), static_cast<unsigned char>(*from++),
                     __ATOMIC_RELEASE);
  }
}

inline void order_limit_before_bytes() noexcept {}
inline void order_bytes_before_limit() noexcept {}

#else

// An empty span may begin nowhere, which memcpy does not allow.
inline void load_shared_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  if (bytes != 0) std::memcpy(to, from, bytes);
}
inline void store_shared_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
  if (bytes != 0) std::memcpy(to, from, bytes);
}
/// Writer: between the store of write_limit and the first byte it permits to overwrite.
inline void order_limit_before_bytes() noexcept {
  std::atomic_thread_fence(std::memory_order_release);
}
/// Reader: between the last byte read and the check of write_limit.
inline void order_bytes_before_limit() noexcept {
  std::atomic_thread_fence(std::memory_order_acquire);
}

#endif

/// How the log's hot code reaches shared memory. The model checker (testing/model_memory.hpp) puts
/// its own in this place, so what it explores is the code that runs.
struct SharedMemory {
  template <class T>
  using Atomic = std::atomic<T>;

  static void load_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    load_shared_bytes(to, from, bytes);
  }
  static void store_bytes(std::byte* to, const std::byte* from, std::size_t bytes) noexcept {
    store_shared_bytes(to, from, bytes);
  }
  static void order_limit_before_bytes() noexcept { rings::order_limit_before_bytes(); }
  static void order_bytes_before_limit() noexcept { rings::order_bytes_before_limit(); }
};

}  // namespace feedbench::rings
