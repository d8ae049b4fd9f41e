#pragma once

#include <memory>
#include <vector>

#include "transports/xdp/testing/scripted_device.hpp"
#include "transports/xdp/xdp_transport.hpp"

namespace feedbench::transports::xdp::testing {

inline constexpr std::uint32_t kStack = 0x0A4D0002;  // 10.77.0.2
inline constexpr std::uint32_t kPeer = 0x0A4D0001;   // 10.77.0.1
inline constexpr std::uint16_t kStackPort = 7000;

/// The stack on a scripted device, listening on kStackPort, and a handler that keeps what it is
/// told. Virtual time, no privileges.
struct StackRig {
  struct Handler {
    std::vector<Conn> open;
    std::vector<std::byte> received;
    std::vector<CloseInfo> closed;
    std::size_t sent = 0;
    void on_open(Conn conn, bool) { open.push_back(conn); }
    void on_receive(Conn, std::span<std::byte> bytes, const RxStamps&) {
      received.insert(received.end(), bytes.begin(), bytes.end());
    }
    void on_sent(Conn, std::size_t n) { sent += n; }
    void on_close(Conn, CloseInfo info) { closed.push_back(info); }
    void on_wake() {}
    std::span<std::byte> receive_space(Conn) { return {}; }
  };

  explicit StackRig(const XdpOptions& xdp = options(), bool verify = true)
      : transport(make_transport_options(), xdp, std::make_unique<ScriptedDevice>(wire, verify)) {
    endpoint = transport.listen({"10.77.0.2", kStackPort}, {}).value();
    poll();
    wire.from_stack.clear();
  }

  static XdpOptions options() {
    XdpOptions made;
    made.interface = "scripted";
    made.address = "10.77.0.2/24";
    return made;
  }
  static TransportOptions make_transport_options() {
    TransportOptions made;
    // it never sleeps long: there is no descriptor to wait for, and the clock is ours
    made.wait = Wait::block;
    made.connections_max = 64;
    made.receive_buffer_bytes = 65536;
    return made;
  }

  void poll(int times = 3) {
    for (int i = 0; i < times; ++i) transport.poll(handler, MonotonicInstant{0});
  }
  /// Lets time pass in steps that timers notice.
  void pass(std::int64_t ms) {
    constexpr std::int64_t kStepMs = 10;
    for (std::int64_t at = 0; at < ms; at += kStepMs) {
      wire.now_ns += kStepMs * 1'000'000;
      transport.poll(handler, MonotonicInstant{0});
    }
  }
  /// What the stack has sent since the last time, as segments.
  std::vector<Segment> take_sent() {
    std::vector<Segment> made;
    for (const Frame& frame : wire.from_stack) {
      if (auto segment = segment_of(frame)) made.push_back(std::move(*segment));
    }
    wire.from_stack.clear();
    return made;
  }

  ScriptedDevice::Wire wire;  // before the transport, whose device uses it
  Handler handler;
  XdpTransport transport;
  Endpoint endpoint;
};

/// The peer's side of one connection to the rig, in sequence numbers.
struct PeerSide {
  StackRig& rig;
  std::uint16_t port = 40'000;
  std::uint32_t next = 1'000'000;      ///< of what we send
  std::uint32_t expected = 0;          ///< of what the stack sends
  std::uint16_t segment_bytes = 1460;  ///< what its SYN asks for at most

  [[nodiscard]] Segment segment(std::uint8_t flags) const {
    Segment made{kPeer, kStack, port, kStackPort, next, expected, flags};
    return made;
  }
  /// Handshake. window_scale < 0: without the option. returns false when the stack does not answer.
  bool open(int window_scale = -1) {
    Segment syn = segment(TH_SYN);
    syn.acknowledged = 0;
    syn.options = {2, 4, static_cast<std::uint8_t>(segment_bytes >> 8),
                   static_cast<std::uint8_t>(segment_bytes & 0xFF)};
    if (window_scale >= 0) {
      syn.options.insert(syn.options.end(), {1, 3, 3, static_cast<std::uint8_t>(window_scale)});
    }
    rig.wire.put(frame_of(syn));
    rig.poll();
    for (const Segment& answer : rig.take_sent()) {
      if (answer.to_port != port || answer.flags != (TH_SYN | TH_ACK)) continue;
      ++next;
      expected = answer.sequence + 1;
      rig.wire.put(frame_of(segment(TH_ACK)));
      rig.poll();
      return true;
    }
    return false;
  }
  /// Puts `bytes` at `offset` behind what was sent so far, without advancing.
  void put(std::uint32_t offset, std::vector<std::byte> bytes, std::uint8_t more_flags = 0) const {
    Segment data = segment(static_cast<std::uint8_t>(TH_ACK | TH_PUSH | more_flags));
    data.sequence = next + offset;
    data.payload = std::move(bytes);
    rig.wire.put(frame_of(data));
  }
};

}  // namespace feedbench::transports::xdp::testing
