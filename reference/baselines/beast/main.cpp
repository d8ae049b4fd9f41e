// feedbench-beast: the plain Boost.Beast fan-out that results are compared with.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "reference/baselines/addresses.hpp"
#include "reference/baselines/beast/beast_server.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/placement.hpp"
#include "reference/program/standard_descriptors.hpp"

namespace {

using namespace feedbench;

int fail(int code, const std::string& message) {
  std::fprintf(stderr, "feedbench-beast: %s\n", message.c_str());
  return code;
}

nlohmann::json as_json(const baselines::BeastCounters& counters) {
  return {{"messages_received", counters.messages_received},
          {"bytes_received", counters.bytes_received},
          {"messages_delivered", counters.messages_delivered},
          {"clients_accepted", counters.clients_accepted},
          {"clients_evicted", counters.clients_evicted}};
}

}  // namespace

int main(int argc, char** argv) {
  feedbench::program::open_standard_descriptors();
  CLI::App app(
      "A plain Boost.Beast WebSocket client and fan-out server, as written from Beast's examples: "
      "a baseline.");
  app.set_version_flag("--version", "feedbench-beast " FEEDBENCH_VERSION);
  baselines::BeastOptions options;
  std::string listen = "127.0.0.1:0";
  std::string wait = "block";
  int cpu = -1;
  int status_fd = -1;
  bool parent_death = false;
  app.add_option("--upstream", options.upstream,
                 "WebSocket to share: ws://HOST:PORT/PATH or wss://...")
      ->required();
  app.add_option("--listen", listen, "HOST:PORT for clients; port 0 takes a free one")
      ->capture_default_str();
  app.add_option("--wait", wait, "how the event loop waits")
      ->check(CLI::IsMember({"spin", "block"}))
      ->capture_default_str();
  app.add_option("--ca", options.ca_file, "PEM file of the authorities to trust for wss://");
  app.add_option("--queue-max", options.queue_messages_max,
                 "messages a client may have waiting before it is disconnected")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--cpu", cpu, "CPU to pin to");
  app.add_option("--status-fd", status_fd, "inherited descriptor for status lines");
  app.add_flag("--parent-death", parent_death, "stop when the process that started this one dies");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help
    return fail(program::kExitUsage, error.what());
  }

  const auto endpoint = baselines::parse_endpoint(listen);
  if (!endpoint) return fail(program::kExitUsage, "--listen: " + endpoint.error().message);
  options.listen = *endpoint;
  options.spin = wait == "spin";
  if (cpu >= 0) {
    if (const auto pinned = program::pin_to_cpu(cpu); !pinned)
      return fail(program::kExitCannotStart, pinned.error().message);
  }
  if (parent_death && !program::die_with_parent()) return program::kExitCannotStart;

  const program::StatusLines status(status_fd);
  baselines::BeastCounters counters;
  try {
    const baselines::BeastEnd end = baselines::run_beast_server(options, status, counters);
    status.event("stopped", {{"counters", as_json(counters)}});
    return end.exit_code == program::kExitOk ? end.exit_code : fail(end.exit_code, end.message);
  } catch (const std::exception& error) {
    return fail(program::kExitCannotStart, error.what());
  }
}
