#pragma once

#include <array>
#include <cstdint>

#include "harness/measure/histogram.hpp"
#include "mock_exchange/send_log.hpp"
#include "transports/clock.hpp"

/// From instants to distributions.
namespace feedbench::load {

/// Ticks to nanoseconds. Exact to a part in 10^12 over hours.
class TickScale {
 public:
  explicit TickScale(double tsc_hz) : ns_per_tick_(1e9 / tsc_hz) {}
  [[nodiscard]] std::int64_t ns(std::uint64_t later, std::uint64_t earlier) const noexcept {
    return static_cast<std::int64_t>(
        static_cast<double>(static_cast<std::int64_t>(later - earlier)) * ns_per_tick_);
  }
  [[nodiscard]] std::uint64_t ticks(double seconds) const noexcept {
    return static_cast<std::uint64_t>(seconds * 1e9 / ns_per_tick_);
  }

 private:
  double ns_per_tick_;
};

/// Response time, service time and send lag of the frames that were *due* inside the measured window, however late they
/// were sent or came: a stall at the end of the window is not cut off.
/// thread: one. Cost: two histogram records a delivered frame.
class LatencyAccount {
 public:
  explicit LatencyAccount(TickScale scale) : scale_(scale) {}

  void set_window(transports::TscInstant begin, transports::TscInstant end) noexcept {
    begin_ = begin.ticks;
    end_ = end.ticks;
  }

  /// One client had one frame at `now`.
  void delivered(const mock_exchange::SendLogEntry& sent, transports::TscInstant now) noexcept {
    if (sent.intended_tsc < begin_ || sent.intended_tsc >= end_) return;
    response_.record(scale_.ns(now.ticks, sent.intended_tsc));
    service_.record(scale_.ns(now.ticks, sent.actual_tsc));
  }
  /// Pace max has no intended time: only how long it took since the write that carried the frame.
  void delivered_since(std::uint64_t actual_tsc, transports::TscInstant now) noexcept {
    if (now.ticks < begin_ || now.ticks >= end_) return;
    service_.record(scale_.ns(now.ticks, actual_tsc));
  }
  /// One frame was sent: call once a frame.
  void sent(const mock_exchange::SendLogEntry& entry) noexcept {
    if (entry.intended_tsc < begin_ || entry.intended_tsc >= end_) return;
    send_lag_.record(scale_.ns(entry.actual_tsc, entry.intended_tsc));
  }

  [[nodiscard]] const measure::Histogram& response() const noexcept {
    return response_;
  }  ///< delivered - intended
  [[nodiscard]] const measure::Histogram& service() const noexcept {
    return service_;
  }  ///< delivered - actual
  [[nodiscard]] const measure::Histogram& send_lag() const noexcept {
    return send_lag_;
  }  ///< actual - intended
  [[nodiscard]] const TickScale& scale() const noexcept { return scale_; }

 private:
  TickScale scale_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  measure::Histogram response_;
  measure::Histogram service_;
  measure::Histogram send_lag_;
};

/// When the last writes of the exchange happened: which sequence each reached. Pace max sends far more frames than a log
/// could hold, and a delivery asks only for the recent past.
class RecentWrites {
 public:
  /// frames: sent so far, after the write begun at `at`. Must not decrease.
  void add(std::uint64_t frames, transports::TscInstant at) noexcept {
    entries_[next_++ % kEntries] = {frames, at.ticks};
  }
  /// When frame `sequence` was written, or 0 if that is no longer (or not yet) known. O(log entries).
  [[nodiscard]] std::uint64_t written_at(std::uint64_t sequence) const noexcept {
    std::uint64_t low = next_ > kEntries ? next_ - kEntries : 0;
    if (low == next_ || entries_[(next_ - 1) % kEntries].frames <= sequence) return 0;
    if (low > 0 && entries_[low % kEntries].frames > sequence) return 0;
    std::uint64_t high = next_ - 1;
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      if (entries_[middle % kEntries].frames > sequence) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return entries_[low % kEntries].ticks;
  }

 private:
  struct Entry {
    std::uint64_t frames = 0;
    std::uint64_t ticks = 0;
  };
  static constexpr std::size_t kEntries = 4096;
  std::array<Entry, kEntries> entries_{};
  std::uint64_t next_ = 0;
};

/// How a spinning loop spent its time: the share of it in turns that did something, and the longest turn.
/// thread: one. Cost: a few ns a turn; the caller reads the clock once a turn.
class LoopMeter {
 public:
  /// A turn ended at `now`; did_work tells whether it did anything.
  void turn(std::uint64_t now, bool did_work) noexcept {
    const std::uint64_t length = now - last_;
    last_ = now;
    if (!running_) return;
    if (did_work) busy_ += length;
    if (length > longest_) longest_ = length;
    ++turns_;
  }
  void start(std::uint64_t now) noexcept {
    *this = LoopMeter{};
    running_ = true;
    begin_ = last_ = now;
  }
  void stop(std::uint64_t now) noexcept {
    running_ = false;
    end_ = now;
  }
  /// 0 to 1; 0 before start().
  [[nodiscard]] double busy_share() const noexcept {
    return end_ > begin_ ? static_cast<double>(busy_) / static_cast<double>(end_ - begin_) : 0.0;
  }
  [[nodiscard]] std::uint64_t longest_ticks() const noexcept { return longest_; }
  [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }

 private:
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t busy_ = 0;
  std::uint64_t longest_ = 0;
  std::uint64_t turns_ = 0;
  bool running_ = false;
};

}  // namespace feedbench::load
