#include "harness/runner/missing_transports.hpp"

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"

namespace feedbench::runner {
namespace {

template <class Transport>
void try_one(std::vector<scenario::MissingTransport>& missing) {
  try {
    const Transport made{transports::TransportOptions{}};
  } catch (const transports::Error& error) {
    missing.push_back({std::string(Transport::name()), error.message});
  }
}

}  // namespace

std::vector<scenario::MissingTransport> missing_transports() {
  std::vector<scenario::MissingTransport> out;
  try_one<transports::SelectTransport>(out);
  try_one<transports::EpollTransport>(out);
  try_one<transports::IoUringTransport>(out);
  return out;
}

}  // namespace feedbench::runner
