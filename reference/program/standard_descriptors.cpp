#include "reference/program/standard_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace feedbench::program {

void open_standard_descriptors() noexcept {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", O_RDWR);  // gets the lowest free number: fd
  }
}

}  // namespace feedbench::program
