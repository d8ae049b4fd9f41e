#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace feedbench::simulate {

struct Plan;

/// What one seed came to.
struct Outcome {
  std::uint64_t seed = 0;
  std::vector<std::string> faults;  ///< What must not be; empty: all is well.
  std::uint64_t trace = 0;          ///< The same for the same seed: bytes, order and instants.
  std::uint64_t messages = 0;       ///< Published by the proxy.
  std::uint64_t delivered = 0;      ///< To WebSocket clients, all together.
  std::uint64_t clients = 0;
  std::uint64_t evictions = 0;
  std::uint64_t upstream_losses = 0;
  std::uint64_t lapped = 0;  ///< Messages that the lazy log reader was told it missed.
  double virtual_seconds = 0;
};

/// Runs a whole proxy (upstream link, feed log, WebSocket clients) with a venue and clients drawn from the seed, in this
/// thread, on a simulated network, to the end: a session with faults, a time to heal, the proxy's stop.
/// Claims checked: every message in the log and at every client is the venue's, whole, in order, none left out; a client that
/// did nothing wrong over a link that works is never lost and has everything in the end; who is ended is told why; the
/// proxy finds back to its venue, stops when told, and leaves no connection behind.
/// verbose: prints the story, a line an event. Cost: some milliseconds. thread: one simulation at a time a thread.
/// throws transports::Error when there is no memory for a log.
Outcome run_simulation(std::uint64_t seed, bool verbose = false);
/// The same with a plan of one's own.
Outcome run_simulation(const Plan& plan, bool verbose = false);

}  // namespace feedbench::simulate
