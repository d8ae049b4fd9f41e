#pragma once

#include <pthread.h>
#include <sched.h>

#include <cstddef>

namespace feedbench::measure {

/// Pins the calling thread to one core. returns whether the kernel allows it. thread: any.
inline bool pin_this_thread(int cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return pthread_setaffinity_np(pthread_self(), sizeof(set), &set) == 0;
}

}  // namespace feedbench::measure
