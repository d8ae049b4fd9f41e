#include "transports/clock.hpp"

#include <ctime>

namespace feedbench::transports {
namespace {

std::int64_t read_ns(clockid_t clock) noexcept {
  timespec at{};
  ::clock_gettime(clock, &at);
  return static_cast<std::int64_t>(at.tv_sec) * 1'000'000'000 + at.tv_nsec;
}

}  // namespace

WallInstant WallInstant::now() noexcept { return {read_ns(CLOCK_REALTIME)}; }
MonotonicInstant MonotonicInstant::now() noexcept { return {read_ns(CLOCK_MONOTONIC)}; }

}  // namespace feedbench::transports
