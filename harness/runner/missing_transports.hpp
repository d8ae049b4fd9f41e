#pragma once

#include <vector>

#include "harness/scenario/case_matrix.hpp"

namespace feedbench::runner {

/// The transports that this machine cannot offer, each with what the kernel said: found by making one of each.
std::vector<scenario::MissingTransport> missing_transports();

}  // namespace feedbench::runner
