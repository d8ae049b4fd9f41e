#include "harness/simulate/simulation.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <stdexcept>
#include <utility>

#include "harness/simulate/clients.hpp"
#include "harness/simulate/log_readers.hpp"
#include "harness/simulate/plan.hpp"
#include "harness/simulate/venue.hpp"
#include "harness/simulate/world.hpp"
#include "reference/proxy/proxy.hpp"
#include "reference/upstream/feed_parts.hpp"
#include "transports/sim/sim_transport.hpp"

namespace feedbench::simulate {
namespace {

using transports::MonotonicInstant;
using transports::SimTransport;

upstream::FeedParts make_parts(const Plan& plan) {
  const proxy::ProxyConfig& config = plan.config;
  auto log = rings::FeedLogWriter::create({.ring_bytes = config.ring_bytes,
                                           .index_lines = config.index_lines,
                                           .memory = {.pre_fault = false}});
  if (!log) throw log.error();
  upstream::LinkOptions link;
  link.url = {false, Venue::kEndpoint.address, Venue::kEndpoint.port, "/"};
  link.backoff_first_ns = config.backoff_first_ms * kMs;
  link.backoff_longest_ns = config.backoff_longest_ms * kMs;
  link.open_timeout_ns = config.upstream_open_timeout_ms * kMs;
  link.idle_ns = config.upstream_idle_ms * kMs;
  link.seed = plan.seed;
  link.reproducible = true;
  upstream::FeedParts parts(1, std::move(*log), std::move(link));
  parts.ingest.message_max_bytes = config.message_max_bytes;
  return parts;
}

/// The network's three nodes and the clock that moves them.
class Simulation {
 public:
  explicit Simulation(World& world)
      : world_(world),
        parts_(make_parts(world.plan)),
        transport_(
            {.connections_max = proxy::Proxy<SimTransport>::connections_max(world.plan.config)},
            world.network),
        proxy_(std::in_place, transport_, proxy::ProxyParts{world.plan.config, status_, &parts_}),
        watcher_(world, parts_.log),
        lazy_(world, parts_.log),
        venue_(world),
        clients_(world) {
    world_.network.faults_of_links([this](const transports::Endpoint& to) {
      if (to == world_.plan.config.listen) return std::exchange(world_.next_link, {});
      return world_.healing ? Faults{} : venue_link(world_.plan.venue, world_.random);
    });
    if (auto bound = transport_.listen(world.plan.config.listen, {}); !bound) throw bound.error();
  }

  Outcome run() {
    proxy_->start();
    run_for(world_.plan.session_ns);
    heal();
    if (world_.faults.empty()) stop();
    return outcome();
  }

 private:
  /// The longest that anything takes to be noticed: silence that ends, a link that does not, a slow wire.
  static constexpr std::int64_t kHealNs = 70 * kSecond;
  static constexpr std::int64_t kStopNs = 10 * kSecond;
  static constexpr unsigned kTurnsAtOneInstant =
      5'000'000;  // a client may read half a megabyte by the byte

  void heal() {
    world_.say("--- the session is over: everything heals");
    world_.healing = true;
    venue_.heal();
    clients_.heal();
    run_for(kHealNs);
    // The proof that it works: one more message goes to everybody.
    if (!venue_.send_last())
      return world_.fault("the proxy is not connected to its venue any more");
    run_for(kSecond);
    if (!venue_.all_published()) world_.fault("what the venue sent is not published");
    clients_.check_living();
    const rings::ProxyStats& stats = parts_.log.stats();
    if (stats.frames.value() != world_.tape.published().size())
      world_.fault("the proxy counts {} messages, and published {}", stats.frames.value(),
                   world_.tape.published().size());
    if (stats.clients.value() < clients_.sure_to_stream())
      world_.fault("the proxy counts {} clients, and there are {}", stats.clients.value(),
                   clients_.sure_to_stream());
  }

  void stop() {
    world_.say("--- the proxy is told to stop");
    world_.stopping = true;
    proxy_->stop();
    run_for(kStopNs);
    if (runs_) return world_.fault("the proxy does not stop");
    clients_.check_ended();
    // What is left is cut when the transport goes; nothing else may be.
    if (parts_.log.stats().clients.value() != transport_.connections() &&
        transport_.connections() > world_.plan.clients.size())
      world_.fault("{} connections are left", transport_.connections());
    proxy_.reset();
  }

  Outcome outcome() const {
    Outcome outcome;
    const rings::ProxyStats& stats = parts_.log.stats();
    outcome.seed = world_.plan.seed;
    outcome.faults = world_.faults;
    outcome.trace = world_.network.trace();
    outcome.messages = world_.tape.published().size();
    outcome.delivered = world_.delivered;
    outcome.clients = world_.plan.clients.size();
    outcome.evictions = stats.clients_evicted.value();
    outcome.upstream_losses = stats.upstream_losses.value() + stats.upstream_failures.value();
    outcome.lapped = lazy_.missed();
    outcome.virtual_seconds = static_cast<double>(world_.now()) / 1e9;
    return outcome;
  }

  void run_for(std::int64_t ns) {
    const std::int64_t end_ns = world_.network.now().ns + ns;
    while (world_.faults.empty()) {
      settle();
      const std::int64_t next_ns =
          std::min({world_.network.next_event().ns, venue_.acts_at_ns(), clients_.acts_at_ns(),
                    runs_ ? proxy_->next_due().ns : INT64_MAX});
      if (next_ns > end_ns) break;
      world_.network.advance_to({next_ns});
    }
    world_.network.advance_to({end_ns});
  }

  /// Everybody does what there is to do at this instant, in any order.
  void settle() {
    for (unsigned turns = 0;; ++turns) {
      bool busy = false;
      const std::uint64_t first = world_.network.random().below(3);
      for (std::uint64_t i = 0; i < 3; ++i) busy |= serve((first + i) % 3);
      if (!busy) return;
      if (turns == kTurnsAtOneInstant)
        return world_.fault("time stands still: there is always something to do ({})",
                            who_is_busy());
    }
  }

  [[nodiscard]] std::string who_is_busy() const {
    const std::int64_t now = world_.network.now().ns;
    std::string who;
    if (transport_.has_work()) who += "the proxy's transport, ";
    if (runs_ && proxy_->next_due().ns <= now) who += "the proxy's clock, ";
    if (venue_.has_work() || venue_.acts_at_ns() <= now) who += "the venue, ";
    if (clients_.has_work() || clients_.acts_at_ns() <= now) who += "the clients, ";
    return who.empty() ? "in turns" : who.substr(0, who.size() - 2);
  }

  bool serve(std::uint64_t node) {
    world_.network.deliver_due();
    const std::int64_t now = world_.network.now().ns;
    if (node == 0) {
      if (!runs_ || !(transport_.has_work() || proxy_->next_due().ns <= now)) return false;
      runs_ = proxy_->turn();
      watcher_.read();
      if (world_.network.random().one_in(40)) lazy_.read(world_.network.random().below(200));
    } else if (node == 1) {
      if (!venue_.has_work() && venue_.acts_at_ns() > now) return false;
      venue_.serve();
      if (venue_.acts_at_ns() <= now) venue_.act();
    } else {
      if (!clients_.has_work() && clients_.acts_at_ns() > now) return false;
      clients_.serve();
      if (clients_.acts_at_ns() <= now) clients_.act();
    }
    return true;
  }

  World& world_;
  program::StatusLines status_;
  upstream::FeedParts parts_;
  SimTransport transport_;
  std::optional<proxy::Proxy<SimTransport>> proxy_;
  LogWatcher watcher_;
  LazyReader lazy_;
  Venue venue_;
  Clients clients_;
  bool runs_ = true;
};

}  // namespace

Outcome run_simulation(std::uint64_t seed, bool verbose) {
  return run_simulation(make_plan(seed), verbose);
}

Outcome run_simulation(const Plan& plan, bool verbose) {
  World world(plan, verbose);
  Outcome outcome;
  try {
    Simulation simulation(world);
    outcome = simulation.run();
  } catch (const std::logic_error& error) {
    outcome.seed = plan.seed;
    outcome.faults = {fmt::format("the proxy threw: {}", error.what())};
    return outcome;
  }
  // Clients that were cut off by silence, and the venue, have gone with the simulation.
  if (world.network.links() != 0)
    outcome.faults.push_back(fmt::format("{} links are left", world.network.links()));
  return outcome;
}

}  // namespace feedbench::simulate
