#include "reference/proxy/run_proxy.hpp"
#include "transports/select/select_transport.hpp"

namespace feedbench::proxy {

int run_on_select(const ProxyParts& parts, const std::string& local_socket) {
  return run_on<transports::SelectTransport>(parts, local_socket);
}

}  // namespace feedbench::proxy
