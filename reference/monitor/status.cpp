#include "reference/monitor/status.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace feedbench::monitor {
namespace {

using nlohmann::json;

FeedStatus feed_of(const json& from) {
  FeedStatus feed;
  from.at("feed").get_to(feed.feed);
  from.at("url").get_to(feed.url);
  from.at("venue").get_to(feed.venue);
  from.at("state").get_to(feed.state);
  from.at("clients").get_to(feed.clients);
  from.at("ws_clients").get_to(feed.ws_clients);
  from.at("frames").get_to(feed.messages);
  from.at("bytes").get_to(feed.bytes);
  from.at("connects").get_to(feed.connects);
  from.at("losses").get_to(feed.losses);
  from.at("last_error").get_to(feed.last_error);
  return feed;
}

ClientStatus client_of(const json& from) {
  ClientStatus client;
  from.at("id").get_to(client.id);
  from.at("name").get_to(client.name);
  from.at("pid").get_to(client.pid);
  from.at("monitor").get_to(client.monitor);
  from.at("waiting").get_to(client.waiting);
  from.at("feeds").get_to(client.feeds);
  for (const json& each : from.at("cursors")) {
    CursorStatus cursor;
    each.at("feed").get_to(cursor.feed);
    each.at("sequence").get_to(cursor.sequence);
    each.at("messages").get_to(cursor.messages);
    each.at("missed").get_to(cursor.missed);
    client.cursors.push_back(cursor);
  }
  return client;
}

}  // namespace

const FeedStatus* ProxyStatus::find_feed(std::uint64_t feed) const noexcept {
  const auto found = std::find_if(feeds.begin(), feeds.end(),
                                  [feed](const FeedStatus& each) { return each.feed == feed; });
  return found == feeds.end() ? nullptr : &*found;
}

const ClientStatus* ProxyStatus::find_client(std::uint64_t id) const noexcept {
  const auto found = std::find_if(clients.begin(), clients.end(),
                                  [id](const ClientStatus& each) { return each.id == id; });
  return found == clients.end() ? nullptr : &*found;
}

transports::Expected<ProxyStatus> parse_status(std::string_view text) {
  try {
    const json all = json::parse(text);
    ProxyStatus status;
    all.at("pid").get_to(status.pid);
    all.at("version").get_to(status.version);
    all.at("uptime_ns").get_to(status.uptime_ns);
    for (const json& each : all.at("feeds")) status.feeds.push_back(feed_of(each));
    for (const json& each : all.at("clients")) status.clients.push_back(client_of(each));
    return status;
  } catch (const json::exception& failure) {
    return tl::make_unexpected(transports::Error{
        fmt::format("the proxy's status is not one that this version of feedproxy understands ({})",
                    failure.what()),
        0});
  }
}

}  // namespace feedbench::monitor
