#include "harness/runner/child_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "reference/program/stop_signals.hpp"

namespace feedbench::runner {
namespace {

using transports::Error;
using Clock = std::chrono::steady_clock;

constexpr int kTickMs = 20;
constexpr std::size_t kErrorBytesKept = 16384;
constexpr int kStatusFd = 3;

struct Pipe {
  int read = -1;
  int write = -1;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Error{fmt::format("pipe: {}", std::strerror(errno)), errno};
  return {ends[0], ends[1]};
}

void close_if_open(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

double seconds_of(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

// What a child says about why it is none, and its end. Async-signal-safe.
[[noreturn]] void give_up(std::string_view what) {
  const char* why = std::strerror(errno);
  [[maybe_unused]] ssize_t n = ::write(2, what.data(), what.size());
  n = ::write(2, why, std::strlen(why));
  ::_exit(127);
}

// Between fork and exec: async-signal-safe calls alone.
[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment,
                         int in, int out, int err, int status, int network_namespace,
                         pid_t parent) {
  // Set before exec, so that a runner killed at any moment takes its programs along; it survives exec.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(0);
  // Sources may be any number: lift them out of the way of 0..3 first.
  const int lifted_in = ::fcntl(in, F_DUPFD_CLOEXEC, 10);
  const int lifted_out = ::fcntl(out, F_DUPFD_CLOEXEC, 10);
  const int lifted_err = ::fcntl(err, F_DUPFD_CLOEXEC, 10);
  const int lifted_status = status >= 0 ? ::fcntl(status, F_DUPFD_CLOEXEC, 10) : -1;
  ::dup2(lifted_in, 0);
  ::dup2(lifted_out, 1);
  ::dup2(lifted_err, 2);
  if (lifted_status >= 0) ::dup2(lifted_status, kStatusFd);
  if (network_namespace >= 0 && ::setns(network_namespace, CLONE_NEWNET) != 0)
    give_up("cannot enter its network namespace: ");
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  ::execve(program, arguments, environment);
  give_up("cannot be executed: ");
}

}  // namespace

transports::Expected<std::unique_ptr<Child>> Child::start(const ChildOptions& options) {
  std::unique_ptr<Child> child(new Child);
  child->name_ = std::filesystem::path(options.program).filename().string();
  if (options.commands && !options.arguments.empty()) child->name_ += " " + options.arguments[0];
  std::vector<std::string> words = {options.program};
  words.insert(words.end(), options.arguments.begin(), options.arguments.end());
  if (!options.commands) words.insert(words.end(), {"--status-fd", std::to_string(kStatusFd)});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  std::vector<std::string> settings = options.environment;
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  for (char** entry = ::environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  environment.push_back(nullptr);

  Pipe in;
  Pipe events;
  Pipe errors;
  try {
    in = make_pipe();
    events = make_pipe();
    errors = make_pipe();
  } catch (const Error& error) {
    for (const int fd : {in.read, in.write, events.read, events.write}) {
      if (fd >= 0) ::close(fd);
    }
    return tl::unexpected(error);
  }
  child->commands_fd_ = in.write;
  child->events_fd_ = events.read;
  child->errors_fd_ = errors.read;
  const pid_t parent = ::getpid();
  child->pid_ = ::fork();
  if (child->pid_ == 0) {
    const int out = options.commands ? events.write : errors.write;
    become(options.program.c_str(), arguments.data(), environment.data(), in.read, out,
           errors.write, options.commands ? -1 : events.write, options.network_namespace, parent);
  }
  const int fork_error = errno;
  for (const int fd : {in.read, events.write, errors.write}) ::close(fd);
  if (child->pid_ < 0) {
    child->reaped_ = true;
    return tl::unexpected(
        Error{fmt::format("fork {}: {}", child->name_, std::strerror(fork_error)), fork_error});
  }
  if (!options.commands) close_if_open(child->commands_fd_);
  for (const int fd : {child->events_fd_, child->errors_fd_}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
  return child;
}

Child::~Child() {
  if (!reaped_) {
    ::kill(pid_, SIGKILL);
    reap(true);
  }
  close_if_open(commands_fd_);
  close_if_open(events_fd_);
  close_if_open(errors_fd_);
}

transports::Expected<void> Child::tell(const nlohmann::json& command) {
  const std::string line = command.dump() + "\n";
  std::size_t at = 0;
  while (at < line.size()) {
    const ssize_t n = ::write(commands_fd_, line.data() + at, line.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return tl::unexpected(problem("takes no command"));
    at += static_cast<std::size_t>(n);
  }
  return {};
}

// Reads what is there, waiting at most timeout_ms for it. Returns false when the events have ended.
bool Child::read_some(int timeout_ms) {
  std::array<pollfd, 2> fds = {pollfd{events_fd_, POLLIN, 0}, pollfd{errors_fd_, POLLIN, 0}};
  ::poll(fds.data(), fds.size(), timeout_ms);
  std::array<char, 16384> chunk;
  for (int* fd : {&errors_fd_, &events_fd_}) {
    while (*fd >= 0) {
      const ssize_t n = ::read(*fd, chunk.data(), chunk.size());
      if (n > 0) {
        (fd == &events_fd_ ? event_bytes_ : error_bytes_)
            .append(chunk.data(), static_cast<std::size_t>(n));
      } else if (n == 0) {
        close_if_open(*fd);
      } else if (errno != EINTR) {
        break;
      }
    }
  }
  if (error_bytes_.size() > kErrorBytesKept)
    error_bytes_.erase(0, error_bytes_.size() - kErrorBytesKept);
  take_lines();
  return events_fd_ >= 0;
}

void Child::take_lines() {
  while (true) {
    const auto end = event_bytes_.find('\n');
    if (end == std::string::npos) return;
    auto line = nlohmann::json::parse(event_bytes_.substr(0, end), nullptr, false);
    event_bytes_.erase(0, end + 1);
    if (!line.is_object() || !line.contains("event")) continue;
    events_.push_back(line);
    past_events_.push_back(std::move(line));
  }
}

transports::Expected<nlohmann::json> Child::wait_for(const std::string& event, double seconds,
                                                     const std::function<void()>& tick) {
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(seconds));
  bool open = events_fd_ >= 0;
  while (true) {
    while (!events_.empty()) {
      nlohmann::json line = std::move(events_.front());
      events_.pop_front();
      const std::string got = line.at("event");
      if (got == event) return line;
      if (got == "failed" || got == "upstream_lost") {
        return tl::unexpected(
            problem(fmt::format("{}: {}", got == "failed" ? "failed" : "lost its upstream",
                                line.value("reason", "no reason given"))));
      }
    }
    if (!open) return tl::unexpected(problem(fmt::format("ended before it said \"{}\"", event)));
    if (program::StopSignals::requested())
      return tl::unexpected(Error{"interrupted by a stop signal"});
    if (Clock::now() >= deadline) {
      return tl::unexpected(
          problem(fmt::format("did not say \"{}\" within {:.0f} s", event, seconds)));
    }
    open = read_some(kTickMs);
    if (tick) tick();
  }
}

const ChildExit& Child::stop(double grace_s) {
  if (reaped_) return exit_;
  if (commands_fd_ >= 0) {
    close_if_open(commands_fd_);
  } else {
    ::kill(pid_, SIGTERM);
  }
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(grace_s));
  while (read_some(kTickMs) && Clock::now() < deadline) {
  }
  // Its events have ended: it is gone in a moment, or it closed them and stays.
  while (!reap(false)) {
    if (Clock::now() >= deadline) {
      exit_.killed = true;
      ::kill(pid_, SIGKILL);
      reap(true);
      break;
    }
    ::poll(nullptr, 0, 1);
  }
  return exit_;
}

bool Child::reap(bool block) {
  if (reaped_) return true;
  int status = 0;
  rusage usage{};
  pid_t done = 0;
  do {
    done = ::wait4(pid_, &status, block ? 0 : WNOHANG, &usage);
  } while (done < 0 && errno == EINTR);
  if (done == 0) return false;
  reaped_ = true;
  if (WIFEXITED(status)) exit_.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exit_.signal = WTERMSIG(status);
  exit_.cpu_user_s = seconds_of(usage.ru_utime);
  exit_.cpu_system_s = seconds_of(usage.ru_stime);
  exit_.rss_bytes_max = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024U;
  return true;
}

const nlohmann::json* Child::last(const std::string& event) const {
  for (auto it = past_events_.rbegin(); it != past_events_.rend(); ++it) {
    if (it->at("event") == event) return &*it;
  }
  return nullptr;
}

std::string Child::errors() const {
  std::string text = error_bytes_;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  constexpr std::size_t kShown = 600;
  if (text.size() > kShown) text = "..." + text.substr(text.size() - kShown);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

transports::Error Child::problem(const std::string& what) {
  read_some(0);
  std::string text = fmt::format("{} {}", name_, what);
  if (const std::string said = errors(); !said.empty()) text += fmt::format("; it wrote: {}", said);
  return {text};
}

}  // namespace feedbench::runner
