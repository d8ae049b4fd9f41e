#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "harness/measure/histogram.hpp"
#include "mock_exchange/schedule.hpp"

/// What the runner and the load process say to each other: one JSON object a line on the load's stdin and stdout.
namespace feedbench::load {

/// The first line the load reads.
struct LoadConfig {
  std::string session_file;           ///< recording; empty: synthetic
  std::uint32_t payload_bytes = 128;  ///< synthetic
  std::uint32_t frames = 4096;        ///< synthetic
  std::uint64_t seed = 1;             ///< synthetic
  std::string venue = "raw";
  mock_exchange::Pace pace;
  std::string listen_address = "127.0.0.1";  ///< of the exchange
  std::string tls_certificate_file;          ///< with tls_key_file: the exchange speaks wss
  std::string tls_key_file;
  std::string clients_via =
      "websocket";  ///< or tcp (plain frames, the relay), shm (local clients of the proxy), or ring (a bridge's)
  std::uint32_t clients = 1;
  double warm_up_s = 0.3;
  double measure_s = 2.0;
  double drain_s = 2.0;
  std::uint64_t window_bytes =
      256U << 10U;  ///< pace max: how far the exchange may be ahead of the slowest client
  double stall_at_s =
      0.0;               ///< known-answer test: the generator stops this long after the start ...
  double stall_s = 0.0;  ///< ... for so long (0: never)
};

/// The last line the load writes, event "done".
struct LoadReport {
  std::uint64_t frames_sent = 0;  ///< over the whole run
  std::uint64_t bytes_sent = 0;
  std::uint64_t frames_sent_window = 0;  ///< in the measured window
  std::uint64_t frames_delivered = 0;    ///< to all clients, verified, in the window
  std::uint64_t bytes_delivered = 0;
  std::uint64_t frames_missing =
      0;  ///< sent, and not there on some client when the drain ended; all clients
  double window_s = 0.0;
  std::uint64_t window_begin_tsc = 0;  ///< of the intended send
  std::uint64_t window_end_tsc = 0;
  bool paced = true;

  measure::Histogram response;
  measure::Histogram service;
  measure::Histogram send_lag;

  std::optional<double> system_cpu_s;  ///< in the window
  std::optional<double> load_cpu_s;
  double occupancy = 0.0;
  std::int64_t loop_gap_ns_max = 0;
  std::uint64_t loop_turns = 0;
  std::uint64_t send_log_overflow = 0;
  std::uint64_t bytes_unverified = 0;
  std::uint64_t control_frames = 0;
  std::uint32_t clients_failed = 0;   ///< by the checker
  std::uint32_t clients_closed = 0;   ///< connections that ended before the end of the run
  std::uint32_t clients_evicted = 0;  ///< of those, by a Close frame with code 1013
  std::string first_failure;          ///< of a connection; may be empty
  std::map<std::string, std::vector<std::string>>
      mismatches;  ///< by kind, one sentence a client; the first sixteen
  double tsc_hz = 0.0;
  double tsc_error_ns = 0.0;
};

nlohmann::json to_json(const LoadConfig& config);
/// throws nlohmann::json::exception on a missing or wrong member.
LoadConfig load_config_from_json(const nlohmann::json& json);
nlohmann::json to_json(const LoadReport& report);
LoadReport load_report_from_json(const nlohmann::json& json);

}  // namespace feedbench::load
