#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "harness/scenario/scenario.hpp"

/// From a scenario to the list of what is run, in which order.
namespace feedbench::scenario {

/// One combination of the matrix.
struct Case {
  std::size_t index = 0;  ///< in Expansion::cases
  std::size_t group = 0;  ///< in Scenario::groups
  std::string group_name;
  System system = System::feedproxy;
  std::string transport;  ///< "asio" for beast
  std::uint32_t clients = 1;
  Network network = Network::loopback;
  WaitMode wait = WaitMode::spin;
  Via via = Via::websocket;
  std::optional<Ring> ring;  ///< of the bridge; the others have none to choose
  bool tls = false;
  bool stamps = true;  ///< feedproxy alone has stamps; false for the others
  Pace pace;
  SessionSource session;
  std::string venue;

  /// "fanout feedproxy epoll spin 128 clients 128 B max": unique in a scenario.
  [[nodiscard]] std::string name() const;
  /// The value of an axis as text; empty when the case has no such axis.
  [[nodiscard]] std::string axis(const std::string& axis_name) const;
};

struct Skip {
  std::string name;    ///< of the case
  std::string reason;  ///< one sentence
};

struct Expansion {
  std::vector<Case> cases;  ///< to be run
  std::vector<Skip> skips;  ///< left out, with reasons
  std::vector<Case> all;    ///< both, for checking selectors
};

/// A transport that this machine cannot offer.
struct MissingTransport {
  std::string name;
  std::string reason;
};

/// What this machine, or this process on it, cannot offer.
struct Missing {
  std::vector<MissingTransport> transports;
  std::string veth;  ///< why there is no `network: veth`; empty when there is
};

/// Axis names that selectors and --only may use.
const std::vector<std::string>& axis_names();
/// "on" and "true" are one value: brings a selector's value to the form that Case::axis gives.
std::string normalise_axis_value(const std::string& axis, const std::string& value);

/// The product of every block, each distinct case once, without what cannot or shall not be run.
Expansion expand(const Scenario& scenario, const Missing& missing);

[[nodiscard]] bool matches(const Case& c, const Selector& selector);

/// Why none of the cases matches, with the values there are; empty if one does.
[[nodiscard]] std::string why_none_matches(const std::vector<Case>& cases,
                                           const Selector& selector);

/// One run: a case and the how-manieth repeat of it.
struct PlannedRun {
  std::size_t case_index = 0;
  std::uint32_t repeat = 0;
};

/// Interleaved: every case once (in the order listed, then in seeded shuffled orders), then every
/// case again, so that drift of the machine meets all alike. repeats: [cases] how often each is
/// run.
std::vector<PlannedRun> plan_runs(const std::vector<std::uint32_t>& repeats, std::uint64_t seed);

}  // namespace feedbench::scenario
