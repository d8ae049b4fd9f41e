#pragma once

#include "transports/rings/descriptor.hpp"

namespace feedbench::transports {

/// Two connected TCP sockets over the loopback interface, blocking, for trying things on. Set-up alone.
struct LoopbackPair {
  rings::Descriptor connecting;
  rings::Descriptor accepted;
  int os_error = 0;  ///< why there is no pair; 0 when there is one
};

/// A listening TCP socket on a free port of 127.0.0.1, and how to reach it.
struct LoopbackListener {
  rings::Descriptor descriptor;
  unsigned short port = 0;
  int os_error = 0;
};

/// errors: os_error. Cost: some tens of microseconds. thread: any.
LoopbackListener listen_on_loopback();
/// Connects to a port of 127.0.0.1. errors: an invalid descriptor; errno is set.
rings::Descriptor connect_to_loopback(unsigned short port);
LoopbackPair make_loopback_pair();

/// Brings the loopback interface of the thread's network namespace up: a new namespace has it down. returns 0 or an errno.
int bring_loopback_up();

}  // namespace feedbench::transports
