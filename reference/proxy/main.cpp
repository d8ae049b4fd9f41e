#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <sstream>
#include <string_view>

#include "reference/client/find_proxy.hpp"
#include "reference/local/control_server.hpp"
#include "reference/local/log_forwarder.hpp"
#include "reference/local/succession.hpp"
#include "reference/monitor/top.hpp"
#include "reference/program/detach.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/standard_descriptors.hpp"
#include "reference/proxy/config.hpp"
#include "reference/proxy/run_proxy.hpp"

namespace {

using namespace feedbench;
using program::ExitCode;

std::string from_environment(const std::string& name) {
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

venues::Credentials credentials(const proxy::ProxyConfig& config) {
  return {from_environment(config.key_env), from_environment(config.secret_env)};
}

upstream::IngestOptions ingest_options(const proxy::ProxyConfig& config) {
  upstream::IngestOptions ingest;
  ingest.message_max_bytes = config.message_max_bytes;
  ingest.validate_utf8 = config.validate_utf8;
  ingest.stamps = config.stamps;
  return ingest;
}

rings::FeedLogOptions log_options(const proxy::ProxyConfig& config) {
  rings::FeedLogOptions log;
  log.ring_bytes = config.ring_bytes;
  log.index_lines = config.index_lines;
  log.memory.pre_fault = config.pre_fault;
  log.memory.huge_pages = config.huge_pages;
  return log;
}

/// What every upstream has in common.
upstream::LinkOptions link_options(const proxy::ProxyConfig& config) {
  constexpr std::int64_t kMs = 1'000'000;
  upstream::LinkOptions link;
  link.backoff_first_ns = config.backoff_first_ms * kMs;
  link.backoff_longest_ns = config.backoff_longest_ms * kMs;
  link.open_timeout_ns = config.upstream_open_timeout_ms * kMs;
  link.idle_ns = config.upstream_idle_ms * kMs;
  link.nic_stamps = config.stamps;
  link.seed = std::random_device{}();
  return link;
}

/// How every wss:// upstream is spoken to; whom to expect there is said for each.
tls::TlsClientOptions tls_options(const proxy::ProxyConfig& config) {
  tls::TlsClientOptions tls;
  tls.ca_file = config.ca;
  tls.certificate_file = config.client_certificate;
  tls.key_file = config.client_key;
  return tls;
}

nlohmann::json counters(const rings::ProxyStats& stats) {
  return {{"frames", stats.frames.value()},
          {"bytes", stats.bytes.value()},
          {"control_frames", stats.control_frames.value()},
          {"upstream_connects", stats.upstream_connects.value()},
          {"upstream_losses", stats.upstream_losses.value()},
          {"upstream_failures", stats.upstream_failures.value()},
          {"clients_accepted", stats.clients_accepted.value()},
          {"clients_refused", stats.clients_refused.value()},
          {"clients_evicted", stats.clients_evicted.value()},
          {"clients_failed", stats.clients_failed.value()},
          {"nic_stamps_absent", stats.nic_stamps_absent.value()},
          {"loop_gap_ticks_max", stats.loop_gap_ticks_max.value()}};
}

template <class T>
T value_or_throw(transports::Expected<T> expected) {
  if (!expected) throw expected.error();
  return std::move(*expected);
}

/// The upstream of the configuration; null if it has none.
std::unique_ptr<upstream::FeedParts> configured_upstream(const proxy::ProxyConfig& config,
                                                         local::LogSupply& logs) {
  if (config.upstream.empty()) return nullptr;
  upstream::LinkOptions link = link_options(config);
  link.url = *websocket::parse_url(config.upstream);
  link.login.venue = proxy::venue_of(config);
  link.login.subscriptions = config.subscribe;
  link.login.credentials = credentials(config);
  auto parts =
      std::make_unique<upstream::FeedParts>(1, value_or_throw(logs.take()), std::move(link));
  if (!parts->log.huge_pages_refused().empty())
    spdlog::warn("ordinary pages instead of huge ones: {}", parts->log.huge_pages_refused());
  parts->ingest = ingest_options(config);
  if (parts->link.url.tls) {
    tls::TlsClientOptions tls = tls_options(config);
    tls.server_name = parts->link.url.host;
    parts->tls = value_or_throw(tls::TlsContext::client(tls));
  }
  return parts;
}

std::string local_token(const proxy::ProxyConfig& config) {
  std::string token = from_environment(config.local_token_env);
  if (!config.local_token_env.empty() && token.empty())  // never open where a lock was asked for
    throw transports::Error{"--local-token-env " + config.local_token_env +
                            ": the environment has no such variable, or it is empty"};
  return token;
}

/// The running proxy's state, if it is to be replaced and there is one.
std::optional<local::Succession> take_over(const proxy::CommandLine& line,
                                           const proxy::ProxyConfig& config,
                                           local::LogSupply& logs) {
  if (!line.replace) return std::nullopt;
  std::optional<local::Succession> succession;
  for (int tries = 0;; ++tries) {
    succession =
        value_or_throw(local::Succession::connect(config.local_socket, local_token(config)));
    if (!succession) {
      spdlog::info("no proxy runs at {}: starting one", config.local_socket);
      return succession;
    }
    if (auto made = logs.make_in_advance(succession->feeds()); !made) throw made.error();
    const auto begun = succession->begin();
    if (begun) break;
    logs.drop_spare();
    if (!succession->ended() || tries == 10) throw begun.error();
    ::usleep(100'000);  // it ended meanwhile: another one runs there, or none
  }
  spdlog::info("taking over from pid {} (version {})", succession->pid(),
               succession->state().version);
  return succession;
}

/// Has the configuration's upstream go on where the running proxy's ends.
void continue_configured(local::ProxyState& state, upstream::FeedParts* configured) {
  for (local::ProxyState::Feed& feed : state.feeds)
    if (feed.configured && configured != nullptr) local::continue_from(feed, *configured);
}

std::unique_ptr<local::ControlServer> serve_local_clients(
    const proxy::ProxyConfig& config, local::FeedPort& port, std::shared_ptr<local::LogSupply> logs,
    const upstream::FeedParts* configured, local::ProxyState* taken_over, bool detached) {
  local::ControlOptions options;
  options.path = config.local_socket;
  options.group = config.local_group;
  options.token = local_token(config);
  options.clients_max = config.local_clients_max;
  const bool stays = config.persist || configured != nullptr;
  constexpr std::int64_t kMs = 1'000'000;
  options.linger_ns = stays ? -1 : config.linger_ms * kMs;
  options.linger_unused_ns =
      detached ? std::min<std::int64_t>(options.linger_ns, 1000 * kMs) : options.linger_ns;
  options.registry.link = link_options(config);
  options.registry.ingest = ingest_options(config);
  options.registry.logs = std::move(logs);
  options.registry.tls = tls_options(config);
  options.registry.feeds_max = config.feeds_max;
  options.registry.allow_open = config.allow_open;
  options.registry.may_open_any = config.allow_open.empty() && config.local_group.empty();
  options.registry.local_socket = config.local_socket;
  options.registry.credentials = [](const std::string& name) {
    return venues::Credentials(from_environment(name + "_KEY"), from_environment(name + "_SECRET"));
  };
  local::OpenRequest as;
  as.url = config.upstream;
  as.venue = config.venue;
  return value_or_throw(
      local::ControlServer::create(std::move(options), port, configured, as, taken_over));
}

bool logs_to_a_file = false;

/// The log goes to standard error or to a file, and to the local clients that ask for it.
void set_up_log(const std::string& file, local::FeedPort& port) {
  auto& sinks = spdlog::default_logger()->sinks();
  if (!file.empty()) {
    ::umask(0077);  // the file may tell what is traded
    sinks = {std::make_shared<spdlog::sinks::basic_file_sink_mt>(file)};
    logs_to_a_file = true;
    spdlog::flush_on(spdlog::level::info);
  }
  sinks.push_back(std::make_shared<local::LogForwarder>(port));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
}

/// As many descriptors as this process may have: a local client takes three, a network client one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// A private key is its owner's alone.
void warn_of_readable_keys(const proxy::ProxyConfig& config) {
  for (const std::string& file : {config.listen_key, config.client_key}) {
    struct stat facts {};
    if (file.empty() || ::stat(file.c_str(), &facts) != 0 || (facts.st_mode & 0077) == 0) continue;
    spdlog::warn("{}: others than its owner may use this private key: chmod 600 {}", file, file);
  }
}

int serve(const proxy::CommandLine& line) {
  raise_descriptor_limit();
  proxy::ProxyConfig config = line.config;
  if (!config.local_socket.empty())
    config.local_socket = feedproxy::socket_path(config.local_socket);
  if (auto good = program::check_status_descriptor(line.status_fd); !good) throw good.error();
  program::StatusLines status(line.status_fd);
  program::Detach detach;
  if (line.detach) detach = value_or_throw(program::Detach::fork());
  // A file that cannot be used is told now, not when the first local client opens something.
  tls::TlsClientOptions shown = tls_options(config);
  shown.verify = false;
  if (!shown.certificate_file.empty()) value_or_throw(tls::TlsContext::client(shown));
  static local::FeedPort port;  // as long as the log, which tells it
  set_up_log(line.log_file, port);
  warn_of_readable_keys(config);
  const auto logs = std::make_shared<local::LogSupply>(log_options(config));
  auto succession = take_over(line, config, *logs);
  local::ProxyState* const taken_over = succession ? &succession->state() : nullptr;
  const auto configured = configured_upstream(config, *logs);
  if (taken_over != nullptr) continue_configured(*taken_over, configured.get());
  std::unique_ptr<local::ControlServer> local_clients;
  if (!config.local_socket.empty())
    local_clients =
        serve_local_clients(config, port, logs, configured.get(), taken_over, line.detach);
  logs->drop_spare();
  if (config.cpu >= 0)
    if (auto pinned = program::pin_to_cpu(config.cpu); !pinned) throw pinned.error();

  proxy::ProxyParts parts{config, status, configured.get(), local_clients ? &port : nullptr};
  if (taken_over != nullptr) parts.listeners = &taken_over->listeners;
  parts.serving = [&] {
    if (succession)
      if (auto completed = succession->complete(); !completed) throw completed.error();
    if (local_clients) local_clients->go();
    detach.ready();
  };
  const std::map<std::string, int (*)(const proxy::ProxyParts&)> transports_by_name = {
      {"select", proxy::run_on_select},
      {"epoll", proxy::run_on_epoll},
      {"io_uring", proxy::run_on_io_uring},
      {"xdp", proxy::run_on_xdp}};
  std::uint64_t local_served = 0;
  parts.ended = [&] {
    if (!local_clients) return;
    local_served = local_clients->served();
    local_clients.reset();
  };
  const int code = transports_by_name.at(config.transport)(parts);
  if (configured) {
    const rings::ProxyStats& stats = configured->log.stats();
    status.event("stopped", {{"counters", counters(stats)}});
    spdlog::info(
        "stopped: {} frames from upstream, {} clients served, {} evicted, {} local clients",
        stats.frames.value(), stats.clients_accepted.value(), stats.clients_evicted.value(),
        local_served);
  } else {
    status.event("stopped");
    spdlog::info("stopped: {} local clients served", local_served);
  }
  return code;
}

/// Each line of it is a fault.
int usage_error(const std::string& faults) {
  std::istringstream lines(faults);
  for (std::string fault; std::getline(lines, fault);)
    std::fprintf(stderr, "feedproxy: %s\n", fault.c_str());
  return ExitCode::kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  if (argc > 1 && std::string_view(argv[1]) == "top") return monitor::run_top(argc - 1, argv + 1);
  spdlog::set_default_logger(spdlog::stderr_logger_mt("feedproxy"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
  const auto line = proxy::parse_command_line(argc, argv);
  if (!line) return usage_error(line.error().message);
  if (line->exit_code >= 0) return line->exit_code;
  if (line->print_config) {
    std::fputs(proxy::to_yaml(line->config).c_str(), stdout);
    if (std::fflush(stdout) == 0) return ExitCode::kExitOk;
    std::perror("feedproxy: --print-config: standard output");
    return ExitCode::kExitCannotStart;
  }
  if (const std::string missing =
          proxy::missing_credentials(line->config, credentials(line->config));
      !missing.empty())
    return usage_error(missing);
  if (line->parent_death) program::die_with_parent();
  const auto give_up = [&line](const std::string& why) {
    std::fprintf(stderr, "feedproxy: %s\n", why.c_str());
    // Whoever starts it detached, or as a service, looks there.
    if (logs_to_a_file) spdlog::error("cannot start: {}", why);
    return ExitCode::kExitCannotStart;
  };
  try {
    return serve(*line);
  } catch (const transports::Error& error) {
    return give_up(error.message);
  } catch (const std::exception& error) {
    return give_up(error.what());
  }
}
