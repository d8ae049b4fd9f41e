#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "reference/program/status_lines.hpp"
#include "transports/transport.hpp"

/// The thing a user would otherwise write: a Boost.Beast WebSocket client whose messages go to
/// every connection of a Boost.Beast WebSocket server, put together as in Beast's own examples
/// (asynchronous client, chat server). Boost stays behind this header.
namespace feedbench::baselines {

struct BeastOptions {
  std::string upstream;         ///< ws:// or wss:// URL.
  transports::Endpoint listen;  ///< Where WebSocket clients connect, any target.
  bool spin = false;            ///< io_context::poll() in a loop instead of run().
  std::string ca_file;          ///< PEM authorities for wss://; empty: the system's.
  std::size_t queue_messages_max =
      1 << 20;  ///< A client with more messages waiting than this is disconnected.
};

struct BeastCounters {
  std::uint64_t messages_received = 0;
  std::uint64_t bytes_received = 0;      ///< Payload.
  std::uint64_t messages_delivered = 0;  ///< To all clients together.
  std::uint64_t clients_accepted = 0;
  std::uint64_t clients_evicted = 0;  ///< Disconnected because their queue was full.
};

/// Why the server ended: an exit code of program/exit_codes.hpp and, unless it is 0, one sentence.
struct BeastEnd {
  int exit_code = 0;
  std::string message;
};

/// Runs on the calling thread until the upstream ends or a stop is requested
/// (program::StopSignals). Tells status: listening, upstream_open, upstream_ready, upstream_lost.
/// counters: filled in any case.
BeastEnd run_beast_server(const BeastOptions& options, const program::StatusLines& status,
                          BeastCounters& counters);

}  // namespace feedbench::baselines
