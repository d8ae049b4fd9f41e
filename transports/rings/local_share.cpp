#include "transports/rings/local_share.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>
#include <vector>

namespace feedbench::rings {
namespace {

constexpr int kListenBacklog = 16;
constexpr int kLockTries = 200;  // of 10 ms

transports::Error share_error(const std::string& what, const std::string& path,
                              const std::string& why, int os_error) {
  return {what + " " + path + ": " + why, os_error};
}

transports::Error share_error(const std::string& what, const std::string& path, int os_error) {
  return share_error(what, path, std::strerror(os_error), os_error);
}

bool fill_address(const std::string& path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return true;
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
transports::Expected<Descriptor> lock_directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "."
                                : slash == 0               ? "/"
                                                           : path.substr(0, slash);
  Descriptor lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!lock.valid()) {
    return tl::unexpected(share_error("listen at local socket", path,
                                      "directory " + directory + ": " + std::strerror(errno),
                                      errno));
  }
  for (int tries = 0; ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK || tries == kLockTries) {
      return tl::unexpected(share_error("listen at local socket", path,
                                        "lock directory " + directory + ": " + std::strerror(errno),
                                        errno));
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
  const Descriptor probe(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int answer = probe.valid() ? try_connect(probe.get(), address) : errno;
  if (answer != ECONNREFUSED) {
    // EAGAIN: a full backlog; EPROTOTYPE: a socket of another kind: alive both.
    return "in use by a running program (choose another path, or stop that program)";
  }
  return ::unlink(path.c_str()) == 0
             ? std::string{}
             : std::string("remove the stale socket: ") + std::strerror(errno);
}

bool same_user(int connection, bool or_root) {
  ucred peer{};
  socklen_t length = sizeof(peer);
  if (::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) return false;
  return peer.uid == ::geteuid() || (or_root && peer.uid == 0);
}

}  // namespace

transports::Expected<LocalShareServer::Listener> LocalShareServer::listen_at(
    const std::string& path) {
  const std::string what = "listen at local socket";
  sockaddr_un address{};
  if (!fill_address(path, address)) {
    return tl::unexpected(share_error(
        what, path,
        "the path must have 1 to " + std::to_string(sizeof(address.sun_path) - 1) + " bytes",
        ENAMETOOLONG));
  }
  const auto lock = lock_directory_of(path);
  if (!lock) return tl::unexpected(lock.error());
  if (const std::string fault = make_free(path, address); !fault.empty()) {
    return tl::unexpected(share_error(what, path, fault, EADDRINUSE));
  }
  Listener listener;
  listener.descriptor =
      Descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = listener.descriptor.get();
  // The mode of an unbound socket becomes that of its path, so at no moment is it open to others.
  if (fd < 0 || ::fchmod(fd, 0600) != 0 || ::bind(fd, generic(address), sizeof(address)) != 0) {
    return tl::unexpected(share_error(what, path, errno));
  }
  struct stat status {};
  if (::listen(fd, kListenBacklog) != 0 || ::lstat(path.c_str(), &status) != 0) {
    const int os_error = errno;
    ::unlink(path.c_str());
    return tl::unexpected(share_error(what, path, os_error));
  }
  listener.device = status.st_dev;
  listener.inode = status.st_ino;
  return listener;
}

transports::Expected<std::unique_ptr<LocalShareServer>> LocalShareServer::start(
    const LocalShareOptions& options, int share_descriptor) {
  Descriptor stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid())
    return tl::unexpected(share_error("listen at local socket", options.path, errno));
  auto listener = listen_at(options.path);
  if (!listener) return tl::unexpected(listener.error());
  std::unique_ptr<LocalShareServer> server(
      new LocalShareServer(options, share_descriptor, std::move(*listener), std::move(stop)));
  // The thread inherits a full mask: signals are the main thread's business.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  int os_error = 0;
  try {
    server->thread_ = std::thread([self = server.get()] { self->run(); });
  } catch (const std::system_error& error) {
    os_error = error.code().value();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (os_error != 0) {
    return tl::unexpected(share_error("listen at local socket", options.path,
                                      std::string("start a thread: ") + std::strerror(os_error),
                                      os_error));
  }
  return server;
}

LocalShareServer::LocalShareServer(LocalShareOptions options, int share_descriptor,
                                   Listener listener, Descriptor stop)
    : options_(std::move(options)),
      share_descriptor_(share_descriptor),
      listener_(std::move(listener)),
      stop_(std::move(stop)) {}

LocalShareServer::~LocalShareServer() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    while (::write(stop_.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    thread_.join();
  }
  // Only our own: somebody may have replaced the path meanwhile.
  struct stat status {};
  if (::lstat(options_.path.c_str(), &status) == 0 && status.st_dev == listener_.device &&
      status.st_ino == listener_.inode) {
    ::unlink(options_.path.c_str());
  }
}

bool LocalShareServer::serve(int connection) const noexcept {
  LocalShareHello hello;
  iovec part{&hello, sizeof(hello)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &share_descriptor_, sizeof(int));
  // The first message into an empty buffer: it never waits, and a peer that does not read it
  // keeps nobody.
  return ::sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL) ==
         static_cast<ssize_t>(sizeof(hello));
}

void LocalShareServer::run() noexcept {
  std::vector<pollfd> polled;
  std::vector<Descriptor> peers;  // peers[i] is polled[i + 2]
  polled.reserve(options_.connections_max + 2);
  peers.reserve(options_.connections_max);
  polled.push_back({stop_.get(), POLLIN, 0});
  polled.push_back({listener_.descriptor.get(), POLLIN, 0});
  for (;;) {
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return;
    if (polled[0].revents != 0) return;
    // Peers have nothing to say: one that speaks, or is gone, is closed. The last takes its place.
    for (std::size_t i = peers.size(); i-- > 0;) {
      if (polled[i + 2].revents == 0) continue;
      std::swap(peers[i], peers.back());
      peers.pop_back();
      polled[i + 2] = polled.back();
      polled.pop_back();
    }
    connections_.store(peers.size());
    if (polled[1].revents == 0) continue;
    polled[1].revents = 0;
    Descriptor peer(
        ::accept4(listener_.descriptor.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!peer.valid()) {
      // Out of descriptors: the peer stays in the backlog. Do not spin on it.
      if (errno == EMFILE || errno == ENFILE) ::poll(polled.data(), 1, 100);
      continue;
    }
    if (peers.size() >= options_.connections_max || !same_user(peer.get(), false) ||
        !serve(peer.get())) {
      refused_.fetch_add(1);
      continue;
    }
    polled.push_back({peer.get(), POLLIN, 0});
    peers.push_back(std::move(peer));
    connections_.store(peers.size());
    served_.fetch_add(1);
  }
}

bool LocalShare::proxy_alive() const noexcept {
  char byte = 0;
  ssize_t got = 0;
  do {
    got = ::recv(connection.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

namespace {

// The descriptor that came with the message, or none. All that came are closed but that.
Descriptor take_descriptor(msghdr& message) {
  Descriptor taken;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
      taken = Descriptor(fd);
    }
  }
  return taken;
}

transports::Expected<Descriptor> receive_log(int connection, const std::string& path,
                                             std::chrono::milliseconds timeout) {
  const std::string what = "connect to local socket";
  pollfd readable{connection, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&readable, 1, static_cast<int>(timeout.count()));
  } while (ready < 0 && errno == EINTR);
  if (ready <= 0)
    return tl::unexpected(share_error(what, path, "no answer (is the proxy stopped?)", ETIMEDOUT));
  LocalShareHello hello;
  hello.magic = 0;
  iovec part{&hello, sizeof(hello)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  do {
    got = ::recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno != ECONNRESET) return tl::unexpected(share_error(what, path, errno));
  if (got <= 0) {
    return tl::unexpected(share_error(
        what, path, "the proxy closed at once (too many local readers, or another user's proxy)",
        ECONNREFUSED));
  }
  Descriptor log = take_descriptor(message);
  if (got != static_cast<ssize_t>(sizeof(hello)) || hello.magic != kLocalShareMagic ||
      hello.version != kLocalShareVersion || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
      !log.valid()) {
    return tl::unexpected(share_error(
        what, path, "what answers is not a feedproxy of this version (check the path)", EPROTO));
  }
  return log;
}

}  // namespace

transports::Expected<LocalShare> connect_local_share(const std::string& path,
                                                     std::chrono::milliseconds timeout) {
  const std::string what = "connect to local socket";
  sockaddr_un address{};
  if (!fill_address(path, address)) {
    return tl::unexpected(share_error(
        what, path,
        "the path must have 1 to " + std::to_string(sizeof(address.sun_path) - 1) + " bytes",
        ENAMETOOLONG));
  }
  LocalShare share;
  share.connection = Descriptor(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const int fd = share.connection.get();
  if (fd < 0) return tl::unexpected(share_error(what, path, errno));
  // A full backlog makes connect() wait; not for ever.
  const timeval limit{static_cast<time_t>(timeout.count() / 1000),
                      static_cast<suseconds_t>(timeout.count() % 1000 * 1000)};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (const int os_error = try_connect(fd, address); os_error != 0) {
    const bool absent = os_error == ENOENT || os_error == ECONNREFUSED;
    return tl::unexpected(
        share_error(what, path,
                    std::string(std::strerror(os_error)) +
                        (absent ? " (is the proxy running with --local-socket?)" : ""),
                    os_error));
  }
  if (!same_user(fd, true)) {
    return tl::unexpected(
        share_error(what, path, "the socket belongs to another user's program", EPERM));
  }
  auto log = receive_log(fd, path, timeout);
  if (!log) return tl::unexpected(log.error());
  share.log = std::move(*log);
  return share;
}

}  // namespace feedbench::rings
