#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "transports/transport.hpp"

namespace feedbench::transports {

/// What an IoUringTransport is created with besides TransportOptions. The defaults are what was fastest where it was
/// measured (docs/decisions/0007-what-io-uring-gains.md); what is asked for and cannot be had is an Error, except
/// deferred_task_run, which falls back (IoUringTransport::mode()).
struct IoUringOptions {
  /// Entries of the submission queue (completions: four times as many).
  std::uint32_t queue_entries = 1024;
  /// How many buffers TransportOptions::receive_buffer_bytes is cut into (rounded up to a power of two); one of them is
  /// the largest chunk one on_receive gets.
  std::uint32_t receive_buffers = 64;
  /// Completions run when poll() asks for them. false takes the set-up meant for older kernels (to test and compare).
  bool deferred_task_run = true;
  /// Sockets are looked up once a connection instead of once a request. Two system calls more for each connection, and
  /// connections_max must be within the limit of open files (ulimit -n).
  bool registered_files = false;
  /// One completion of a receive may fill several buffers (Linux 6.10). Not for connections with nic_stamps.
  bool receive_bundles = false;
  /// A buffer is filled by several receives before it is given back (Linux 6.12): 128 bytes do not occupy 4 KiB. Excludes
  /// nic_stamps on connections that lend no memory.
  bool incremental_buffers = false;
  /// Sends of one range of at least this many bytes are not copied; 0: all are. The memory is then in use until the peer
  /// has acknowledged it, so on_sent waits for that (a receiver may delay its acknowledgement, 40 ms on Linux), and
  /// cancel_send() of what it has not acknowledged ends the connection: RST, on_close instead of on_sent. Memory named
  /// with register_memory() need not be pinned for each send.
  std::size_t zero_copy_bytes = 0;
  /// A thread of the kernel submits (SQPOLL): no system call, but it spins on a core, which it needs for itself. Excludes
  /// deferred task run.
  bool submission_thread = false;
  /// The core of that thread; -1: wherever the scheduler puts it.
  int submission_core = -1;

  bool operator==(const IoUringOptions&) const = default;
};

/// Reads options as a command line gives them, each "NAME" or "NAME=VALUE": registered_files, receive_bundles,
/// incremental_buffers, zero_copy=BYTES, submission_thread, submission_thread=CORE, and no_deferred_task_run.
/// errors: a name that is none of these, a value that is missing, superfluous or no number.
Expected<IoUringOptions> parse_io_uring_options(const std::vector<std::string>& words);

/// The same in words, for logs and results: "registered_files, zero_copy=65536"; "" for the defaults.
std::string to_string(const IoUringOptions& options);

}  // namespace feedbench::transports
