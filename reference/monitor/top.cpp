#include "reference/monitor/top.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "reference/client/client.hpp"
#include "reference/monitor/draw.hpp"
#include "reference/monitor/feed_watcher.hpp"
#include "reference/monitor/model.hpp"
#include "reference/monitor/options.hpp"
#include "reference/monitor/picture_json.hpp"
#include "reference/monitor/screen.hpp"
#include "reference/monitor/status.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/stop_signals.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::monitor {
namespace {

using program::ExitCode;
using program::StopSignals;
using Clock = std::chrono::steady_clock;

constexpr const char* kClientName = "feedproxy-top";
/// How long the proxy may take for an answer before the screen says so; the client adds a second.
constexpr std::chrono::milliseconds kPatience{2000};

std::string from_environment(const std::string& name) {
  const char* const value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

feedproxy::ClientOptions client_options(const TopOptions& options) {
  feedproxy::ClientOptions client;
  client.path = options.path;
  client.token = from_environment(options.token_env);
  client.timeout = kPatience;
  client.pre_fault = false;
  client.monitor = true;
  return client;
}

std::string time_of_day() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char text[32] = "";
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &local);
  return text;
}

ProxyStatus value_or_throw(transports::Expected<ProxyStatus> status) {
  if (!status) throw status.error();
  return std::move(*status);
}

/// One run of the command: looks at the proxy, sleeps, compares, shows.
class Top {
 public:
  explicit Top(TopOptions options)
      : options_(std::move(options)),
        client_(kClientName, client_options(options_)),
        pid_(client_.server_pid()) {
    // Without a steady TSC there are no stages to show, and the rest is as good.
    if (const auto clock = transports::TscClock::calibrate()) {
      watcher_.emplace(client_, 1e9 / clock->tsc_hz());
    } else {
      note_ = clock.error().message;
    }
  }

  /// Until it is told to stop. throws feedproxy::Error, transports::Error.
  void run() {
    Screen screen(options_.plain || options_.json || options_.once);
    ProxyStatus before = take_status();
    last_ = picture_of(before, before);
    if (watcher_) watcher_->follow(before);
    if (screen.interactive()) show(screen);
    for (;;) {
      if (sleep(screen)) return;
      try {
        ProxyStatus after = take_status();
        last_ = picture_of(before, after);
        before = std::move(after);
        if (watcher_) watcher_->follow(before);
      } catch (const feedproxy::Error& error) {
        // Busy or stopped (SIGSTOP): it may come back. For --once there is no later.
        if (error.code() != feedproxy::Errc::timed_out || options_.once) throw;
        last_.note = "The proxy does not answer; these figures are old.";
      }
      if (!show(screen) || options_.once) return;
    }
  }

  [[nodiscard]] int pid() const noexcept { return pid_; }

 private:
  ProxyStatus take_status() {
    ProxyStatus status = value_or_throw(parse_status(client_.status()));
    feedproxy::Notice notice;
    while (client_.next_notice(notice)) {
    }
    return status;
  }

  Picture picture_of(const ProxyStatus& before, const ProxyStatus& after) {
    Picture picture = make_picture(before, after,
                                   watcher_ ? watcher_->take(after.uptime_ns - before.uptime_ns)
                                            : std::map<std::uint64_t, StageView>{});
    picture.path = client_.path();
    picture.taken_at = time_of_day();
    picture.note = note_;
    return picture;
  }

  bool show(Screen& screen) {
    if (options_.json)
      return write_out(
          to_json(last_).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n');
    drawn_ = true;
    drawn_for_ = screen.size();
    return screen.show(draw(last_, drawn_for_));
  }

  /// One interval, with a look at the feeds now and then. true: told to stop.
  bool sleep(Screen& screen) {
    using std::chrono::milliseconds;
    const auto until = Clock::now() + options_.interval;
    for (;;) {
      if (watcher_) watcher_->look();
      if (StopSignals::requested()) return true;
      if (!client_.connected())
        throw feedproxy::Error(feedproxy::Errc::proxy_lost, "the proxy ended");
      const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
      if (left.count() <= 0) return false;
      constexpr milliseconds kLookEvery{1000 / FeedWatcher::kLooksPerSecond};
      if (screen.wait_for_quit(static_cast<int>(std::min(left, kLookEvery).count()))) return true;
      const DrawOptions now = screen.size();
      const bool resized = now.width != drawn_for_.width || now.height != drawn_for_.height;
      if (screen.interactive() && drawn_ && resized) show(screen);
      feedproxy::Notice notice;
      while (client_.next_notice(notice)) {  // looks at the socket: is the proxy still there?
      }
    }
  }

  TopOptions options_;
  feedproxy::Client client_;
  int pid_;
  std::optional<FeedWatcher> watcher_;
  std::string note_;
  Picture last_;
  bool drawn_ = false;
  DrawOptions drawn_for_;
};

int fail(ExitCode code, const std::string& why) {
  std::fprintf(stderr, "feedproxy top: %s\n", why.c_str());
  return code;
}

}  // namespace

int run_top(int argc, const char* const* argv) {
  auto options = parse_top_options(argc, argv);
  if (!options) return fail(ExitCode::kExitUsage, options.error().message);
  if (options->exit_code >= 0) return options->exit_code;
  const StopSignals signals(nullptr, nullptr);
  int pid = 0;
  std::string path;
  try {
    options->path = feedproxy::socket_path(options->path);
    path = options->path;
    Top top(std::move(*options));
    pid = top.pid();
    top.run();
    return ExitCode::kExitOk;
  } catch (const feedproxy::Error& error) {
    const bool gone = pid != 0 && error.code() == feedproxy::Errc::proxy_lost;
    return fail(ExitCode::kExitCannotStart,
                gone ? fmt::format("the proxy at {} (pid {}) is gone", path, pid) : error.what());
  } catch (const transports::Error& error) {
    return fail(ExitCode::kExitCannotStart, error.message);
  } catch (const std::exception& error) {
    return fail(ExitCode::kExitCannotStart, error.what());
  }
}

}  // namespace feedbench::monitor
