// Instead of the engine, in a build without AF_XDP or lwIP (FEEDBENCH_XDP,
// scripts/cmake/FeedbenchXdp.cmake).
#include <cerrno>

#include "transports/xdp/engine.hpp"

namespace feedbench::transports::xdp {
namespace {

Error absent() { return {"open " + absent_reason(), ENOTSUP}; }

}  // namespace

std::string absent_reason() {
  return "xdp: not built in: " FEEDBENCH_XDP_ABSENT
         " (run scripts/setup and build again with -D FEEDBENCH_XDP=ON)";
}

std::unique_ptr<Engine> make_engine(const TransportOptions&, const XdpOptions&) { throw absent(); }
std::unique_ptr<Engine> make_engine_on(const TransportOptions&, const XdpOptions&,
                                       std::unique_ptr<FrameDevice>) {
  throw absent();
}
std::unique_ptr<FrameDevice> open_device(const XdpOptions&) { throw absent(); }

}  // namespace feedbench::transports::xdp
