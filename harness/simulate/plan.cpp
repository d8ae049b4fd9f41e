#include "harness/simulate/plan.hpp"

#include <algorithm>
#include <cstddef>

namespace feedbench::simulate {
namespace {

/// Delay, jitter and cutting: what any good link may have.
Faults healthy_link(Random& random) {
  Faults faults;
  if (!random.one_in(3)) faults.delay_ns = random.between(1'000, 3 * kMs);
  if (!random.one_in(3)) faults.jitter_ns = random.between(0, 5 * kMs);
  if (random.one_in(2)) faults.segment_bytes_max = 1 + random.below(random.one_in(3) ? 20 : 2000);
  return faults;
}

void spoil(Faults& faults, std::int64_t session_ns, Random& random) {
  switch (random.below(6)) {
    case 0:
      faults.cut_after_ns = random.between(0, session_ns);
      break;
    case 1:
      faults.silent_after_ns = random.between(0, session_ns);
      faults.silent_for_ns = random.between(kMs, 6 * kSecond);
      break;
    case 2:
      faults.silent_after_ns = random.between(0, session_ns);
      break;
    case 3:
      faults.bytes_per_second = random.between(20'000, 2'000'000);
      break;
    case 4:
      faults.write_bytes_max = 1 + random.below(3000);
      break;
    default:
      faults.buffer_bytes = 256 + random.below(32 * 1024);
      break;
  }
}

ClientPlan make_client(std::int64_t session_ns, Random& random) {
  ClientPlan client;
  // Half of them only read: they are the ones that must never notice the others.
  client.kind =
      random.one_in(2) ? ClientKind::reader : static_cast<ClientKind>(random.below(kClientKinds));
  client.connect_at_ns = random.one_in(3) ? 0 : random.between(0, session_ns * 9 / 10);
  client.acts_after_ns = random.between(0, session_ns / 2);
  client.acts_every_ns = random.between(kMs, session_ns / 4);
  client.space_bytes = 1 + random.below(random.one_in(4) ? 16 : 16 * 1024);
  client.faults = healthy_link(random);
  if (client.kind == ClientKind::slow || client.kind == ClientKind::stuck)
    client.faults.buffer_bytes = 256 + random.below(16 * 1024);
  if (random.one_in(5)) spoil(client.faults, session_ns, random);
  return client;
}

proxy::ProxyConfig make_config(Random& random) {
  proxy::ProxyConfig config;
  config.wait = transports::Wait::block;
  config.pre_fault = false;
  config.listen = {"10.0.0.1", 9001};
  config.ring_bytes = std::uint64_t{64 * 1024} << random.below(4);
  config.index_lines = std::uint64_t{1024} << random.below(2);
  config.message_max_bytes = std::min<std::uint64_t>(config.ring_bytes / 8, 32 * 1024);
  config.client_lag_max_bytes = config.ring_bytes / (random.one_in(2) ? 2 : 4);
  config.clients_max = static_cast<std::uint32_t>(random.between(2, 12));
  config.backoff_first_ms = static_cast<std::uint32_t>(random.between(5, 200));
  config.backoff_longest_ms = static_cast<std::uint32_t>(random.between(200, 2'000));
  config.upstream_open_timeout_ms = static_cast<std::uint32_t>(random.between(500, 3'000));
  config.upstream_idle_ms = static_cast<std::uint32_t>(random.between(500, 5'000));
  config.client_handshake_timeout_ms = static_cast<std::uint32_t>(random.between(1'000, 4'000));
  config.client_close_timeout_ms = static_cast<std::uint32_t>(random.between(200, 3'000));
  return config;
}

}  // namespace

std::string_view to_string(ClientKind kind) {
  constexpr std::string_view names[] = {
      "reader", "pinger",  "talker",   "pipeliner",   "dripper", "slow",      "stuck",
      "closer", "aborter", "vanisher", "half-closer", "breaker", "hesitator", "stranger"};
  return names[static_cast<std::size_t>(kind)];
}

bool ClientPlan::faultless() const {
  return kind <= ClientKind::dripper && !may_be_slow() && !link_may_break();
}
bool ClientPlan::may_be_slow() const {
  return kind == ClientKind::slow || kind == ClientKind::stuck || faults.bytes_per_second != 0 ||
         faults.write_bytes_max != 0 || faults.buffer_bytes != 0 || faults.silent_after_ns >= 0;
}
bool ClientPlan::link_may_break() const {
  return faults.cut_after_ns >= 0 || (faults.silent_after_ns >= 0 && faults.silent_for_ns < 0);
}

Faults venue_link(const VenuePlan& venue, Random& random) {
  Faults faults = venue.faults;
  if (random.one_in(venue.bad_link_one_in)) spoil(faults, 3 * kSecond, random);
  if (random.one_in(venue.bad_link_one_in * 3)) faults.unreachable = true;
  // What a silence holds back comes at once when it ends: less than a client's link takes, or a client that did nothing
  // wrong would be too slow.
  if (faults.buffer_bytes == 0) faults.buffer_bytes = kVenueBacklogBytes;
  return faults;
}

Plan make_plan(std::uint64_t seed) {
  // A seed of its own for the plan: what is drawn here does not move what the network draws.
  Random random(seed * 2 + 1);
  Plan plan;
  plan.seed = seed;
  plan.config = make_config(random);
  plan.session_ns = random.between(kSecond / 2, 8 * kSecond);
  plan.messages_max = static_cast<std::uint32_t>(random.between(50, 1'500));
  plan.crowded = random.one_in(8);

  VenuePlan& venue = plan.venue;
  venue.burst_messages_max = random.one_in(3) ? 1 : 1 + random.below(40);
  venue.burst_every_ns = plan.session_ns * static_cast<std::int64_t>(venue.burst_messages_max + 1) /
                         2 / plan.messages_max;
  venue.payload_bytes_max =
      std::min<std::size_t>(plan.config.message_max_bytes, random.one_in(3) ? 300 : 32 * 1024);
  venue.fragment_one_in = random.one_in(2) ? 0 : 1 + random.below(20);
  venue.ping_one_in = random.one_in(2) ? 0 : 1 + random.below(50);
  venue.trouble_one_in = random.one_in(3) ? 0 : 1 + random.below(4);
  venue.no_welcome_one_in = random.one_in(2) ? 0 : 2 + random.below(6);
  venue.faults = healthy_link(random);
  venue.bad_link_one_in = random.one_in(2) ? 0 : 2 + random.below(4);

  const std::uint64_t room = plan.config.clients_max;
  const std::uint64_t count = plan.crowded ? room + 1 + random.below(6) : 1 + random.below(room);
  for (std::uint64_t i = 0; i < count; ++i)
    plan.clients.push_back(make_client(plan.session_ns, random));
  return plan;
}

}  // namespace feedbench::simulate
