#include "transports/available.hpp"

#include <exception>
#include <string_view>
#include <utility>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"

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

  void on_open(Conn conn, bool accepted) {
    if (accepted) return;
    const ConstRange range{&byte, 1};
    failed |= transport.send(conn, {&range, 1}) == SendStatus::closed;
  }
  void on_receive(Conn, std::span<std::byte>, const RxStamps&) { arrived = true; }
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo) { failed = true; }
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

template <class T>
TransportInfo try_out() {
  TransportInfo info{std::string(T::name()), false, {}};
  try {
    TransportOptions options;
    options.connections_max = 8;
    T transport(options);
    const auto endpoint = transport.listen({}, {});
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
        handler.arrived ? how_it_is_set_up(transport) : "a byte sent over loopback did not arrive";
  } catch (const Error& error) {
    info.reason = error.message;
  } catch (const std::exception& error) {
    info.reason = error.what();
  }
  return info;
}

}  // namespace

std::vector<TransportInfo> available_transports() {
  return {try_out<SelectTransport>(), try_out<EpollTransport>(), try_out<IoUringTransport>()};
}

}  // namespace feedbench::transports
