#include "harness/probe/stage_probe.hpp"

#include <algorithm>

namespace feedbench::probe {
namespace {

using measure::Stage;
using rings::BackStage;
using rings::PackedStamps;

constexpr std::size_t kMessagesMax = 8U << 20U;  // 32 B each; what comes later is counted as missed

// Stages 0 to 7 of one message in ticks; 0 is absent.
struct Instants {
  std::uint64_t at[8] = {};
  bool saturated[8] = {};
};

Instants instants_of(const PackedStamps& packed, std::uint64_t sent, std::uint64_t delivered) {
  Instants out;
  out.at[0] = sent;
  out.at[6] = packed.handler_ticks;
  out.at[7] = delivered;
  for (std::size_t i = 0; i < rings::kBackStages; ++i) {
    const std::uint32_t back = packed.raw(static_cast<BackStage>(i));
    out.saturated[i + 1] = back == PackedStamps::kOverflow;
    if (back < PackedStamps::kNegative) out.at[i + 1] = packed.handler_ticks - back;
    // A stage after the handler is a fault of the clock mapping: one tick later, so that the next interval is negative.
    if (back == PackedStamps::kNegative) out.at[i + 1] = packed.handler_ticks + 100'000;
  }
  return out;
}

}  // namespace

JoinedStages join_stages(const SeenStamps& seen, const mock_exchange::SendLogReader& sent,
                         const load::DeliveryLog& delivered, std::uint64_t begin, std::uint64_t end,
                         const load::TickScale& scale) {
  JoinedStages out;
  const std::uint64_t count = sent.count();
  for (std::uint64_t sequence = 0; sequence < count; ++sequence) {
    const mock_exchange::SendLogEntry& entry = sent[sequence];
    if (entry.intended_tsc < begin || entry.intended_tsc >= end) continue;
    if (sequence >= seen.size() || seen[sequence].handler_ticks == 0) {
      ++out.unseen;
      continue;
    }
    ++out.messages;
    const Instants message =
        instants_of(seen[sequence], entry.intended_tsc, delivered.at(sequence));
    for (std::size_t stage = 0; stage < measure::kStageCount; ++stage) {
      const auto name = static_cast<Stage>(stage);
      if (message.saturated[stage] || message.saturated[stage + 1]) {
        out.stages.record_saturated(name);
      } else if (message.at[stage] == 0 || message.at[stage + 1] == 0) {
        out.stages.record_absent(name);
      } else {
        out.stages.record(name, scale.ns(message.at[stage + 1], message.at[stage]));
      }
    }
    if (message.at[1] == 0 && !message.saturated[1]) {
      ++out.nic_absent;
      if (message.at[2] != 0) out.sent_wake_no_nic.record(scale.ns(message.at[2], message.at[0]));
    }
  }
  return out;
}

transports::Expected<std::unique_ptr<StageProbe>> StageProbe::connect(
    const std::string& socket_path) {
  try {
    auto client = std::make_unique<feedproxy::Client>(
        "stage-probe", feedproxy::ClientOptions{.path = socket_path, .pre_fault = false});
    const feedproxy::FeedId feed = client->open({.now = true}).feed;
    auto log = client->log(feed);
    return std::unique_ptr<StageProbe>(new StageProbe(std::move(client), std::move(log)));
  } catch (const feedproxy::Error& error) {
    return tl::unexpected(transports::Error{error.what(), 0});
  }
}

void StageProbe::mark_start() {
  reader_.seek_live();
  first_sequence_ = reader_.next_sequence();
}

void StageProbe::look() {
  rings::Frame frame;
  while (true) {
    switch (reader_.next(frame)) {
      case rings::ReadStatus::none:
        return;
      case rings::ReadStatus::gap:
        missed_ += frame.missed_frames;
        break;
      case rings::ReadStatus::frame: {
        const std::uint64_t sequence = frame.sequence - first_sequence_;
        if (sequence >= kMessagesMax) {
          ++missed_;
          break;
        }
        if (sequence >= seen_.size()) {
          if (seen_.capacity() <= sequence)
            seen_.reserve(std::max<std::size_t>(1U << 16U, seen_.capacity() * 2));
          seen_.resize(sequence + 1);
        }
        seen_[sequence] = frame.packed_stamps;
        break;
      }
    }
  }
}

}  // namespace feedbench::probe
