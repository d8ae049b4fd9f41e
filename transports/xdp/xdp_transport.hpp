#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "transports/transport.hpp"
#include "transports/xdp/engine.hpp"
#include "transports/xdp/xdp_options.hpp"

namespace feedbench::transports {

/// TCP in user space over an AF_XDP socket: frames of the stack's own address come from the network
/// card's driver straight to this process, lwIP makes streams of them, the kernel's network code
/// sees none of it. Each poll() takes up a batch of frames, tells the handler, and sends all that
/// was said meanwhile (data, acknowledgements) with one system call.
///
/// Sends are copied into the stack: `completed` from within a callback when all of it found room,
/// else `pending`, and on_sent comes when it has. From outside poll() it is always `pending`:
/// frames that nobody has looked at may end the connection.
///
/// One stack in a process at a time, on one thread. IPv4 alone. Needs what privileges.hpp
/// says.
class XdpTransport {
 public:
  /// errors: throws Error: without XdpOptions there is no interface to open.
  explicit XdpTransport(const TransportOptions& options) : XdpTransport(options, XdpOptions{}) {}
  /// Opens the interface. Takes milliseconds, up to gateway_wait_ms with a gateway. errors: throws
  /// Error.
  XdpTransport(const TransportOptions& options, const XdpOptions& xdp)
      : engine_(xdp::make_engine(options, xdp)) {}
  /// On a device of the caller's: for tests.
  XdpTransport(const TransportOptions& options, const XdpOptions& xdp,
               std::unique_ptr<xdp::FrameDevice> device)
      : engine_(xdp::make_engine_on(options, xdp, std::move(device))) {}

  static constexpr std::string_view name() noexcept { return "xdp"; }

  /// endpoint: the stack's own address, or 0.0.0.0.
  Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options) {
    return engine_->listen(endpoint, options);
  }
  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) {
    return engine_->connect(endpoint, options);
  }
  SendStatus send(Conn conn, std::span<const ConstRange> ranges) noexcept {
    return engine_->send(conn, ranges);
  }
  void cancel_send(Conn conn) noexcept { engine_->cancel_send(conn); }
  void resume_receive(Conn conn) noexcept { engine_->resume_receive(conn); }
  void close(Conn conn) noexcept { engine_->close(conn); }
  void abort(Conn conn) noexcept { engine_->abort(conn); }
  void stop_listening() noexcept { engine_->stop_listening(); }
  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline);
  void wake() noexcept { engine_->wake(); }

  [[nodiscard]] MonotonicInstant now() const noexcept { return engine_->now(); }
  [[nodiscard]] const TransportCounters& counters() const noexcept { return engine_->counters(); }
  [[nodiscard]] const xdp::XdpCounters& xdp_counters() const noexcept {
    return engine_->xdp_counters();
  }
  /// How it is set up here: "native, copy, need_wakeup; checksums not verified; lwIP 2.1.3".
  [[nodiscard]] const std::string& mode() const noexcept { return engine_->mode(); }

 private:
  std::unique_ptr<xdp::Engine> engine_;
};

template <TransportHandler H>
std::size_t XdpTransport::poll(H& handler, MonotonicInstant deadline) {
  std::size_t callbacks = 0;
  engine_->begin_poll(deadline);
  for (xdp::Step step; engine_->next(step);) {
    switch (step.kind) {
      case xdp::Step::Kind::opened:
        handler.on_open(step.conn, step.accepted);
        break;
      case xdp::Step::Kind::space_wanted:
        engine_->give_space(handler.receive_space(step.conn));
        continue;
      case xdp::Step::Kind::received:
        handler.on_receive(step.conn, step.bytes, step.stamps);
        break;
      case xdp::Step::Kind::sent:
        handler.on_sent(step.conn, step.sent_bytes);
        break;
      case xdp::Step::Kind::closed:
        handler.on_close(step.conn, step.close);
        break;
      case xdp::Step::Kind::woken:
        handler.on_wake();
        break;
    }
    ++callbacks;
  }
  return callbacks;
}

}  // namespace feedbench::transports
