#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include "reference/client/protocol.hpp"

/// The one page of memory that a client may write: where it stands, and whether it sleeps. Made by the proxy, sealed
/// in its size, mapped by both. What stands in it can mislead nobody but its own client: the proxy shows the cursors to
/// people and looks at `waiting` to know whom to wake. Standard library and Linux alone.
namespace feedproxy {

inline constexpr std::uint64_t kPageMagic = 0x6567615064656546ULL;  // "FeedPage"
inline constexpr std::size_t kPageBytes = 4096;

/// How a client sleeps, or that it does not.
enum class Waiting : std::uint32_t {
  no = 0,
  futex = 1,     ///< In FUTEX_WAIT on this very word.
  doorbell = 2,  ///< In a loop of its own, on the doorbell's descriptor.
};

/// One open feed of the client, a cache line. Single writer: the client.
struct alignas(64) PageCursor {
  std::atomic<std::uint64_t> feed;             ///< The proxy's number of the feed; 0: not in use.
  std::atomic<std::uint64_t> sequence;         ///< The last message handed out.
  std::atomic<std::uint64_t> messages;         ///< Handed out, ever.
  std::atomic<std::uint64_t> missed_messages;  ///< Lost to gaps, ever.
  std::atomic<std::uint64_t> missed_bytes;
};

/// A Waiting. The client arms it, whoever takes it back (exchange with `no`) rings. On a line of its own: the publisher
/// looks at it after each publish, and it changes only when the client goes to sleep or wakes.
struct alignas(64) WaitingWord {
  std::atomic<std::uint32_t> value;
};
inline constexpr std::uint32_t kWaitingSlots = 32;

struct ClientPage {
  std::uint64_t magic;  ///< Written before the descriptor leaves the proxy, as the next two.
  std::uint32_t version;
  std::uint32_t cursors_count;
  /// Which of waiting_words is this client's. Pages begin at the same place of a cache: if every client's word stood at the
  /// same place of its page, eight of them would fill that place, and each further one would cost a miss.
  std::uint32_t waiting_slot;
  alignas(128) std::array<WaitingWord, kWaitingSlots> waiting_words;
  alignas(128) std::atomic<
      std::uint64_t> heartbeat_ticks;  ///< TSC when the client last looked; for monitors alone.
  alignas(128) std::array<PageCursor, control::kFeedsPerClientMax> cursors;
};
static_assert(sizeof(ClientPage) <= kPageBytes);

/// The word of a page's client.
inline std::atomic<std::uint32_t>& waiting_of(ClientPage& page) noexcept {
  return page.waiting_words[page.waiting_slot % kWaitingSlots].value;
}
inline const std::atomic<std::uint32_t>& waiting_of(const ClientPage& page) noexcept {
  return page.waiting_words[page.waiting_slot % kWaitingSlots].value;
}

static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

/// Between a store that somebody may sleep for and the look whether he sleeps (and the other way round): store, order,
/// load, on both sides, so that one of the two sees the other. Cost: about 3 ns.
inline void order_store_before_look() noexcept {
#if defined(__x86_64__)
  asm volatile("lock; orq $0, (%%rsp)" ::: "memory", "cc");  // ThreadSanitizer does not take fences
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

/// Sleeps while *word is `expected`, at most timeout_ns. Returns on any wake, signal or timeout. Between processes.
inline void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                       std::int64_t timeout_ns) noexcept {
  const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAIT, expected, &timeout,
            nullptr, 0);
}
inline void futex_wake(std::atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&word), FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

}  // namespace feedproxy
