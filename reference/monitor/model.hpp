#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reference/monitor/stage_sample.hpp"
#include "reference/monitor/status.hpp"

namespace feedbench::monitor {

/// Half and 99 of 100 messages took at most so long; nothing where too few were sampled to say.
struct Quantiles {
  std::optional<std::int64_t> p50_ns;
  std::optional<std::int64_t> p99_ns;
  std::uint64_t count = 0;     ///< Messages with both ends stamped.
  std::uint64_t negative = 0;  ///< Messages whose end was stamped before the beginning.
};

struct StageRow {
  std::array<Quantiles, kIntervals> intervals{};
  std::uint64_t sampled = 0;
  std::uint64_t published = 0;
  std::int64_t span_ns = 0;

  [[nodiscard]] const Quantiles& at(Interval interval) const noexcept {
    return intervals[static_cast<std::size_t>(interval)];
  }
};

/// Rates are absent where there is nothing to compare with: in the first interval of a feed or client.
struct FeedRow {
  FeedStatus status;
  std::optional<double> messages_per_s;
  std::optional<double> bytes_per_s;
  std::uint64_t losses_new = 0;    ///< In the interval.
  std::optional<StageRow> stages;  ///< Absent: this feed is not watched.
};

/// One client on one feed; feed 0: it has none open.
struct ClientRow {
  std::uint64_t id = 0;
  std::string name;
  std::int64_t pid = 0;
  std::string waiting;
  std::uint64_t feed = 0;
  std::optional<CursorStatus> cursor;
  std::optional<std::uint64_t> lag_messages;
  std::optional<double> messages_per_s;
  std::optional<double> missed_per_s;
};

/// Everything there is to show of one interval.
struct Picture {
  std::string path;
  std::string taken_at;  ///< 2026-01-02T15:04:05+0100, for people.
  std::string note;      ///< What is wrong at the moment; usually empty.
  std::int64_t pid = 0;
  std::string version;
  std::int64_t uptime_ns = 0;
  std::int64_t interval_ns = 0;  ///< By the proxy's clock.
  std::uint64_t local_clients = 0;
  std::uint64_t ws_clients = 0;
  std::uint64_t monitors = 0;  ///< This program among them.
  double messages_per_s = 0;
  double bytes_per_s = 0;
  std::vector<FeedRow> feeds;      ///< By number.
  std::vector<ClientRow> clients;  ///< Those far behind first, then by age. Without monitors.
};

/// Compares two statuses of one proxy. stages: by feed. A feed or client that is in `after` alone has no rates, nor has a
/// counter that went back. If `before` is of another process, nothing has.
Picture make_picture(const ProxyStatus& before, const ProxyStatus& after,
                     const std::map<std::uint64_t, StageView>& stages);

}  // namespace feedbench::monitor
