#pragma once

#include <sys/select.h>

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "transports/readiness/readiness_transport.hpp"

namespace feedbench::transports {

/// select(): level-triggered, descriptors below FD_SETSIZE only, cost grows with the highest
/// descriptor. What every system has, and the lower bound to compare with.
class SelectPoller {
 public:
  explicit SelectPoller(const TransportOptions& options) {  // throws Error
    if (options.busy_poll_us != 0)
      throw sockets::make_error("open select", "busy_poll_us", EOPNOTSUPP,
                                "select cannot; epoll and io_uring can");
  }

  static constexpr std::string_view name() noexcept { return "select"; }
  static constexpr bool can_watch(int descriptor) noexcept { return descriptor < FD_SETSIZE; }
  static constexpr std::string_view limit_hint() noexcept {
    return "select cannot watch a descriptor of 1024 or more; use epoll or io_uring";
  }
  static constexpr bool wake_read_needed() noexcept { return true; }

  int add(int descriptor, readiness::Token token, bool write) noexcept {
    tokens_[index(descriptor)] = token;
    watch_reading_.set(descriptor, true);
    watch_writing_.set(descriptor, write);
    if (descriptor >= limit_) limit_ = descriptor + 1;
    return 0;
  }
  int add_listener(int descriptor, readiness::Token token) noexcept {
    return add(descriptor, token, false);
  }
  int add_wake(int descriptor, readiness::Token token) noexcept {
    return can_watch(descriptor) ? add(descriptor, token, false) : EMFILE;
  }
  void let_go(int descriptor) noexcept { remove(descriptor); }
  void remove(int descriptor) noexcept {
    watch_reading_.set(descriptor, false);
    watch_writing_.set(descriptor, false);
    // The descriptor's number may come back within this turn: what was found about the old one must
    // not be told of it.
    found_readable_.set(descriptor, false);
    found_writable_.set(descriptor, false);
    while (limit_ > 0 && !watch_reading_.test(limit_ - 1) && !watch_writing_.test(limit_ - 1)) {
      --limit_;
    }
  }
  void want_read(int descriptor, bool on) noexcept { watch_reading_.set(descriptor, on); }
  void want_write(int descriptor, bool on) noexcept { watch_writing_.set(descriptor, on); }

  template <class F>
  int wait(std::int64_t timeout_ns, F&& found) {
    const int count = select_now(timeout_ns);
    if (count <= 0) return count;
    for (std::size_t word = 0; word < kWords; ++word) {
      // Read anew for each descriptor, because a callback may remove others.
      for (std::uint64_t seen = 0;;) {
        const std::uint64_t left =
            (found_readable_.words[word] | found_writable_.words[word]) & ~seen;
        if (left == 0) break;
        const int bit = std::countr_zero(left);
        seen |= (std::uint64_t{2} << bit) - 1;
        const int descriptor = static_cast<int>(word * 64) + bit;
        found(tokens_[index(descriptor)],
              readiness::Ready{found_readable_.test(descriptor), found_writable_.test(descriptor),
                               false});
      }
    }
    return count;
  }

 private:
  static constexpr std::size_t kWords = FD_SETSIZE / 64;
  static std::size_t index(int descriptor) noexcept { return static_cast<std::size_t>(descriptor); }

  /// The bits of an fd_set, in words that can be scanned.
  struct Set {
    std::array<std::uint64_t, kWords> words{};
    void set(int descriptor, bool on) noexcept {
      const std::uint64_t bit = std::uint64_t{1} << (index(descriptor) % 64);
      std::uint64_t& word = words[index(descriptor) / 64];
      word = on ? word | bit : word & ~bit;
    }
    [[nodiscard]] bool test(int descriptor) const noexcept {
      return ((words[index(descriptor) / 64] >> (index(descriptor) % 64)) & 1) != 0;
    }
  };
  static_assert(sizeof(Set) == sizeof(fd_set));

  int select_now(std::int64_t timeout_ns) noexcept;

  Set watch_reading_;
  Set watch_writing_;
  Set found_readable_;
  Set found_writable_;
  int limit_ = 0;
  std::array<readiness::Token, FD_SETSIZE> tokens_{};
};

}  // namespace feedbench::transports
