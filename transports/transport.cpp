#include "transports/transport.hpp"

namespace feedbench::transports {

std::string to_string(const Endpoint& endpoint) {
  const bool v6 = endpoint.address.find(':') != std::string::npos;
  std::string text = v6 ? "[" + endpoint.address + "]" : endpoint.address;
  return text + ":" + std::to_string(endpoint.port);
}

std::string_view to_string(CloseReason reason) {
  switch (reason) {
    case CloseReason::local:
      return "closed here";
    case CloseReason::peer:
      return "closed by the peer";
    case CloseReason::reset:
      return "reset by the peer";
    case CloseReason::refused:
      return "connection refused";
    case CloseReason::timed_out:
      return "timed out";
    case CloseReason::error:
      return "failed";
    case CloseReason::handed_over:
      return "handed over";
  }
  return "unknown";
}

}  // namespace feedbench::transports
