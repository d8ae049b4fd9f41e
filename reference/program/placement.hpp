#pragma once

#include "transports/transport.hpp"

namespace feedbench::program {

/// Pins the calling thread (and threads it starts later) to one CPU.
/// cpu: a CPU number of this machine. Errors: a CPU that is not there or not allowed to this process.
transports::Expected<void> pin_to_cpu(int cpu);

/// Asks the kernel to send SIGTERM to this process when the one that started it dies, and returns false when it is
/// already gone.
bool die_with_parent();

}  // namespace feedbench::program
