#pragma once

#include <memory>
#include <string>

#include "transports/sockets.hpp"

namespace feedbench::transports::xdp::testing {

/// A test network: two network namespaces without names and a veth pair between them. The stack
/// lives on the near end, with an address that the kernel does not have; the kernel's own TCP at
/// the far end is its peer. Held by descriptors alone: it is gone with the process, however that
/// ends.
class VethSite {
 public:
  static constexpr const char* kNearInterface = "xdpnear";
  static constexpr const char* kFarInterface = "xdpfar";
  static constexpr const char* kStackAddress = "10.77.0.2";
  static constexpr const char* kStackNetwork = "10.77.0.2/24";
  static constexpr const char* kFarAddress = "10.77.0.1";

  /// The site of this process, made at the first call. nullptr when it cannot be had here; then
  /// why_not() says why.
  static VethSite* shared();
  static const std::string& why_not();

  /// Runs the calling thread in one of the namespaces until the end of its life, then where it was.
  class Visit {
   public:
    explicit Visit(int name_space);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    sockets::Descriptor before_;
  };

  [[nodiscard]] int near() const noexcept { return near_.get(); }
  [[nodiscard]] int far() const noexcept { return far_.get(); }

  /// errors: throws std::runtime_error.
  VethSite();
  /// Gives the kernel of the near end an address too, so that kernel sockets reach each other.
  void add_near_address(const std::string& address);

 private:
  sockets::Descriptor near_;
  sockets::Descriptor far_;
};

}  // namespace feedbench::transports::xdp::testing
