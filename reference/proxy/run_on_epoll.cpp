#include "reference/proxy/run_proxy.hpp"
#include "transports/epoll/epoll_transport.hpp"

namespace feedbench::proxy {

int run_on_epoll(const ProxyParts& parts) { return run_on<transports::EpollTransport>(parts); }

}  // namespace feedbench::proxy
