#pragma once

#include <string>
#include <vector>

namespace feedbench::transports {

/// One transport of this build on this machine.
struct TransportInfo {
  std::string name;
  bool available = false;
  std::string
      reason;  ///< available: how it is set up here, may be empty. Not available: why, one sentence.
};

/// Tries each transport for real: opens it, connects it to itself over loopback and moves a byte;
/// xdp in a network namespace of its own, without the machine's interfaces.
/// Cost: some milliseconds, xdp some ten. thread: any. errors: none; what fails is told in `reason`.
std::vector<TransportInfo> available_transports();

}  // namespace feedbench::transports
