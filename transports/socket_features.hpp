#pragma once

#include <vector>

#include "transports/kernel_feature.hpp"

namespace feedbench::transports {

/// Tries what sockets offer to all kernel transports alike, over loopback: the kernel's receive stamps of a datagram and of
/// a TCP segment (SO_TIMESTAMPING: something is sent, and its stamp is looked for), and busy polling of one socket.
/// returns always the same ids in the same order. Cost: under a millisecond; a stamp that never comes costs 0.2 s.
/// thread: any. errors: none. source: socket(7), Documentation/networking/timestamping.rst.
std::vector<KernelFeature> probe_socket_features();

}  // namespace feedbench::transports
