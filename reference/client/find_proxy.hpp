#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "reference/client/error.hpp"
#include "reference/client/packet_socket.hpp"

/// How a client comes to a proxy: the path of its socket, and the one start of a proxy that is not there, however many
/// clients race for it. Standard library and Linux alone.
namespace feedproxy {

extern "C" char** environ;  // NOLINT: unistd.h declares it with _GNU_SOURCE alone

namespace detail {

using Clock = std::chrono::steady_clock;
using control::Descriptor;

/// The folder of the sockets: $XDG_RUNTIME_DIR/feedproxy, else /tmp/feedproxy-UID; made if need be, for this user alone.
/// throws Error if it is not this user's.
inline std::string runtime_folder() {
  const char* const given = std::getenv("XDG_RUNTIME_DIR");
  const std::string folder = given != nullptr && given[0] == '/'
                                 ? std::string(given) + "/feedproxy"
                                 : "/tmp/feedproxy-" + std::to_string(::geteuid());
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    throw Error(
        Errc::system,
        "make the folder " + folder + ": " + std::strerror(errno) +
            " (check XDG_RUNTIME_DIR, or give a path instead of a name: --local-socket PATH)");
  struct stat status {};
  if (::lstat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
      status.st_uid != ::geteuid() || (status.st_mode & 022) != 0)
    throw Error(Errc::not_allowed,
                folder + " is not a folder of this user that nobody else may write (remove it)");
  return folder;
}

/// A connected socket, or none with errno in os_error.
inline Descriptor connect_to(const std::string& path, int& os_error) {
  sockaddr_un address{};
  if (!control::fill_address(path, address))
    throw Error(Errc::bad_request,
                "the path of a proxy's socket has 1 to 107 bytes, and this has " +
                    std::to_string(path.size()) + ": " + path);
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  int outcome = -1;
  if (socket.valid()) {
    // Without a limit connect() would wait for ever where the proxy is stopped and its backlog full.
    const timeval limit{1, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    do {
      outcome =
          ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    } while (outcome != 0 && errno == EINTR);
  }
  os_error = outcome == 0 ? 0 : errno;
  if (outcome != 0) socket.reset();
  return socket;
}

inline bool nobody_there(int os_error) { return os_error == ENOENT || os_error == ECONNREFUSED; }

/// A lock on PATH.lock, held by at most one process, given back by the kernel when its holder dies.
class SpawnLock {
 public:
  /// throws Error if the file cannot be made.
  explicit SpawnLock(const std::string& path) : path_(path + ".lock") {}
  SpawnLock(const SpawnLock&) = delete;
  SpawnLock& operator=(const SpawnLock&) = delete;
  ~SpawnLock() {
    if (lock_.valid()) ::unlink(path_.c_str());
  }

  /// false: another has it.
  bool try_lock() {
    Descriptor file(::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid())
      throw Error(Errc::system,
                  "make the lock " + path_ + ": " + std::strerror(errno) +
                      " (is its folder there, and this user's? check XDG_RUNTIME_DIR, "
                      "or give the socket another path)");
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return false;
    // Its last holder removed the name when it was done; then this is a lock on nothing.
    struct stat held {};
    struct stat named {};
    if (::fstat(file.get(), &held) != 0 || ::lstat(path_.c_str(), &named) != 0 ||
        held.st_ino != named.st_ino || held.st_dev != named.st_dev)
      return false;
    lock_ = std::move(file);
    return true;
  }

 private:
  std::string path_;
  Descriptor lock_;
};

/// Why it could not be started. A word with a space is a command line that was meant to be several.
inline std::string why_not_spawned(const std::string& program, int failure) {
  if (failure != ENOENT || program.find('/') != std::string::npos) {
    std::string why = std::strerror(failure);
    if (failure == ENOENT && program.find(' ') != std::string::npos)
      why += " (give program and arguments as a list of words)";
    return why;
  }
  return program.find(' ') == std::string::npos
             ? "not found in PATH"
             : "not found in PATH (give program and arguments as a list of words)";
}

/// Starts `program` with --local-socket PATH --detach behind its own arguments and waits until it serves.
/// Returns what it said. throws Error with that when it did not come up.
inline std::string spawn(const std::vector<std::string>& program, const std::string& path,
                         Clock::time_point until) {
  std::vector<std::string> words = program;
  words.insert(words.end(), {"--local-socket", path, "--detach"});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int said[2];
  if (::pipe2(said, O_CLOEXEC) != 0)
    throw Error(Errc::system, std::string("spawn the proxy: ") + std::strerror(errno));
  Descriptor ours(said[0]);
  Descriptor theirs(said[1]);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDERR_FILENO);
  ::posix_spawn_file_actions_addclosefrom_np(&actions,
                                             STDERR_FILENO + 1);  // it outlives this process
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigset_t ordinary;
  ::sigemptyset(&none);
  ::sigemptyset(&ordinary);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGCHLD})
    ::sigaddset(&ordinary, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &ordinary);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t child = -1;
  const int failure =
      ::posix_spawnp(&child, arguments[0], &actions, &attributes, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  theirs.reset();
  if (failure != 0)
    throw Error(Errc::spawn_failed,
                "spawn " + words[0] + ": " + why_not_spawned(words[0], failure));
  // What it says until it serves or gives up: both close its standard error here.
  std::string text;
  bool late = false;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0 ||
        !control::wait_for(ours.get(), POLLIN, static_cast<int>(left.count()))) {
      late = true;
      break;
    }
    char part[512];
    const ssize_t got = ::read(ours.get(), part, sizeof part);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    if (text.size() < 4096) text.append(part, static_cast<std::size_t>(got));
  }
  if (late) ::kill(child, SIGTERM);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  text.insert(0, text.empty() ? " and said nothing" : ": ");
  if (late)
    throw Error(Errc::timed_out, "spawn " + words[0] + ": it does not serve in time" + text);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return text;
  throw Error(Errc::spawn_failed, "spawn " + words[0] + ": it ended with " +
                                      std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : -1) +
                                      text);
}

/// A socket connected to the proxy at path. program: what to start if nobody is there; empty: nothing.
/// throws Error.
inline Descriptor find_proxy(const std::string& path, const std::vector<std::string>& program,
                             Clock::time_point until) {
  SpawnLock lock(path);
  bool mine = false;
  for (;;) {
    int os_error = 0;
    Descriptor socket = connect_to(path, os_error);
    if (socket.valid()) return socket;
    if (!nobody_there(os_error) && os_error != EAGAIN)
      throw Error(
          os_error == EACCES ? Errc::not_allowed : Errc::system,
          "connect to the proxy at " + path + ": " + std::strerror(os_error) +
              (os_error == EACCES ? " (another user's? its --local-group says who else may)" : ""));
    if (nobody_there(os_error) && program.empty())
      throw Error(Errc::no_proxy, "connect to the proxy at " + path + ": " +
                                      std::strerror(os_error) +
                                      " (is feedproxy running with --local-socket?)");
    if (Clock::now() >= until)
      throw Error(Errc::timed_out, "connect to the proxy at " + path + ": it does not answer");
    if (nobody_there(os_error)) {
      // Between the look above and the lock another may have started it: only who has the lock and looked again starts.
      if (mine) {
        const std::string said = spawn(program, path, until);
        socket = connect_to(path, os_error);
        if (socket.valid()) return socket;
        if (nobody_there(os_error))
          throw Error(Errc::spawn_failed, "spawn " + program[0] + ": it ended with 0" + said +
                                              ", and nobody serves at " + path);
        continue;
      }
      mine = lock.try_lock();
      if (mine) continue;
    }
    ::poll(nullptr, 0, 5);
  }
}

}  // namespace detail

/// The path of a proxy's socket. A path is what it is; a word without a slash is a name, and stands for
/// $XDG_RUNTIME_DIR/feedproxy/NAME.sock, whose folder is made if need be; empty: the name "default".
/// throws Error: the folder cannot be made, or is not this user's.
inline std::string socket_path(const std::string& name_or_path) {
  if (name_or_path.find('/') != std::string::npos) return name_or_path;
  return detail::runtime_folder() + "/" + (name_or_path.empty() ? "default" : name_or_path) +
         ".sock";
}

}  // namespace feedproxy
