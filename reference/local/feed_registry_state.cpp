#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "reference/local/proxy_state.hpp"
#include "reference/local/registered_feed.hpp"

// How the registry is taken to another process and goes on there.
namespace feedbench::local {

using feedproxy::control::Event;
using feedproxy::control::FeedState;
using transports::MonotonicInstant;

void FeedRegistry::save(HandedFeeds& handed, MonotonicInstant now, ProxyState& state) {
  state.next_feed = next_feed_;
  state.ca = options_.tls.ca_file;
  for (const auto& [id, feed] : feeds_) {
    for (const Feed::Deferred& waiting : feed->deferred)
      state.opening.push_back({waiting.user, waiting.request, true, waiting.wanted});
    const auto given = std::find_if(handed.feeds.begin(), handed.feeds.end(),
                                    [id = id](const auto& each) { return each.id == id; });
    if (feed->removing || given == handed.feeds.end()) continue;
    ProxyState::Feed saved;
    saved.id = id;
    saved.as = feed->as;
    saved.configured = feed->configured;
    saved.pinned = feed->pinned;
    saved.connects = feed->connects;
    const rings::ProxyStats& stats = feed->log.stats();
    saved.counters = {stats.frames.value(), stats.bytes.value(), stats.upstream_connects.value(),
                      stats.upstream_losses.value(), stats.upstream_failures.value()};
    saved.credentials_digest = feed->credentials_digest;
    saved.last_error = feed->last_error;
    saved.last_sequence = given->last_sequence;
    saved.watching = feed->watching;
    saved.link = std::move(given->link);
    saved.book = feed->book.save();
    std::map<UserId, std::uint32_t> opens;
    for (const auto& [user, entry] : feed->users) opens[user] = entry.opens;
    for (const Opening& opening : feed->openings) {
      OpenRequest wanted = feed->as;
      wanted.flags = opening.flags;
      wanted.timeout_ns = std::max<std::int64_t>(opening.deadline.ns - now.ns, 0);
      saved.opening.push_back({opening.user, opening.request, opening.is_new, std::move(wanted)});
      --opens[opening.user];  // it counts again when it is made again
    }
    saved.users.assign(opens.begin(), opens.end());
    std::uint64_t upto = 0;
    if (feed->last_values)
      if (auto values = feed->last_values->snapshot(upto)) saved.last_values = std::move(*values);
    state.feeds.push_back(std::move(saved));
  }
}

/// A connection that goes on was made with what the other process had.
void FeedRegistry::warn_of_what_is_not_tried(const Feed& feed, const ProxyState& state,
                                             std::uint64_t credentials_digest) const {
  if (credentials_digest != 0 && credentials_digest != feed.credentials_digest)
    spdlog::warn(
        "feed {} ({}): it goes on as it was logged in; the credentials of this process are others, "
        "and are tried when it connects next",
        feed.id, shown_url(feed.as.url));
  if (feed.url.tls && state.ca && *state.ca != options_.tls.ca_file)
    spdlog::warn(
        "feed {} ({}): it goes on as it was trusted, with {}; this process has {}, and asks it "
        "when it connects next",
        feed.id, shown_url(feed.as.url), state.ca->empty() ? "no --ca" : "--ca " + *state.ca,
        options_.tls.ca_file.empty() ? "none" : "--ca " + options_.tls.ca_file);
}

void continue_from(ProxyState::Feed& feed, upstream::FeedParts& parts) {
  parts.log.begin_at(feed.last_sequence + 1);
  rings::ProxyStats& stats = parts.log.stats();
  stats.frames.set(feed.counters.frames);
  stats.bytes.set(feed.counters.bytes);
  stats.upstream_connects.set(feed.counters.upstream_connects);
  stats.upstream_losses.set(feed.counters.upstream_losses);
  stats.upstream_failures.set(feed.counters.upstream_failures);
  parts.watching = feed.watching;
  if (parts.link.login.subscriptions != feed.pinned) feed.link.connection.reset();
  parts.adopted = std::move(feed.link);
}

transports::Expected<void> FeedRegistry::restore(ProxyState& state, const BellOf& bell_of,
                                                 MonotonicInstant now) {
  next_feed_ = state.next_feed;
  was_of_use_ = restoring_ = true;
  if (state.feeds.size() > options_.feeds_max)
    return tl::make_unexpected(transports::Error{
        fmt::format(
            "take over from the running proxy: {} upstreams are open, and --feeds-max is {}",
            state.feeds.size(), options_.feeds_max),
        0});
  for (ProxyState::Feed& saved : state.feeds) {
    const auto refused = [&](const std::string& why) {
      return tl::make_unexpected(transports::Error{
          fmt::format("take over feed {} ({}): {}", saved.id, shown_url(saved.as.url), why), 0});
    };
    bool live = false;
    const auto known = feeds_.find(saved.id);
    if (saved.configured != (known != feeds_.end()))
      return refused(saved.configured ? "it is the running proxy's own upstream, and this "
                                        "configuration has none"
                                      : "its number is taken");
    if (saved.configured) {
      if (known->second->key != key_of(saved.as))
        return refused("this configuration has another upstream; stop the running proxy first");
      live = known->second->adopted_live;
    } else {
      live = saved.link.connection.valid();
      auto parts = make_parts(saved.as, saved.id);
      if (!parts) return refused(parts.error().message);
      continue_from(saved, **parts);
      add(std::move(*parts), saved.as, key_of(saved.as));
    }
    Feed& feed = *feeds_.at(saved.id);
    if (live) warn_of_what_is_not_tried(feed, state, saved.credentials_digest);
    feed.connects = saved.connects;
    feed.last_error = saved.last_error;
    feed.watching = saved.watching;
    feed.state = live ? FeedState::live : FeedState::connecting;
    feed.continues = saved.last_sequence;
    if (saved.last_values.valid()) {
      feed.last_values = std::make_unique<LastValues>(feed.log, feed.venue);
      feed.last_values->load(saved.last_values.get());
    }
    for (const upstream::BookState::Waiting& waiting : saved.book.waiting)
      ++unanswered_[waiting.user];
    feed.book.restore(saved.book, live, now);
    for (const auto& [user, opens] : saved.users) {
      if (opens == 0) continue;  // its open waits for an answer
      feed.users[user] = {opens, bell_of(user)};
      post(FeedCommand::Kind::attach, feed.id, feed.users[user].bell);
    }
  }
  restoring_ = false;
  return {};
}

void FeedRegistry::take_back(const HandedFeeds& handed, MonotonicInstant now) {
  for (const HandedFeeds::Feed& given : handed.feeds) {
    const auto found = feeds_.find(given.id);
    if (found == feeds_.end() || given.link.connection.valid()) continue;
    Feed& feed = *found->second;
    if (feed.state != FeedState::live) continue;
    feed.state = FeedState::lost;
    feed.book.upstream_lost(now);
    tell_users(feed, Event::upstream_lost, 0, "another proxy was to take over, and did not");
    pump(feed);
  }
}

void FeedRegistry::go_on(const ProxyState& state, const BellOf& bell_of, MonotonicInstant now) {
  for (const ProxyState::Feed& saved : state.feeds) {
    Feed& feed = *feeds_.at(saved.id);
    feedproxy::control::Head head;
    head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::event);
    head.feed = feed.id;
    head.code = static_cast<std::uint32_t>(Event::replaced);
    head.values[0] = feed.continues;
    for (const auto& [user, entry] : feed.users)
      audience_.tell(user, head, {}, {feed.log.share_descriptor()});
    if (feed.state != FeedState::live)
      tell_users(feed, Event::upstream_lost, 0, "the proxy was replaced, and connects anew");
    for (const ProxyState::PendingOpen& opening : saved.opening)
      if (const auto bell = bell_of(opening.user))
        join(feed, opening.user, opening.request, opening.wanted, bell, opening.is_new, now);
    pump(feed);
    if (feed.users.empty() && !feed.configured) begin_removal(feed);
  }
  for (const ProxyState::PendingOpen& opening : state.opening)
    if (const auto bell = bell_of(opening.user))
      open(opening.user, opening.request, opening.wanted, bell, now);
}

}  // namespace feedbench::local
