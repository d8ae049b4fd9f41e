#pragma once

#include "transports/epoll/epoll_poller.hpp"
#include "transports/readiness/readiness_transport.hpp"

namespace feedbench::transports {

/// TCP over edge-triggered epoll: two system calls a message received (epoll_wait and recv), one a
/// send.
class EpollTransport : public readiness::ReadinessTransport<EpollPoller> {
 public:
  using ReadinessTransport::ReadinessTransport;
};

}  // namespace feedbench::transports
