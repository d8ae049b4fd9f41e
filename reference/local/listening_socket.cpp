#include "reference/local/listening_socket.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "reference/client/packet_socket.hpp"

namespace feedbench::local {
namespace {

constexpr int kListenBacklog = 128;
constexpr int kLockTries = 200;  // of 10 ms

constexpr char kWhat[] = "listen at local socket ";

transports::Error refused(const std::string& path, const std::string& why, int os_error) {
  return {kWhat + path + ": " + why, os_error};
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// 0, or errno of connecting to `path`.
int try_connect(int fd, const sockaddr_un& address) {
  while (::connect(fd, generic(address), sizeof(address)) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

// Two processes that start at once must not both find the same stale path and remove each other's
// new one, so the look and the bind happen under a lock on the directory, which leaves no file.
transports::Expected<rings::Descriptor> lock_directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : path.substr(0, slash);
  rings::Descriptor lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) {
    return tl::unexpected(
        refused(path, "directory " + directory + ": " + std::strerror(errno), errno));
  }
  for (int tries = 0; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || tries == kLockTries) {
      return tl::unexpected(
          refused(path, "lock directory " + directory + ": " + std::strerror(errno), errno));
    }
    ::poll(nullptr, 0, 10);
  }
  return lock;
}

// Empty if `path` is free now; removes what a dead process left.
std::string make_free(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0)
    return errno == ENOENT ? std::string{} : std::strerror(errno);
  if (!S_ISSOCK(status.st_mode))
    return "something else than a socket is there (choose another path)";
  const rings::Descriptor probe(
      ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int answer = probe.valid() ? try_connect(probe.get(), address) : errno;
  if (answer != ECONNREFUSED) {
    // EAGAIN: a full backlog; EPROTOTYPE: a socket of another kind: alive both.
    return "in use by a running program (choose another path, stop that program, or take over with "
           "--replace)";
  }
  return ::unlink(path.c_str()) == 0
             ? std::string{}
             : std::string("remove the stale socket: ") + std::strerror(errno);
}

}  // namespace

transports::Expected<ListeningSocket> ListeningSocket::listen_at(const std::string& path,
                                                                 bool group_access) {
  sockaddr_un address{};
  if (!feedproxy::control::fill_address(path, address)) {
    return tl::unexpected(refused(
        path, "the path must have 1 to " + std::to_string(sizeof(address.sun_path) - 1) + " bytes",
        ENAMETOOLONG));
  }
  const auto lock = lock_directory_of(path);
  if (!lock) return tl::unexpected(lock.error());
  if (const std::string fault = make_free(path, address); !fault.empty())
    return tl::unexpected(refused(path, fault, EADDRINUSE));
  ListeningSocket listener;
  listener.descriptor_ =
      rings::Descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = listener.get();
  // The mode of an unbound socket becomes that of its path, so at no moment is it open to others.
  if (fd < 0 || ::fchmod(fd, group_access ? 0660 : 0600) != 0 ||
      ::bind(fd, generic(address), sizeof(address)) != 0) {
    return tl::unexpected(refused(path, std::strerror(errno), errno));
  }
  struct stat status {};
  // The mode of the path was the socket's less the umask: the group's bits come now.
  const bool opened = !group_access || ::chmod(path.c_str(), 0660) == 0;
  if (!opened || ::listen(fd, kListenBacklog) != 0 || ::lstat(path.c_str(), &status) != 0) {
    const int os_error = errno;
    ::unlink(path.c_str());
    return tl::unexpected(refused(path, std::strerror(os_error), os_error));
  }
  listener.path_ = path;
  listener.device_ = status.st_dev;
  listener.inode_ = status.st_ino;
  return listener;
}

transports::Expected<ListeningSocket> ListeningSocket::adopt(const std::string& path,
                                                             rings::Descriptor listening) {
  int accepts = 0;
  socklen_t bytes = sizeof accepts;
  if (::getsockopt(listening.get(), SOL_SOCKET, SO_ACCEPTCONN, &accepts, &bytes) != 0 ||
      accepts == 0)
    return tl::unexpected(refused(path, "what was handed over does not listen", 0));
  ListeningSocket listener;
  listener.descriptor_ = std::move(listening);
  listener.path_ = path;
  return listener;
}

void ListeningSocket::own() noexcept {
  struct stat status {};
  if (::lstat(path_.c_str(), &status) != 0) return;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

ListeningSocket::~ListeningSocket() {
  // Only our own: somebody may have replaced the path meanwhile.
  struct stat status {};
  if (descriptor_.valid() && inode_ != 0 && ::lstat(path_.c_str(), &status) == 0 &&
      status.st_dev == device_ && status.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
}

}  // namespace feedbench::local
