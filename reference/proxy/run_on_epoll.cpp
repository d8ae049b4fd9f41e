#include "reference/proxy/run_proxy.hpp"
#include "transports/epoll/epoll_transport.hpp"

namespace feedbench::proxy {

int run_on_epoll(const ProxyParts& parts, const std::string& local_socket) {
  return run_on<transports::EpollTransport>(parts, local_socket);
}

}  // namespace feedbench::proxy
