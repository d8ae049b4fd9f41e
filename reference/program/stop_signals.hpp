#pragma once

#include <atomic>

namespace feedbench::program {

/// Turns SIGTERM and SIGINT into a flag and one call of an async-signal-safe function, and ignores SIGPIPE.
/// One object a process. A second signal while stopping ends the process at once (the default action).
class StopSignals {
 public:
  /// wake: called from the signal handler, so async-signal-safe; context is passed through. May be null.
  StopSignals(void (*wake)(void* context), void* context);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  [[nodiscard]] static bool requested() noexcept;

 private:
  static void handle(int signal);
};

}  // namespace feedbench::program
