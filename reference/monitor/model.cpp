#include "reference/monitor/model.hpp"

#include <algorithm>
#include <bit>

namespace feedbench::monitor {
namespace {

/// What a client that keeps up may seem to be behind: it tells where it stands every 256 messages.
constexpr std::uint64_t kCursorStep = 256;

std::optional<double> rate(std::uint64_t before, std::uint64_t after, std::int64_t interval_ns) {
  if (interval_ns <= 0 || after < before) return std::nullopt;
  return static_cast<double>(after - before) * 1e9 / static_cast<double>(interval_ns);
}

std::uint64_t grown(std::uint64_t before, std::uint64_t after) {
  return after > before ? after - before : 0;
}

StageRow stage_row(const StageView& view) {
  StageRow row;
  for (std::size_t i = 0; i < kIntervals; ++i) {
    const StageSample::Stage& stage = view.sample.stages[i];
    row.intervals[i] = {stage.histogram.quantile(0.5), stage.histogram.quantile(0.99),
                        stage.histogram.count(), stage.negative};
  }
  row.sampled = view.sample.messages;
  row.published = view.published;
  row.span_ns = view.span_ns;
  return row;
}

FeedRow feed_row(const FeedStatus* before, const FeedStatus& after, std::int64_t interval_ns) {
  FeedRow row;
  row.status = after;
  if (before == nullptr) return row;
  row.messages_per_s = rate(before->messages, after.messages, interval_ns);
  row.bytes_per_s = rate(before->bytes, after.bytes, interval_ns);
  row.losses_new = grown(before->losses, after.losses);
  return row;
}

/// The n-th cursor of a client on a feed: it may have the feed open more than once.
const CursorStatus* find_cursor(const ClientStatus* client, std::uint64_t feed, std::size_t nth) {
  if (client == nullptr) return nullptr;
  for (const CursorStatus& cursor : client->cursors)
    if (cursor.feed == feed && nth-- == 0) return &cursor;
  return nullptr;
}

ClientRow client_row(const ClientStatus& client, std::uint64_t feed) {
  ClientRow row;
  row.id = client.id;
  row.name = client.name;
  row.pid = client.pid;
  row.waiting = client.waiting;
  row.feed = feed;
  return row;
}

void add_clients_feed(const ClientStatus* before, const ClientStatus& after, std::uint64_t number,
                      const FeedStatus* feed, Picture& picture) {
  for (std::size_t nth = 0;; ++nth) {
    const CursorStatus* const now = find_cursor(&after, number, nth);
    if (now == nullptr && nth > 0) return;
    ClientRow row = client_row(after, number);
    if (now != nullptr) {
      row.cursor = *now;
      // What the client read after the feed was looked at is no lag.
      if (feed != nullptr) row.lag_messages = grown(now->sequence, feed->messages);
      if (const CursorStatus* const then = find_cursor(before, number, nth)) {
        row.messages_per_s = rate(then->messages, now->messages, picture.interval_ns);
        row.missed_per_s = rate(then->missed, now->missed, picture.interval_ns);
      }
    }
    picture.clients.push_back(std::move(row));
    if (now == nullptr) return;
  }
}

}  // namespace

Picture make_picture(const ProxyStatus& before, const ProxyStatus& after,
                     const std::map<std::uint64_t, StageView>& stages) {
  Picture picture;
  picture.pid = after.pid;
  picture.version = after.version;
  picture.uptime_ns = after.uptime_ns;
  const bool comparable = before.pid == after.pid && before.uptime_ns < after.uptime_ns;
  if (comparable) picture.interval_ns = after.uptime_ns - before.uptime_ns;

  for (const FeedStatus& feed : after.feeds) {
    FeedRow row =
        feed_row(comparable ? before.find_feed(feed.feed) : nullptr, feed, picture.interval_ns);
    if (const auto view = stages.find(feed.feed); view != stages.end())
      row.stages = stage_row(view->second);
    picture.ws_clients += feed.ws_clients;
    picture.messages_per_s += row.messages_per_s.value_or(0);
    picture.bytes_per_s += row.bytes_per_s.value_or(0);
    picture.feeds.push_back(std::move(row));
  }
  std::sort(picture.feeds.begin(), picture.feeds.end(),
            [](const FeedRow& a, const FeedRow& b) { return a.status.feed < b.status.feed; });

  for (const ClientStatus& client : after.clients) {
    ++(client.monitor ? picture.monitors : picture.local_clients);
    if (client.monitor) continue;
    const ClientStatus* const then = comparable ? before.find_client(client.id) : nullptr;
    for (const std::uint64_t feed : client.feeds)
      add_clients_feed(then, client, feed, after.find_feed(feed), picture);
    if (client.feeds.empty()) picture.clients.push_back(client_row(client, 0));
  }
  // By magnitude, so that the order is steady while everybody keeps up.
  const auto behind = [](const ClientRow& row) {
    return std::bit_width(row.lag_messages.value_or(0) / (2 * kCursorStep));
  };
  std::stable_sort(picture.clients.begin(), picture.clients.end(),
                   [&](const ClientRow& a, const ClientRow& b) {
                     if (behind(a) != behind(b)) return behind(a) > behind(b);
                     return a.id < b.id;
                   });
  return picture;
}

}  // namespace feedbench::monitor
