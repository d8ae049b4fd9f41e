#pragma once

#include "transports/readiness/readiness_transport.hpp"
#include "transports/select/select_poller.hpp"

namespace feedbench::transports {

/// TCP over select(). Refuses descriptors of FD_SETSIZE or more: connect() with an Error, an
/// accepted connection by RST (counted in accepts_refused).
class SelectTransport : public readiness::ReadinessTransport<SelectPoller> {
 public:
  using ReadinessTransport::ReadinessTransport;
};

}  // namespace feedbench::transports
