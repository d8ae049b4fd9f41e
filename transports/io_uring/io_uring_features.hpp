#pragma once

#include <vector>

#include "transports/kernel_feature.hpp"

namespace feedbench::transports {

/// Tries what io_uring offers here: how a ring can be set up, what can be registered with it, and each operation that
/// sharing a stream gains from, over loopback connections of its own. An operation that the kernel lists is still
/// carried out, and its completions are looked at.
/// returns always the same ids in the same order; all are untried, with the reason, where no ring can be made.
/// Cost: some milliseconds; a kernel that never completes an operation costs a second for each. thread: any (the rings
/// belong to it while this runs). errors: none.
/// source: io_uring_setup(2), io_uring_register(2), io_uring_enter(2).
std::vector<KernelFeature> probe_io_uring_features();

}  // namespace feedbench::transports
