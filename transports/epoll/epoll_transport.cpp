#include "transports/epoll/epoll_transport.hpp"

namespace feedbench::transports {

static_assert(readiness::Poller<EpollPoller>);
static_assert(Transport<EpollTransport>);

}  // namespace feedbench::transports
