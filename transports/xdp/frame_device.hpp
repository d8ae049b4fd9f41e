#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "transports/clock.hpp"

namespace feedbench::transports::xdp {

/// A received Ethernet frame, lent by the device until release(token).
struct ReceivedFrame {
  std::byte* data = nullptr;
  std::uint32_t bytes = 0;
  std::uint32_t token = 0;  ///< < DeviceFacts::frames
  std::int64_t tai_ns = 0;  ///< when the XDP program saw it, CLOCK_TAI; 0: not known
};

/// What a stack must know of its device.
struct DeviceFacts {
  std::array<std::uint8_t, 6> mac{};
  std::uint32_t mtu = 1500;      ///< bytes of an IP packet
  std::uint32_t frames = 0;      ///< tokens are below this
  bool verify_checksums = true;  ///< of what arrives
  std::string mode;              ///< "native, copy, need_wakeup; ..." for the user
};

/// Moves Ethernet frames. One thread.
class FrameDevice {
 public:
  FrameDevice() = default;
  FrameDevice(const FrameDevice&) = delete;
  FrameDevice& operator=(const FrameDevice&) = delete;
  virtual ~FrameDevice() = default;

  [[nodiscard]] virtual const DeviceFacts& facts() const noexcept = 0;
  /// True when receive() would return something.
  [[nodiscard]] virtual bool readable() noexcept = 0;
  /// Takes up what has arrived. returns how many of `into` were filled.
  virtual std::size_t receive(std::span<ReceivedFrame> into) noexcept = 0;
  /// Gives a frame back.
  virtual void release(std::uint32_t token) noexcept = 0;
  /// False when so many frames are held that the next ones must be copied and released at once.
  [[nodiscard]] virtual bool may_hold() const noexcept = 0;
  /// Room for one frame to send; empty when there is none. Written, it is passed to transmit().
  virtual std::span<std::byte> transmit_space() noexcept = 0;
  /// Queues the first `bytes` of the space given last.
  virtual void transmit(std::size_t bytes) noexcept = 0;
  /// Tells the kernel to send all that is queued. returns the system calls made.
  virtual unsigned kick() noexcept = 0;
  /// Becomes readable when a frame arrives; -1: never.
  [[nodiscard]] virtual int descriptor() const noexcept = 0;
  /// Why no frame will ever come or leave again, as errno; 0: they will. Tells it once. One system call.
  [[nodiscard]] virtual int loss() noexcept { return 0; }
  /// The stack's time.
  [[nodiscard]] virtual MonotonicInstant now() const noexcept { return MonotonicInstant::now(); }
  /// System calls made so far besides those that kick() told: to set it up, to drive its receiving
  /// side.
  [[nodiscard]] virtual std::uint64_t other_calls() const noexcept { return 0; }
};

}  // namespace feedbench::transports::xdp
