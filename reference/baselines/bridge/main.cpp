// feedbench-bridge: one upstream WebSocket into a ring of choice, to compare rings end to end.
#include <CLI/CLI.hpp>
#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "reference/baselines/addresses.hpp"
#include "reference/baselines/bridge/bridge.hpp"
#include "reference/baselines/bridge/outlets.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/standard_descriptors.hpp"
#include "reference/websocket/url.hpp"
#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"

namespace {

using namespace feedbench;

constexpr std::size_t kBufferBytes = std::size_t{4} << 20;

int fail(int code, const std::string& message) {
  std::fprintf(stderr, "feedbench-bridge: %s\n", message.c_str());
  return code;
}

nlohmann::json as_json(const baselines::BridgeCounters& counters) {
  return {{"bytes_received", counters.bytes_received},
          {"messages_published", counters.messages_published},
          {"bytes_published", counters.bytes_published},
          {"ring_full", counters.ring_full}};
}

struct Arguments {
  std::string upstream;
  std::string ring = "feed_log";
  std::string transport = "epoll";
  std::string wait = "block";
  std::size_t ring_bytes = std::size_t{16} << 20;
  int cpu = -1;
  int status_fd = -1;
  bool parent_death = false;
};

template <transports::Transport T, class Outlet>
int bridge(const Arguments& arguments, const baselines::BridgeOptions& options) {
  transports::TransportOptions transport_options;
  transport_options.wait =
      arguments.wait == "spin" ? transports::Wait::spin : transports::Wait::block;
  transport_options.connections_max = 1;
  T transport(transport_options);
  // Before the ring is made: a ring with names must go when this process is told to.
  const program::StopSignals signals([](void* context) { static_cast<T*>(context)->wake(); },
                                     &transport);
  const program::StatusLines status(arguments.status_fd);
  const auto memory = rings::create_memory_file("feedbench-bridge", kBufferBytes, {});
  if (!memory) return fail(program::kExitCannotStart, memory.error().message);
  const auto buffer = rings::MirroredMapping::map(memory->descriptor.get(), 0, kBufferBytes,
                                                  rings::Access::read_write, true);
  if (!buffer) return fail(program::kExitCannotStart, buffer.error().message);
  auto outlet = Outlet::create(arguments.ring_bytes);
  if (!outlet) return fail(program::kExitCannotStart, outlet.error().message);

  baselines::Bridge<T, Outlet> bridge(transport, *outlet, options, *buffer, status);
  if (const auto started = bridge.start(); !started)
    return fail(program::kExitCannotStart, started.error().message);
  status.event("ring_ready", {{"ring", arguments.ring}, {"file", outlet->file()}});
  const auto end = bridge.run();
  status.event("stopped", {{"counters", as_json(bridge.counters())}});
  if (!end) {
    return fail(bridge.upstream_refused() ? program::kExitRefused : program::kExitCannotStart,
                end.error().message);
  }
  return program::kExitOk;
}

template <transports::Transport T>
int bridge_over(const Arguments& arguments, const baselines::BridgeOptions& options) {
  if (arguments.ring == "spsc") return bridge<T, baselines::SpscOutlet>(arguments, options);
  if (arguments.ring == "hft_shm") return bridge<T, baselines::HftShmOutlet>(arguments, options);
  if (arguments.ring == "mirrored") return bridge<T, baselines::MirroredOutlet>(arguments, options);
  return bridge<T, baselines::FeedLogOutlet>(arguments, options);
}

int run(const Arguments& arguments) {
  const auto url = websocket::parse_url(arguments.upstream);
  if (!url) return fail(program::kExitUsage, "--upstream: " + url.error().message);
  if (url->tls)
    return fail(program::kExitUsage,
                "--upstream: the bridge reads plain TCP and takes no wss:// URL");
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

  const baselines::BridgeOptions options{*upstream, url->host_header(), url->target};
  if (arguments.transport == "select")
    return bridge_over<transports::SelectTransport>(arguments, options);
  if (arguments.transport == "io_uring")
    return bridge_over<transports::IoUringTransport>(arguments, options);
  return bridge_over<transports::EpollTransport>(arguments, options);
}

}  // namespace

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  CLI::App app(
      "Copies one upstream WebSocket's frames into a ring of shared memory (or, mirrored, of its "
      "own): to compare rings.");
  app.set_version_flag("--version", "feedbench-bridge " FEEDBENCH_VERSION);
  Arguments arguments;
  app.add_option("--upstream", arguments.upstream, "ws://HOST:PORT/PATH of the exchange")
      ->required();
  app.add_option("--ring", arguments.ring, "which ring")
      ->check(CLI::IsMember({"feed_log", "mirrored", "spsc", "hft_shm"}))
      ->capture_default_str();
  app.add_option("--transport", arguments.transport, "what moves the bytes")
      ->check(CLI::IsMember({"select", "epoll", "io_uring"}))
      ->capture_default_str();
  app.add_option("--wait", arguments.wait, "how the event loop waits")
      ->check(CLI::IsMember({"spin", "block"}))
      ->capture_default_str();
  app.add_option("--ring-bytes", arguments.ring_bytes,
                 "bytes of the ring, a power of two, 64 KiB to 1 GiB; also the largest lag")
      ->check(CLI::Range(std::size_t{1} << 16, std::size_t{1} << 30))
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
