#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "transports/xdp/xdp_options.hpp"

struct redirect;

namespace feedbench::transports::xdp {

/// The XDP program on an interface, held by a BPF link: it goes when this object or the process
/// does.
class RedirectLink {
 public:
  /// Loads the program for `address` (network byte order) and attaches it. errors: throws Error.
  RedirectLink(const std::string& interface, unsigned interface_index, std::uint32_t address,
               XdpAttach attach);
  ~RedirectLink();
  RedirectLink(const RedirectLink&) = delete;
  RedirectLink& operator=(const RedirectLink&) = delete;

  /// Sends what the program takes from `queue` to the AF_XDP socket. errors: throws Error.
  void feed(std::uint32_t queue, int socket);
  /// "native" or "generic".
  [[nodiscard]] const char* mode() const noexcept { return mode_; }

 private:
  std::string interface_;
  std::unique_ptr<redirect, void (*)(redirect*)> program_;
  int link_ = -1;
  const char* mode_ = "";
};

}  // namespace feedbench::transports::xdp
