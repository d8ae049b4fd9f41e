#pragma once

#include <optional>
#include <span>

#include "harness/report/result.hpp"
#include "harness/scenario/scenario.hpp"
#include "transports/transport.hpp"

namespace feedbench::runner {

/// Which core runs what, for one case.
struct Cores {
  int system = 0;
  int load = 0;
};

/// Chooses: the load gets the first core allowed, the system the second, or the same if there is only one. What the
/// scenario names is taken as it stands.
/// errors: a named core that is not allowed to this process.
transports::Expected<Cores> choose_cores(const scenario::Placement& wanted,
                                         std::span<const int> allowed);

/// The same as it stands in the result; oversubscribed when more threads spin than there are cores for them.
report::Placement describe_placement(const Cores& cores, bool system_spins);

}  // namespace feedbench::runner
