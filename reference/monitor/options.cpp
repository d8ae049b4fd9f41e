#include "reference/monitor/options.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <string_view>

namespace feedbench::monitor {

using transports::Error;
using transports::Expected;

Expected<std::chrono::milliseconds> parse_interval(const std::string& text) {
  const auto refuse = [&text](const char* why) {
    return tl::make_unexpected(Error{fmt::format("--interval {}: {}", text, why), 0});
  };
  double number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  double ms = 0;
  if (unit == "ms")
    ms = number;
  else if (unit == "s" || unit.empty())
    ms = number * 1000;
  else if (unit == "m")
    ms = number * 60'000;
  else
    return refuse("not a time such as 500ms, 1s or 2m");
  if (failure != std::errc() || !std::isfinite(ms))
    return refuse("not a time such as 500ms, 1s or 2m");
  if (ms < 100 || ms > 3'600'000) return refuse("must be from 100ms to 60m");
  return std::chrono::milliseconds(std::llround(ms));
}

Expected<TopOptions> parse_top_options(int argc, const char* const* argv) {
  TopOptions options;
  CLI::App app{
      "feedproxy top: what a running feedproxy does, live: its feeds, the stages of their "
      "messages, "
      "its local clients.",
      "feedproxy top"};
  std::string interval = "1s";
  app.add_option("--local-socket", options.path, "The proxy's socket for local clients")
      ->type_name("PATH")
      ->default_str("$XDG_RUNTIME_DIR/feedproxy/default.sock");
  app.add_option("--interval", interval, "Time between two looks: 500ms, 1s, 2m")
      ->type_name("TIME")
      ->capture_default_str();
  app.add_flag("--once", options.once, "One interval, then stop");
  app.add_flag("--json", options.json, "One JSON object a line for each interval");
  app.add_flag("--plain", options.plain,
               "Text one below the other instead of a screen (always so when piped)");
  app.add_option("--local-token-env", options.token_env,
                 "Environment variable that holds the token the proxy asks for")
      ->type_name("NAME");
  app.footer(
      "Feeds    UP/LOST: connections that came up, and went down. MESSAGES, BYTES: since it was "
      "opened.\n"
      "Stages   How long after the stage before it: WAKE, the loop woke (after the NIC's stamp); "
      "READ, the read\n"
      "         began; PLAIN, the plaintext was in the log; PARSED, the frame was found; HANDLER, "
      "the handler\n"
      "         began. TOTAL: from the NIC's stamp, or from WAKE where no message has one.\n"
      "Clients  LAG: messages behind the feed, up to 255 too many while it is busy. MISSED: lost "
      "because the\n"
      "         client was too slow. WAITS: awake or parked just then; (fd): in a loop of its "
      "own.");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) {
      options.exit_code = app.exit(failure);
      return options;
    }
    return tl::make_unexpected(
        Error{std::string(failure.what()) + " (see feedproxy top --help)", 0});
  }
  const auto parsed = parse_interval(interval);
  if (!parsed) return tl::make_unexpected(parsed.error());
  options.interval = *parsed;
  return options;
}

}  // namespace feedbench::monitor
