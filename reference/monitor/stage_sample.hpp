#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "transports/rings/frame_stamps.hpp"

namespace feedbench::monitor {

/// Counts of nanoseconds in buckets a sixteenth of an octave wide: a quantile is never further off than 3.2 %.
/// shapes: 528 counters, 2 KiB, no allocation. Values of 68.7 s and more are counted as 68.7 s.
class StageHistogram {
 public:
  void record(std::int64_t ns) noexcept {
    const std::size_t at = index_of(ns);
    ++counts_[at];
    ++count_;
  }
  void merge(const StageHistogram& other) noexcept {
    for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
  }
  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  /// The middle of the bucket below or in which `fraction` (0 to 1) of the values lie. Nothing where fewer than ten values
  /// lie beyond it: a median needs 20 values, a p99 1,000.
  [[nodiscard]] std::optional<std::int64_t> quantile(double fraction) const noexcept;

 private:
  static constexpr int kSubBits = 4;
  static constexpr std::uint64_t kSubs = 1U << kSubBits;
  static constexpr int kBitsMax = 36;
  static constexpr std::size_t kBuckets = (kBitsMax - kSubBits + 1) * kSubs;

  static std::size_t index_of(std::int64_t ns) noexcept {
    constexpr std::uint64_t kHighest = (std::uint64_t{1} << kBitsMax) - 1;
    const auto value = ns < 0 ? 0 : static_cast<std::uint64_t>(ns);
    const std::uint64_t kept = value < kHighest ? value : kHighest;
    if (kept < kSubs) return kept;
    const int shift = static_cast<int>(std::bit_width(kept)) - 1 - kSubBits;
    return (static_cast<std::uint64_t>(shift) << kSubBits) + (kept >> shift);
  }
  static std::int64_t middle_of(std::size_t index) noexcept;

  std::array<std::uint32_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
};

/// What is measured of one message: from each of the six stages to the next, and the whole way.
enum class Interval : std::uint8_t {
  nic_wake,
  wake_read,
  read_plain,
  plain_parsed,
  parsed_handler,
  nic_handler,
  wake_handler,  ///< The whole way where there are no NIC stamps.
};
inline constexpr std::size_t kIntervals = 7;
inline constexpr std::array<std::string_view, kIntervals> kIntervalNames = {
    "nic_wake",       "wake_read",   "read_plain",  "plain_parsed",
    "parsed_handler", "nic_handler", "wake_handler"};

/// The stages of the messages that were looked at. thread: one.
struct StageSample {
  struct Stage {
    StageHistogram histogram;
    std::uint64_t negative = 0;  ///< Its end before its beginning: an error of a clock mapping.
  };
  std::array<Stage, kIntervals> stages{};
  std::uint64_t messages = 0;  ///< Looked at. Those without an interval had one end not stamped.

  void record(const rings::PackedStamps& stamps, double ns_per_tick) noexcept;
  void merge(const StageSample& other) noexcept;
  [[nodiscard]] const Stage& at(Interval interval) const noexcept {
    return stages[static_cast<std::size_t>(interval)];
  }
};

/// What was looked at, and when.
struct StageView {
  StageSample sample;
  std::uint64_t published = 0;  ///< Messages that were published meanwhile.
  std::int64_t span_ns = 0;     ///< How long ago the oldest of the intervals began.
};

/// The last intervals of one feed, as many as it takes for kMessagesWanted messages. Bounds: kIntervalsMax intervals and
/// kSpanMaxNs, but always the last one; 1 MiB.
class StageWindow {
 public:
  static constexpr std::uint64_t kMessagesWanted = 1000;
  static constexpr std::size_t kIntervalsMax = 60;
  static constexpr std::int64_t kSpanMaxNs = 60'000'000'000;

  void add(const StageSample& sample, std::uint64_t published, std::int64_t length_ns);
  [[nodiscard]] StageView view() const;

 private:
  std::deque<StageView> intervals_;
  std::uint64_t messages_ = 0;
  std::int64_t span_ns_ = 0;
};

}  // namespace feedbench::monitor
