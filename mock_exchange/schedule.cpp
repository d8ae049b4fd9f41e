#include "mock_exchange/schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace feedbench::mock_exchange {

using transports::Error;
using transports::Expected;
using transports::TscDuration;
using transports::TscInstant;

namespace {

constexpr double kMaxRateHz = 1e9;

bool parse_positive(std::string_view text, double& value) {
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && stopped == end && std::isfinite(value) && value > 0;
}

}  // namespace

Expected<Pace> parse_pace(std::string_view text) {
  if (text == "recorded") return Pace{Pace::Kind::recorded, 1};
  if (text == "max") return Pace{Pace::Kind::max, 1};
  double value = 0;
  if (text.starts_with('x') && parse_positive(text.substr(1), value)) {
    return Pace{Pace::Kind::multiple, value};
  }
  constexpr std::string_view kRate = "rate:";
  if (text.starts_with(kRate) && parse_positive(text.substr(kRate.size()), value) &&
      value <= kMaxRateHz) {
    return Pace{Pace::Kind::rate, value};
  }
  return tl::unexpected(Error{fmt::format(
      "speed '{}' is not understood (say recorded, x10, rate:1000 with at most 1e9, or max)",
      text)});
}

std::string to_string(const Pace& pace) {
  switch (pace.kind) {
    case Pace::Kind::recorded:
      return "recorded";
    case Pace::Kind::multiple:
      return fmt::format("x{}", pace.value);
    case Pace::Kind::rate:
      return fmt::format("rate:{}", pace.value);
    case Pace::Kind::max:
      return "max";
  }
  return "?";
}

Expected<std::uint64_t> parse_loops(std::string_view text) {
  if (text == "forever") return kLoopForever;
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && stopped == end && value > 0) return value;
  return tl::unexpected(Error{fmt::format(
      "loop count '{}' is not understood (say a number of at least 1, or forever)", text)});
}

Schedule::Schedule(std::shared_ptr<const PreparedSession> session, Pace pace, std::uint64_t loops)
    : session_(std::move(session)), pace_(pace) {
  const std::uint64_t count = session_ ? session_->frame_count() : 0;
  if (count == 0) return;
  total_frames_ = loops > std::numeric_limits<std::uint64_t>::max() / count
                      ? std::numeric_limits<std::uint64_t>::max()
                      : loops * count;
  switch (pace_.kind) {
    case Pace::Kind::multiple:
      recorded_scale_ = 1 / pace_.value;
      [[fallthrough]];
    case Pace::Kind::recorded: {
      const auto span_ns = static_cast<double>(session_->span_ns());
      const double gap_ns = span_ns > 0 ? span_ns / static_cast<double>(count - 1) : 1e6;
      loop_ns_ = (span_ns + gap_ns) * recorded_scale_;
      break;
    }
    case Pace::Kind::rate:
      rate_period_ns_ = 1e9 / pace_.value;
      loop_ns_ = rate_period_ns_ * static_cast<double>(count);
      break;
    case Pace::Kind::max:
      break;
  }
}

std::int64_t Schedule::intended_ns(std::uint64_t sequence) const noexcept {
  switch (pace_.kind) {
    case Pace::Kind::rate:
      return static_cast<std::int64_t>(static_cast<double>(sequence) * rate_period_ns_);
    case Pace::Kind::max:
      return 0;
    case Pace::Kind::recorded:
    case Pace::Kind::multiple:
      break;
  }
  const std::uint64_t count = session_->frame_count();
  const std::uint64_t loop = sequence / count;
  const auto within = static_cast<double>(session_->frames()[sequence % count].t_ns);
  return static_cast<std::int64_t>(static_cast<double>(loop) * loop_ns_ + within * recorded_scale_);
}

TscInstant Timeline::intended(std::uint64_t sequence) const noexcept {
  const auto offset_ns = static_cast<double>(schedule_.intended_ns(sequence));
  return start_ + TscDuration{static_cast<std::int64_t>(offset_ns * ticks_per_ns_)};
}

std::uint64_t Timeline::advance(TscInstant now) noexcept {
  const std::uint64_t total = schedule_.total_frames();
  if (now < start_ || due_ == total) {
    next_due_ = due_ == total ? TscInstant{} : start_;
    return due_;
  }
  if (schedule_.pace().kind == Pace::Kind::max) {
    due_ = total;
    next_due_ = {};
    return due_;
  }
  while (due_ < total) {
    const TscInstant at = intended(due_);
    if (at > now) {
      next_due_ = at;
      return due_;
    }
    ++due_;
  }
  next_due_ = {};
  return due_;
}

}  // namespace feedbench::mock_exchange
