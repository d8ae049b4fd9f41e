#include "reference/proxy/run_proxy.hpp"
#include "transports/select/select_transport.hpp"

namespace feedbench::proxy {

int run_on_select(const ProxyParts& parts) { return run_on<transports::SelectTransport>(parts); }

}  // namespace feedbench::proxy
