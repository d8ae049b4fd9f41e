#include "transports/tsc_calibration.hpp"

#include <cpuid.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <string>

namespace feedbench::transports {
namespace {

constexpr std::size_t kTriesMin = 64;
constexpr std::size_t kReanchorTries = 8;
constexpr std::uint64_t kDroppedInARowMax = 4;
constexpr std::int64_t kStepNs = 1'000'000;
constexpr std::uint64_t kWindowReadsMax =
    100'000'000;  // bounds the wait for a clock that stands still

ClockBracket read_bracket(clockid_t clock) noexcept {
  timespec at{};
  // The fences keep the reads in order: without them the clock may be read outside its bracket.
  _mm_lfence();
  const std::uint64_t before = __rdtsc();
  _mm_lfence();
  ::clock_gettime(clock, &at);
  _mm_lfence();
  const std::uint64_t after = __rdtsc();
  return {before, static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec, after};
}

ClockBracket narrowest(const BracketSource& read, std::size_t tries) {
  ClockBracket best = read();
  for (std::size_t i = 1; i < tries; ++i) {
    const ClockBracket bracket = read();
    if (bracket.width_ticks() < best.width_ticks()) best = bracket;
  }
  return best;
}

/// Reads on until the clock has passed `until_ns`.
bool wait_until(const BracketSource& read, std::int64_t until_ns) {
  for (std::uint64_t i = 0; i < kWindowReadsMax; ++i) {
    if (read().ns >= until_ns) return true;
  }
  return false;
}

}  // namespace

ClockBracket read_wall_bracket() noexcept { return read_bracket(CLOCK_REALTIME); }
ClockBracket read_monotonic_bracket() noexcept { return read_bracket(CLOCK_MONOTONIC); }

bool tsc_is_invariant() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kPowerLeaf = 0x80000007;
  constexpr unsigned kInvariantBit = 1u << 8;
  if (__get_cpuid(kPowerLeaf, &a, &b, &c, &d) != 0 && (d & kInvariantBit) != 0) return true;
  // Some hypervisors hide the bit although the guest's kernel trusts the TSC.
  std::ifstream source("/sys/devices/system/clocksource/clocksource0/current_clocksource");
  std::string name;
  return source >> name && name == "tsc";
}

ClockFit::ClockFit(const ClockBracket& first, const ClockBracket& last) noexcept {
  set_slope(first, last);
  set_anchor(last);
  history_[0] = first;
  history_[1] = last;
  history_size_ = 2;
  history_next_ = 2;
}

void ClockFit::set_anchor(const ClockBracket& bracket) noexcept {
  anchor_ticks_ = bracket.middle_ticks();
  anchor_ns_ = bracket.ns;
  anchor_error_ticks_ = static_cast<double>(bracket.width_ticks()) / 2.0;
}

void ClockFit::set_slope(const ClockBracket& from, const ClockBracket& to) noexcept {
  const auto ticks = static_cast<double>(to.middle_ticks() - from.middle_ticks());
  const auto ns = static_cast<double>(to.ns - from.ns);
  ticks_per_ns_ = ticks / ns;
  ns_per_tick_ = ns / ticks;
  slope_error_ppb_ = static_cast<double>(from.width_ticks() + to.width_ticks()) / 2.0 / ticks * 1e9;
}

void ClockFit::move_to(const ClockBracket& bracket) noexcept {
  const std::int64_t off_ns = bracket.ns - to_ns(bracket.middle_ticks());
  if (off_ns > kStepNs || off_ns < -kStepNs) {
    history_size_ = 0;
    history_next_ = 0;
  } else if (history_size_ > 0) {
    // The oldest anchor held: the longest window that still follows a change of slew within a
    // second or so.
    const std::size_t oldest = history_size_ < kHistory ? 0 : history_next_ % kHistory;
    set_slope(history_[oldest], bracket);
  }
  set_anchor(bracket);
  history_[history_next_ % kHistory] = bracket;
  ++history_next_;
  history_size_ = std::min(history_size_ + 1, kHistory);
}

Expected<TscClock> TscClock::calibrate(const TscClockOptions& options) {
  if (!options.invariant()) {
    return tl::unexpected(
        Error{"TSC clock: this processor's time stamp counter is not invariant, so stage stamps "
              "would drift "
              "(run on a machine whose /proc/cpuinfo shows constant_tsc and nonstop_tsc)",
              0});
  }
  const std::size_t tries = std::max(options.tries, kTriesMin);
  const ClockBracket wall_first = narrowest(options.read_wall, tries);
  const ClockBracket monotonic_first = narrowest(options.read_monotonic, tries);
  if (!wait_until(options.read_monotonic, monotonic_first.ns + options.window_ns)) {
    return tl::unexpected(Error{"TSC clock: CLOCK_MONOTONIC does not advance", 0});
  }
  const ClockBracket wall_last = narrowest(options.read_wall, tries);
  const ClockBracket monotonic_last = narrowest(options.read_monotonic, tries);
  if (wall_last.middle_ticks() <= wall_first.middle_ticks() || wall_last.ns <= wall_first.ns ||
      monotonic_last.middle_ticks() <= monotonic_first.middle_ticks()) {
    return tl::unexpected(
        Error{"TSC clock: the time stamp counter or CLOCK_REALTIME went backwards during "
              "calibration (was the time set? try again)",
              0});
  }
  TscClock clock(options);
  clock.wall_ = ClockFit(wall_first, wall_last);
  clock.monotonic_ = ClockFit(monotonic_first, monotonic_last);
  clock.width_ticks_min_ = std::min(wall_first.width_ticks(), wall_last.width_ticks());
  clock.reanchor_ticks_ =
      static_cast<std::uint64_t>(clock.to_ticks(options.reanchor_interval_ns).ticks);
  return clock;
}

void TscClock::reanchor() noexcept {
  const ClockBracket wall = narrowest(options_.read_wall, kReanchorTries);
  // An interrupted bracket is worse than an old anchor, unless all of them are: then the machine
  // has changed its mind about what narrow is.
  if (wall.width_ticks() > 4 * width_ticks_min_ && ++dropped_in_a_row_ < kDroppedInARowMax) {
    ++reanchors_dropped_;
    return;
  }
  dropped_in_a_row_ = 0;
  wall_.move_to(wall);
  monotonic_.move_to(narrowest(options_.read_monotonic, kReanchorTries));
  ++reanchors_;
}

}  // namespace feedbench::transports
