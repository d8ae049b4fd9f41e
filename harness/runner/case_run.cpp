#include "harness/runner/case_run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "harness/load/delivery_log.hpp"
#include "harness/measure/process_sample.hpp"
#include "harness/probe/stage_probe.hpp"
#include "harness/runner/child_process.hpp"
#include "mock_exchange/send_log.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/veth_site.hpp"

namespace feedbench::runner {
namespace {

using nlohmann::json;
using scenario::System;
using transports::Error;
using transports::VethSite;
using SteadyClock = std::chrono::steady_clock;

// Only what is broken takes this long; a machine that is busy with other work must not fail by them.
constexpr double kStartSeconds = 60.0;
constexpr double kSessionLoadSeconds = 120.0;
constexpr double kConnectSeconds = 60.0;
constexpr double kStopGraceSeconds = 10.0;

template <class T>
T required(transports::Expected<T> expected) {
  if (!expected) throw expected.error();
  if constexpr (!std::is_void_v<T>) return std::move(*expected);
}

json endpoint_of(const std::string& text) {
  const auto colon = text.rfind(':');
  std::string address = text.substr(0, colon);
  if (address.starts_with('[')) address = address.substr(1, address.size() - 2);
  return {{"address", address}, {"port", std::stoi(text.substr(colon + 1))}};
}

// Opens a descriptor of another process of this user anew (a memfd it made for us).
rings::Descriptor open_of(pid_t pid, int fd) {
  const std::string path = fmt::format("/proc/{}/fd/{}", pid, fd);
  rings::Descriptor out(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (out.get() < 0) throw Error{fmt::format("cannot open {} of the load process", path)};
  return out;
}

class Runner {
 public:
  Runner(const CaseRun& run, const RunEnvironment& environment)
      : run_(run), environment_(environment) {}

  report::Repetition carry_out() {
    make_network();
    start_load();
    start_system();
    connect_clients();
    measure();
    fill_from_report();
    stages();
    stop();
    out_.verdict = verify::judge(done_, circumstances_, run_.limits);
    if (verify::failed_verification(done_)) forget_latency();
    return std::move(out_);
  }

 private:
  // A network of this run alone: nothing of an earlier one is left in it, and a queue that an AF_XDP socket had a moment
  // ago would be busy.
  void make_network() {
    if (run_.what.network == scenario::Network::loopback) return;
    const bool stack = run_.what.transport == "xdp";
    network_.emplace(
        required(VethSite::create(stack ? VethSite::Near::stack : VethSite::Near::kernel)));
  }

  void start_load() {
    ChildOptions options;
    if (network_) options.network_namespace = network_->far();
    options.program = environment_.programs / "feedbench";
    options.arguments = {"load", "--cpu", std::to_string(environment_.cores.load),
                         "--parent-death"};
    options.commands = true;
    load_ = required(Child::start(options));
    required(load_->tell(to_json(load_config_of(run_, environment_))));
    const json listening = required(load_->wait_for("listening", kSessionLoadSeconds));
    url_ = listening.at("url");
    topics_ = listening.at("topics");
    send_log_fd_ = listening.at("send_log_fd");
    delivery_log_fd_ = listening.at("delivery_log_fd");
  }

  void start_system() {
    const auto command = system_command(run_, environment_, url_, topics_);
    ChildOptions options;
    if (network_) options.network_namespace = network_->near();
    options.program = command.front();
    options.arguments.assign(command.begin() + 1, command.end());
    // Any credentials are good for the mock exchange; the proxy only wants to have some.
    if (run_.what.venue == "alpaca")
      options.environment = {"FEEDPROXY_KEY=feedbench", "FEEDPROXY_SECRET=feedbench"};
    system_ = required(Child::start(options));
    if (run_.what.system == System::bridge) {
      const json ready = required(system_->wait_for("ring_ready", kStartSeconds));
      endpoint_ = {{"ring", ready.at("ring")}, {"file", ready.at("file")}};
    } else {
      endpoint_ =
          endpoint_of(required(system_->wait_for("listening", kStartSeconds)).at("endpoint"));
    }
    required(system_->wait_for("upstream_ready", kStartSeconds));
    required(load_->wait_for("upstream_ready", kStartSeconds));
    if (run_.what.system == System::feedproxy) {
      probe_ = required(probe::StageProbe::connect(share_socket(environment_).string()));
    }
  }

  void connect_to(std::uint32_t total) {
    json command = endpoint_;
    command["do"] = "connect";
    command["clients"] = total;
    command["local_socket"] = share_socket(environment_).string();
    required(load_->tell(command));
    required(load_->wait_for("connected", kConnectSeconds));
    if (run_.what.system != System::relay) return;
    // A connected TCP client may still wait in the relay's backlog: only the relay knows when it is served.
    for (std::uint64_t served = 0; served < total;) {
      if (const json* open = system_->last("client_open")) served = open->value("clients", served);
      if (served < total) required(system_->wait_for("client_open", kConnectSeconds));
    }
  }

  // The first client touches what every further one shares, so the cost of one client is that of the others.
  void connect_clients() {
    const std::uint32_t clients = run_.what.clients;
    const auto base = measure::process_memory(system_->pid());
    connect_to(1);
    const auto first = measure::process_memory(system_->pid());
    if (clients > 1) connect_to(clients);
    const auto all = measure::process_memory(system_->pid());
    if (base) out_.rss_bytes_base = base->rss_bytes;
    if (all) out_.rss_bytes_with_clients = all->rss_bytes;
    if (first && all && clients > 1) {
      out_.rss_bytes_per_client =
          (static_cast<double>(all->rss_bytes) - static_cast<double>(first->rss_bytes)) /
          (clients - 1);
    }
  }

  void measure() {
    const MachineLook before = look_at_machine();
    if (probe_) probe_->mark_start();
    required(load_->tell({{"do", "start"}, {"system_pid", system_->pid()}}));
    required(load_->wait_for("started", kStartSeconds));
    const auto started = SteadyClock::now();
    const bool paced = run_.what.pace.kind != scenario::Pace::Kind::max;
    const auto tick = [&] {
      if (probe_ && paced) probe_->look();
      stall_system(std::chrono::duration<double>(SteadyClock::now() - started).count());
    };
    const double patience_s = run_.warm_up_s + run_.measure_s + run_.drain_s + kStartSeconds;
    const json done = required(load_->wait_for("done", patience_s, tick));
    if (probe_ && paced) probe_->look();
    account_for_others(before, look_at_machine());
    done_ = load::load_report_from_json(done.at("report"));
    if (const auto memory = measure::process_memory(system_->pid()))
      out_.counters["rss_bytes_end"] = memory->rss_bytes;
  }

  /// What the machine and the run's own processes had used of the cores at one moment.
  struct MachineLook {
    SteadyClock::time_point at = SteadyClock::now();
    std::optional<measure::MachineCpuTime> machine;
    std::optional<double> own_seconds;
  };

  // Taken here and not by the load process, whose loop it would hold up in the window's first moments.
  MachineLook look_at_machine() const {
    MachineLook look;
    look.machine = measure::machine_cpu_time();
    double own_seconds = 0;
    for (const pid_t pid : {system_->pid(), load_->pid(), ::getpid()}) {
      const auto seconds = measure::process_cpu_seconds(pid);
      if (!seconds) return look;
      own_seconds += *seconds;
    }
    look.own_seconds = own_seconds;
    return look;
  }

  void account_for_others(const MachineLook& before, const MachineLook& after) {
    if (!before.machine || !after.machine) return;
    const double seconds = std::chrono::duration<double>(after.at - before.at).count();
    // The two sides are not counted alike to the last tick: a little less than nothing is nothing.
    const auto grown = [](double earlier, double later) { return std::max(0.0, later - earlier); };
    out_.stolen_cpu_seconds = grown(before.machine->stolen_seconds, after.machine->stolen_seconds);
    circumstances_.stolen_cores = *out_.stolen_cpu_seconds / seconds;
    if (!before.own_seconds || !after.own_seconds) return;
    out_.other_cpu_seconds = grown(before.machine->programs_seconds - *before.own_seconds,
                                   after.machine->programs_seconds - *after.own_seconds);
    circumstances_.other_cores = *out_.other_cpu_seconds / seconds;
  }

  void stall_system(double since_start_s) {
    if (run_.system_stall_s <= 0) return;
    if (stall_ == Stall::before && since_start_s >= run_.system_stall_at_s) {
      ::kill(system_->pid(), SIGSTOP);
      stopped_at_ = SteadyClock::now();  // it may be late: it is stopped as long all the same
      stall_ = Stall::stopped;
    } else if (stall_ == Stall::stopped && SteadyClock::now() - stopped_at_ >=
                                               std::chrono::duration<double>(run_.system_stall_s)) {
      ::kill(system_->pid(), SIGCONT);
      stall_ = Stall::after;
    }
  }

  void fill_from_report() {
    out_.frames_sent = done_.frames_sent_window;
    out_.frames_delivered = done_.frames_delivered;
    out_.bytes_delivered = done_.bytes_delivered;
    out_.seconds = done_.window_s;
    if (done_.window_s > 0) {
      out_.frames_per_second = static_cast<double>(done_.frames_delivered) / done_.window_s;
      out_.bytes_per_second = static_cast<double>(done_.bytes_delivered) / done_.window_s;
    }
    if (done_.paced) {
      out_.latency = done_.response;
      out_.send_lag = done_.send_lag;
    }
    if (!done_.service.empty()) out_.service_time = done_.service;
    out_.proxy_cpu_seconds = done_.system_cpu_s;
    out_.load_cpu_seconds = done_.load_cpu_s;
    if (done_.system_cpu_s && done_.frames_delivered > 0) {
      out_.proxy_cpu_seconds_per_million =
          *done_.system_cpu_s * 1e6 / static_cast<double>(done_.frames_delivered);
    }
    out_.swarm_occupancy = done_.occupancy;
    out_.swarm_loop_gap_ns_max = done_.loop_gap_ns_max;
    out_.counters["frames_missing"] = done_.frames_missing;
    out_.counters["streams_failed"] = done_.clients_failed;
    out_.counters["load_loop_turns"] = done_.loop_turns;
    out_.counters["send_log_overflow"] = done_.send_log_overflow;
    out_.counters["tsc_error_ns"] = static_cast<std::uint64_t>(done_.tsc_error_ns);
  }

  void stages() {
    if (!probe_) return;
    const load::TickScale scale(done_.tsc_hz);
    out_.proxy_loop_gap_ns_max = scale.ns(probe_->stats().loop_gap_ticks_max.value(), 0);
    circumstances_.evictions = probe_->stats().clients_evicted.value();
    out_.evictions = circumstances_.evictions;
    if (!done_.paced) return;
    circumstances_.probe_missed = probe_->missed();
    if (!run_.what.stamps) return;
    const auto send_log = open_of(load_->pid(), send_log_fd_);
    const auto delivery_log = open_of(load_->pid(), delivery_log_fd_);
    const auto sent = required(mock_exchange::SendLogReader::map(send_log.get()));
    const auto delivered = required(load::DeliveryLog::map(delivery_log.get()));
    probe::JoinedStages joined = probe::join_stages(
        probe_->seen(), sent, delivered, done_.window_begin_tsc, done_.window_end_tsc, scale);
    out_.counters["stage_messages"] = joined.messages;
    out_.counters["stage_messages_unseen"] = joined.unseen;
    out_.counters["stage_messages_without_nic"] = joined.nic_absent;
    if (!joined.sent_wake_no_nic.empty()) {
      out_.counters["sent_wake_without_nic_p50_ns"] =
          static_cast<std::uint64_t>(joined.sent_wake_no_nic.value_at_percentile(50));
    }
    out_.stages = std::move(joined.stages);
  }

  void stop() {
    probe_.reset();
    // Clients that leave first spare the system the wait for their answers to its Close.
    required(load_->tell({{"do", "disconnect"}}));
    required(load_->wait_for("disconnected", kConnectSeconds));
    const ChildExit& system = system_->stop(kStopGraceSeconds);
    load_->stop(kStopGraceSeconds);
    if (const json* stopped = system_->last("stopped")) {
      const json counters = stopped->value("counters", json::object());
      for (const auto& [name, value] : counters.items()) {
        if (value.is_number_unsigned())
          out_.counters["system_" + name] = value.get<std::uint64_t>();
      }
      circumstances_.evictions =
          std::max(circumstances_.evictions, counters.value("clients_evicted", std::uint64_t{0}));
      out_.evictions = circumstances_.evictions;
    }
    if (system.killed) {
      circumstances_.stop_problem = fmt::format("{} did not stop within {:.0f} s and was killed",
                                                system_->name(), kStopGraceSeconds);
    } else if (system.signal != 0 || system.code != 0) {
      circumstances_.stop_problem =
          system.signal != 0
              ? fmt::format("{} was ended by signal {}", system_->name(), system.signal)
              : fmt::format("{} ended with exit code {}: {}", system_->name(), system.code,
                            system_->errors());
    }
    circumstances_.clients = run_.what.clients;
    circumstances_.oversubscribed =
        describe_placement(environment_.cores, run_.what.wait == scenario::WaitMode::spin)
            .oversubscribed;
  }

  // A run that lost, repeated, exchanged or altered a message has a bug, not a latency.
  void forget_latency() {
    out_.latency.reset();
    out_.service_time.reset();
    out_.stages.reset();
  }

  enum class Stall : std::uint8_t { before, stopped, after };

  const CaseRun& run_;
  const RunEnvironment& environment_;
  std::optional<VethSite> network_;  // empty: loopback
  // Declared so that the system goes first, then the load: its upstream outlives it.
  std::unique_ptr<Child> load_;
  std::unique_ptr<Child> system_;
  std::unique_ptr<probe::StageProbe> probe_;
  std::string url_;
  std::string topics_;  // what to subscribe to, comma separated
  json endpoint_;       // where clients find the system
  int send_log_fd_ = -1;
  int delivery_log_fd_ = -1;
  Stall stall_ = Stall::before;
  SteadyClock::time_point stopped_at_;
  load::LoadReport done_;
  verify::Circumstances circumstances_;
  report::Repetition out_;
};

}  // namespace

std::filesystem::path certificate_file(const RunEnvironment& environment) {
  return environment.scratch / "exchange.pem";
}
std::filesystem::path key_file(const RunEnvironment& environment) {
  return environment.scratch / "exchange.key";
}
std::filesystem::path share_socket(const RunEnvironment& environment) {
  return environment.scratch / "feedproxy.sock";
}

load::LoadConfig load_config_of(const CaseRun& run, const RunEnvironment& environment) {
  load::LoadConfig out;
  const scenario::SessionSource& session = run.what.session;
  if (session.kind != scenario::SessionSource::Kind::synthetic)
    out.session_file = session.path.string();
  out.payload_bytes = session.payload_bytes;
  out.frames = session.frames;
  out.seed = run.seed;
  out.venue = run.what.venue;
  out.pace = run.what.pace;
  if (run.what.network == scenario::Network::veth) out.listen_address = VethSite::kFarAddress;
  if (run.what.tls) {
    out.tls_certificate_file = certificate_file(environment).string();
    out.tls_key_file = key_file(environment).string();
  }
  if (run.what.system == System::relay) out.clients_via = "tcp";
  if (run.what.via == scenario::Via::shm) out.clients_via = "shm";
  if (run.what.via == scenario::Via::ring) out.clients_via = "ring";
  out.clients = run.what.clients;
  out.warm_up_s = run.warm_up_s;
  out.measure_s = run.measure_s;
  out.drain_s = run.drain_s;
  out.window_bytes = run.window_bytes;
  out.stall_at_s = run.stall_at_s;
  out.stall_s = run.stall_s;
  return out;
}

std::vector<std::string> system_command(const CaseRun& run, const RunEnvironment& environment,
                                        const std::string& upstream_url,
                                        const std::string& topics) {
  const scenario::Case& what = run.what;
  const bool veth = what.network == scenario::Network::veth;
  const scenario::TransportChoice transport = scenario::split_transport(what.transport);
  const auto program = [&](const char* name) { return (environment.programs / name).string(); };
  std::vector<std::string> out;
  switch (what.system) {
    case System::feedproxy:
      out = {program("feedproxy"),
             "--transport",
             transport.name,
             "--venue",
             what.venue,
             "--ring-bytes",
             std::to_string(run.ring_bytes),
             "--client-lag-max-bytes",
             std::to_string(run.ring_bytes / 2),
             "--stamps",
             what.stamps ? "on" : "off",
             "--local-socket",
             share_socket(environment).string()};
      if (veth) out.insert(out.end(), {"--allow-remote", "on"});
      if (what.transport == "xdp")
        out.insert(out.end(), {"--xdp-interface", VethSite::kNearInterface, "--xdp-address",
                               VethSite::kNearNetwork});
      if (!transport.options.empty())
        out.insert(out.end(), {"--io-uring", fmt::format("{}", fmt::join(transport.options, ","))});
      if (what.venue == "alpaca") out.insert(out.end(), {"--subscribe", topics});
      break;
    case System::relay:
      out = {program("feedbench-relay"), "--transport", what.transport, "--ring-bytes",
             std::to_string(run.ring_bytes)};
      break;
    case System::beast:
      out = {program("feedbench-beast")};
      break;
    case System::bridge:
      out = {program("feedbench-bridge"),
             "--transport",
             what.transport,
             "--ring",
             std::string(to_string(what.ring.value_or(scenario::Ring::feed_log))),
             "--ring-bytes",
             std::to_string(run.ring_bytes)};
      break;
  }
  if (what.system != System::bridge)
    out.insert(out.end(),
               {"--listen", veth ? std::string(VethSite::kNearAddress) + ":0" : "127.0.0.1:0"});
  out.insert(out.end(), {"--upstream", upstream_url, "--wait", std::string(to_string(what.wait)),
                         "--cpu", std::to_string(environment.cores.system), "--parent-death"});
  if (what.tls) out.insert(out.end(), {"--ca", certificate_file(environment).string()});
  return out;
}

report::Repetition run_case(const CaseRun& run, const RunEnvironment& environment) {
  const auto invalid = [](const std::string& reason) {
    report::Repetition out;
    out.verdict = {false, {reason}};
    return out;
  };
  try {
    return Runner(run, environment).carry_out();
  } catch (const Error& error) {
    return invalid(error.message);
  } catch (const std::exception& error) {
    return invalid(error.what());
  }
}

}  // namespace feedbench::runner
