#include "mock_exchange/program_options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <utility>

#include "reference/program/exit_codes.hpp"
#include "reference/program/nearest_name.hpp"

namespace feedbench::mock_exchange {

using transports::Error;
using transports::Expected;

namespace {

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

constexpr const char* kDescription =
    "A local stand-in for Binance and Alpaca: replays a recorded session over WebSocket, byte for "
    "byte.\n"
    "Each client gets what it subscribes to, from the beginning, at the recorded pace.\n";

Expected<transports::Endpoint> parse_endpoint(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  transports::Endpoint endpoint;
  const auto wrong = [&] {
    return tl::unexpected(Error{
        fmt::format("address '{}' is not understood (say HOST:PORT, for example 127.0.0.1:9443, "
                    "or [::1]:9443; port 0 takes any free one)",
                    text)});
  };
  if (colon == std::string_view::npos || colon == 0) return wrong();
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const auto [stopped, error] =
      std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
  if (error != std::errc() || stopped != port.data() + port.size() || host.empty()) return wrong();
  endpoint.address = host == "localhost" ? "127.0.0.1" : host;
  return endpoint;
}

/// "128x10000": payload bytes, frames.
Expected<std::pair<std::size_t, std::size_t>> parse_synthetic(std::string_view text) {
  std::pair<std::size_t, std::size_t> sizes;
  const char* end = text.data() + text.size();
  const auto bytes = std::from_chars(text.data(), end, sizes.first);
  if (bytes.ec == std::errc() && bytes.ptr != end && *bytes.ptr == 'x') {
    const auto count = std::from_chars(bytes.ptr + 1, end, sizes.second);
    const bool sane = sizes.first >= 40 && sizes.first <= (1U << 24U) && sizes.second >= 1 &&
                      sizes.second <= (std::size_t{1} << 32U) / sizes.first;
    if (count.ec == std::errc() && count.ptr == end && sane) return sizes;
  }
  return tl::unexpected(
      Error{fmt::format("synthetic session '{}' is not understood (say BYTESxFRAMES with at least "
                        "40 bytes and 4 GiB in all)",
                        text)});
}

/// Runs a parser as a CLI11 check, so that its sentence is the usage error.
template <class Parse, class Store>
CLI::callback_t stored(Parse parse, Store store) {
  return [parse, store](const CLI::results_t& texts) {
    for (const std::string& text : texts) {
      auto value = parse(text);
      if (!value) throw CLI::ValidationError(value.error().message);
      store(std::move(*value));
    }
    return true;
  };
}

/// A parser of one of a few names.
template <class T>
auto choice(std::vector<std::pair<std::string, T>> values) {
  return [values = std::move(values)](const std::string& text) -> Expected<T> {
    std::vector<std::string> names;
    for (const auto& [name, value] : values) {
      if (name == text) return value;
      names.push_back(name);
    }
    return tl::unexpected(Error{program::unknown_name("choice", text, names)});
  };
}

void add_options(CLI::App& app, ProgramOptions& options) {
  const auto option = [&](const char* name, CLI::callback_t callback, const char* help,
                          const char* type) {
    return app.add_option(name, std::move(callback), help)->type_name(type);
  };

  option("--venue",
         stored(&venues::venue_from_name, [&](venues::Venue venue) { options.venue = venue; }),
         "whose protocol to speak: binance, alpaca, or raw (any path, every frame)", "NAME")
      ->required();
  auto* replay =
      app.add_option("--replay", options.replay_file, "the recording (JSON Lines, plain or .zst)")
          ->type_name("FILE");
  option("--synthetic",
         stored(&parse_synthetic,
                [&](std::pair<std::size_t, std::size_t> sizes) {
                  std::tie(options.synthetic_bytes, options.synthetic_count) = sizes;
                }),
         "instead of a recording: FRAMES different frames of BYTES payload each (with --venue raw)",
         "BYTESxFRAMES")
      ->excludes(replay);
  app.add_option("--seed", options.seed, "of the synthetic session")->type_name("N");
  app.add_option("--conn", options.conn, "only the frames of this connection of the recording")
      ->type_name("NAME");
  option("--listen",
         stored(&parse_endpoint, [&](transports::Endpoint at) { options.listen = std::move(at); }),
         "where to listen [127.0.0.1:9443]; port 0 takes any free one", "HOST:PORT");
  option("--allow-remote",
         stored(choice<bool>({{"on", true}, {"off", false}}),
                [&](bool value) { options.allow_remote = value; }),
         "on: allow a listen address that is not loopback; off [default]", "on|off");
  option("--speed", stored(&parse_pace, [&](Pace pace) { options.pace = pace; }),
         "recorded [default], x10 (ten times as fast), rate:1000 (frames a second), max", "SPEED");
  option("--loop", stored(&parse_loops, [&](std::uint64_t loops) { options.loops = loops; }),
         "how often to replay [1]: a number, or forever", "N");
  option("--start",
         stored(choice<ProgramStart>({{"on-subscribe", ProgramStart::on_subscribe},
                                      {"now", ProgramStart::now},
                                      {"signal", ProgramStart::signal}}),
                [&](ProgramStart value) { options.start = value; }),
         "when the replay begins: on-subscribe [default] (each client gets its own, from "
         "the beginning), now or "
         "signal (SIGUSR1) (one replay for all; who comes late joins in the middle)",
         "WHEN");
  option("--when-done",
         stored(choice<ProgramEnd>({{"keep", ProgramEnd::keep},
                                    {"close", ProgramEnd::close},
                                    {"exit", ProgramEnd::exit}}),
                [&](ProgramEnd value) { options.end = value; }),
         "what to do with a client that has had all: keep [default], close, or exit "
         "(close, and end the program)",
         "WHAT");
  auto* certificate = app.add_option("--tls-cert", options.tls_certificate_file,
                                     "PEM certificate chain: serve wss://")
                          ->type_name("FILE");
  auto* key = app.add_option("--tls-key", options.tls_key_file, "PEM key of the certificate")
                  ->type_name("FILE");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--key", options.key, "alpaca: the only key that is accepted (else any is)")
      ->type_name("TEXT");
  app.add_option("--secret", options.secret, "alpaca: the secret that belongs to it")
      ->type_name("TEXT");
  option("--fault",
         stored(&parse_fault, [&](const Fault& fault) { options.faults.push_back(fault); }),
         "a fault on request, repeatable: close-mid-frame:N, reset:N, stall:N:250ms (after N "
         "frames; :every at the end: "
         "on every connection), refuse-auth",
         "FAULT");
  app.add_option("--max-logins", options.logins_max,
                 "alpaca: connections that may be logged in at a time; one more gets error 406")
      ->type_name("N");
  app.add_option("--max-lag", options.lag_frames_max,
                 "close a client that is more than N due frames behind")
      ->type_name("N");
  app.add_option("--ping-interval", options.ping_interval_s,
                 "seconds between pings [binance 20, others none]; 0: none")
      ->type_name("S")
      ->check(CLI::Range(0.0, 86400.0));
  option("--wait",
         stored(choice<bool>({{"block", false}, {"spin", true}}),
                [&](bool value) { options.spin = value; }),
         "block [default]: sleep until a frame is due; spin: never sleep", "HOW");
  app.add_option("--cpu", options.cpu, "pin to this CPU")->type_name("N");
  app.add_option("--status-fd", options.status_fd, "write JSON events to this inherited descriptor")
      ->type_name("N");
  app.add_option("--send-log-fd", options.send_log_fd,
                 "log what is sent into the shared memory behind this descriptor")
      ->type_name("N");
  app.add_flag("--parent-death", options.parent_death,
               "stop when the process that started this one is gone");
}

}  // namespace

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app(kDescription, "mock-exchange");
  app.set_version_flag("--version", "mock-exchange " FEEDBENCH_VERSION);
  add_options(app, line.options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    line.text = app.help();
    return line;
  } catch (const CLI::CallForVersion& version) {
    line.text = fmt::format("{}\n", version.what());
    return line;
  } catch (const CLI::ParseError& error) {
    line.exit_code = program::kExitUsage;
    line.text = error.what();
    return line;
  }
  if (line.options.replay_file.empty() && line.options.synthetic_count == 0) {
    line.exit_code = program::kExitUsage;
    line.text = "nothing to replay: give --replay FILE (or --synthetic BYTESxFRAMES)";
    return line;
  }
  if (line.options.venue != venues::Venue::alpaca &&
      !(line.options.key.empty() && line.options.secret.empty())) {
    line.exit_code = program::kExitUsage;
    line.text = fmt::format("{} does nothing with --venue {}: only alpaca has a login",
                            line.options.key.empty() ? "--secret" : "--key",
                            venues::to_string(line.options.venue));
    return line;
  }
  if (!line.options.allow_remote && !is_loopback(line.options.listen.address)) {
    line.exit_code = program::kExitUsage;
    line.text = fmt::format(
        "--listen {}: not a loopback address; say --allow-remote on if anyone who reaches it may "
        "read the replay",
        transports::to_string(line.options.listen));
    return line;
  }
  line.run = true;
  return line;
}

}  // namespace feedbench::mock_exchange
