#include "reference/proxy/run_proxy.hpp"
#include "transports/io_uring/io_uring_transport.hpp"

namespace feedbench::proxy {

int run_on_io_uring(const ProxyParts& parts) { return run_on<transports::IoUringTransport>(parts); }

}  // namespace feedbench::proxy
