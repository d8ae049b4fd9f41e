#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "transports/clock.hpp"
#include "transports/transport.hpp"

/// The relation between the TSC and the kernel's clocks, measured and kept up to date.
///
/// A kernel clock is read between two TSC reads: whatever the kernel said was true somewhere inside
/// that bracket. Of many brackets the narrowest is taken, since a wide one was interrupted. Two
/// such anchors a window apart give the slope.
namespace feedbench::transports {

/// One reading of a kernel clock between two readings of the TSC.
struct ClockBracket {
  std::uint64_t tsc_before = 0;
  std::int64_t ns = 0;
  std::uint64_t tsc_after = 0;
  [[nodiscard]] std::uint64_t width_ticks() const noexcept { return tsc_after - tsc_before; }
  [[nodiscard]] std::uint64_t middle_ticks() const noexcept {
    return tsc_before + width_ticks() / 2;
  }
};
using BracketSource = std::function<ClockBracket()>;

/// Reads CLOCK_REALTIME / CLOCK_MONOTONIC in a bracket. Cost: about 50 ns. thread: any.
ClockBracket read_wall_bracket() noexcept;
ClockBracket read_monotonic_bracket() noexcept;

/// True when the TSC advances at one rate whatever the core does (CPUID), or the kernel itself
/// keeps time by it.
bool tsc_is_invariant() noexcept;

/// A straight line from one kernel clock to the TSC.
class ClockFit {
 public:
  ClockFit() = default;
  ClockFit(const ClockBracket& first, const ClockBracket& last) noexcept;

  [[nodiscard]] std::uint64_t to_ticks(std::int64_t ns) const noexcept {
    const double ahead = static_cast<double>(ns - anchor_ns_) * ticks_per_ns_;
    return anchor_ticks_ + static_cast<std::uint64_t>(static_cast<std::int64_t>(ahead));
  }
  [[nodiscard]] std::int64_t to_ns(std::uint64_t ticks) const noexcept {
    const auto ahead = static_cast<double>(static_cast<std::int64_t>(ticks - anchor_ticks_));
    return anchor_ns_ + static_cast<std::int64_t>(ahead * ns_per_tick_);
  }
  [[nodiscard]] double ticks_per_ns() const noexcept { return ticks_per_ns_; }
  [[nodiscard]] double ns_per_tick() const noexcept { return ns_per_tick_; }
  /// Half the width of the anchor's bracket: the largest error at the anchor.
  [[nodiscard]] double anchor_error_ticks() const noexcept { return anchor_error_ticks_; }
  [[nodiscard]] double slope_error_ppb() const noexcept { return slope_error_ppb_; }
  [[nodiscard]] std::uint64_t anchor_ticks() const noexcept { return anchor_ticks_; }

  /// Moves the line to a newer bracket; the slope follows what the clock did over the last anchors.
  /// A clock that was set (a step of more than 1 ms) keeps its slope and forgets the anchors before
  /// the step. O(1).
  void move_to(const ClockBracket& bracket) noexcept;

 private:
  static constexpr std::size_t kHistory = 16;
  void set_anchor(const ClockBracket& bracket) noexcept;
  void set_slope(const ClockBracket& from, const ClockBracket& to) noexcept;

  std::uint64_t anchor_ticks_ = 0;
  std::int64_t anchor_ns_ = 0;
  double ticks_per_ns_ = 1.0;
  double ns_per_tick_ = 1.0;
  double anchor_error_ticks_ = 0.0;
  double slope_error_ppb_ = 0.0;
  std::array<ClockBracket, kHistory> history_{};
  std::size_t history_size_ = 0;
  std::size_t history_next_ = 0;
};

struct TscClockOptions {
  /// How many brackets an anchor is chosen from. At least 64 are taken whatever is asked.
  std::size_t tries = 64;
  /// How far apart the two first anchors are: 20 ms gives the slope to about 1 ppm, which follow()
  /// then refines.
  std::int64_t window_ns = 20'000'000;
  /// How old an anchor may grow before follow() takes a new one.
  std::int64_t reanchor_interval_ns = 50'000'000;
  /// Where readings come from; tests inject their own.
  BracketSource read_wall = read_wall_bracket;
  BracketSource read_monotonic = read_monotonic_bracket;
  std::function<bool()> invariant = tsc_is_invariant;
};

/// Maps instants of the kernel clocks to the TSC and back.
/// thread: one at a time; copies are independent.
class TscClock {
 public:
  /// Calibrates. Takes window_ns and about 20 us. errors: the TSC is not invariant, or did not
  /// advance.
  static Expected<TscClock> calibrate(const TscClockOptions& options = {});

  [[nodiscard]] double tsc_hz() const noexcept { return monotonic_.ticks_per_ns() * 1e9; }

  [[nodiscard]] TscInstant to_tsc(WallInstant at) const noexcept { return {wall_.to_ticks(at.ns)}; }
  [[nodiscard]] TscInstant to_tsc(MonotonicInstant at) const noexcept {
    return {monotonic_.to_ticks(at.ns)};
  }
  [[nodiscard]] WallInstant to_wall(TscInstant at) const noexcept {
    return {wall_.to_ns(at.ticks)};
  }
  [[nodiscard]] MonotonicInstant to_monotonic(TscInstant at) const noexcept {
    return {monotonic_.to_ns(at.ticks)};
  }
  [[nodiscard]] std::int64_t to_ns(TscDuration length) const noexcept {
    return static_cast<std::int64_t>(static_cast<double>(length.ticks) * monotonic_.ns_per_tick());
  }
  [[nodiscard]] TscDuration to_ticks(std::int64_t ns) const noexcept {
    return {static_cast<std::int64_t>(static_cast<double>(ns) * monotonic_.ticks_per_ns())};
  }

  /// The largest error of a wall instant mapped now: half the anchor's bracket. In ticks and in ns.
  [[nodiscard]] double error_ticks() const noexcept { return wall_.anchor_error_ticks(); }
  [[nodiscard]] double error_ns() const noexcept {
    return wall_.anchor_error_ticks() * wall_.ns_per_tick();
  }
  /// How much that grows with distance from the anchor, in parts per 10^9.
  [[nodiscard]] double slope_error_ppb() const noexcept { return wall_.slope_error_ppb(); }

  /// Follows the slewing of the kernel's clocks: takes new anchors when the last are older than the
  /// interval. Cost: a comparison; when due, at most 16 brackets (about 1 us).
  void follow(TscInstant now) noexcept {
    if (now.ticks - wall_.anchor_ticks() >= reanchor_ticks_) reanchor();
  }

  /// Anchors taken by follow(), and those dropped because every bracket was interrupted.
  [[nodiscard]] std::uint64_t reanchors() const noexcept { return reanchors_; }
  [[nodiscard]] std::uint64_t reanchors_dropped() const noexcept { return reanchors_dropped_; }

 private:
  explicit TscClock(const TscClockOptions& options) : options_(options) {}
  void reanchor() noexcept;

  TscClockOptions options_;
  ClockFit wall_;
  ClockFit monotonic_;
  std::uint64_t width_ticks_min_ = 0;
  std::uint64_t reanchor_ticks_ = UINT64_MAX;
  std::uint64_t reanchors_ = 0;
  std::uint64_t reanchors_dropped_ = 0;
  std::uint64_t dropped_in_a_row_ = 0;
};

}  // namespace feedbench::transports
