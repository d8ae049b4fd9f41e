#include "reference/local/feed_registry.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <utility>

#include "reference/local/registered_feed.hpp"
#include "reference/websocket/url.hpp"

namespace feedbench::local {

using feedproxy::Errc;
using feedproxy::control::Event;
using feedproxy::control::FeedState;
using feedproxy::control::Head;
using transports::MonotonicInstant;

namespace {

/// How often last values are followed: far more often than a log is lapped.
constexpr std::int64_t kFollowEveryNs = 5'000'000;
constexpr char kSeparator = '\x1f';

/// Scheme, host, port and path: a query may hold a token.
std::string shown(const websocket::WsUrl& url) {
  return fmt::format("{}://{}{}", url.tls ? "wss" : "ws", url.host_header(),
                     url.target.substr(0, url.target.find('?')));
}

/// The prefix ends where a part of the URL does: wss://good.example is none of wss://good.example.evil.example.
bool begins_with(std::string_view url, std::string_view prefix) {
  if (!url.starts_with(prefix)) return false;
  const std::string_view rest = url.substr(prefix.size());
  return rest.empty() || prefix.ends_with('/') || rest.front() == '/' || rest.front() == '?';
}

/// "Name: value" lines. errors: a line without a colon; the rest is the handshake's to judge.
transports::Expected<std::vector<websocket::HttpHeader>> headers_of(std::string_view lines) {
  std::vector<websocket::HttpHeader> headers;
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.empty()) continue;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0)
      return tl::make_unexpected(transports::Error{"a header must be written as `Name: value`", 0});
    std::string_view value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    headers.push_back({std::string(line.substr(0, colon)), std::string(value)});
  }
  return headers;
}

bool is_credentials_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
  });
}

}  // namespace

/// What is the same upstream has the same key, however it was written. An URL or a venue that means nothing stays as it
/// is: it opens nothing.
std::string FeedRegistry::key_of(const OpenRequest& wanted) {
  std::string url = wanted.url;
  std::string venue = wanted.venue;
  if (const auto parsed = websocket::parse_url(wanted.url)) {
    url = parsed->normal();
    if (const auto resolved = venues::venue_for(wanted.venue, parsed->host))
      venue = venues::to_string(*resolved);
  }
  std::string headers = wanted.headers;
  if (const auto parsed = headers_of(wanted.headers)) {
    headers.clear();
    for (const websocket::HttpHeader& header : *parsed)
      headers += header.name + ": " + header.value + "\n";
  }
  return fmt::format("{}{}{}{}{}{}{}{}{}", url, kSeparator, wanted.credentials, kSeparator, headers,
                     kSeparator, wanted.subprotocol, kSeparator, venue);
}

std::string FeedRegistry::shown_url(const std::string& url) {
  return url.substr(0, url.find('?'));  // a query may hold a token
}

FeedRegistry::FeedRegistry(RegistryOptions options, FeedPort& port, Audience& audience)
    : options_(std::move(options)), port_(port), audience_(audience) {}
FeedRegistry::~FeedRegistry() = default;

void FeedRegistry::adopt(const upstream::FeedParts& parts, const OpenRequest& as) {
  auto feed = std::make_unique<Feed>(parts);
  feed->configured = true;
  feed->key = key_of(as);
  feed->as = as;
  by_key_[feed->key] = feed->id;
  feeds_[feed->id] = std::move(feed);
}

std::string FeedRegistry::why_not_allowed(const OpenRequest& wanted) const {
  const auto url = websocket::parse_url(wanted.url);
  if (!url) return {};  // which is a fault of its own
  if (options_.allow_open.empty() && options_.may_open_any) return {};
  for (const std::string& prefix : options_.allow_open) {
    const auto parsed = websocket::parse_url(prefix);
    if (begins_with(url->normal(), parsed ? parsed->normal() : prefix)) return {};
  }
  if (options_.allow_open.empty())
    return fmt::format(
        "{} may not be opened: this proxy has a --local-group and no --allow-open, so its clients "
        "may open nothing but its own --upstream",
        shown(*url));
  return fmt::format("{} may not be opened: the proxy's --allow-open has {}", shown(*url),
                     fmt::join(options_.allow_open, ", "));
}

/// Whoever set the variables only now meets a proxy that has the environment of before.
std::string FeedRegistry::missing_credentials(const std::string& name,
                                              const venues::Credentials& found) const {
  const bool key = found.reveal_key().empty();
  const bool secret = found.reveal_secret().empty();
  if (!key && !secret) return {};
  const std::string which = (key ? name + "_KEY" : "") + (key && secret ? " and " : "") +
                            (secret ? name + "_SECRET" : "");
  if (restoring_) return "the environment of this process has no " + which;
  const std::int64_t running_s = (MonotonicInstant::now() - since_) / 1'000'000'000;
  return fmt::format(
      "the environment of the proxy (pid {}, running for {} s) has no {}: set them and run "
      "`feedproxy --replace --detach --local-socket {}` (with its other arguments, if `ps -o args= "
      "{}` shows some), or stop it: kill {}",
      ::getpid(), running_s, which, options_.local_socket, ::getpid(), ::getpid());
}

transports::Expected<std::unique_ptr<upstream::FeedParts>> FeedRegistry::make_parts(
    const OpenRequest& wanted, FeedId id) {
  upstream::LinkOptions link = options_.link;
  auto url = websocket::parse_url(wanted.url);
  if (!url) return tl::make_unexpected(url.error());
  link.url = std::move(*url);
  auto venue = venues::venue_for(wanted.venue, link.url.host);
  if (!venue) return tl::make_unexpected(venue.error());
  auto headers = headers_of(wanted.headers);
  if (!headers) return tl::make_unexpected(headers.error());
  link.login = {};
  link.login.venue = *venue;
  link.headers = std::move(*headers);
  if (!wanted.subprotocol.empty()) link.subprotocols = {wanted.subprotocol};
  link.seed = std::random_device{}();
  if (!wanted.credentials.empty()) {
    const std::string& name = wanted.credentials;
    if (!is_credentials_name(name))
      return tl::make_unexpected(
          transports::Error{"credentials are named by capital letters, digits and _ (the name of "
                            "what the proxy holds, "
                            "never the secret itself)",
                            0});
    link.login.credentials = options_.credentials(name);
    if (std::string missing = missing_credentials(name, link.login.credentials); !missing.empty())
      return tl::make_unexpected(transports::Error{std::move(missing), 0});
  } else if (*venue == venues::Venue::alpaca) {
    return tl::make_unexpected(transports::Error{
        "alpaca needs a key and a secret: give `credentials` a NAME, and the proxy's environment "
        "NAME_KEY and NAME_SECRET",
        0});
  }
  auto log = options_.logs->take();
  if (!log) return tl::make_unexpected(log.error());
  auto parts = std::make_unique<upstream::FeedParts>(id, std::move(*log), std::move(link));
  if (!parts->log.huge_pages_refused().empty())
    spdlog::warn("ordinary pages instead of huge ones: {}", parts->log.huge_pages_refused());
  parts->ingest = options_.ingest;
  if (parts->link.url.tls) {
    tls::TlsClientOptions wanted_tls = options_.tls;
    wanted_tls.server_name = parts->link.url.host;
    auto tls = tls::TlsContext::client(wanted_tls);
    if (!tls) return tl::make_unexpected(tls.error());
    parts->tls = std::move(*tls);
  }
  return parts;
}

FeedRegistry::Feed* FeedRegistry::create(UserId user, std::uint32_t request,
                                         const OpenRequest& wanted, const std::string& key) {
  if (const std::string why = why_not_allowed(wanted); !why.empty()) {
    fail(user, request, Errc::not_allowed, why);
    return nullptr;
  }
  if (feeds_.size() >= options_.feeds_max) {
    fail(user, request, Errc::too_many,
         fmt::format("{} upstreams are open, which is the most this proxy takes (feeds_max)",
                     feeds_.size()));
    return nullptr;
  }
  auto parts = make_parts(wanted, next_feed_);
  if (!parts) {
    const bool kernel = parts.error().os_error != 0;
    fail(user, request, kernel ? Errc::system : Errc::bad_request, parts.error().message);
    return nullptr;
  }
  ++next_feed_;
  return &add(std::move(*parts), wanted, key);
}

/// Registers the feed, and has the data thread begin with it.
FeedRegistry::Feed& FeedRegistry::add(std::unique_ptr<upstream::FeedParts> parts,
                                      const OpenRequest& as, const std::string& key) {
  auto feed = std::make_unique<Feed>(*parts);
  feed->key = key;
  feed->as = as;
  Feed& made = *feed;
  by_key_[key] = made.id;
  feeds_[made.id] = std::move(feed);
  FeedCommand command;
  command.kind = FeedCommand::Kind::add;
  command.feed = made.id;
  command.parts = std::move(parts);
  port_.commands.post(std::move(command));
  return made;
}

void FeedRegistry::open(UserId user, std::uint32_t request, const OpenRequest& wanted,
                        const std::shared_ptr<ClientBell>& bell, MonotonicInstant now) {
  if (unanswered_[user] >= options_.requests_max)
    return fail(user, request, Errc::too_many, "too many requests wait for an answer");
  FeedId id = wanted.feed;
  std::string key;
  if (id == 0 && wanted.url.empty()) {
    id = 1;
    if (feeds_.count(id) == 0)
      return fail(user, request, Errc::bad_request,
                  "no URL was given, and this proxy has no upstream of its own");
  } else if (id == 0) {
    key = key_of(wanted);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) id = found->second;
  }
  Feed* feed = nullptr;
  if (id != 0) {
    const auto found = feeds_.find(id);
    if (found == feeds_.end() || (wanted.feed != 0 && found->second->removing))
      return fail(user, request, Errc::no_such_feed, fmt::format("feed {} is not open", id));
    feed = found->second.get();
  }
  if (wanted.watch) {
    if (feed == nullptr || feed->removing)
      return fail(user, request, Errc::no_such_feed, "a monitor opens what is open already");
    return static_cast<void>(tell_opened(*feed, user, request, false, 0));
  }
  if (feed != nullptr && feed->removing) {
    ++unanswered_[user];
    feed->deferred.push_back({user, request, wanted, bell});
    return;
  }
  if (feeds_of(user).size() >= feedproxy::control::kFeedsPerClientMax &&
      (feed == nullptr || feed->users.count(user) == 0))
    return fail(
        user, request, Errc::too_many,
        fmt::format("a client may have {} feeds open", feedproxy::control::kFeedsPerClientMax));
  const bool is_new = feed == nullptr;
  if (is_new) feed = create(user, request, wanted, key);
  if (feed != nullptr) join(*feed, user, request, wanted, bell, is_new, now);
}

void FeedRegistry::join(Feed& feed, UserId user, std::uint32_t request, const OpenRequest& wanted,
                        const std::shared_ptr<ClientBell>& bell, bool is_new,
                        MonotonicInstant now) {
  Feed::User& entry = feed.users[user];
  ++entry.opens;
  ++unanswered_[user];
  Opening opening{user, request, next_tag_++, wanted.flags, is_new, false, now + wanted.timeout_ns};
  // Each open is attached anew (a second attach of one bell is not done), so that its answer follows the first frame
  // that will ring.
  FeedCommand command;
  command.kind = FeedCommand::Kind::attach;
  command.feed = feed.id;
  command.tag = opening.tag;
  if (entry.bell == nullptr) command.bell = bell;
  entry.bell = bell;
  feed.openings.push_back(opening);
  port_.commands.post(std::move(command));
}

void FeedRegistry::answer_openings(Feed& feed, MonotonicInstant now) {
  const auto ready = [&](const Opening& opening) {
    return opening.attached &&
           (feed.state == FeedState::live || (opening.flags & feedproxy::control::kOpenNow) != 0);
  };
  std::vector<UserId> failed;
  for (std::size_t i = 0; i < feed.openings.size();) {
    if (!ready(feed.openings[i])) {
      ++i;
      continue;
    }
    const Opening opening = feed.openings[i];
    feed.openings.erase(feed.openings.begin() + static_cast<std::ptrdiff_t>(i));
    --unanswered_[opening.user];
    if (!tell_opened(feed, opening.user, opening.request, opening.is_new, opening.flags))
      failed.push_back(opening.user);
  }
  for (const UserId user : failed) drop_user(feed, user, false, now);
}

bool FeedRegistry::tell_opened(Feed& feed, UserId user, std::uint32_t request, bool is_new,
                               std::uint64_t flags) {
  Head head;
  head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::done);
  head.request = request;
  head.feed = feed.id;
  head.values = {is_new ? 1U : 0U, 0, static_cast<std::uint64_t>(feed.state)};
  if ((flags & feedproxy::control::kOpenLastValues) == 0) {
    audience_.tell(user, head, {}, {feed.log.share_descriptor()});
    return true;
  }
  if (!feed.last_values) feed.last_values = std::make_unique<LastValues>(feed.log, feed.venue);
  const auto values = feed.last_values->snapshot(head.values[1]);
  if (values)
    audience_.tell(user, head, {}, {feed.log.share_descriptor(), values->get()});
  else
    fail(user, request, Errc::system, values.error().message);
  return values.has_value();
}

void FeedRegistry::fail_openings(Feed& feed, Errc code, const std::string& why,
                                 MonotonicInstant now) {
  for (const Opening& opening : std::exchange(feed.openings, {})) {
    --unanswered_[opening.user];
    fail(opening.user, opening.request, code, why);
    drop_user(feed, opening.user, false, now);
  }
}

FeedRegistry::Feed* FeedRegistry::find(FeedId feed, UserId user) {
  const auto found = feeds_.find(feed);
  if (found == feeds_.end() || found->second->removing || found->second->users.count(user) == 0)
    return nullptr;
  return found->second.get();
}

FeedRegistry::Feed* FeedRegistry::find_or_fail(FeedId feed, UserId user, std::uint32_t request) {
  Feed* const found = find(feed, user);
  if (found == nullptr)
    fail(user, request, Errc::no_such_feed, fmt::format("feed {} is not open here", feed));
  return found;
}

void FeedRegistry::close(UserId user, std::uint32_t request, FeedId id, MonotonicInstant now) {
  Feed* const feed = find_or_fail(id, user, request);
  if (feed == nullptr) return;
  drop_user(*feed, user, false, now);
  done(user, request);
}

void FeedRegistry::send(UserId user, std::uint32_t request, FeedId id, websocket::Opcode opcode,
                        std::string_view bytes) {
  const Feed* const feed = find_or_fail(id, user, request);
  if (feed == nullptr) return;
  if (unanswered_[user] >= options_.requests_max)
    return fail(user, request, Errc::too_many, "too many requests wait for an answer");
  ++unanswered_[user];
  FeedCommand command;
  command.kind = FeedCommand::Kind::send;
  command.feed = id;
  command.tag = next_tag_++;
  command.text = bytes;
  command.opcode = opcode;
  sending_[command.tag] = {user, request};
  port_.commands.post(std::move(command));
}

void FeedRegistry::subscribe(UserId user, std::uint32_t request, FeedId id,
                             upstream::SubscriptionRequest wanted, MonotonicInstant now) {
  Feed* const feed = find_or_fail(id, user, request);
  if (feed == nullptr) return;
  if (unanswered_[user] >= options_.requests_max)
    return fail(user, request, Errc::too_many, "too many requests wait for an answer");
  ++unanswered_[user];
  feed->book.subscribe(user, request, std::move(wanted), now);
  pump(*feed);
}

void FeedRegistry::unsubscribe(UserId user, std::uint32_t request, FeedId id,
                               std::string_view symbol, std::string_view kind,
                               MonotonicInstant now) {
  Feed* const feed = find_or_fail(id, user, request);
  if (feed == nullptr) return;
  ++unanswered_[user];
  feed->book.unsubscribe(user, request, symbol, kind, now);
  pump(*feed);
}

/// Does what the book wants done: requests to the venue, answers to the clients.
void FeedRegistry::pump(Feed& feed) {
  if (feed.book.awaiting_answer() != feed.watching) {
    feed.watching = feed.book.awaiting_answer();
    FeedCommand command;
    command.kind = FeedCommand::Kind::watch_answers;
    command.feed = feed.id;
    command.on = feed.watching;
    port_.commands.post(std::move(command));
  }
  for (std::string& text : feed.book.take_requests()) {
    FeedCommand command;
    command.kind = FeedCommand::Kind::send;
    command.feed = feed.id;
    command.text = std::move(text);
    port_.commands.post(std::move(command));
  }
  for (const auto& result : feed.book.take_results()) {
    --unanswered_[result.user];
    if (result.error.empty())
      done(result.user, result.request_id, {result.existing ? 1U : 0U, 0, 0});
    else
      fail(result.user, result.request_id, Errc::venue_refused, result.error);
  }
}

void FeedRegistry::drop_user(Feed& feed, UserId user, bool all, MonotonicInstant now) {
  const auto found = feed.users.find(user);
  if (found == feed.users.end()) return;
  if (!all && --found->second.opens > 0) return;
  post(FeedCommand::Kind::detach, feed.id, found->second.bell);
  feed.users.erase(found);
  feed.book.user_gone(user, now);
  if (feed.users.empty() && !feed.configured)
    begin_removal(feed);
  else
    pump(feed);
}

void FeedRegistry::begin_removal(Feed& feed) {
  if (std::exchange(feed.removing, true)) return;
  post(FeedCommand::Kind::remove, feed.id);
}

void FeedRegistry::finish_removal(FeedEvent& event, MonotonicInstant now) {
  const auto found = feeds_.find(event.feed);
  if (found == feeds_.end()) return;
  const std::unique_ptr<Feed> feed = std::move(found->second);
  feeds_.erase(found);
  if (const auto key = by_key_.find(feed->key); key != by_key_.end() && key->second == feed->id)
    by_key_.erase(key);
  event.parts.reset();
  for (Feed::Deferred& waiting : feed->deferred) {
    const auto user = unanswered_.find(waiting.user);
    if (user == unanswered_.end()) continue;  // gone meanwhile
    --user->second;
    open(waiting.user, waiting.request, waiting.wanted, waiting.bell, now);
  }
}

void FeedRegistry::user_gone(UserId user, MonotonicInstant now) {
  unanswered_.erase(user);
  std::erase_if(sending_, [user](const auto& entry) { return entry.second.user == user; });
  for (auto& [id, feed] : feeds_) {
    std::erase_if(feed->openings, [user](const Opening& opening) { return opening.user == user; });
    std::erase_if(feed->deferred,
                  [user](const Feed::Deferred& waiting) { return waiting.user == user; });
    if (!feed->removing) drop_user(*feed, user, true, now);
  }
}

void FeedRegistry::tell_users(const Feed& feed, Event event, std::uint64_t value,
                              const std::string& text) {
  Head head;
  head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::event);
  head.feed = feed.id;
  head.code = static_cast<std::uint32_t>(event);
  head.values[0] = value;
  for (const auto& [user, entry] : feed.users) audience_.tell(user, head, {text}, {});
}

void FeedRegistry::on_event(FeedEvent event, MonotonicInstant now) {
  if (event.kind == FeedEvent::Kind::removed) return finish_removal(event, now);
  if (event.kind == FeedEvent::Kind::sent) {
    const auto found = sending_.find(event.tag);
    if (found == sending_.end()) return;
    const Sending sending = found->second;
    sending_.erase(found);
    --unanswered_[sending.user];
    switch (event.result) {
      case upstream::SendResult::taken:
        return done(sending.user, sending.request);
      case upstream::SendResult::not_live:
        return fail(sending.user, sending.request, Errc::upstream_down,
                    "the upstream is not connected at the moment");
      case upstream::SendResult::too_much:
        return fail(sending.user, sending.request, Errc::too_many,
                    "the venue does not read: too many bytes wait to be sent already");
    }
  }
  const auto found = feeds_.find(event.feed);
  if (found == feeds_.end() || found->second->removing) return;
  Feed& feed = *found->second;
  switch (event.kind) {
    case FeedEvent::Kind::ready:
      was_of_use_ = true;
      feed.state = FeedState::live;
      ++feed.connects;
      feed.book.upstream_ready(now);
      tell_users(feed, Event::upstream_ready, feed.connects, {});
      answer_openings(feed, now);
      return pump(feed);
    case FeedEvent::Kind::lost:
      feed.last_error = event.text;
      if (feed.state == FeedState::live) {
        feed.state = FeedState::lost;
        feed.book.upstream_lost(now);
      }
      tell_users(feed, Event::upstream_lost, static_cast<std::uint64_t>(event.wait_ns / 1'000'000),
                 event.text);
      return pump(feed);
    case FeedEvent::Kind::refused:
      fail_openings(feed, Errc::venue_refused, event.text, now);
      if (feed.removing) return;
      tell_users(feed, Event::upstream_ended, 0, event.text);
      while (!feed.users.empty()) drop_user(feed, feed.users.begin()->first, true, now);
      return;
    case FeedEvent::Kind::answer:
      feed.book.on_answer(event.text, now);
      return pump(feed);
    case FeedEvent::Kind::attached:
      for (Opening& opening : feed.openings)
        if (opening.tag == event.tag) opening.attached = true;
      return answer_openings(feed, now);
    default:
      return;
  }
}

void FeedRegistry::on_time(MonotonicInstant now) {
  for (auto& [id, feed] : feeds_) {
    if (feed->removing) continue;
    std::vector<Opening> late;
    std::erase_if(feed->openings, [&](const Opening& opening) {
      const bool over = now >= opening.deadline;
      if (over) late.push_back(opening);
      return over;
    });
    for (const Opening& opening : late) {
      --unanswered_[opening.user];
      fail(opening.user, opening.request, Errc::timed_out,
           "the upstream did not open in time" +
               (feed->last_error.empty() ? "" : ": " + feed->last_error));
      drop_user(*feed, opening.user, false, now);
    }
    if (feed->removing) continue;
    if (feed->last_values && now >= feed->follow_at) {
      feed->last_values->follow();
      feed->follow_at = now + kFollowEveryNs;
    }
    feed->book.on_time(now);
    pump(*feed);
  }
}

MonotonicInstant FeedRegistry::next_deadline() const {
  MonotonicInstant next{INT64_MAX};
  for (const auto& [id, feed] : feeds_) {
    if (feed->removing) continue;
    next = std::min(next, feed->book.next_deadline());
    if (feed->last_values) next = std::min(next, feed->follow_at);
    for (const Opening& opening : feed->openings) next = std::min(next, opening.deadline);
  }
  return next;
}

std::vector<FeedId> FeedRegistry::feeds_of(UserId user) const {
  std::vector<FeedId> ids;
  for (const auto& [id, feed] : feeds_)
    if (feed->users.count(user) != 0) ids.push_back(id);
  return ids;
}

nlohmann::json FeedRegistry::status() const {
  static constexpr const char* kStates[] = {"connecting", "live", "lost"};
  nlohmann::json all = nlohmann::json::array();
  for (const auto& [id, feed] : feeds_) {
    const rings::ProxyStats& stats = feed->log.stats();
    all.push_back({{"feed", id},
                   {"url", shown(feed->url)},
                   {"venue", std::string(venues::to_string(feed->venue))},
                   {"state", feed->removing ? "closing" : kStates[static_cast<int>(feed->state)]},
                   {"clients", feed->users.size()},
                   {"ws_clients", stats.clients.value()},
                   {"frames", stats.frames.value()},
                   {"bytes", stats.bytes.value()},
                   {"connects", stats.upstream_connects.value()},
                   {"losses", stats.upstream_losses.value()},
                   {"ring_bytes", feed->log.ring_bytes()},
                   {"last_error", feed->last_error}});
  }
  return all;
}

void FeedRegistry::done(UserId user, std::uint32_t request,
                        const std::array<std::uint64_t, 3>& values) {
  Head head;
  head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::done);
  head.request = request;
  head.values = values;
  audience_.tell(user, head, {}, {});
}

void FeedRegistry::fail(UserId user, std::uint32_t request, Errc code, const std::string& why) {
  Head head;
  head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::failed);
  head.request = request;
  head.code = static_cast<std::uint32_t>(code);
  audience_.tell(user, head, {why}, {});
}

void FeedRegistry::post(FeedCommand::Kind kind, FeedId feed,
                        const std::shared_ptr<ClientBell>& bell) {
  FeedCommand command;
  command.kind = kind;
  command.feed = feed;
  command.bell = bell;
  port_.commands.post(std::move(command));
}

}  // namespace feedbench::local
