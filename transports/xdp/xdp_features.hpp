#pragma once

#include <vector>

#include "transports/kernel_feature.hpp"

namespace feedbench::transports {

/// Tries AF_XDP sockets on the loopback interface of a network namespace of its own: whether there are such sockets, and how
/// one can be bound (copying, with XDP_USE_NEED_WAKEUP). What the machine's own interfaces can do (native, zero-copy) is in
/// network_interfaces.hpp; whether the transport works on it, in available.hpp.
/// returns always the same ids in the same order; the privileges of this process that AF_XDP needs come first.
/// Cost: some tens of milliseconds (a network namespace, made and gone). thread: any; works on one of its own.
/// errors: none. source: Documentation/networking/af_xdp.rst.
std::vector<KernelFeature> probe_xdp_features();

}  // namespace feedbench::transports
