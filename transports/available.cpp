#include "transports/available.hpp"

#include <sched.h>

#include <cerrno>
#include <exception>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/loopback_pair.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/sockets.hpp"
#include "transports/xdp/privileges.hpp"
#include "transports/xdp/xdp_transport.hpp"

namespace feedbench::transports {
namespace {

constexpr std::int64_t kPatienceNs = 2'000'000'000;

/// Sends one byte from the connecting end to the accepting one.
template <class T>
struct OneByte {
  T& transport;
  std::byte byte{1};
  bool arrived = false;
  bool failed = false;
  int os_error = 0;

  void on_open(Conn conn, bool accepted) {
    if (accepted) return;
    const ConstRange range{&byte, 1};
    failed |= transport.send(conn, {&range, 1}) == SendStatus::closed;
  }
  void on_receive(Conn, std::span<std::byte>, const RxStamps&) { arrived = true; }
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo info) {
    failed = true;
    os_error = info.os_error;
  }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

template <class T>
std::string how_it_is_set_up(const T& transport) {
  if constexpr (requires { transport.mode(); }) {
    return transport.mode();
  } else {
    return {};
  }
}

template <class T, class... More>
TransportInfo try_out(const Endpoint& at, const More&... more) {
  TransportInfo info{std::string(T::name()), false, {}};
  try {
    TransportOptions options;
    options.connections_max = 8;
    T transport(options, more...);
    const auto endpoint = transport.listen(at, {});
    if (!endpoint) return {info.name, false, endpoint.error().message};
    const auto conn = transport.connect(*endpoint, {});
    if (!conn) return {info.name, false, conn.error().message};
    OneByte<T> handler{transport};
    const MonotonicInstant give_up = transport.now() + kPatienceNs;
    while (!handler.arrived && !handler.failed && transport.now() < give_up) {
      transport.poll(handler, give_up);
    }
    info.available = handler.arrived;
    info.reason =
        handler.arrived
            ? how_it_is_set_up(transport)
            : sockets::make_error("try " + info.name, "a byte sent over loopback did not arrive",
                                  handler.os_error, "is lo up, are descriptors left (ulimit -n)?")
                  .message;
  } catch (const Error& error) {
    info.reason = error.message;
  } catch (const std::exception& error) {
    info.reason = error.what();
  }
  return info;
}

/// On the loopback interface of a network namespace that only this thread is in: no interface of the
/// machine is touched.
void try_out_xdp_in_own_namespace(TransportInfo& info) {
  const int os_error = ::unshare(CLONE_NEWNET) != 0 ? errno : bring_loopback_up();
  if (os_error != 0) {
    info.reason =
        sockets::make_error(
            "try xdp", "make a network namespace to try it in", os_error,
            std::string("to try it here takes root, or CAP_SYS_ADMIN beside ") + xdp::kPrivileges)
            .message;
    return;
  }
  XdpOptions xdp;
  xdp.interface = "lo";
  xdp.address = "10.255.255.2/30";
  xdp.frames = 256;
  xdp.receive_ring = xdp.transmit_ring = 64;
  info = try_out<XdpTransport>({"10.255.255.2", 0}, xdp);
  if (info.available) info.reason = "on an interface of its own; tried on lo: " + info.reason;
}

TransportInfo try_out_xdp() {
  TransportInfo info{std::string(XdpTransport::name()), false, {}};
  info.reason = xdp::absent_reason();
  if (!info.reason.empty()) return info;
  try {
    std::thread([&info] { try_out_xdp_in_own_namespace(info); }).join();
  } catch (const std::system_error& error) {
    info.reason = std::string("try xdp: ") + error.what();
  }
  return info;
}

}  // namespace

std::vector<TransportInfo> available_transports() {
  return {try_out<SelectTransport>({}), try_out<EpollTransport>({}), try_out<IoUringTransport>({}),
          try_out_xdp()};
}

}  // namespace feedbench::transports
