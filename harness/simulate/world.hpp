#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "harness/simulate/plan.hpp"
#include "harness/simulate/tape.hpp"
#include "transports/sim/network.hpp"

namespace feedbench::simulate {

/// What the parts of one simulation share: the network and its clock, the truth, chance, and what went wrong.
struct World {
  World(const Plan& of, bool talks)
      : plan(of), network(of.seed), random(of.seed * 2), verbose(talks) {}

  const Plan& plan;
  transports::sim::Network network;
  Tape tape;
  Random random;          ///< Of the actors; the network has its own.
  Faults next_link;       ///< Of the link that a client makes next.
  bool healing = false;   ///< The session is over: nothing new goes wrong.
  bool stopping = false;  ///< The proxy was told to stop.
  bool verbose = false;
  std::vector<std::string> faults;
  std::uint64_t delivered = 0;  ///< Messages that clients received.

  [[nodiscard]] std::int64_t now() const { return network.now().ns - network.kBeginNs; }

  /// Something that must not be.
  template <class... Args>
  void fault(fmt::format_string<Args...> format, Args&&... args) {
    const std::string text = fmt::format(format, std::forward<Args>(args)...);
    say("FAULT: {}", text);
    if (faults.size() < 10) faults.push_back(fmt::format("at {:.6f} s: {}", seconds(), text));
  }
  /// A line of the story, for whoever replays a seed.
  template <class... Args>
  void say(fmt::format_string<Args...> format, Args&&... args) {
    if (verbose)
      fmt::print("{:12.6f}  {}\n", seconds(), fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  [[nodiscard]] double seconds() const { return static_cast<double>(now()) / 1e9; }
};

}  // namespace feedbench::simulate
