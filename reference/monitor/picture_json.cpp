#include "reference/monitor/picture_json.hpp"

#include <nlohmann/json.hpp>

namespace feedbench::monitor {
namespace {

using nlohmann::json;

template <class T>
json or_null(const std::optional<T>& value) {
  return value ? json(*value) : json();
}

json stages_json(const StageRow& row) {
  json all = {{"sampled", row.sampled}, {"published", row.published}, {"span_ns", row.span_ns}};
  for (std::size_t i = 0; i < kIntervals; ++i) {
    const Quantiles& of = row.intervals[i];
    all[std::string(kIntervalNames[i])] = {{"p50_ns", or_null(of.p50_ns)},
                                           {"p99_ns", or_null(of.p99_ns)},
                                           {"count", of.count},
                                           {"negative", of.negative}};
  }
  return all;
}

json feed_json(const FeedRow& row) {
  const FeedStatus& feed = row.status;
  return {{"feed", feed.feed},
          {"url", feed.url},
          {"venue", feed.venue},
          {"state", feed.state},
          {"local_clients", feed.clients},
          {"ws_clients", feed.ws_clients},
          {"messages", feed.messages},
          {"bytes", feed.bytes},
          {"messages_per_s", or_null(row.messages_per_s)},
          {"bytes_per_s", or_null(row.bytes_per_s)},
          {"connects", feed.connects},
          {"losses", feed.losses},
          {"last_error", feed.last_error},
          {"stages", row.stages ? stages_json(*row.stages) : json()}};
}

json client_json(const ClientRow& row) {
  json client = {{"id", row.id},
                 {"name", row.name},
                 {"pid", row.pid},
                 {"waiting", row.waiting},
                 {"feed", row.feed == 0 ? json() : json(row.feed)},
                 {"sequence", nullptr},
                 {"messages", nullptr},
                 {"missed", nullptr},
                 {"lag_messages", or_null(row.lag_messages)},
                 {"messages_per_s", or_null(row.messages_per_s)},
                 {"missed_per_s", or_null(row.missed_per_s)}};
  if (row.cursor) {
    client["sequence"] = row.cursor->sequence;
    client["messages"] = row.cursor->messages;
    client["missed"] = row.cursor->missed;
  }
  return client;
}

}  // namespace

json to_json(const Picture& picture) {
  json all = {{"taken_at", picture.taken_at},
              {"path", picture.path},
              {"pid", picture.pid},
              {"version", picture.version},
              {"uptime_ns", picture.uptime_ns},
              {"interval_ns", picture.interval_ns},
              {"note", picture.note},
              {"local_clients", picture.local_clients},
              {"ws_clients", picture.ws_clients},
              {"monitors", picture.monitors},
              {"feeds", json::array()},
              {"clients", json::array()}};
  for (const FeedRow& row : picture.feeds) all["feeds"].push_back(feed_json(row));
  for (const ClientRow& row : picture.clients) all["clients"].push_back(client_json(row));
  return all;
}

}  // namespace feedbench::monitor
