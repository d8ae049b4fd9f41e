#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mock_exchange/prepared_session.hpp"
#include "transports/clock.hpp"
#include "transports/transport.hpp"

/// When each frame is to be sent. Open loop: the intended time of a frame is known before the run
/// and never depends on when the frame before it was really sent, so a stalled sender or reader
/// cannot hide latency.
namespace feedbench::mock_exchange {

/// How fast a session is replayed.
struct Pace {
  enum class Kind : std::uint8_t {
    recorded,  ///< At the recorded times.
    multiple,  ///< At the recorded times divided by `value`.
    rate,      ///< `value` frames a second, evenly spaced, whatever was recorded.
    max,       ///< As fast as the connection takes them; every frame is intended at the start.
  };
  Kind kind = Kind::recorded;
  double value = 1;  ///< multiple: the factor; rate: frames a second. Finite and > 0.
  bool operator==(const Pace&) const = default;
};

/// "recorded", "x10" (also "x0.5"), "rate:1000", "max". Errors: one sentence that names the text.
transports::Expected<Pace> parse_pace(std::string_view text);
std::string to_string(const Pace& pace);

inline constexpr std::uint64_t kLoopForever = UINT64_MAX;
/// "1" ... or "forever".
transports::Expected<std::uint64_t> parse_loops(std::string_view text);

/// Intended offsets from the start of a replay. A frame is named by its sequence over all loops,
/// counted from 0: loop = sequence / frame_count, frame = sequence % frame_count. thread: any
/// (immutable).
class Schedule {
 public:
  Schedule() = default;

  /// loops >= 1, or kLoopForever. In the recorded paces a loop begins one mean gap after the last
  /// frame of the loop before it (1 ms if the session has one frame or no duration).
  Schedule(std::shared_ptr<const PreparedSession> session, Pace pace, std::uint64_t loops = 1);

  /// When frame `sequence` (< total_frames()) is intended, ns after the start. Never decreases.
  /// Cost: a few ns (one division).
  [[nodiscard]] std::int64_t intended_ns(std::uint64_t sequence) const noexcept;

  /// Frames over all loops; UINT64_MAX for kLoopForever. 0 for an empty session.
  [[nodiscard]] std::uint64_t total_frames() const noexcept { return total_frames_; }

  /// Length of one loop, ns: intended_ns(s + frame_count) = intended_ns(s) + loop_ns() in the
  /// recorded paces (to 1 ns).
  [[nodiscard]] double loop_ns() const noexcept { return loop_ns_; }

  [[nodiscard]] const Pace& pace() const noexcept { return pace_; }
  [[nodiscard]] const std::shared_ptr<const PreparedSession>& session() const noexcept {
    return session_;
  }

 private:
  std::shared_ptr<const PreparedSession> session_;
  Pace pace_;
  std::uint64_t total_frames_ = 0;
  double recorded_scale_ = 1;  ///< Replay ns per recorded ns.
  double rate_period_ns_ = 0;  ///< Pace::rate: ns per frame.
  double loop_ns_ = 0;
};

/// A schedule tied to a start on the TSC.
class Timeline {
 public:
  Timeline() = default;
  /// ticks_per_second: rate of the clock that `start` was read from.
  Timeline(Schedule schedule, transports::TscInstant start, double ticks_per_second)
      : schedule_(std::move(schedule)), start_(start), ticks_per_ns_(ticks_per_second * 1e-9) {}

  [[nodiscard]] transports::TscInstant intended(std::uint64_t sequence) const noexcept;
  [[nodiscard]] transports::TscInstant start() const noexcept { return start_; }
  [[nodiscard]] const Schedule& schedule() const noexcept { return schedule_; }

  /// Counts the frames that are due at `now` and remembers them. Returns due(). Cost: one
  /// intended() per new frame.
  std::uint64_t advance(transports::TscInstant now) noexcept;

  /// Frames due at the last advance(): sequences < due() may be sent.
  [[nodiscard]] std::uint64_t due() const noexcept { return due_; }

  /// When the next frame falls due; absent when none is left.
  [[nodiscard]] transports::TscInstant next_due() const noexcept { return next_due_; }

 private:
  Schedule schedule_;
  transports::TscInstant start_;
  transports::TscInstant next_due_{1};
  double ticks_per_ns_ = 1;
  std::uint64_t due_ = 0;
};

}  // namespace feedbench::mock_exchange
