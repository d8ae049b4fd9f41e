#include "reference/monitor/stage_sample.hpp"

#include <cmath>

namespace feedbench::monitor {

using rings::BackStage;
using rings::PackedStamps;

std::int64_t StageHistogram::middle_of(std::size_t index) noexcept {
  if (index < kSubs) return static_cast<std::int64_t>(index);
  const auto shift = static_cast<int>(index >> kSubBits) - 1;
  const std::uint64_t lowest = (index - (static_cast<std::uint64_t>(shift) << kSubBits)) << shift;
  return static_cast<std::int64_t>(lowest + ((std::uint64_t{1} << shift) - 1) / 2);
}

std::optional<std::int64_t> StageHistogram::quantile(double fraction) const noexcept {
  constexpr double kBeyondMin = 10.0;
  const auto total = static_cast<double>(count_);
  if (total * (1.0 - fraction) + 1e-6 < kBeyondMin) return std::nullopt;
  const auto wanted = static_cast<std::uint64_t>(std::ceil(total * fraction));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= wanted && counts_[i] != 0) return middle_of(i);
  }
  return std::nullopt;
}

void StageSample::record(const PackedStamps& stamps, double ns_per_tick) noexcept {
  ++messages;
  // Ticks before the handler's stamp, which is the last and has none of its own.
  const auto take = [&](Interval interval, std::uint32_t from, std::uint32_t to) {
    Stage& stage = stages[static_cast<std::size_t>(interval)];
    if (from == PackedStamps::kNegative || to == PackedStamps::kNegative) {
      ++stage.negative;
    } else if (from < PackedStamps::kNegative && to < PackedStamps::kNegative) {
      if (from < to)
        ++stage.negative;
      else
        stage.histogram.record(static_cast<std::int64_t>((from - to) * ns_per_tick));
    }
  };
  const std::uint32_t nic = stamps.raw(BackStage::nic);
  const std::uint32_t wake = stamps.raw(BackStage::wake);
  const std::uint32_t read = stamps.raw(BackStage::read);
  const std::uint32_t plain = stamps.raw(BackStage::plain);
  const std::uint32_t parsed = stamps.raw(BackStage::parsed);
  take(Interval::nic_wake, nic, wake);
  take(Interval::wake_read, wake, read);
  take(Interval::read_plain, read, plain);
  take(Interval::plain_parsed, plain, parsed);
  take(Interval::parsed_handler, parsed, 0);
  take(Interval::nic_handler, nic, 0);
  take(Interval::wake_handler, wake, 0);
}

void StageSample::merge(const StageSample& other) noexcept {
  messages += other.messages;
  for (std::size_t i = 0; i < kIntervals; ++i) {
    stages[i].histogram.merge(other.stages[i].histogram);
    stages[i].negative += other.stages[i].negative;
  }
}

void StageWindow::add(const StageSample& sample, std::uint64_t published, std::int64_t length_ns) {
  intervals_.push_back({sample, published, length_ns});
  messages_ += sample.messages;
  span_ns_ += length_ns;
  const auto too_much = [this] {
    return messages_ - intervals_.front().sample.messages >= kMessagesWanted ||
           intervals_.size() > kIntervalsMax || span_ns_ > kSpanMaxNs;
  };
  while (intervals_.size() > 1 && too_much()) {
    messages_ -= intervals_.front().sample.messages;
    span_ns_ -= intervals_.front().span_ns;
    intervals_.pop_front();
  }
}

StageView StageWindow::view() const {
  StageView all;
  for (const StageView& each : intervals_) {
    all.sample.merge(each.sample);
    all.published += each.published;
    all.span_ns += each.span_ns;
  }
  return all;
}

}  // namespace feedbench::monitor
