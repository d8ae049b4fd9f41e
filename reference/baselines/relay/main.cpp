// feedbench-relay: the floor that results are compared with.
#include <CLI/CLI.hpp>
#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "reference/baselines/addresses.hpp"
#include "reference/baselines/relay/relay.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/standard_descriptors.hpp"
#include "reference/websocket/url.hpp"
#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"

namespace {

using namespace feedbench;

int fail(int code, const std::string& message) {
  std::fprintf(stderr, "feedbench-relay: %s\n", message.c_str());
  return code;
}

nlohmann::json as_json(const baselines::RelayCounters& counters) {
  return {{"bytes_received", counters.bytes_received},
          {"bytes_delivered", counters.bytes_delivered},
          {"sends", counters.sends},
          {"clients_accepted", counters.clients_accepted},
          {"clients_evicted", counters.clients_evicted}};
}

struct Arguments {
  std::string upstream;
  std::string listen = "127.0.0.1:0";
  std::string transport = "epoll";
  std::string wait = "block";
  std::size_t ring_bytes = baselines::RelayOptions{}.ring_bytes;
  std::uint32_t clients_max = 4000;
  int cpu = -1;
  int status_fd = -1;
  bool parent_death = false;
};

template <transports::Transport T>
int relay(const Arguments& arguments, const baselines::RelayOptions& options) {
  const auto memory = rings::create_memory_file("feedbench-relay", options.ring_bytes, {});
  if (!memory) return fail(program::kExitCannotStart, memory.error().message);
  const auto ring = rings::MirroredMapping::map(memory->descriptor.get(), 0, options.ring_bytes,
                                                rings::Access::read_write, true);
  if (!ring) return fail(program::kExitCannotStart, ring.error().message);

  transports::TransportOptions transport_options;
  transport_options.wait =
      arguments.wait == "spin" ? transports::Wait::spin : transports::Wait::block;
  transport_options.connections_max = arguments.clients_max + 1;
  T transport(transport_options);
  const program::StopSignals signals([](void* context) { static_cast<T*>(context)->wake(); },
                                     &transport);
  const program::StatusLines status(arguments.status_fd);

  baselines::Relay<T> relay(transport, options, transport_options.connections_max, *ring, status);
  const auto bound = relay.start();
  if (!bound) return fail(program::kExitCannotStart, bound.error().message);
  status.event("listening", {{"endpoint", to_string(*bound)}});
  const auto end = relay.run();
  status.event("stopped", {{"counters", as_json(relay.counters())}});
  if (!end) {
    return fail(relay.upstream_refused() ? program::kExitRefused : program::kExitCannotStart,
                end.error().message);
  }
  return program::kExitOk;
}

int run(const Arguments& arguments) {
  baselines::RelayOptions options;
  const auto listen = baselines::parse_endpoint(arguments.listen);
  if (!listen) return fail(program::kExitUsage, "--listen: " + listen.error().message);
  const auto url = websocket::parse_url(arguments.upstream);
  if (!url) return fail(program::kExitUsage, "--upstream: " + url.error().message);
  if (url->tls)
    return fail(program::kExitUsage,
                "--upstream: the relay copies plain TCP and takes no wss:// URL");
  const auto upstream = baselines::resolve(url->host, url->port);
  if (!upstream) return fail(program::kExitCannotStart, upstream.error().message);
  if (!std::has_single_bit(arguments.ring_bytes)) {
    return fail(program::kExitUsage,
                "--ring-bytes: " + std::to_string(arguments.ring_bytes) + " is not a power of two");
  }
  if (arguments.cpu >= 0) {
    const auto pinned = program::pin_to_cpu(arguments.cpu);
    if (!pinned) return fail(program::kExitCannotStart, pinned.error().message);
  }
  if (arguments.parent_death && !program::die_with_parent()) return program::kExitCannotStart;

  options.listen = *listen;
  options.upstream = *upstream;
  options.ring_bytes = arguments.ring_bytes;
  options.request = baselines::upgrade_request(url->host_header(), url->target);
  if (arguments.transport == "select")
    return relay<transports::SelectTransport>(arguments, options);
  if (arguments.transport == "io_uring")
    return relay<transports::IoUringTransport>(arguments, options);
  return relay<transports::EpollTransport>(arguments, options);
}

}  // namespace

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  CLI::App app(
      "Copies one TCP connection to many over a chosen transport, without WebSocket: the floor.");
  app.set_version_flag("--version", "feedbench-relay " FEEDBENCH_VERSION);
  Arguments arguments;
  app.add_option("--upstream", arguments.upstream, "ws://HOST:PORT/PATH of the exchange")
      ->required();
  app.add_option("--listen", arguments.listen,
                 "HOST:PORT for clients (plain TCP); port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--transport", arguments.transport, "what moves the bytes")
      ->check(CLI::IsMember({"select", "epoll", "io_uring"}))
      ->capture_default_str();
  app.add_option("--wait", arguments.wait, "how the event loop waits")
      ->check(CLI::IsMember({"spin", "block"}))
      ->capture_default_str();
  app.add_option("--ring-bytes", arguments.ring_bytes,
                 "bytes of the ring, a power of two, 1 MiB at least; also the largest lag")
      ->check(CLI::Range(std::size_t{1} << 20, std::size_t{1} << 32))
      ->capture_default_str();
  app.add_option("--clients-max", arguments.clients_max, "clients at a time")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--cpu", arguments.cpu, "CPU to pin to");
  app.add_option("--status-fd", arguments.status_fd, "inherited descriptor for status lines");
  app.add_flag("--parent-death", arguments.parent_death,
               "stop when the process that started this one dies");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return fail(program::kExitUsage, error.what());
  }
  try {
    return run(arguments);
  } catch (const transports::Error& error) {
    return fail(program::kExitCannotStart, error.message);
  } catch (const std::exception& error) {
    return fail(program::kExitCannotStart, error.what());
  }
}
