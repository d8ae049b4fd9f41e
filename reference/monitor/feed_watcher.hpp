#pragma once

#include <cstdint>
#include <map>

#include "reference/client/client.hpp"
#include "reference/monitor/stage_sample.hpp"
#include "reference/monitor/status.hpp"

namespace feedbench::monitor {

/// Reads along the feeds that others have open, through a client that is a monitor, and samples the stamps of their
/// messages. It takes index lines alone, and of a busy feed the first messages after each look.
/// Bounds: kMessagesPerLook messages a look, of all feeds together; control::kFeedsPerClientMax feeds, those with the
/// lowest numbers. thread: one, the client's.
class FeedWatcher {
 public:
  /// With kLooksPerSecond looks a second at most 20,000 messages a second.
  static constexpr std::uint64_t kMessagesPerLook = 1000;
  static constexpr std::uint64_t kLooksPerSecond = 20;

  /// ns_per_tick: of the TSC.
  FeedWatcher(feedproxy::Client& client, double ns_per_tick)
      : client_(client), ns_per_tick_(ns_per_tick) {}

  /// Opens what is new in the status, lets go of what is in it no more. throws feedproxy::Error: the proxy is gone.
  void follow(const ProxyStatus& status);
  /// Reads what has come since the last look, and passes over what is too much. No system call.
  void look();
  /// Ends the interval: what was sampled of each feed, by the feed's number.
  std::map<std::uint64_t, StageView> take(std::int64_t interval_ns);

 private:
  struct Watched {
    feedproxy::FeedId feed = 0;
    StageSample sample;
    std::uint64_t published_before = 0;
    StageWindow window;
  };
  [[nodiscard]] std::uint64_t published(const Watched& watched) const;
  std::uint64_t read(Watched& watched, std::uint64_t messages_max);

  feedproxy::Client& client_;
  double ns_per_tick_;
  std::map<std::uint64_t, Watched> watched_;
};

}  // namespace feedbench::monitor
