#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "reference/venues/credentials.hpp"
#include "reference/venues/venue.hpp"
#include "transports/transport.hpp"

namespace feedbench::proxy {

/// Everything feedproxy can be told. One member is one YAML key and one flag: `ring_bytes: 1048576` is `--ring-bytes
/// 1048576`. Flags win over the file, the file over the defaults.
struct ProxyConfig {
  /// The WebSocket to share, ws:// or wss://. Empty: none but what local clients open.
  std::string upstream;
  /// What speaks at the other end: raw (nothing is sent after the handshake), binance, alpaca; empty: what the host's name
  /// says, else raw (the rule of local clients' open()).
  std::string venue;
  /// What to subscribe to once logged in. Binance: stream names; Alpaca: channel:SYMBOL ("trades:AAPL", "quotes:*").
  std::vector<std::string> subscribe;
  /// Names of the environment variables that hold the credentials. Never the credentials themselves.
  std::string key_env = "FEEDPROXY_KEY";
  std::string secret_env = "FEEDPROXY_SECRET";
  /// PEM file of the authorities to trust for wss://; empty: the system's.
  std::string ca;
  /// PEM files of the certificate (its chain behind it) and its key, not encrypted, to show to wss:// upstreams that ask who
  /// connects (mutual TLS), those that local clients open too. Empty: none is shown.
  std::string client_certificate;
  std::string client_key;

  /// Where WebSocket clients connect. Port 0 takes a free one.
  transports::Endpoint listen{"127.0.0.1", 9001};
  /// PEM files of the certificate (its chain behind it) and its key, not encrypted: clients then connect with wss://.
  /// Empty: with ws://.
  std::string listen_certificate;
  std::string listen_key;
  /// Mutual TLS: PEM file of the authorities that clients' certificates must come from. Empty: nobody is asked for one.
  std::string listen_client_ca;
  /// Have the kernel encrypt what wss:// clients are sent (kTLS), where the transport and the kernel can do it.
  bool ktls = false;
  /// Must be true to listen on an address that is not loopback.
  bool allow_remote = false;
  /// The one Origin from which browsers may connect; "*" for any; empty refuses every request that has an Origin.
  std::string allow_origin;
  /// Unix socket at which local clients (feedproxy/client.hpp) connect: a path, or a name ("default" is the one that
  /// clients take by themselves); empty: none.
  std::string local_socket;
  /// A group whose members may connect there too; empty: this user alone.
  std::string local_group;
  /// Name of the environment variable that holds a token which local clients must present; empty: none is asked for.
  std::string local_token_env;
  /// Local clients at a time; one more is told so and closed.
  std::uint32_t local_clients_max = 256;
  /// Upstreams that local clients may have open at a time, all clients together.
  std::uint32_t feeds_max = 32;
  /// URL prefixes that local clients may open; empty: any, unless there is a local_group (then none).
  std::vector<std::string> allow_open;
  /// Stop this long after the last local client went. Only without an upstream of its own, and without persist.
  std::uint32_t linger_ms = 60'000;
  /// Stay without local clients.
  bool persist = false;

  /// select, epoll, io_uring or xdp.
  std::string transport = "epoll";
  /// With transport xdp (transports/xdp/README.md): the interface, the stack's own address there with its prefix, which
  /// listen names too, and who leads to other networks (empty: nobody).
  std::string xdp_interface;
  std::string xdp_address;
  std::string xdp_gateway;
  /// Its queue.
  std::uint32_t xdp_queue = 0;
  /// automatic, native or generic: where the XDP program runs.
  std::string xdp_attach = "automatic";
  /// automatic, zero_copy or copy: how frames come from the driver.
  std::string xdp_copy = "automatic";
  /// The kernel asks the network card itself for so long before it sleeps (epoll, io_uring, xdp); 0 is off.
  std::uint32_t busy_poll_us = 0;
  /// With transport io_uring: words of transports::parse_io_uring_options().
  std::vector<std::string> io_uring;
  /// spin or block.
  transports::Wait wait = transports::Wait::block;
  /// CPU to pin the data thread to; -1: none.
  int cpu = -1;

  /// Bytes of the feed log's ring; a power of two, at least 64 KiB.
  std::uint64_t ring_bytes = 16u << 20;
  /// Lines of its index, 64 bytes each; a power of two, at least 1,024. With ring_bytes it bounds how far a local client
  /// may lag.
  std::uint64_t index_lines = 1u << 15;
  /// Touch every page of a log when it is made, instead of when the first bytes come there.
  bool pre_fault = true;
  /// Put logs into 2 MiB pages where the kernel has some reserved (vm.nr_hugepages); ring_bytes at least 2 MiB.
  bool huge_pages = false;
  /// Largest message taken from the venue; at most ring_bytes / 8. A larger one fails the upstream connection (1009).
  std::uint64_t message_max_bytes = 1u << 20;
  /// A client that is further behind than this is evicted with close code 1013; at most ring_bytes / 2.
  std::uint64_t client_lag_max_bytes = 8u << 20;
  /// WebSocket clients at a time; one more is refused at accept and counted.
  std::uint32_t clients_max = 4000;
  /// Take stage stamps. off: index lines carry none.
  bool stamps = true;
  /// Check that text from the venue is UTF-8 (RFC 6455 section 8.1); off passes it as it is.
  bool validate_utf8 = true;

  /// First and longest wait before the next attempt after the upstream was lost; each wait is drawn from the upper half
  /// of [0, 2^n * first].
  std::uint32_t backoff_first_ms = 100;
  std::uint32_t backoff_longest_ms = 30'000;
  /// Connect, TLS and WebSocket handshake and login must be done within this.
  std::uint32_t upstream_open_timeout_ms = 10'000;
  /// A silent upstream is pinged after this, and given up after twice this.
  std::uint32_t upstream_idle_ms = 30'000;
  /// A client must finish its handshake, and a closing one its close, within this.
  std::uint32_t client_handshake_timeout_ms = 10'000;
  std::uint32_t client_close_timeout_ms = 5'000;
};

/// The command line, without what only starts the process.
struct CommandLine {
  ProxyConfig config;
  bool print_config = false;  ///< Print the resolved configuration and stop.
  int status_fd = -1;         ///< Inherited descriptor for status lines; -1: none.
  bool detach = false;        ///< Return when it serves, and go on in the background.
  bool replace = false;  ///< Take over from the proxy that runs at local_socket, if there is one.
  std::string log_file;  ///< Where the log goes; empty: standard error, or nowhere once detached.
  bool parent_death = false;  ///< Stop when the process that started this one dies.
  int exit_code = -1;         ///< >= 0: stop at once with this (after --help, for example).
};

/// Reads flags and the YAML file they name. Errors: one sentence for each fault found, joined by newlines.
transports::Expected<CommandLine> parse_command_line(int argc, const char* const* argv);

/// Adds what `yaml_text` says to `config`. origin: shown in errors (the file's name).
transports::Expected<void> apply_yaml(ProxyConfig& config, const std::string& yaml_text,
                                      const std::string& origin);

/// All faults of a resolved configuration, one sentence each; empty when there is none.
std::vector<std::string> validate(const ProxyConfig& config);

/// The venue of `upstream`, said or by its host's name.
venues::Venue venue_of(const ProxyConfig& config);

/// Empty, or one sentence: the upstream's venue wants credentials, and what the environment gave is none or half.
std::string missing_credentials(const ProxyConfig& config, const venues::Credentials& given);

/// The resolved configuration as YAML that apply_yaml() takes.
std::string to_yaml(const ProxyConfig& config);

}  // namespace feedbench::proxy
