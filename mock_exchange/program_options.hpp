#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mock_exchange/exchange.hpp"
#include "transports/transport.hpp"

/// The command line of mock-exchange.
namespace feedbench::mock_exchange {

/// When the replay begins.
enum class ProgramStart : std::uint8_t { on_subscribe, now, signal };

/// What happens after the replay.
enum class ProgramEnd : std::uint8_t { keep, close, exit };

struct ProgramOptions {
  venues::Venue venue = venues::Venue::raw;
  std::string replay_file;  ///< Either this or synthetic_count.
  std::string conn;         ///< Only frames of this connection of the recording.
  std::size_t synthetic_bytes = 0;
  std::size_t synthetic_count = 0;
  std::uint64_t seed = 1;
  transports::Endpoint listen{"127.0.0.1", 9443};
  bool allow_remote = false;  ///< A listen address that is not loopback.
  Pace pace;
  std::uint64_t loops = 1;
  ProgramStart start = ProgramStart::on_subscribe;
  ProgramEnd end = ProgramEnd::keep;
  std::string tls_certificate_file;
  std::string tls_key_file;
  std::string key;
  std::string secret;
  std::vector<Fault> faults;
  std::uint64_t lag_frames_max = UINT64_MAX;
  std::size_t logins_max = SIZE_MAX;
  double ping_interval_s = -1;
  bool spin = false;
  /// block: how long before a frame is due the loop stops sleeping.
  std::int64_t spin_ns = 50'000;
  int cpu = -1;
  int status_fd = -1;
  int send_log_fd = -1;
  bool parent_death = false;
};

/// What came of the command line: options, or an exit code with the text for stdout (0) or stderr.
struct CommandLine {
  ProgramOptions options;
  bool run = false;
  int exit_code = 0;
  std::string text;
};
CommandLine parse_command_line(int argc, const char* const* argv);

}  // namespace feedbench::mock_exchange
