#pragma once

#include <vector>

#include "harness/machine/lines.hpp"

namespace feedbench::machine {

/// The rules: what of these facts costs performance, in the order of the groups, one line each, saying what to do. A fact
/// that is absent triggers none. At most one line about one id. O(facts). thread: any.
[[nodiscard]] std::vector<Advice> advise(const MachineFacts& facts);

}  // namespace feedbench::machine
