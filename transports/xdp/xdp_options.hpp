#pragma once

#include <cstdint>
#include <string>

namespace feedbench::transports {

/// How the XDP program is attached to the interface.
enum class XdpAttach : std::uint8_t {
  automatic,  ///< In the driver where it can, else generic.
  native,     ///< In the driver, or not at all.
  generic,    ///< In the kernel's receive path, after it has made its packet buffer; any interface.
};

/// How frames get between the device and this process.
enum class XdpCopy : std::uint8_t {
  automatic,  ///< Zero-copy where the driver offers it, else copied by the kernel.
  zero_copy,  ///< Zero-copy, or not at all.
  copy,       ///< Copied by the kernel.
};

/// Where an XdpTransport lives: an interface, and an address of its own on it, which the kernel
/// does not have. Everything is static; only the neighbours' MAC addresses are learned (ARP).
struct XdpOptions {
  /// The interface, by name: "eth1". No default.
  std::string interface;
  /// The stack's own IPv4 address and prefix: "10.0.0.2/24". The kernel must not have the address.
  /// No default.
  std::string address;
  /// Where packets for other networks go: "10.0.0.1". Empty: this network alone is reached. When
  /// set, it must answer ARP at set-up, within gateway_wait_ms.
  std::string gateway;
  std::uint32_t gateway_wait_ms = 3000;

  /// The receive and transmit queue of the interface. Flows must arrive there: one queue, or
  /// steering (ethtool -N).
  std::uint32_t queue = 0;
  XdpAttach attach = XdpAttach::automatic;
  XdpCopy copy = XdpCopy::automatic;
  /// Let the kernel say when it wants to be woken for the rings (XDP_USE_NEED_WAKEUP), instead of
  /// being woken always.
  bool need_wakeup = true;
  /// Busy polling by the kernel (SO_PREFER_BUSY_POLL): microseconds, 0 is off. For drivers with
  /// NAPI and deferred interrupts.
  std::uint32_t busy_poll_us = 0;
  /// Most packets that one such poll takes.
  std::uint32_t busy_poll_budget = 64;

  /// Frames of packet memory, shared with the kernel (power of two). Half of them at most may be
  /// held by what the handlers have not taken yet; beyond that, received packets are copied to
  /// stack memory.
  std::uint32_t frames = 4096;
  /// Bytes of one frame: 2048, or 4096 for an MTU above 1500.
  std::uint32_t frame_bytes = 2048;
  /// Entries of the rings (powers of two). What arrives while the receive ring is full is dropped,
  /// and sent again by the peer.
  std::uint32_t receive_ring = 2048;
  std::uint32_t transmit_ring = 1024;
  /// Most frames taken up in one poll().
  std::uint32_t batch = 64;

  /// Frames to send that wait for a system call at most; the rest of a turn leaves at its end. More is fewer calls, but the
  /// first of many connections then wait until the frames of all are made.
  std::uint32_t kick_batch = 16;

  /// Verify checksums of what arrives. automatic: not on veth, whose kernel end leaves them
  /// unfilled, and else yes.
  enum class Verify : std::uint8_t {
    automatic,
    always,
    never
  } verify_checksums = Verify::automatic;
  /// Wait up to 40 ms for something to send before an acknowledgement goes alone. Off: it leaves at
  /// the end of the poll() that delivered the data, with the answer if there is one.
  bool delayed_ack = false;
  /// What one connection may have unacknowledged, bytes, unless ConnOptions::send_buffer_bytes says
  /// otherwise. At most 4 MiB.
  std::uint32_t send_buffer_bytes = 256 * 1024;
  /// An idle connection is probed after this long, milliseconds; 0 is never. Then every
  /// keep_alive_interval_ms, and it is given up after keep_alive_probes without an answer.
  std::uint32_t keep_alive_idle_ms = 60'000;
  std::uint32_t keep_alive_interval_ms = 5'000;
  std::uint32_t keep_alive_probes = 6;
  /// The shortest time before something unacknowledged is sent again, milliseconds. Below the
  /// peer's delayed acknowledgement (40 ms or more on Linux) everything would be sent twice.
  std::uint32_t retransmit_ms_min = 200;
  /// The bound of all memory of the stack: connections, what is unacknowledged, what was received
  /// and copied. When it is used up, packets are dropped and sends stay pending. Taken as needed.
  std::uint64_t stack_memory_bytes = 512ULL << 20;
};

}  // namespace feedbench::transports
