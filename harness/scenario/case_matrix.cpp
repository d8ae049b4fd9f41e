#include "harness/scenario/case_matrix.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <random>
#include <set>

namespace feedbench::scenario {
namespace {

// Why a combination makes no sense, or empty.
std::string not_applicable(const Case& c, const Scenario& scenario, const Missing& missing) {
  if (c.tls && c.system == System::relay) return "the relay copies plain TCP and has no TLS";
  if (c.tls && c.system == System::bridge) return "the bridge reads plain TCP and has no TLS";
  if (c.transport == "xdp" && c.system != System::feedproxy)
    return fmt::format("{} does not run on xdp", to_string(c.system));
  if (c.transport == "xdp" && c.network == Network::loopback)
    return "xdp does not run over loopback: it takes frames from an interface of its own";
  if (c.transport.find('+') != std::string::npos && c.system != System::feedproxy)
    return fmt::format("{} has no options of io_uring", to_string(c.system));
  if (c.via == Via::shm && c.system != System::feedproxy)
    return fmt::format("{} has no local clients", to_string(c.system));
  if (c.venue == "alpaca" && c.system != System::feedproxy) {
    return fmt::format("{} cannot log in to alpaca", to_string(c.system));
  }
  if (!c.session.absent_reason.empty()) return c.session.absent_reason;
  if (c.network == Network::veth && !missing.veth.empty())
    return fmt::format("network veth is not available here: {}", missing.veth);
  for (const MissingTransport& transport : missing.transports) {
    if (transport.name == split_transport(c.transport).name)
      return fmt::format("{} is not available here: {}", transport.name, transport.reason);
  }
  for (const Exclusion& exclusion : scenario.exclude) {
    if (matches(c, exclusion.match)) return exclusion.reason;
  }
  return {};
}

class Expander {
 public:
  Expander(const Scenario& scenario, const Missing& missing)
      : scenario_(scenario), missing_(missing) {}

  Expansion run() {
    for (std::size_t g = 0; g < scenario_.groups.size(); ++g) {
      for (const MatrixBlock& block : scenario_.groups[g].matrix) expand_block(g, block);
    }
    return std::move(out_);
  }

 private:
  void expand_block(std::size_t g, const MatrixBlock& block) {
    const Group& group = scenario_.groups[g];
    std::vector<std::uint32_t> sizes = block.payload_bytes;
    if (sizes.empty()) sizes.push_back(group.session.payload_bytes);
    std::vector<Pace> paces;
    for (const double rate : block.rates_hz) paces.push_back({Pace::Kind::rate, rate});
    if (paces.empty()) paces.push_back(group.pace);

    Case c;
    c.group = g;
    c.group_name = group.name;
    c.venue = group.venue;
    c.session = group.session;
    for (const Pace& pace : paces) {
      for (const std::uint32_t size : sizes) {
        for (const std::uint32_t clients : block.clients) {
          c.pace = pace;
          c.session.payload_bytes = size;
          c.clients = clients;
          expand_systems(c, block);
        }
      }
    }
  }

  void expand_systems(Case c, const MatrixBlock& block) {
    for (const System system : block.systems) {
      for (const std::string& transport : block.transports) {
        for (const Network network : block.networks) {
          c.system = system;
          c.transport = system == System::beast ? "asio" : transport;
          c.network = network;
          expand_waits(c, block);
        }
      }
    }
  }

  void expand_waits(Case c, const MatrixBlock& block) {
    for (const WaitMode wait : block.waits) {
      for (const bool tls : block.tls) {
        c.wait = wait;
        c.tls = tls;
        c.system == System::bridge ? expand_rings(c, block) : expand_vias(c, block);
      }
    }
  }

  void expand_rings(Case c, const MatrixBlock& block) {
    c.via = Via::ring;
    c.stamps = false;
    for (const Ring ring : block.rings) {
      c.ring = ring;
      add(c);
    }
  }

  void expand_vias(Case c, const MatrixBlock& block) {
    for (const Via via : block.vias) {
      for (const bool stamps : block.stamps) {
        c.via = via;
        c.stamps = stamps && c.system == System::feedproxy;
        add(c);
      }
    }
  }

  // An axis that a system does not have makes equal cases: each is run once.
  void add(Case c) {
    if (!seen_.insert(c.name()).second) return;
    out_.all.push_back(c);
    if (std::string reason = not_applicable(c, scenario_, missing_); !reason.empty()) {
      out_.skips.push_back({c.name(), std::move(reason)});
      return;
    }
    c.index = out_.cases.size();
    out_.cases.push_back(std::move(c));
  }

  const Scenario& scenario_;
  const Missing& missing_;
  std::set<std::string> seen_;
  Expansion out_;
};

}  // namespace

std::string Case::name() const {
  std::string out = fmt::format("{} {} {} {} {} client{}", group_name, to_string(system), transport,
                                to_string(wait), clients, clients == 1 ? "" : "s");
  if (session.kind == SessionSource::Kind::synthetic)
    out += fmt::format(" {} B", session.payload_bytes);
  out += " " + pace_name(pace);
  if (via == Via::shm) out += " shm";
  if (ring) out += fmt::format(" {}", to_string(*ring));
  if (network == Network::veth) out += " veth";
  if (tls) out += " tls";
  if (system == System::feedproxy && !stamps) out += " no-stamps";
  return out;
}

std::string Case::axis(const std::string& axis_name) const {
  if (axis_name == "group") return group_name;
  if (axis_name == "system") return std::string(to_string(system));
  if (axis_name == "transport") return transport;
  if (axis_name == "network") return std::string(to_string(network));
  if (axis_name == "clients") return std::to_string(clients);
  if (axis_name == "wait") return std::string(to_string(wait));
  if (axis_name == "via") return std::string(to_string(via));
  if (axis_name == "ring") return ring ? std::string(to_string(*ring)) : std::string();
  if (axis_name == "tls") return tls ? "true" : "false";
  if (axis_name == "stamps") return stamps ? "true" : "false";
  if (axis_name == "payload_bytes" && session.kind == SessionSource::Kind::synthetic)
    return std::to_string(session.payload_bytes);
  if (axis_name == "rate_hz" && pace.kind == Pace::Kind::rate) return fmt::format("{}", pace.value);
  return {};
}

const std::vector<std::string>& axis_names() {
  static const std::vector<std::string> names = {"group",   "system", "transport",     "network",
                                                 "clients", "wait",   "via",           "ring",
                                                 "tls",     "stamps", "payload_bytes", "rate_hz"};
  return names;
}

std::string normalise_axis_value(const std::string& axis, const std::string& value) {
  if (axis != "tls" && axis != "stamps") return value;
  if (value == "on" || value == "yes") return "true";
  if (value == "off" || value == "no") return "false";
  return value;
}

Expansion expand(const Scenario& scenario, const Missing& missing) {
  return Expander(scenario, missing).run();
}

bool matches(const Case& c, const Selector& selector) {
  return std::all_of(selector.begin(), selector.end(),
                     [&](const auto& entry) { return c.axis(entry.first) == entry.second; });
}

std::string why_none_matches(const std::vector<Case>& cases, const Selector& selector) {
  std::string asked;
  for (const auto& [axis, value] : selector) {
    std::vector<std::string> known;
    for (const Case& c : cases) {
      const std::string one = c.axis(axis);
      if (!one.empty() && std::find(known.begin(), known.end(), one) == known.end())
        known.push_back(one);
    }
    if (known.empty()) return fmt::format("no case of the scenario has the key {}", axis);
    if (std::find(known.begin(), known.end(), value) == known.end()) {
      return fmt::format("no case of the scenario has {}={} (the values of {} are {})", axis, value,
                         axis, fmt::join(known, ", "));
    }
    asked += fmt::format("{}{}={}", asked.empty() ? "" : ",", axis, value);
  }
  const auto wanted = [&](const Case& c) { return matches(c, selector); };
  if (std::any_of(cases.begin(), cases.end(), wanted)) return {};
  return fmt::format("no case of the scenario has {} at once, though each value alone", asked);
}

std::vector<PlannedRun> plan_runs(const std::vector<std::uint32_t>& repeats, std::uint64_t seed) {
  std::vector<PlannedRun> plan;
  std::mt19937_64 random(seed);
  const std::uint32_t rounds =
      repeats.empty() ? 0 : *std::max_element(repeats.begin(), repeats.end());
  for (std::uint32_t round = 0; round < rounds; ++round) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < repeats.size(); ++i) {
      if (round < repeats[i]) order.push_back(i);
    }
    // Fisher-Yates by hand: std::shuffle may differ between standard libraries, and the order is
    // part of the result.
    for (std::size_t i = order.size(); round > 0 && i > 1; --i)
      std::swap(order[i - 1], order[random() % i]);
    for (const std::size_t index : order) plan.push_back({index, round});
  }
  return plan;
}

}  // namespace feedbench::scenario
