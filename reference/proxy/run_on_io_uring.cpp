#include "reference/proxy/run_proxy.hpp"
#include "transports/io_uring/io_uring_transport.hpp"

namespace feedbench::proxy {

int run_on_io_uring(const ProxyParts& parts) {
  const auto options = transports::parse_io_uring_options(parts.config.io_uring);
  if (!options) throw options.error();
  return run_on<transports::IoUringTransport>(parts, *options);
}

}  // namespace feedbench::proxy
