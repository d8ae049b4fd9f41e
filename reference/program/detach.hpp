#pragma once

#include <string>

#include "transports/transport.hpp"

namespace feedbench::program {

/// A program that goes to the background once it serves: who started it waits just until then, and learns by the exit code
/// whether it came up. thread: the only one there is (it forks).
class Detach {
 public:
  /// Forks. In the parent this does not return: it ends with kExitOk once the child is ready(), else with the child's own
  /// exit code. In the child it returns, in a session of its own. errors: no process, no pipe.
  static transports::Expected<Detach> fork();

  Detach() = default;  ///< Not detached: ready() does nothing.
  /// Standard input, output and error go nowhere from here on; the parent is let go.
  void ready();

 private:
  explicit Detach(int pipe) : pipe_(pipe) {}
  int pipe_ = -1;
};

}  // namespace feedbench::program
