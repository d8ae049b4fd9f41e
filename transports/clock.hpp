#pragma once

#include <x86intrin.h>

#include <compare>
#include <cstdint>
#include <ctime>

/// Clock domains are types: subtracting an instant of one clock from an instant of another does not
/// compile.
namespace feedbench::transports {

/// Nanoseconds of one of the kernel's clocks. Cost: about 20 ns, no system call where there is a vDSO.
inline std::int64_t read_clock_ns(clockid_t clock) noexcept {
  timespec at{};
  ::clock_gettime(clock, &at);
  return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

/// A length of time in ticks of the invariant TSC. May be negative.
struct TscDuration {
  std::int64_t ticks = 0;
  constexpr auto operator<=>(const TscDuration&) const = default;
};

/// An instant of the invariant TSC of this machine, the same on every core and in every process.
/// ticks = 0 means *absent* (a stage that was not stamped); no real instant is 0.
struct TscInstant {
  std::uint64_t ticks = 0;

  /// now: reads the TSC, not serialising. Cost: about 10 ns under KVM. thread: any.
  static TscInstant now() noexcept { return {__rdtsc()}; }

  [[nodiscard]] constexpr bool present() const noexcept { return ticks != 0; }
  constexpr auto operator<=>(const TscInstant&) const = default;
};

constexpr TscDuration operator-(TscInstant later, TscInstant earlier) noexcept {
  return {static_cast<std::int64_t>(later.ticks - earlier.ticks)};
}
constexpr TscInstant operator+(TscInstant at, TscDuration by) noexcept {
  return {at.ticks + static_cast<std::uint64_t>(by.ticks)};
}

/// An instant of CLOCK_REALTIME, nanoseconds since the epoch. ns = 0 means absent.
struct WallInstant {
  std::int64_t ns = 0;
  static WallInstant now() noexcept { return {read_clock_ns(CLOCK_REALTIME)}; }
  [[nodiscard]] constexpr bool present() const noexcept { return ns != 0; }
  constexpr auto operator<=>(const WallInstant&) const = default;
};

/// An instant of CLOCK_MONOTONIC (or of a simulation's virtual clock), nanoseconds. Deadlines and
/// timers use it.
struct MonotonicInstant {
  std::int64_t ns = 0;
  static MonotonicInstant now() noexcept { return {read_clock_ns(CLOCK_MONOTONIC)}; }
  constexpr auto operator<=>(const MonotonicInstant&) const = default;
  constexpr MonotonicInstant operator+(std::int64_t by_ns) const noexcept { return {ns + by_ns}; }
  constexpr std::int64_t operator-(MonotonicInstant earlier) const noexcept {
    return ns - earlier.ns;
  }
};

}  // namespace feedbench::transports
