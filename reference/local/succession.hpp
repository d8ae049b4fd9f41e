#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "reference/local/proxy_state.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

namespace feedbench::local {

/// How a proxy takes over from the one that runs at the same socket:
///
///     connect()   prepare what takes time, for so many feeds()
///     begin()     it is asked to let go: from here on nothing moves, and bytes wait in the kernel
///     state()     is what to go on with: set up everything with it that may fail
///     complete()  it ends, and leaves the socket's path
///
/// If this object goes before complete(), however it goes, the running proxy takes everything back and goes on.
class Succession {
 public:
  /// For how long the running proxy waits for complete().
  static constexpr std::int64_t kLimitMs = 10'000;

  /// path: of the local socket. token: as a client presents it. Nothing: nobody runs there.
  /// errors: not allowed, another version, it does not answer.
  static transports::Expected<std::optional<Succession>> connect(const std::string& path,
                                                                 const std::string& token);
  /// How many feeds it has now.
  [[nodiscard]] std::size_t feeds() const noexcept { return feeds_; }

  /// errors: it is another version, or ended.
  transports::Expected<void> begin();
  /// begin() failed because the running proxy ended: there may be another one now, or none.
  [[nodiscard]] bool ended() const noexcept { return ended_; }

  [[nodiscard]] ProxyState& state() noexcept { return state_; }
  [[nodiscard]] int pid() const noexcept { return pid_; }

  /// errors: the running proxy has taken everything back; this one must end without touching anything.
  transports::Expected<void> complete();

 private:
  Succession() = default;

  rings::Descriptor socket_;
  rings::Descriptor process_;  // a pidfd
  int pid_ = 0;
  std::size_t feeds_ = 0;
  bool ended_ = false;
  ProxyState state_;
};

}  // namespace feedbench::local
