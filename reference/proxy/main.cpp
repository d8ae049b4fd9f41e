#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/standard_descriptors.hpp"
#include "reference/proxy/config.hpp"
#include "reference/proxy/run_proxy.hpp"
#include "transports/rings/local_share.hpp"

namespace {

using namespace feedbench;
using program::ExitCode;

std::string from_environment(const std::string& name) {
  const char* value = name.empty() ? nullptr : std::getenv(name.c_str());
  return value == nullptr ? "" : value;
}

upstream::LinkOptions link_options(const proxy::ProxyConfig& config) {
  constexpr std::int64_t kMs = 1'000'000;
  upstream::LinkOptions link;
  link.url = *websocket::parse_url(config.upstream);
  link.login.venue = *venues::venue_from_name(config.venue);
  link.login.subscriptions = config.subscribe;
  link.login.credentials = {from_environment(config.key_env), from_environment(config.secret_env)};
  link.backoff_first_ns = config.backoff_first_ms * kMs;
  link.backoff_longest_ns = config.backoff_longest_ms * kMs;
  link.open_timeout_ns = config.upstream_open_timeout_ms * kMs;
  link.idle_ns = config.upstream_idle_ms * kMs;
  link.nic_stamps = config.stamps;
  link.seed = std::random_device{}();
  return link;
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

int serve(const proxy::CommandLine& line) {
  const proxy::ProxyConfig& config = line.config;
  if (auto good = program::check_status_descriptor(line.status_fd); !good) throw good.error();
  program::StatusLines status(line.status_fd);
  if (config.cpu >= 0)
    if (auto pinned = program::pin_to_cpu(config.cpu); !pinned) throw pinned.error();

  rings::FeedLogOptions log_options;
  log_options.ring_bytes = config.ring_bytes;
  log_options.index_lines = config.index_lines;
  rings::FeedLogWriter log = value_or_throw(rings::FeedLogWriter::create(log_options));
  std::unique_ptr<rings::LocalShareServer> share;
  if (!config.local_socket.empty())
    share = value_or_throw(
        rings::LocalShareServer::start({.path = config.local_socket}, log.share_descriptor()));

  proxy::ProxyParts parts{config, log, nullptr, link_options(config), status};
  std::optional<tls::TlsContext> tls;
  if (parts.link.url.tls) {
    tls = value_or_throw(
        tls::TlsContext::client({.server_name = parts.link.url.host, .ca_file = config.ca}));
    parts.tls = &*tls;
  }
  const std::map<std::string, int (*)(const proxy::ProxyParts&, const std::string&)>
      transports_by_name = {{"select", proxy::run_on_select},
                            {"epoll", proxy::run_on_epoll},
                            {"io_uring", proxy::run_on_io_uring}};
  const int code = transports_by_name.at(config.transport)(parts, config.local_socket);
  status.event("stopped", {{"counters", counters(log.stats())}});
  spdlog::info("stopped: {} frames from upstream, {} clients served, {} evicted",
               log.stats().frames.value(), log.stats().clients_accepted.value(),
               log.stats().clients_evicted.value());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  spdlog::set_default_logger(spdlog::stderr_logger_st("feedproxy"));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %n %l: %v");
  const auto line = proxy::parse_command_line(argc, argv);
  if (!line) {
    std::fprintf(stderr, "feedproxy: %s\n", line.error().message.c_str());
    return ExitCode::kExitUsage;
  }
  if (line->exit_code >= 0) return line->exit_code;
  if (line->print_config) {
    std::fputs(proxy::to_yaml(line->config).c_str(), stdout);
    if (std::fflush(stdout) == 0) return ExitCode::kExitOk;
    std::perror("feedproxy: --print-config: standard output");
    return ExitCode::kExitCannotStart;
  }
  if (line->parent_death) program::die_with_parent();
  try {
    return serve(*line);
  } catch (const transports::Error& error) {
    std::fprintf(stderr, "feedproxy: %s\n", error.message.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "feedproxy: %s\n", error.what());
  }
  return ExitCode::kExitCannotStart;
}
