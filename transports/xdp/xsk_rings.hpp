#pragma once

#include <xdp/xsk.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "transports/xdp/xdp_options.hpp"

namespace feedbench::transports::xdp {

/// The AF_XDP socket with its four rings over one stretch of packet memory.
class XskRings {
 public:
  /// Binds the queue: zero-copy if asked or offered, else copied. errors: throws Error; a queue
  /// that is busy is tried again for up to two seconds, since the kernel lets go of a closed one
  /// late.
  XskRings(const XdpOptions& options, std::span<std::byte> memory);
  ~XskRings();
  XskRings(const XskRings&) = delete;
  XskRings& operator=(const XskRings&) = delete;

  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  /// "zero-copy, need_wakeup", "copy".
  [[nodiscard]] const std::string& mode() const noexcept { return mode_; }

  xsk_ring_prod fill{};
  xsk_ring_cons completion{};
  xsk_ring_cons receive{};
  xsk_ring_prod transmit{};

 private:
  int try_bind(const XdpOptions& options, std::span<std::byte> memory, std::uint16_t flags);
  void close() noexcept;
  void set_budgets(const XdpOptions& options);

  xsk_umem* memory_ = nullptr;
  xsk_socket* socket_ = nullptr;
  int descriptor_ = -1;
  std::string mode_;
};

}  // namespace feedbench::transports::xdp
