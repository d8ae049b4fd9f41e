#pragma once

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "transports/transport.hpp"

namespace feedbench::runner {

struct ChildOptions {
  std::string program;  ///< path
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  ///< "NAME=value", added to this process's own
  /// Commands go to its stdin and events come from its stdout (feedbench load). Otherwise it is told --status-fd and
  /// its stdin is empty.
  bool commands = false;
  /// The network namespace it runs in, a descriptor that need not outlive start(); -1: this process's.
  int network_namespace = -1;
};

/// How a child ended.
struct ChildExit {
  int code = -1;        ///< exit code, or -1
  int signal = 0;       ///< that ended it, or 0
  bool killed = false;  ///< it did not stop in time and was killed
  double cpu_user_s = 0.0;
  double cpu_system_s = 0.0;
  std::uint64_t rss_bytes_max = 0;
};

/// One program of a run: started with pipes for its events and its error text, stopped and reaped whatever happens.
/// thread: one.
class Child {
 public:
  static transports::Expected<std::unique_ptr<Child>> start(const ChildOptions& options);
  /// Kills it if it still runs, and reaps it.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Sends one command line. errors: it is gone.
  transports::Expected<void> tell(const nlohmann::json& command);

  /// Waits for the event of that name, at most `seconds`. tick is called about every 20 ms meanwhile (may be empty).
  /// errors, with what the child wrote to stderr: it ended, failed, lost its upstream, said nothing in time; or a stop
  /// signal came to this process.
  transports::Expected<nlohmann::json> wait_for(const std::string& event, double seconds,
                                                const std::function<void()>& tick = {});

  /// Asks it to stop (SIGTERM, or end of commands), kills it after `grace_s`. Reaps it. Repeated calls give the same.
  const ChildExit& stop(double grace_s);

  /// The last event of that name seen so far, or null.
  [[nodiscard]] const nlohmann::json* last(const std::string& event) const;
  /// The end of what it wrote to stderr (and stdout, if that carries no events).
  [[nodiscard]] std::string errors() const;

 private:
  Child() = default;
  bool read_some(int timeout_ms);
  void take_lines();
  bool reap(bool block);
  transports::Error problem(const std::string& what);

  std::string name_;
  pid_t pid_ = -1;
  int commands_fd_ = -1;
  int events_fd_ = -1;
  int errors_fd_ = -1;
  std::string event_bytes_;
  std::string error_bytes_;
  std::deque<nlohmann::json> events_;        // not waited for yet
  std::vector<nlohmann::json> past_events_;  // all
  ChildExit exit_;
  bool reaped_ = false;
};

}  // namespace feedbench::runner
