#pragma once

#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

namespace feedbench::transports {

/// A test network: two network namespaces without names and a veth pair between them, one queue at
/// each end, without the offloads that put more into a frame than fits (scripts/netns makes the same
/// by hand). Held by descriptors alone: it is gone with the last process that holds one or runs in
/// it, however that ends, and nothing of the machine's own network is touched.
///
/// The far end has the kernel's TCP, at kFarAddress. The near end has the address kNearAddress: that
/// of the kernel there, or, where the kernel is not to have it, of an XDP transport.
class VethSite {
 public:
  static constexpr const char* kNearInterface = "near0";
  static constexpr const char* kFarInterface = "far0";
  static constexpr const char* kNearAddress = "10.77.0.2";
  static constexpr const char* kNearNetwork = "10.77.0.2/24";
  static constexpr const char* kFarAddress = "10.77.0.1";

  /// Whose address kNearAddress is.
  enum class Near : std::uint8_t { kernel, stack };

  /// Makes one, on a thread of its own: the calling thread's namespace stays what it is.
  /// errors: no privilege (CAP_SYS_ADMIN, CAP_NET_ADMIN), a kernel without namespaces or veth.
  /// Cost: some milliseconds.
  static Expected<VethSite> create(Near near_end);
  VethSite(VethSite&&) noexcept;
  VethSite& operator=(VethSite&&) noexcept;
  ~VethSite();

  /// Descriptors of the namespaces, for setns(2).
  [[nodiscard]] int near() const noexcept { return near_.get(); }
  [[nodiscard]] int far() const noexcept { return far_.get(); }

  /// Has the calling thread in one of the namespaces for the lifetime of this, then where it was.
  class Visit {
   public:
    /// throws Error.
    explicit Visit(int name_space);
    ~Visit();
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;

   private:
    rings::Descriptor before_;
  };

 private:
  VethSite() = default;
  rings::Descriptor near_;
  rings::Descriptor far_;
};

}  // namespace feedbench::transports
