#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "reference/local/control_session.hpp"
#include "reference/local/proxy_state.hpp"
#include "transports/clock.hpp"

/// The giving side of a replacement; Succession is the other one.
namespace feedbench::local {

/// Who is to take over, until it has, or is gone.
struct Successor {
  UserId session;
  std::uint32_t request;
  transports::MonotonicInstant until;
  std::optional<ProxyState> state;  ///< Once everything has let go.
};

/// Adds the sessions to the successor's state and gives it all away, waiting for room until `until`. Descriptors of the sessions
/// and the listener are sent, and stay this process's. What goes wrong ends `to`. thread: the control thread.
void give_state(ControlSession& to, Successor& successor,
                const std::vector<std::unique_ptr<ControlSession>>& sessions, int listener);

/// Sealed memory that holds a text, to be handed over. Invalid if the kernel has none.
rings::Descriptor memory_with(const std::string& text);

}  // namespace feedbench::local
