#include "reference/program/placement.hpp"

#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

namespace feedbench::program {

transports::Expected<void> pin_to_cpu(int cpu) {
  const auto refuse = [cpu](const std::string& why, int code) {
    return tl::make_unexpected(
        transports::Error{"--cpu " + std::to_string(cpu) + ": " + why +
                              " (this process may use the CPUs that `taskset -p` shows)",
                          code});
  };
  if (cpu < 0 || cpu >= CPU_SETSIZE) return refuse("not a CPU number", EINVAL);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) {
    const int code = errno;
    return refuse(std::strerror(code), code);
  }
  return {};
}

bool die_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  return ::getppid() != 1;
}

}  // namespace feedbench::program
