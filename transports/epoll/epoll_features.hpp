#pragma once

#include <vector>

#include "transports/kernel_feature.hpp"

namespace feedbench::transports {

/// Tries what epoll offers beyond waiting: deadlines finer than a millisecond (epoll_pwait2), and busy polling of one epoll
/// descriptor (EPIOCSPARAMS).
/// returns always the same ids in the same order. Cost: some microseconds. thread: any. errors: none.
/// source: epoll_pwait2(2), ioctl_eventpoll(2).
std::vector<KernelFeature> probe_epoll_features();

}  // namespace feedbench::transports
