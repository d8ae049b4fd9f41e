#pragma once

#include <pthread.h>
#include <signal.h>

#include <system_error>
#include <thread>
#include <utility>

#include "transports/transport.hpp"

namespace feedbench::transports {

/// Starts a thread that takes no signals: those are the main thread's business.
/// errors: the kernel gives no thread. thread: any.
template <class Work>
Expected<std::thread> start_quiet_thread(Work&& work) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);  // which the new thread inherits
  std::error_code failure;
  std::thread started;
  try {
    started = std::thread(std::forward<Work>(work));
  } catch (const std::system_error& error) {
    failure = error.code();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failure)
    return tl::make_unexpected(Error{"start a thread: " + failure.message(), failure.value()});
  return started;
}

}  // namespace feedbench::transports
