#include "harness/load/load_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "harness/load/delivery_log.hpp"
#include "harness/load/latency_account.hpp"
#include "harness/load/load_config.hpp"
#include "harness/load/load_session.hpp"
#include "harness/load/local_swarm.hpp"
#include "harness/load/ring_swarm.hpp"
#include "harness/load/swarm.hpp"
#include "harness/measure/process_sample.hpp"
#include "mock_exchange/exchange.hpp"
#include "mock_exchange/send_log.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/status_lines.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::load {
namespace {

using mock_exchange::Exchange;
using mock_exchange::SendLogWriter;
using nlohmann::json;
using transports::Error;
using transports::TscInstant;

constexpr std::uint64_t kNever = UINT64_MAX;
// asio looks at its sockets by a system call; while nothing of the exchange waits for one, this many turns pass between.
constexpr unsigned kTurnsPerIoPoll = 32;
constexpr int kIoHandlersPerTurn = 4;
constexpr std::uint64_t kCommandIntervalUs = 500;
constexpr std::uint64_t kMaxPaceLogEntries = 1024;

// Lines from a descriptor that is never waited for.
class LineInput {
 public:
  explicit LineInput(int fd) : fd_(fd) {}
  void make_non_blocking() { ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK); }
  [[nodiscard]] bool ended() const { return ended_; }

  std::optional<std::string> next() {
    while (true) {
      if (const auto end = buffer_.find('\n'); end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      char chunk[4096];
      const ssize_t n = ::read(fd_, chunk, sizeof chunk);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return std::nullopt;
      if (n == 0) {
        ended_ = true;
        return std::nullopt;
      }
      buffer_.append(chunk, static_cast<std::size_t>(n));
    }
  }

 private:
  int fd_;
  std::string buffer_;
  bool ended_ = false;
};

// How many frames can be due within `seconds`: what the logs must hold.
std::uint64_t frames_within(const mock_exchange::Schedule& schedule, double seconds) {
  const auto limit_ns = static_cast<std::int64_t>(seconds * 1e9);
  std::uint64_t high = 1;
  while (schedule.intended_ns(high) <= limit_ns) high *= 2;
  std::uint64_t low = high / 2;
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (schedule.intended_ns(middle) <= limit_ns) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

struct Snapshot {
  TscInstant at;
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_delivered = 0;
  std::uint64_t bytes_delivered = 0;
  std::optional<double> system_cpu_s;
  std::optional<double> load_cpu_s;
};

class LoadProcess {
 public:
  LoadProcess(LoadConfig config, transports::TscClock clock, LineInput& input, int output)
      : config_(std::move(config)),
        clock_(std::move(clock)),
        account_(TickScale(clock_.tsc_hz())),
        input_(input),
        status_(output),
        paced_(config_.pace.kind != mock_exchange::Pace::Kind::max) {}

  void set_up();
  int run();

 private:
  enum class Phase : std::uint8_t { idle, warm_up, measure, drain, done };

  /// What all kinds of clients have: calls `what` with the swarm there is.
  template <class What>
  decltype(auto) with_swarm(What&& what) const {
    if (ring_swarm_) return what(*ring_swarm_);
    return local_swarm_ ? what(*local_swarm_) : what(*swarm_);
  }
  [[nodiscard]] const StreamChecker& checker() const {
    return with_swarm([](auto& swarm) -> const StreamChecker& { return swarm.checker(); });
  }
  void turn();
  void pump(TscInstant now);
  void poll_io();
  void delivered(std::uint32_t client, std::uint64_t first, std::uint64_t last, TscInstant now);
  [[nodiscard]] bool window_open() const;
  [[nodiscard]] bool sending() const {
    return phase_ == Phase::warm_up || phase_ == Phase::measure;
  }
  void step_phase(TscInstant now);
  bool all_delivered() const;
  void start();
  Snapshot snapshot(TscInstant now) const;
  void finish();
  LoadReport report();
  void read_commands(TscInstant now);
  void command(const json& line);
  transports::Expected<void> connect(const json& line);

  LoadConfig config_;
  transports::TscClock clock_;
  LatencyAccount account_;
  LineInput& input_;
  program::StatusLines status_;
  bool paced_;

  boost::asio::io_context io_{1};
  std::shared_ptr<const mock_exchange::PreparedSession> session_;
  std::optional<SendLogWriter> send_log_;
  std::optional<mock_exchange::SendLogReader> sent_;
  std::optional<DeliveryLog> delivery_log_;
  std::unique_ptr<Exchange> exchange_;
  std::unique_ptr<Swarm> swarm_;             // network clients, or
  std::unique_ptr<LocalSwarm> local_swarm_;  // local ones, or
  std::unique_ptr<RingSwarm> ring_swarm_;    // readers of a bridge's ring
  RecentWrites recent_;
  LoopMeter meter_;

  Phase phase_ = Phase::idle;
  std::uint64_t next_due_ = kNever;
  std::uint64_t stall_begin_ = kNever;
  std::uint64_t stall_end_ = kNever;
  std::uint64_t next_command_look_ = 0;
  TscInstant measure_begin_;
  TscInstant measure_end_;
  TscInstant drain_end_;
  Snapshot begin_;
  Snapshot end_;
  unsigned io_countdown_ = 1;
  int system_pid_ = 0;
  std::uint32_t connect_wanted_ = 0;
  bool connect_told_ = true;
  bool upstream_told_ = false;
  bool quit_ = false;
};

void LoadProcess::set_up() {
  const auto required = [](auto&& expected) {
    if (!expected) throw expected.error();
    return std::forward<decltype(expected)>(expected);
  };
  session_ = *required(make_session(config_));
  mock_exchange::Schedule schedule(session_, config_.pace, mock_exchange::kLoopForever);
  const double run_s = config_.warm_up_s + config_.measure_s + 0.25;
  const std::uint64_t entries = paced_ ? frames_within(schedule, run_s) + 1024 : kMaxPaceLogEntries;
  send_log_.emplace(std::move(*required(SendLogWriter::create(entries))));
  sent_.emplace(std::move(*required(mock_exchange::SendLogReader::map(send_log_->descriptor()))));
  delivery_log_.emplace(std::move(*required(DeliveryLog::create(entries))));

  mock_exchange::ExchangeOptions options;
  options.listen.address = config_.listen_address;
  options.session = session_;
  options.venue = *required(venues::venue_from_name(config_.venue));
  options.pace = config_.pace;
  options.loops = mock_exchange::kLoopForever;
  options.tls_certificate_file = config_.tls_certificate_file;
  options.tls_key_file = config_.tls_key_file;
  options.tsc_hz = clock_.tsc_hz();
  options.send_log = &*send_log_;
  if (!paced_) {  // so that one write never overshoots the window by much
    options.write_bytes_max = std::min<std::size_t>(
        options.write_bytes_max, std::max<std::uint64_t>(config_.window_bytes / 4, 4096));
  }
  exchange_ = std::move(*required(Exchange::create(io_, std::move(options))));

  if (config_.clients_via == "shm") {
    local_swarm_ = std::make_unique<LocalSwarm>(session_, config_.clients);
    return;
  }
  if (config_.clients_via == "ring") {
    ring_swarm_ = std::make_unique<RingSwarm>(session_, config_.clients);
    return;
  }
  SwarmOptions swarm;
  swarm.kind = config_.clients_via == "tcp" ? ClientKind::tcp : ClientKind::websocket;
  swarm.clients_max = config_.clients;
  swarm_ = std::make_unique<Swarm>(session_, swarm);
}

int LoadProcess::run() {
  status_.event("listening", {{"url", exchange_->url() + upstream_target(*session_, config_.venue)},
                              {"topics", topic_list(*session_)},
                              {"send_log_fd", send_log_->descriptor()},
                              {"delivery_log_fd", delivery_log_->descriptor()}});
  while (!quit_) turn();
  with_swarm([](auto& swarm) { swarm.close_all(); });
  exchange_->shut_down();
  const TscInstant until = TscInstant::now() + clock_.to_ticks(200'000'000);
  while (exchange_->connections() > 0 && TscInstant::now() < until) {
    io_.poll_one();
    with_swarm([](auto& swarm) {
      swarm.poll([](std::uint32_t, std::uint64_t, std::uint64_t, TscInstant) {});
    });
  }
  return program::kExitOk;
}

void LoadProcess::turn() {
  const TscInstant now = TscInstant::now();
  const std::uint64_t writes = exchange_->counters().writes;
  if (paced_ || phase_ == Phase::idle) {
    if (now.ticks >= next_due_) pump(now);
    if (--io_countdown_ == 0 || next_due_ == kNever) poll_io();
  } else if (sending() && window_open()) {
    // Every handler of the exchange may write, so outside the window none is run.
    pump(now);
    poll_io();
  }
  const std::size_t received = with_swarm([this](auto& swarm) {
    return swarm.poll([this](std::uint32_t client, std::uint64_t first, std::uint64_t last,
                             TscInstant at) { delivered(client, first, last, at); });
  });
  if (phase_ != Phase::idle) step_phase(now);
  if (now.ticks >= next_command_look_) read_commands(now);
  meter_.turn(TscInstant::now().ticks, received != 0 || exchange_->counters().writes != writes);
}

void LoadProcess::pump(TscInstant now) {
  if (now.ticks >= stall_begin_ && now.ticks < stall_end_) return;
  if (phase_ != Phase::idle && !sending()) return;
  exchange_->pump();
  if (!paced_) recent_.add(exchange_->counters().frames_sent, now);
  const TscInstant due = exchange_->next_due();
  next_due_ = due.present() ? due.ticks : kNever;
}

void LoadProcess::poll_io() {
  io_countdown_ = kTurnsPerIoPoll;
  const TscInstant now = TscInstant::now();
  // Bounded: a socket that is emptied as fast as it is filled would keep asio's own loop for ever.
  for (int i = 0; i < kIoHandlersPerTurn && io_.poll_one() > 0; ++i) {
  }
  if (!paced_) recent_.add(exchange_->counters().frames_sent, now);
  const TscInstant due = exchange_->next_due();
  next_due_ = due.present() ? due.ticks : kNever;
}

// Pace max is closed by the slowest client: the same window for every system, so that none is driven into losing.
bool LoadProcess::window_open() const {
  return exchange_->counters().bytes_sent < checker().slowest_position() + config_.window_bytes;
}

void LoadProcess::delivered(std::uint32_t client, std::uint64_t first, std::uint64_t last,
                            TscInstant now) {
  // Reading many clients takes longer than many a gap between frames: what is due meanwhile leaves in time.
  if (paced_ && now.ticks >= next_due_) pump(now);
  if (first == last) return;
  if (!paced_) {
    if (const std::uint64_t written = recent_.written_at(last - 1); written != 0)
      account_.delivered_since(written, now);
    return;
  }
  const std::uint64_t known = std::min(last, sent_->count());
  const std::uint32_t clients = config_.clients;
  for (std::uint64_t sequence = first; sequence < known; ++sequence) {
    account_.delivered((*sent_)[sequence], now);
    if (sequence % clients == client) delivery_log_->set(sequence, now);
  }
}

void LoadProcess::start() {
  const TscInstant begin = TscInstant::now() + clock_.to_ticks(1'000'000);
  const auto after = [&](TscInstant from, double seconds) {
    return from + clock_.to_ticks(static_cast<std::int64_t>(seconds * 1e9));
  };
  measure_begin_ = after(begin, config_.warm_up_s);
  measure_end_ = after(measure_begin_, config_.measure_s);
  drain_end_ = after(measure_end_, config_.drain_s);
  account_.set_window(measure_begin_, measure_end_);
  if (config_.stall_s > 0) {
    stall_begin_ = after(begin, config_.stall_at_s).ticks;
    stall_end_ = after(begin, config_.stall_at_s + config_.stall_s).ticks;
  }
  exchange_->start(begin);
  phase_ = Phase::warm_up;
  poll_io();
  status_.event("started");
}

void LoadProcess::step_phase(TscInstant now) {
  if (phase_ == Phase::warm_up && now >= measure_begin_) {
    phase_ = Phase::measure;
    begin_ = snapshot(now);
    meter_.start(now.ticks);
  } else if (phase_ == Phase::measure && now >= measure_end_) {
    if (paced_) pump(now);  // what fell due in the window and was not sent yet
    phase_ = Phase::drain;
    end_ = snapshot(now);
    meter_.stop(now.ticks);
    drain_end_ = now + clock_.to_ticks(static_cast<std::int64_t>(config_.drain_s * 1e9));
  } else if (phase_ == Phase::drain && (now >= drain_end_ || all_delivered())) {
    finish();
  }
}

bool LoadProcess::all_delivered() const {
  const std::uint64_t sent = exchange_->counters().frames_sent;
  const StreamChecker& checked = checker();
  for (std::uint32_t client = 0; client < config_.clients; ++client) {
    if (checked.frames(client) < sent) return false;
  }
  return true;
}

Snapshot LoadProcess::snapshot(TscInstant now) const {
  Snapshot out;
  out.at = now;
  out.frames_sent = exchange_->counters().frames_sent;
  out.frames_delivered = checker().frames_verified();
  out.bytes_delivered = checker().bytes_verified();
  if (system_pid_ > 0) out.system_cpu_s = measure::process_cpu_seconds(system_pid_);
  out.load_cpu_s = measure::process_cpu_seconds(::getpid());
  return out;
}

void LoadProcess::finish() {
  phase_ = Phase::done;
  status_.event("done", {{"report", to_json(report())}});
}

LoadReport LoadProcess::report() {
  const StreamChecker& checked = checker();
  const auto difference = [](std::optional<double> later,
                             std::optional<double> earlier) -> std::optional<double> {
    if (!later || !earlier) return std::nullopt;
    return *later - *earlier;
  };
  for (std::uint64_t i = 0; paced_ && i < sent_->count(); ++i) account_.sent((*sent_)[i]);
  LoadReport out;
  out.paced = paced_;
  out.frames_sent = exchange_->counters().frames_sent;
  out.bytes_sent = exchange_->counters().bytes_sent;
  out.frames_sent_window = end_.frames_sent - begin_.frames_sent;
  out.frames_delivered = end_.frames_delivered - begin_.frames_delivered;
  out.bytes_delivered = end_.bytes_delivered - begin_.bytes_delivered;
  for (std::uint32_t client = 0; client < config_.clients; ++client) {
    out.frames_missing += out.frames_sent - std::min(out.frames_sent, checked.frames(client));
  }
  out.window_s = static_cast<double>(clock_.to_ns(end_.at - begin_.at)) * 1e-9;
  out.window_begin_tsc = measure_begin_.ticks;
  out.window_end_tsc = measure_end_.ticks;
  out.response = account_.response();
  out.service = account_.service();
  out.send_lag = account_.send_lag();
  out.system_cpu_s = difference(end_.system_cpu_s, begin_.system_cpu_s);
  out.load_cpu_s = difference(end_.load_cpu_s, begin_.load_cpu_s);
  out.occupancy = meter_.busy_share();
  out.loop_gap_ns_max = account_.scale().ns(meter_.longest_ticks(), 0);
  out.loop_turns = meter_.turns();
  out.send_log_overflow = paced_ ? sent_->overflowed() : 0;
  out.bytes_unverified = checked.bytes_unverified();
  out.control_frames = checked.control_frames();
  out.clients_failed = checked.clients_failed();
  out.clients_closed = with_swarm([](auto& swarm) { return swarm.closed(); });
  out.first_failure = with_swarm([](auto& swarm) { return swarm.first_failure(); });
  for (const Mismatch& mismatch : checked.mismatches()) {
    out.mismatches[std::string(to_string(mismatch.kind))].push_back(to_string(mismatch));
    if (mismatch.kind == MismatchKind::closed && mismatch.close_code == 1013) ++out.clients_evicted;
  }
  out.tsc_hz = clock_.tsc_hz();
  out.tsc_error_ns = clock_.error_ns();
  return out;
}

void LoadProcess::read_commands(TscInstant now) {
  next_command_look_ = (now + clock_.to_ticks(kCommandIntervalUs * 1000)).ticks;
  if (!connect_told_ && with_swarm([](auto& swarm) { return swarm.ready(); }) >= connect_wanted_) {
    connect_told_ = true;
    status_.event("connected",
                  {{"clients", with_swarm([](auto& swarm) { return swarm.ready(); })}});
  } else if (!connect_told_ && with_swarm([](auto& swarm) { return swarm.closed(); }) > 0) {
    connect_told_ = true;
    status_.event("failed",
                  {{"reason", with_swarm([](auto& swarm) { return swarm.first_failure(); })}});
  }
  if (!upstream_told_ && exchange_->sessions_ready() > 0) {
    upstream_told_ = true;
    status_.event("upstream_ready");
  }
  while (const auto line = input_.next()) command(json::parse(*line));
  if (input_.ended()) quit_ = true;
}

transports::Expected<void> LoadProcess::connect(const json& line) {
  if (ring_swarm_) return ring_swarm_->connect(line.at("ring"), line.at("file"), connect_wanted_);
  if (local_swarm_) return local_swarm_->connect(line.at("local_socket"), connect_wanted_);
  return swarm_->connect({line.at("address"), line.at("port").get<std::uint16_t>()},
                         connect_wanted_);
}

void LoadProcess::command(const json& line) {
  const std::string what = line.at("do");
  if (what == "connect") {
    connect_wanted_ = line.at("clients").get<std::uint32_t>();
    connect_told_ = false;
    if (auto done = connect(line); !done) throw done.error();
  } else if (what == "start") {
    system_pid_ = line.at("system_pid").get<int>();
    start();
  } else if (what == "disconnect") {
    with_swarm([](auto& swarm) { swarm.close_all(); });
    status_.event("disconnected");
  } else if (what == "quit") {
    quit_ = true;
  } else {
    throw Error{"load: unknown command " + what};
  }
}

}  // namespace

int run_load_process(int input, int output, const LoadProcessOptions& options) {
  const program::StatusLines status(output);
  const auto failed = [&](const std::string& reason, int code) {
    status.event("failed", {{"reason", reason}});
    return code;
  };
  try {
    if (options.parent_death && !program::die_with_parent()) return program::kExitCannotStart;
    if (options.cpu >= 0) {
      if (auto pinned = program::pin_to_cpu(options.cpu); !pinned) throw pinned.error();
    }
    LineInput lines(input);
    const auto first = lines.next();
    if (!first) return failed("load: no configuration came", program::kExitUsage);
    auto clock = transports::TscClock::calibrate();
    if (!clock) throw clock.error();
    LoadProcess process(load_config_from_json(json::parse(*first)), std::move(*clock), lines,
                        output);
    process.set_up();
    lines.make_non_blocking();
    return process.run();
  } catch (const Error& error) {
    return failed(error.message, program::kExitCannotStart);
  } catch (const std::exception& error) {
    return failed(error.what(), program::kExitUsage);
  }
}

}  // namespace feedbench::load
