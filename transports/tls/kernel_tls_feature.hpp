#pragma once

#include "transports/kernel_feature.hpp"

namespace feedbench::transports {

/// Tries to hand a connected loopback socket to the kernel's TLS (setsockopt TCP_ULP "tls"). No key is installed.
/// It asks without privileges, so that the kernel loads no module for it: a module that could be loaded counts as absent.
/// Cost: some 100 us (a thread of its own). thread: any. errors: none. source: Documentation/networking/tls.rst.
KernelFeature probe_kernel_tls();

}  // namespace feedbench::transports
