#include "reference/local/status_text.hpp"

#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

namespace feedbench::local {
namespace {

const char* name_of_waiting(const feedproxy::ClientPage& page) {
  switch (static_cast<feedproxy::Waiting>(
      feedproxy::waiting_of(page).load(std::memory_order_relaxed))) {
    case feedproxy::Waiting::no:
      return "no";
    case feedproxy::Waiting::futex:
      return "futex";
    case feedproxy::Waiting::doorbell:
      return "doorbell";
  }
  return "unknown";  // the page is the client's, and may hold anything
}

}  // namespace

std::string status_text(const std::vector<std::unique_ptr<ControlSession>>& sessions,
                        const FeedRegistry& registry, std::int64_t uptime_ns) {
  nlohmann::json all = {{"pid", ::getpid()},
                        {"version", FEEDBENCH_VERSION},
                        {"uptime_ns", uptime_ns},
                        {"feeds", registry.status()},
                        {"clients", nlohmann::json::array()}};
  for (const auto& each : sessions) {
    if (!each->greeted) continue;
    const feedproxy::ClientPage& page = each->bell->page();
    nlohmann::json cursors = nlohmann::json::array();
    for (const feedproxy::PageCursor& cursor : page.cursors) {
      const std::uint64_t feed = cursor.feed.load(std::memory_order_relaxed);
      if (feed == 0) continue;
      cursors.push_back({{"feed", feed},
                         {"sequence", cursor.sequence.load(std::memory_order_relaxed)},
                         {"messages", cursor.messages.load(std::memory_order_relaxed)},
                         {"missed", cursor.missed_messages.load(std::memory_order_relaxed)}});
    }
    all["clients"].push_back({{"id", each->id},
                              {"name", each->name},
                              {"pid", each->pid},
                              {"uid", each->uid},
                              {"monitor", each->monitor},
                              {"waiting", name_of_waiting(page)},
                              {"feeds", registry.feeds_of(each->id)},
                              {"cursors", std::move(cursors)}});
  }
  // What a venue said may not be UTF-8.
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace feedbench::local
