// How many messages a simulation moves in a second of real time: a whole proxy, its venue and its clients in one thread,
// every message checked at every client. Bound: at least 1 million delivered a second.
#include <benchmark/benchmark.h>
#include <spdlog/spdlog.h>

#include "harness/simulate/plan.hpp"
#include "harness/simulate/simulation.hpp"

namespace feedbench::simulate {
namespace {

/// Nobody goes wrong; bursts of messages of up to 200 bytes, links of 20 us.
Plan calm_plan(std::uint64_t clients) {
  Plan plan;
  plan.seed = 1;
  plan.config.pre_fault = false;
  plan.config.listen = {"10.0.0.1", 9001};
  plan.config.ring_bytes = 1 << 20;
  plan.config.client_lag_max_bytes = 1 << 19;
  plan.config.message_max_bytes = 32 * 1024;
  plan.config.clients_max = static_cast<std::uint32_t>(clients);
  plan.session_ns = kSecond;
  plan.messages_max = 20'000;
  plan.venue.burst_messages_max = 40;
  plan.venue.burst_every_ns = kMs / 2;
  plan.venue.payload_bytes_max = 200;
  plan.venue.faults.delay_ns = 20'000;
  for (std::uint64_t i = 0; i < clients; ++i) {
    ClientPlan client;
    client.acts_after_ns = client.acts_every_ns = kSecond;
    client.space_bytes = 64 * 1024;
    client.faults.delay_ns = 20'000;
    plan.clients.push_back(client);
  }
  return plan;
}

void BM_simulate(benchmark::State& state) {
  spdlog::set_level(spdlog::level::off);
  const Plan plan = calm_plan(static_cast<std::uint64_t>(state.range(0)));
  std::uint64_t delivered = 0;
  for (auto _ : state) {
    const Outcome outcome = run_simulation(plan);
    if (!outcome.faults.empty()) return state.SkipWithError(outcome.faults.front().c_str());
    delivered += outcome.delivered;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(delivered));
}
BENCHMARK(BM_simulate)->ArgName("clients")->Arg(1)->Arg(8)->Arg(32)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace feedbench::simulate
