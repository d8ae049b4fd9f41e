#pragma once

#include <vector>

#include "transports/mapped_array.hpp"
#include "transports/xdp/frame_device.hpp"
#include "transports/xdp/redirect_link.hpp"
#include "transports/xdp/xdp_options.hpp"
#include "transports/xdp/xsk_rings.hpp"

namespace feedbench::transports::xdp {

/// An AF_XDP socket on one queue of one interface, and the program that feeds it. Closing it, or
/// the end of the process, however it ends, leaves the interface as it was found.
class XskDevice final : public FrameDevice {
 public:
  /// Opens it. address: network byte order, what the program redirects. Takes up to two seconds
  /// when the queue was just closed by another socket. errors: throws Error: what failed, on which
  /// interface, why, and what to do.
  XskDevice(const XdpOptions& options, std::uint32_t address);

  [[nodiscard]] const DeviceFacts& facts() const noexcept override { return facts_; }
  [[nodiscard]] bool readable() noexcept override;
  std::size_t receive(std::span<ReceivedFrame> into) noexcept override;
  void release(std::uint32_t token) noexcept override;
  [[nodiscard]] bool may_hold() const noexcept override { return held_ < held_max_; }
  std::span<std::byte> transmit_space() noexcept override;
  void transmit(std::size_t bytes) noexcept override;
  unsigned kick() noexcept override;
  [[nodiscard]] int descriptor() const noexcept override { return rings_.descriptor(); }
  [[nodiscard]] int loss() noexcept override;
  [[nodiscard]] std::uint64_t other_calls() const noexcept override {
    return kSetupCalls + driving_calls_;
  }

 private:
  static constexpr std::uint64_t kSetupCalls = 40;  // about: most are made by libbpf and libxdp
  static constexpr std::uint32_t kFillBatch = 16;

  void give_to_kernel() noexcept;
  void reclaim() noexcept;
  unsigned send_queued() noexcept;
  [[nodiscard]] bool kernel_has_to_send() const noexcept;

  XdpOptions options_;
  DeviceFacts facts_;
  MappedArray<std::byte> memory_;
  std::vector<std::uint32_t> free_;  // frames that nobody has; capacity is all of them
  RedirectLink link_;  // a program without a socket passes everything on to the kernel
  XskRings rings_;
  std::uint32_t sending_ = 0;  // the frame transmit_space() gave
  bool have_sending_ = false;
  std::uint32_t in_transmit_ = 0;  // frames the kernel has to send
  std::uint32_t unsubmitted_ = 0;  // written to the transmit ring, not shown to the kernel
  unsigned early_kicks_ = 0;       // made before kick(), which tells of them
  std::uint32_t held_ = 0;         // received and not released
  std::uint32_t held_max_ = 0;
  std::uint64_t driving_calls_ = 0;  // system calls made to drive the receiving side
};

}  // namespace feedbench::transports::xdp
