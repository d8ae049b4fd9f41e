#include "reference/monitor/feed_watcher.hpp"

#include <algorithm>

namespace feedbench::monitor {

using feedproxy::Pull;

void FeedWatcher::follow(const ProxyStatus& status) {
  for (auto at = watched_.begin(); at != watched_.end();) {
    const FeedStatus* const feed = status.find_feed(at->first);
    if (feed != nullptr && feed->state != "closing") {
      ++at;
      continue;
    }
    client_.close(at->second.feed);
    at = watched_.erase(at);
  }
  for (const FeedStatus& feed : status.feeds) {
    if (watched_.count(feed.feed) != 0 || feed.state == "closing") continue;
    if (watched_.size() >= feedproxy::control::kFeedsPerClientMax) return;
    try {
      Watched watched;
      watched.feed =
          client_.open({.now = true, .feed = static_cast<std::uint32_t>(feed.feed)}).feed;
      watched.published_before = published(watched);
      watched_.emplace(feed.feed, std::move(watched));
    } catch (const feedproxy::Error& error) {
      // It went since the status was taken, or its log cannot be mapped: it is shown without stages.
      if (!client_.connected() || error.code() == feedproxy::Errc::timed_out) throw;
    }
  }
}

std::uint64_t FeedWatcher::published(const Watched& watched) const {
  const rings::ProxyStats* const stats = client_.stats(watched.feed);
  return stats == nullptr ? watched.published_before : stats->frames.value();
}

std::uint64_t FeedWatcher::read(Watched& watched, std::uint64_t messages_max) {
  feedproxy::Message message;
  feedproxy::Gap gap;
  std::uint64_t messages = 0;
  // A gap is no message, but takes its turn: it cannot hold the loop.
  for (std::uint64_t turn = 0; turn < messages_max; ++turn) {
    const Pull pulled = client_.next(watched.feed, message, gap);
    if (pulled == Pull::none || pulled == Pull::closed) return messages;
    if (pulled != Pull::message) continue;
    ++messages;
    watched.sample.record(message.frame->packed_stamps, ns_per_tick_);
  }
  client_.seek_live(watched.feed);
  return messages;
}

void FeedWatcher::look() {
  std::uint64_t left = kMessagesPerLook;
  std::uint64_t feeds_left = watched_.size();
  for (auto& [number, watched] : watched_) left -= read(watched, left / feeds_left--);
}

std::map<std::uint64_t, StageView> FeedWatcher::take(std::int64_t interval_ns) {
  std::map<std::uint64_t, StageView> views;
  for (auto& [number, watched] : watched_) {
    const std::uint64_t now = published(watched);
    const std::uint64_t meanwhile =
        std::max(now - watched.published_before, watched.sample.messages);
    watched.published_before = now;
    watched.window.add(watched.sample, meanwhile, interval_ns);
    watched.sample = {};
    views[number] = watched.window.view();
  }
  return views;
}

}  // namespace feedbench::monitor
