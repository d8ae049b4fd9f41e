#include "transports/select/select_transport.hpp"

namespace feedbench::transports {

static_assert(readiness::Poller<SelectPoller>);
static_assert(Transport<SelectTransport>);

}  // namespace feedbench::transports
