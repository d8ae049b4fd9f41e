#pragma once

namespace feedbench::load {

/// What the command line of the load process says; everything else comes over stdin.
struct LoadProcessOptions {
  int cpu = -1;  ///< core to pin to; -1: none
  bool parent_death = false;
};

/// The exchange and the client swarm in one spinning thread: `feedbench load`. Reads one JSON object a line from
/// `input` (first a LoadConfig, then connect, start, disconnect, quit) and writes events to `output`:
///
///   listening {url, topics, send_log_fd, delivery_log_fd}   upstream_ready   connected {clients}
///   started   done {report}   disconnected   failed {reason}
///
/// returns the process's exit code. End of input means quit. thread: the calling one, until the end.
int run_load_process(int input, int output, const LoadProcessOptions& options);

}  // namespace feedbench::load
