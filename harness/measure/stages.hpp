#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "harness/measure/histogram.hpp"

namespace feedbench::measure {

/// The seven intervals between the eight stamps of a message, from the exchange's intended send to
/// the consumer.
enum class Stage : std::uint8_t {
  sent_nic,
  nic_wake,
  wake_read,
  read_plain,
  plain_parsed,
  parsed_handler,
  handler_delivered,
};

inline constexpr std::size_t kStageCount = 7;
inline constexpr std::array<std::string_view, kStageCount> kStageNames = {
    "sent_nic",     "nic_wake",       "wake_read",        "read_plain",
    "plain_parsed", "parsed_handler", "handler_delivered"};

/// One interval's distribution, and the messages for which there is none.
struct StageHistogram {
  Histogram
      histogram;  ///< nanoseconds; its negative_count() and overflow_count() are errors to report
  std::uint64_t absent = 0;  ///< messages of which one end was not stamped (never counted as zero)
  std::uint64_t saturated =
      0;  ///< messages whose stamp's distance did not fit the index line ("1.65 s or more")
};

/// All intervals of one run. thread: one writer.
class StageHistograms {
 public:
  /// Counts an interval; a negative one is counted as an error by the histogram.
  void record(Stage stage, std::int64_t ns) noexcept { at(stage).histogram.record(ns); }
  void record_absent(Stage stage) noexcept { ++at(stage).absent; }
  void record_saturated(Stage stage) noexcept { ++at(stage).saturated; }

  [[nodiscard]] StageHistogram& at(Stage stage) noexcept {
    return stages_[static_cast<std::size_t>(stage)];
  }
  [[nodiscard]] const StageHistogram& at(Stage stage) const noexcept {
    return stages_[static_cast<std::size_t>(stage)];
  }
  void merge(const StageHistograms& other) noexcept {
    for (std::size_t i = 0; i < kStageCount; ++i) {
      stages_[i].histogram.merge(other.stages_[i].histogram);
      stages_[i].absent += other.stages_[i].absent;
      stages_[i].saturated += other.stages_[i].saturated;
    }
  }

 private:
  std::array<StageHistogram, kStageCount> stages_;
};

}  // namespace feedbench::measure
