#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "mock_exchange/banner.hpp"
#include "mock_exchange/exchange.hpp"
#include "mock_exchange/line_budget.hpp"
#include "mock_exchange/load_session.hpp"
#include "mock_exchange/program_options.hpp"
#include "mock_exchange/recording/inspect.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/standard_descriptors.hpp"
#include "reference/program/status_lines.hpp"
#include "reference/program/stop_signals.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::mock_exchange {
namespace {

namespace asio = boost::asio;
using transports::TscInstant;

/// What ends the program before it runs.
struct Failure {
  int exit_code;
  std::string message;
};

template <class T>
T value_or_fail(transports::Expected<T> result, int exit_code) {
  if (!result) throw Failure{exit_code, result.error().message};
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::shared_ptr<const PreparedSession> session_of(const ProgramOptions& options) {
  if (options.synthetic_count > 0) {
    return synthetic_session(options.synthetic_bytes, options.synthetic_count, options.seed);
  }
  auto session = load_session(options.replay_file, options.venue, {.conn = options.conn});
  if (session) return *session;
  // A file that the system does not give us is not there; one that is there and not understood is wrong.
  const bool not_there = session.error().os_error != 0;
  throw Failure{not_there ? program::kExitCannotStart : program::kExitUsage,
                session.error().message};
}

ExchangeOptions exchange_options(const ProgramOptions& program_options) {
  ExchangeOptions options;
  options.listen = program_options.listen;
  options.venue = program_options.venue;
  options.session = session_of(program_options);
  options.pace = program_options.pace;
  options.loops = program_options.loops;
  options.start =
      program_options.start == ProgramStart::on_subscribe ? Start::on_subscribe : Start::shared;
  options.when_done = program_options.end == ProgramEnd::keep ? WhenDone::keep : WhenDone::close;
  options.tls_certificate_file = program_options.tls_certificate_file;
  options.tls_key_file = program_options.tls_key_file;
  options.credentials = venues::Credentials(program_options.key, program_options.secret);
  options.faults = program_options.faults;
  options.lag_frames_max = program_options.lag_frames_max;
  options.logins_max = program_options.logins_max;
  if (program_options.ping_interval_s >= 0) {
    options.ping_interval_ns = static_cast<std::int64_t>(program_options.ping_interval_s * 1e9);
  }
  return options;
}

nlohmann::json counters_json(const ExchangeCounters& counters) {
  return {{"accepted", counters.accepted},
          {"handshakes_failed", counters.handshakes_failed},
          {"ready", counters.ready},
          {"closed", counters.closed},
          {"protocol_errors", counters.protocol_errors},
          {"policy_closes", counters.policy_closes},
          {"pong_timeouts", counters.pong_timeouts},
          {"frames_sent", counters.frames_sent},
          {"bytes_sent", counters.bytes_sent},
          {"control_frames_sent", counters.control_frames_sent},
          {"messages_received", counters.messages_received},
          {"writes", counters.writes},
          {"writes_partial", counters.writes_partial},
          {"lag_frames_max", counters.lag_frames_max},
          {"faults_injected", counters.faults_injected}};
}

/// Runs the exchange until a signal, or until it is done if the command line says so.
class Program {
 public:
  explicit Program(const ProgramOptions& options)
      : options_(options),
        status_(options.status_fd),
        stop_event_(io_, ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    value_or_fail(program::check_status_descriptor(options_.status_fd), program::kExitCannotStart);
    if (options_.cpu >= 0)
      value_or_fail(program::pin_to_cpu(options_.cpu), program::kExitCannotStart);
    const auto clock = value_or_fail(transports::TscClock::calibrate(), program::kExitCannotStart);
    tsc_hz_ = clock.tsc_hz();
    auto exchange_setup = exchange_options(options_);
    exchange_setup.tsc_hz = tsc_hz_;
    exchange_setup.on_note = [this](const Note& note) { log(note); };
    if (options_.send_log_fd >= 0) {
      send_log_ = value_or_fail(SendLogWriter::attach(options_.send_log_fd), program::kExitUsage);
      exchange_setup.send_log = &*send_log_;
    }
    const auto session = exchange_setup.session;
    exchange_ =
        value_or_fail(Exchange::create(io_, std::move(exchange_setup)), program::kExitCannotStart);
    fmt::print("{}", banner(*session, options_.venue, options_.pace, options_.loops,
                            {options_.key, options_.secret}, exchange_->url()));
    std::fflush(stdout);
    status_.event("listening",
                  {{"endpoint", to_string(exchange_->endpoint())}, {"url", exchange_->url()}});
  }

  int run() {
    stop_event_.async_wait(asio::posix::stream_descriptor::wait_read,
                           [](const boost::system::error_code&) {});
    if (options_.start == ProgramStart::now) start();
    if (options_.start == ProgramStart::signal) {
      start_signal_.async_wait([this](const boost::system::error_code& error, int) {
        if (!error) start();
      });
    }
    while (!program::StopSignals::requested()) {
      turn();
      show_progress();
      if (options_.end == ProgramEnd::exit && exchange_->finished() &&
          exchange_->connections() == 0)
        break;
    }
    say_goodbye();
    return program::kExitOk;
  }

 private:
  static constexpr double kProgressInterval_s = 0.25;
  static constexpr std::uint64_t kLogLinesPerSecond = 50;

  static void on_stop_signal(void* self) {
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written =
        ::write(static_cast<Program*>(self)->stop_event_.native_handle(), &one, sizeof one);
  }

  void start() {
    exchange_->start(TscInstant::now());
    status_.event("started");
  }

  /// One look at sockets and schedule; in block mode it sleeps until either has something.
  void turn() {
    const std::size_t handled = io_.poll();
    exchange_->pump();
    // What was handled may have been the stop signal or the last connection's end: look before sleeping.
    if (options_.spin || handled != 0) return;
    const TscInstant due = exchange_->next_due();
    if (!due.present()) {
      io_.run_one();
      return;
    }
    const double left_ns = static_cast<double>((due - TscInstant::now()).ticks) / tsc_hz_ * 1e9;
    if (left_ns <= static_cast<double>(options_.spin_ns)) return;
    timer_.expires_after(
        std::chrono::nanoseconds(static_cast<std::int64_t>(left_ns) - options_.spin_ns));
    timer_.async_wait([](const boost::system::error_code&) {});
    io_.run_one();
  }

  void log(const Note& note) {
    if (!budget_.take(steady_ns())) return;
    if (terminal_) fmt::print(stderr, "\r\x1b[K");  // the progress line makes room
    tell_what_was_left_out();
    spdlog::log(note.level == Note::Level::info ? spdlog::level::info : spdlog::level::warn, "{}",
                note.text);
  }

  void tell_what_was_left_out() {
    if (const std::uint64_t lines = budget_.take_left_out(); lines > 0)
      spdlog::info("{} lines left out (at most {} a second)", lines, kLogLinesPerSecond);
  }

  static std::int64_t steady_ns() {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
  }

  /// On a terminal: one line, a few times a second.
  void show_progress() {
    if (!terminal_) return;
    const TscInstant now = TscInstant::now();
    if (static_cast<double>((now - shown_).ticks) < kProgressInterval_s * tsc_hz_) return;
    shown_ = now;
    const ExchangeCounters& counters = exchange_->counters();
    fmt::print(stderr, "\r{} clients, {} subscribed; {} frames, {:.1f} MB sent   ",
               exchange_->connections(), exchange_->sessions_ready(),
               recording::grouped(counters.frames_sent),
               static_cast<double>(counters.bytes_sent) / 1e6);
  }

  void say_goodbye() {
    if (terminal_) fmt::print(stderr, "\n");
    exchange_->shut_down();
    while (exchange_->connections() > 0) turn();
    tell_what_was_left_out();
    status_.event("stopped", {{"counters", counters_json(exchange_->counters())}});
  }

  ProgramOptions options_;
  program::StatusLines status_;
  asio::io_context io_{1};
  asio::posix::stream_descriptor stop_event_;
  program::StopSignals signals_{&Program::on_stop_signal, this};
  asio::signal_set start_signal_{io_, SIGUSR1};
  asio::steady_timer timer_{io_};
  double tsc_hz_ = 0;
  LineBudget budget_{kLogLinesPerSecond};
  std::optional<SendLogWriter> send_log_;
  std::unique_ptr<Exchange> exchange_;
  bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  TscInstant shown_;
};

int run(int argc, const char* const* argv) {
  const CommandLine line = parse_command_line(argc, argv);
  if (!line.run) {
    if (line.exit_code != 0)
      throw Failure{line.exit_code, line.text + " (--help lists the options)"};
    fmt::print("{}", line.text);
    return program::kExitOk;
  }
  if (line.options.parent_death && !program::die_with_parent()) return program::kExitOk;
  return Program(line.options).run();
}

}  // namespace
}  // namespace feedbench::mock_exchange

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  spdlog::set_default_logger(spdlog::stderr_logger_st("mock-exchange"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
  using feedbench::mock_exchange::Failure;
  try {
    return feedbench::mock_exchange::run(argc, argv);
  } catch (const Failure& failure) {
    fmt::print(stderr, "mock-exchange: {}\n", failure.message);
    return failure.exit_code;
  } catch (const std::exception& error) {
    fmt::print(stderr, "mock-exchange: {}\n", error.what());
    return feedbench::program::kExitCannotStart;
  }
}
