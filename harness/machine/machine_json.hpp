#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "harness/machine/lines.hpp"

namespace feedbench::machine {

/// The same for programs, schema "feedbench.probe/1" (docs/probe.md). What is not known is null. errors: none.
[[nodiscard]] nlohmann::ordered_json machine_json(const MachineFacts& facts,
                                                  const std::vector<Group>& groups,
                                                  const std::vector<Advice>& advice);

}  // namespace feedbench::machine
