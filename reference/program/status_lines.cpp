#include "reference/program/status_lines.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>

namespace feedbench::program {

transports::Expected<void> check_status_descriptor(int fd) {
  if (fd == -1) return {};
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) return {};
  return tl::make_unexpected(
      transports::Error{"--status-fd " + std::to_string(fd) +
                            ": not open for writing (pass a descriptor that the program inherits)",
                        EBADF});
}

StatusLines::StatusLines(int fd) : fd_(fd) {
  if (fd_ >= 0) ::fcntl(fd_, F_SETFD, FD_CLOEXEC);
}

void StatusLines::event(std::string_view name) const { event(name, nlohmann::json::object()); }

void StatusLines::event(std::string_view name, const nlohmann::json& fields) const {
  if (fd_ < 0) return;
  nlohmann::json line = {{"event", name}};
  line.update(fields);
  // Text from a peer may not be UTF-8; replace rather than throw.
  std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  text += '\n';
  std::string_view rest = text;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return;
    }
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
}

}  // namespace feedbench::program
