#pragma once

#include <cstddef>

#include "transports/io_uring/io_uring_transport.hpp"

namespace feedbench::transports::testing {

/// io_uring with options of its own.
template <IoUringOptions Options, std::size_t ReceiveBufferBytes = 256 * 1024>
struct IoUringWith : IoUringTransport {
  explicit IoUringWith(TransportOptions options)
      : IoUringTransport((options.receive_buffer_bytes = ReceiveBufferBytes, options), Options) {}
};
}  // namespace feedbench::transports::testing
