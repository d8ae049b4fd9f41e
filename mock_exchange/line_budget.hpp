#pragma once

#include <cstdint>
#include <utility>

namespace feedbench::mock_exchange {

/// How many lines a second a program logs, so that clients that come and go by the thousand fill no
/// disk. Bound: `lines_per_second` in each second that begins with a line; the rest is counted, to
/// be told once. thread: one.
class LineBudget {
 public:
  explicit LineBudget(std::uint64_t lines_per_second) : lines_per_second_(lines_per_second) {}

  /// True if a line may be written at now_ns (of any monotonic clock).
  bool take(std::int64_t now_ns) {
    if (begin_ns_ == kNone || now_ns - begin_ns_ >= kSecond_ns) {
      begin_ns_ = now_ns;
      taken_ = 0;
    }
    if (taken_ < lines_per_second_) {
      ++taken_;
      return true;
    }
    ++left_out_;
    return false;
  }

  /// Lines that were left out since the last call.
  std::uint64_t take_left_out() { return std::exchange(left_out_, 0); }

 private:
  static constexpr std::int64_t kSecond_ns = 1'000'000'000;
  static constexpr std::int64_t kNone = INT64_MIN;

  std::uint64_t lines_per_second_;
  std::int64_t begin_ns_ = kNone;
  std::uint64_t taken_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace feedbench::mock_exchange
