#include "reference/program/detach.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "reference/program/exit_codes.hpp"

namespace feedbench::program {
namespace {

/// What the parent does: waits for the child's word, or its end.
[[noreturn]] void wait_for(pid_t child, int pipe) {
  char word = 0;
  ssize_t got = 0;
  do {
    got = ::read(pipe, &word, 1);
  } while (got < 0 && errno == EINTR);
  if (got == 1) ::_exit(kExitOk);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ::_exit(WIFEXITED(status) ? WEXITSTATUS(status) : kExitCannotStart);
}

}  // namespace

transports::Expected<Detach> Detach::fork() {
  const auto refused = [](const char* what) {
    return tl::make_unexpected(
        transports::Error{std::string("detach: ") + what + ": " + std::strerror(errno), errno});
  };
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return refused("pipe");
  const pid_t child = ::fork();
  if (child < 0) return refused("fork");
  if (child > 0) {
    ::close(ends[1]);
    wait_for(child, ends[0]);
  }
  ::close(ends[0]);
  ::setsid();
  return Detach(ends[1]);
}

void Detach::ready() {
  if (pipe_ < 0) return;
  if (const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC); nowhere >= 0) {
    ::dup2(nowhere, STDIN_FILENO);
    ::dup2(nowhere, STDOUT_FILENO);
    ::dup2(nowhere, STDERR_FILENO);
    ::close(nowhere);
  }
  const char word = 1;
  static_cast<void>(::write(pipe_, &word, 1));
  ::close(std::exchange(pipe_, -1));
}

}  // namespace feedbench::program
