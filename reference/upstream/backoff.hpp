#pragma once

#include <algorithm>
#include <cstdint>

namespace feedbench::upstream {

/// Waits between attempts to reconnect: exponential, with jitter, so that many proxies do not return in step.
/// The n-th wait is drawn evenly from the upper half of [0, min(longest, first * 2^n)].
class Backoff {
 public:
  /// first_ns, longest_ns: > 0. seed: any; two links need different ones.
  Backoff(std::int64_t first_ns, std::int64_t longest_ns, std::uint64_t seed)
      : first_ns_(first_ns), longest_ns_(longest_ns), state_(seed | 1) {}

  /// The wait before the next attempt, in nanoseconds; each call lengthens the following one.
  std::int64_t next_ns() noexcept {
    std::int64_t ceiling = first_ns_;
    for (std::uint32_t i = 0; i < attempts_ && ceiling < longest_ns_; ++i) ceiling *= 2;
    ceiling = std::min(ceiling, longest_ns_);
    ++attempts_;
    const std::int64_t half = std::max<std::int64_t>(1, ceiling / 2);
    return half + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(half));
  }

  /// A connection was good for lived_ns. If that is at least the longest wait, the next wait is the first again: a venue
  /// that takes connections and drops them at once is not stormed.
  void lived(std::int64_t lived_ns) noexcept {
    if (lived_ns >= longest_ns_) attempts_ = 0;
  }

  [[nodiscard]] std::uint32_t attempts() const noexcept { return attempts_; }

 private:
  std::uint64_t random() noexcept {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Dull >> 1;
  }

  std::int64_t first_ns_;
  std::int64_t longest_ns_;
  std::uint64_t state_;
  std::uint32_t attempts_ = 0;
};

}  // namespace feedbench::upstream
