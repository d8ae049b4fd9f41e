#include "reference/proxy/config.hpp"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <bit>
#include <charconv>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "reference/program/exit_codes.hpp"
#include "reference/program/nearest_name.hpp"
#include "reference/websocket/url.hpp"
#include "transports/io_uring/io_uring_options.hpp"

namespace feedbench::proxy {
namespace {

using transports::Endpoint;
using transports::Error;
using transports::Expected;
using transports::Wait;

/// One key of the file, one flag of the command line.
struct Option {
  std::string key;
  std::string help;
  /// Reads the text into the configuration; returns what is wrong with it, or nothing.
  std::function<std::string(ProxyConfig&, const std::string&)> read;
  std::function<std::string(const ProxyConfig&)> show;
  std::string kind = "TEXT";  ///< For --help.
};

Option text(std::string key, std::string help, std::string ProxyConfig::*member) {
  return {std::move(key), std::move(help),
          [member](ProxyConfig& config, const std::string& value) {
            config.*member = value;
            return std::string();
          },
          [member](const ProxyConfig& config) { return YAML::Dump(YAML::Node(config.*member)); }};
}

template <class T>
Option number(std::string key, std::string help, T ProxyConfig::*member) {
  return {std::move(key), std::move(help),
          [member](ProxyConfig& config, const std::string& value) {
            T parsed{};
            const auto [end, failure] =
                std::from_chars(value.data(), value.data() + value.size(), parsed);
            if (failure != std::errc() || end != value.data() + value.size())
              return fmt::format("'{}' is not a whole number in range", value);
            config.*member = parsed;
            return std::string();
          },
          [member](const ProxyConfig& config) { return fmt::format("{}", config.*member); }, "N"};
}

Option on_off(std::string key, std::string help, bool ProxyConfig::*member) {
  return {
      std::move(key), std::move(help),
      [member](ProxyConfig& config, const std::string& value) {
        const bool on = value == "on" || value == "true" || value == "yes";
        if (!on && value != "off" && value != "false" && value != "no")
          return fmt::format("'{}' is neither on nor off", value);
        config.*member = on;
        return std::string();
      },
      [member](const ProxyConfig& config) { return std::string(config.*member ? "on" : "off"); },
      "on|off"};
}

std::string read_listen(ProxyConfig& config, const std::string& value) {
  const auto colon = value.rfind(':');
  const std::string_view port =
      colon == std::string::npos ? "" : std::string_view(value).substr(colon + 1);
  std::uint16_t parsed = 0;
  const auto [end, failure] = std::from_chars(port.data(), port.data() + port.size(), parsed);
  if (port.empty() || failure != std::errc() || end != port.data() + port.size())
    return fmt::format("'{}' is not ADDRESS:PORT (for example 127.0.0.1:9001)", value);
  std::string address = value.substr(0, colon);
  if (address.size() > 1 && address.front() == '[' && address.back() == ']')
    address = address.substr(1, address.size() - 2);
  if (address == "localhost") address = "127.0.0.1";
  config.listen = Endpoint{address, parsed};
  return {};
}

std::string read_wait(ProxyConfig& config, const std::string& value) {
  if (value != "spin" && value != "block")
    return fmt::format("'{}' is neither spin nor block", value);
  config.wait = value == "spin" ? Wait::spin : Wait::block;
  return {};
}

Option list(std::string key, std::string help, std::vector<std::string> ProxyConfig::*member) {
  return {std::move(key), std::move(help),
          [member](ProxyConfig& config, const std::string& value) {
            (config.*member).clear();
            std::istringstream stream(value);
            for (std::string item; std::getline(stream, item, ',');)
              if (!item.empty()) (config.*member).push_back(item);
            return std::string();
          },
          [member](const ProxyConfig& config) {
            YAML::Emitter out;
            out << YAML::Flow << config.*member;
            return std::string(out.c_str());
          },
          "LIST"};
}

const std::vector<Option>& options() {
  using C = ProxyConfig;
  static const std::vector<Option> all = {
      text("upstream", "The WebSocket to share: ws://HOST[:PORT]/TARGET or wss://...",
           &C::upstream),
      text("venue",
           "What speaks there: raw, binance or alpaca (default: what the host's name says, else "
           "raw)",
           &C::venue),
      list("subscribe", "Comma-separated: Binance streams, or Alpaca CHANNEL:SYMBOL",
           &C::subscribe),
      text("key_env", "Environment variable that holds the API key", &C::key_env),
      text("secret_env", "Environment variable that holds the API secret", &C::secret_env),
      text("ca", "PEM file of the authorities to trust for wss:// (default: the system's)", &C::ca),
      text("client_certificate",
           "PEM file of the certificate to show to wss:// upstreams that ask for one",
           &C::client_certificate),
      text("client_key", "PEM file of its private key, not encrypted", &C::client_key),
      {"listen", "Where WebSocket clients connect: ADDRESS:PORT, port 0 for a free one",
       read_listen,
       [](const C& config) {
         return YAML::Dump(YAML::Node(transports::to_string(config.listen)));
       }},
      text("listen_certificate", "PEM file of the certificate: clients connect with wss://",
           &C::listen_certificate),
      text("listen_key", "PEM file of its private key, not encrypted", &C::listen_key),
      text("listen_client_ca",
           "PEM file of the authorities that a client's certificate must come from (default: "
           "clients need none)",
           &C::listen_client_ca),
      on_off("ktls", "Let the kernel encrypt for wss:// clients, where it can", &C::ktls),
      on_off("allow_remote", "Allow a listen address that is not loopback", &C::allow_remote),
      text("allow_origin", "Origin that browsers may come from; * for any (default: none)",
           &C::allow_origin),
      text("local_socket", "Where local clients connect: a path, or a name such as default",
           &C::local_socket),
      text("local_group", "Group whose members may connect there too", &C::local_group),
      text("local_token_env", "Environment variable that holds a token local clients must present",
           &C::local_token_env),
      number("local_clients_max", "Local clients at a time", &C::local_clients_max),
      number("feeds_max", "Upstreams that local clients may have open at a time", &C::feeds_max),
      list("allow_open", "URL prefixes that local clients may open (default: any)", &C::allow_open),
      number("linger_ms",
             "Without an upstream of its own: stop this long after the last local client",
             &C::linger_ms),
      on_off("persist", "Stay without local clients", &C::persist),
      text("transport", "select, epoll, io_uring or xdp", &C::transport),
      text("xdp_interface", "With transport xdp: the network interface", &C::xdp_interface),
      text("xdp_address", "Its own address there: 10.0.0.2/24, not one of the kernel's",
           &C::xdp_address),
      text("xdp_gateway", "Who leads to other networks (default: nobody)", &C::xdp_gateway),
      number("xdp_queue", "The queue of the interface", &C::xdp_queue),
      text("xdp_attach", "Where the XDP program runs: automatic, native or generic",
           &C::xdp_attach),
      text("xdp_copy", "How frames come: automatic, zero_copy or copy", &C::xdp_copy),
      number("busy_poll_us",
             "Ask the network card for so long before sleeping (epoll, io_uring, xdp); 0: never",
             &C::busy_poll_us),
      list("io_uring",
           "With transport io_uring: registered_files, receive_bundles, incremental_buffers, "
           "zero_copy=BYTES, submission_thread[=CORE], no_deferred_task_run (default: none)",
           &C::io_uring),
      {"wait", "spin or block", read_wait,
       [](const C& config) { return std::string(config.wait == Wait::spin ? "spin" : "block"); }},
      number("cpu", "CPU to pin the data thread to; -1 for none", &C::cpu),
      number("ring_bytes", "Bytes of the feed log's ring, a power of two", &C::ring_bytes),
      number("index_lines", "Lines of its index, a power of two", &C::index_lines),
      on_off("pre_fault", "Touch every page of a log when it is made", &C::pre_fault),
      on_off("huge_pages", "Put logs into 2 MiB pages, if the kernel has some", &C::huge_pages),
      number("message_max_bytes", "Largest message taken from the venue", &C::message_max_bytes),
      number("client_lag_max_bytes", "A client further behind is evicted (close 1013)",
             &C::client_lag_max_bytes),
      number("clients_max", "WebSocket clients at a time", &C::clients_max),
      on_off("stamps", "Take stage stamps", &C::stamps),
      on_off("validate_utf8", "Check that text from the venue is UTF-8", &C::validate_utf8),
      number("backoff_first_ms", "First wait before reconnecting", &C::backoff_first_ms),
      number("backoff_longest_ms", "Longest wait before reconnecting", &C::backoff_longest_ms),
      number("upstream_open_timeout_ms", "Time for connect, handshakes and login",
             &C::upstream_open_timeout_ms),
      number("upstream_idle_ms", "Ping a silent upstream after this; give up after twice this",
             &C::upstream_idle_ms),
      number("client_handshake_timeout_ms", "Time for a client's handshake",
             &C::client_handshake_timeout_ms),
      number("client_close_timeout_ms", "Time for a client's close", &C::client_close_timeout_ms),
  };
  return all;
}

std::string flag_of(const std::string& key) {
  std::string flag = "--" + key;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

std::string joined(const std::vector<std::string>& faults) {
  return fmt::format("{}", fmt::join(faults, "\n"));
}

/// Empty, or why node cannot be the value of key.
std::string shape_fault(const std::string& key, const YAML::Node& node) {
  if (node.IsMap()) return "expected a value, found a map";
  if (!node.IsSequence()) return {};
  if (key != "subscribe" && key != "allow_open" && key != "io_uring")
    return "expected a value, found a list";
  const bool plain =
      std::all_of(node.begin(), node.end(), [](const YAML::Node& item) { return item.IsScalar(); });
  return plain ? "" : "expected a list of values";
}

std::string scalar_or_list(const YAML::Node& node) {
  if (!node.IsSequence()) return node.Scalar();
  std::vector<std::string> items;
  for (const auto& item : node) items.push_back(item.Scalar());
  return fmt::format("{}", fmt::join(items, ","));
}

Expected<std::string> read_file(const std::string& path) {
  constexpr std::size_t kBytesMax = 1u << 20;
  const auto refuse = [&path](const char* why) {
    return tl::make_unexpected(Error{fmt::format("--config {}: {}", path, why), 0});
  };
  std::ifstream file(path, std::ios::binary);
  if (!file) return refuse("cannot be opened");
  std::string all(kBytesMax + 1, '\0');
  file.read(all.data(), static_cast<std::streamsize>(all.size()));
  if (file.bad()) return refuse("cannot be read (is it a file?)");
  all.resize(static_cast<std::size_t>(file.gcount()));
  if (all.size() > kBytesMax) return refuse("is longer than 1 MiB, so not a configuration");
  return all;
}

constexpr std::uint32_t kBusyPollUsMax = 1'000'000;

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

/// What is accepted must do something.
void check_what_says_nothing(const ProxyConfig& config, std::vector<std::string>& faults) {
  if (config.upstream.empty()) {
    for (const auto& [given, flag] :
         {std::pair(!config.subscribe.empty(), "--subscribe"), {!config.venue.empty(), "--venue"}})
      if (given)
        faults.push_back(fmt::format(
            "{} without --upstream does nothing: local clients say for themselves what they open",
            flag));
  } else if (!config.subscribe.empty() && venue_of(config) == venues::Venue::raw) {
    faults.emplace_back(
        "--subscribe: a raw upstream is sent nothing, so there is nothing to subscribe to; say "
        "--venue binance or --venue alpaca, or put it into the URL");
  }
  if (!config.client_certificate.empty() && config.local_socket.empty()) {
    const auto url = websocket::parse_url(config.upstream);
    if (url && !url->tls)
      faults.emplace_back(
          "--client-certificate does nothing: a ws:// upstream never sees a certificate");
  }
  if (!config.ca.empty() && config.local_socket.empty()) {
    const auto url = websocket::parse_url(config.upstream);
    if (url && !url->tls)
      faults.emplace_back("--ca does nothing: a ws:// upstream shows no certificate");
  }
  if (config.transport != "xdp") {
    const ProxyConfig defaults;
    for (const auto& [given, flag] :
         {std::pair(config.xdp_interface != defaults.xdp_interface, "--xdp-interface"),
          {config.xdp_address != defaults.xdp_address, "--xdp-address"},
          {config.xdp_gateway != defaults.xdp_gateway, "--xdp-gateway"},
          {config.xdp_queue != defaults.xdp_queue, "--xdp-queue"},
          {config.xdp_attach != defaults.xdp_attach, "--xdp-attach"},
          {config.xdp_copy != defaults.xdp_copy, "--xdp-copy"}})
      if (given) faults.push_back(fmt::format("{} without --transport xdp does nothing", flag));
  }
  for (const std::string& prefix : config.allow_open)
    if (!prefix.starts_with("ws://") && !prefix.starts_with("wss://"))
      faults.push_back(fmt::format(
          "--allow-open {}: no URL begins so; write ws://HOST... or wss://HOST...", prefix));
  if (config.local_socket.empty() && !config.allow_open.empty())
    faults.emplace_back("--allow-open without --local-socket does nothing: who should open it?");
}

}  // namespace

venues::Venue venue_of(const ProxyConfig& config) {
  const auto url = websocket::parse_url(config.upstream);
  return venues::venue_for(config.venue, url ? url->host : "").value_or(venues::Venue::raw);
}

std::string missing_credentials(const ProxyConfig& config, const venues::Credentials& given) {
  if (config.upstream.empty() || venue_of(config) != venues::Venue::alpaca) return {};
  if (!given.reveal_key().empty() && !given.reveal_secret().empty()) return {};
  return fmt::format(
      "alpaca needs a key and a secret: set {} and {} in the environment (--key-env and "
      "--secret-env name others)",
      config.key_env, config.secret_env);
}

Expected<void> apply_yaml(ProxyConfig& config, const std::string& yaml_text,
                          const std::string& origin) {
  YAML::Node root;
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(yaml_text);
    if (documents.size() > 1)
      return tl::make_unexpected(Error{origin + ": expected one document, found several", 0});
    if (!documents.empty()) root = documents.front();
  } catch (const YAML::Exception& failure) {
    return tl::make_unexpected(Error{fmt::format("{}:{}:{}: {}", origin, failure.mark.line + 1,
                                                 failure.mark.column + 1, failure.msg),
                                     0});
  }
  if (root.IsNull()) return {};
  if (!root.IsMap()) return tl::make_unexpected(Error{origin + ": expected `key: value` lines", 0});

  std::vector<std::string> names;
  for (const Option& option : options()) names.push_back(option.key);
  std::vector<std::string> faults;
  std::set<std::string> seen;
  for (const auto& entry : root) {
    const YAML::Mark mark = entry.first.Mark();
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    const std::string where = fmt::format("{}:{}:{}: ", origin, mark.line + 1, mark.column + 1);
    const auto found = std::find_if(options().begin(), options().end(),
                                    [&](const Option& option) { return option.key == key; });
    if (found == options().end()) {
      faults.push_back(where + program::unknown_name("key", key, names));
      continue;
    }
    if (!seen.insert(key).second) {
      faults.push_back(where + key + ": given twice");
      continue;
    }
    if (const std::string fault = shape_fault(key, entry.second); !fault.empty()) {
      faults.push_back(where + key + ": " + fault);
      continue;
    }
    const std::string wrong = found->read(config, scalar_or_list(entry.second));
    if (!wrong.empty()) faults.push_back(where + key + ": " + wrong);
  }
  if (!faults.empty()) return tl::make_unexpected(Error{joined(faults), 0});
  return {};
}

std::vector<std::string> validate(const ProxyConfig& config) {
  std::vector<std::string> faults;
  const auto check = [&faults](bool good, std::string fault) {
    if (!good) faults.push_back(std::move(fault));
  };
  if (config.upstream.empty()) {
    check(!config.local_socket.empty(),
          "--upstream is missing: the WebSocket to share, for example --upstream "
          "ws://127.0.0.1:9443/ws (or --local-socket PATH, for local clients that open their own)");
  } else if (const auto url = websocket::parse_url(config.upstream); !url) {
    faults.push_back("--upstream: " + url.error().message);  // which leaves a password out
  }
  const auto one_of = [&check](const char* what, const std::string& name,
                               const std::vector<std::string>& names) {
    check(std::find(names.begin(), names.end(), name) != names.end(),
          flag_of(what) + ": " + program::unknown_name(what, name, names));
  };
  if (!config.venue.empty()) one_of("venue", config.venue, {"raw", "binance", "alpaca"});
  check_what_says_nothing(config, faults);
  one_of("transport", config.transport, {"select", "epoll", "io_uring", "xdp"});
  one_of("xdp_attach", config.xdp_attach, {"automatic", "native", "generic"});
  one_of("xdp_copy", config.xdp_copy, {"automatic", "zero_copy", "copy"});
  check(config.transport != "select" || config.busy_poll_us == 0,
        "--busy-poll-us: select cannot; epoll, io_uring and xdp can");
  check(config.wait == Wait::block || config.busy_poll_us == 0 || config.transport == "xdp",
        "--busy-poll-us with --wait spin does nothing: it is for a turn that would sleep");
  check(
      config.busy_poll_us <= kBusyPollUsMax,
      fmt::format("--busy-poll-us {}: at most {}, a second", config.busy_poll_us, kBusyPollUsMax));
  if (const auto ring = transports::parse_io_uring_options(config.io_uring); !ring)
    faults.push_back("--io-uring " + ring.error().message);
  check(config.transport == "io_uring" || config.io_uring.empty(),
        "--io-uring without --transport io_uring does nothing");
  if (config.transport == "xdp") {
    check(!config.xdp_interface.empty(), "--xdp-interface is missing: --transport xdp needs one");
    check(!config.xdp_address.empty(),
          "--xdp-address is missing: an address of its own, as in --xdp-address 10.0.0.2/24");
  }
  check(config.listen_certificate.empty() == config.listen_key.empty(),
        "--listen-certificate and --listen-key go together: both for wss:// clients, neither for "
        "ws://");
  check(config.client_certificate.empty() == config.client_key.empty(),
        "--client-certificate and --client-key go together: both to show a certificate to the "
        "upstream, neither to show none");
  check(
      config.listen_client_ca.empty() || !config.listen_certificate.empty(),
      "--listen-client-ca without --listen-certificate does nothing: only wss:// clients can show "
      "a certificate");
  check(!config.ktls || !config.listen_certificate.empty(),
        "--ktls without --listen-certificate does nothing: nothing is encrypted for ws:// clients");
  check(config.allow_remote || is_loopback(config.listen.address),
        fmt::format("--listen {}: not a loopback address; say --allow-remote on if anyone who "
                    "reaches it may read the feed",
                    transports::to_string(config.listen)));
  // What follows from a fault is not told beside it.
  const bool ring = std::has_single_bit(config.ring_bytes) && config.ring_bytes >= (64u << 10) &&
                    config.ring_bytes <= (1ull << 31);
  const bool message =
      config.message_max_bytes >= 1 && config.message_max_bytes <= config.ring_bytes / 8;
  check(ring, fmt::format("--ring-bytes {}: must be a power of two from 65536 to 2147483648",
                          config.ring_bytes));
  check(std::has_single_bit(config.index_lines) && config.index_lines >= 1024 &&
            config.index_lines <= (1ull << 26),
        fmt::format("--index-lines {}: must be a power of two from 1024 to 67108864",
                    config.index_lines));
  check(message || !ring,
        fmt::format("--message-max-bytes {}: must be from 1 to an eighth of --ring-bytes ({})",
                    config.message_max_bytes, config.ring_bytes / 8));
  check(!ring || !message ||
            (config.client_lag_max_bytes >= config.message_max_bytes &&
             config.client_lag_max_bytes <= config.ring_bytes / 2),
        fmt::format("--client-lag-max-bytes {}: must be from --message-max-bytes ({}) to half of "
                    "--ring-bytes ({})",
                    config.client_lag_max_bytes, config.message_max_bytes, config.ring_bytes / 2));
  check(config.clients_max >= 1 && config.clients_max <= 1'000'000,
        fmt::format("--clients-max {}: must be from 1 to 1000000", config.clients_max));
  check(config.local_clients_max >= 1 && config.local_clients_max <= 10'000,
        fmt::format("--local-clients-max {}: must be from 1 to 10000", config.local_clients_max));
  check(config.feeds_max >= 1 && config.feeds_max <= 1024,
        fmt::format("--feeds-max {}: must be from 1 to 1024", config.feeds_max));
  check(config.backoff_first_ms >= 1 && config.backoff_first_ms <= config.backoff_longest_ms,
        "--backoff-first-ms: must be from 1 to --backoff-longest-ms");
  check(config.upstream_idle_ms >= 1000, "--upstream-idle-ms: must be at least 1000");
  check(config.upstream_open_timeout_ms >= 1, "--upstream-open-timeout-ms: must be at least 1");
  check(config.client_handshake_timeout_ms >= 1,
        "--client-handshake-timeout-ms: must be at least 1");
  check(config.client_close_timeout_ms >= 1, "--client-close-timeout-ms: must be at least 1");
  check(config.cpu >= -1,
        fmt::format("--cpu {}: must be a CPU number, or -1 for none", config.cpu));
  return faults;
}

std::string to_yaml(const ProxyConfig& config) {
  std::string out;
  for (const Option& option : options())
    out += fmt::format("# {}\n{}: {}\n", option.help, option.key, option.show(config));
  return out;
}

Expected<CommandLine> parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app{"feedproxy: shares one upstream WebSocket among many local and network consumers.",
               "feedproxy"};
  app.footer("`feedproxy top` shows what a running feedproxy does (feedproxy top --help).");
  app.set_version_flag("--version", "feedproxy " FEEDBENCH_VERSION);
  std::string config_file;
  app.add_option("--config", config_file, "YAML file; its keys are the flags below with _ for -");
  app.add_flag("--print-config", line.print_config,
               "Print the resolved configuration as YAML and stop");
  app.add_option("--status-fd", line.status_fd,
                 "Write one JSON line an event to this inherited descriptor");
  app.add_flag(
      "--replace", line.replace,
      "Take over from the proxy that runs at --local-socket: its clients, and its upstream "
      "connections where they can be; start as usual if there is none");
  app.add_flag("--detach", line.detach, "Return once it serves, and go on in the background");
  app.add_option("--log-file", line.log_file,
                 "Append the log to this file (default: standard error; nowhere once detached)");
  app.add_flag("--parent-death", line.parent_death,
               "Stop when the process that started this one dies");
  std::map<std::string, std::string> given;
  for (const Option& option : options()) {
    std::string shown = option.show(line.config);  // still the defaults
    if (shown == "\"\"" || shown == "[]") shown.clear();
    app.add_option(flag_of(option.key), given[option.key], option.help)
        ->type_name(option.kind)
        ->default_str(shown);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    if (failure.get_exit_code() == 0) {
      line.exit_code = app.exit(failure);
      return line;
    }
    return tl::make_unexpected(Error{std::string(failure.what()) + " (see feedproxy --help)", 0});
  }

  if (app.count("--config") != 0) {
    const auto text = read_file(config_file);
    if (!text) return tl::make_unexpected(text.error());
    if (auto applied = apply_yaml(line.config, *text, config_file); !applied)
      return tl::make_unexpected(applied.error());
  }
  std::vector<std::string> faults;
  for (const Option& option : options()) {
    if (app.count(flag_of(option.key)) == 0) continue;
    // An unset variable of a shell must not switch off what it was to name.
    if (given[option.key].empty()) {
      faults.push_back(flag_of(option.key) + ": is empty; leave it out for the default");
      continue;
    }
    const std::string wrong = option.read(line.config, given[option.key]);
    if (!wrong.empty()) faults.push_back(flag_of(option.key) + ": " + wrong);
  }
  if (faults.empty() && !line.print_config) faults = validate(line.config);
  if (line.replace && line.config.local_socket.empty())
    faults.emplace_back(
        "--replace needs --local-socket: the proxy to take over from is found there");
  if (!faults.empty()) return tl::make_unexpected(Error{joined(faults), 0});
  return line;
}

}  // namespace feedbench::proxy
