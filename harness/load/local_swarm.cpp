#include "harness/load/local_swarm.hpp"

#include <fmt/format.h>

namespace feedbench::load {

transports::Expected<void> LocalSwarm::connect(const std::string& socket_path,
                                               std::uint32_t total) {
  try {
    while (clients_.size() < total && clients_.size() < clients_max_) {
      Member member;
      member.client = std::make_unique<feedproxy::Client>(
          fmt::format("load-{}", clients_.size()), feedproxy::ClientOptions{.path = socket_path});
      member.feed = member.client->open({.now = true}).feed;
      clients_.push_back(std::move(member));
    }
  } catch (const feedproxy::Error& error) {
    return tl::unexpected(transports::Error{error.what(), 0});
  }
  return {};
}

void LocalSwarm::end(std::uint32_t client, feedproxy::Pull how, const feedproxy::Gap& gap) {
  clients_[client].ended = true;
  ++closed_;
  if (first_failure_.empty()) {
    first_failure_ =
        how == feedproxy::Pull::gap
            ? fmt::format("client {}: lapped, {} messages were missed", client, gap.missed_messages)
            : fmt::format("client {}: the feed was closed", client);
  }
  checker_.on_end(client);
}

void LocalSwarm::close_all() {
  for (std::uint32_t client = 0; client < clients_.size(); ++client)
    if (!clients_[client].ended) checker_.on_end(client);
  clients_.clear();
}

}  // namespace feedbench::load
