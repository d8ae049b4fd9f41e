#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "harness/measure/environment.hpp"
#include "harness/measure/floors.hpp"
#include "harness/measure/histogram.hpp"
#include "harness/measure/stages.hpp"

/// What a run leaves behind, and nothing else: one JSON file from which every table and picture is
/// made. A fact that is not known is std::nullopt here and `null` in the file, never 0.
/// docs/results.md explains the file.
namespace feedbench::report {

using Json = nlohmann::ordered_json;

inline constexpr std::string_view kResultSchema = "feedbench.result/1";

/// One point of the scenario's matrix.
struct Parameters {
  std::string system;                ///< "feedproxy", "relay", "beast" or "bridge"
  std::string transport;             ///< "select", "epoll", "io_uring", "xdp"; "asio" for beast
  std::string network = "loopback";  ///< or "veth": a veth pair in namespaces of its own
  int clients = 0;                   ///< downstream connections
  bool tls = false;                  ///< upstream by wss
  std::string wait;                  ///< "spin" or "block"
  bool stamps = true;                ///< stage stamping on
  std::string via = "websocket";     ///< how clients get the feed: "websocket", "shm" or "ring"
  std::optional<std::string> ring;   ///< of a bridge: "feed_log", "mirrored", "spsc", "hft_shm"
  std::string pace;                  ///< "recorded", "x10", "1000/s" (messages) or "max"
  std::string venue;                 ///< "binance", "alpaca", "raw"
  std::string session;               ///< recording replayed, or "synthetic"
  std::optional<std::uint64_t>
      payload_bytes;                          ///< of every frame; absent when the recording decides
  std::map<std::string, std::string> others;  ///< anything else a scenario varies
};

/// Whether a repetition's numbers may be used.
struct Verdict {
  bool valid = true;
  std::vector<std::string>
      reasons;  ///< one sentence each; why not, or what to bear in mind when valid
};

/// A thread of the run and where it was put.
struct PlacedThread {
  std::string what;        ///< "proxy", "exchange+swarm", ...
  std::optional<int> cpu;  ///< pinned to; absent when free to move
  bool spins = false;
};
struct Placement {
  std::vector<PlacedThread> threads;
  bool oversubscribed = false;  ///< more spinning threads than cores
  std::string note;             ///< one sentence, may be empty
};

/// One measured run of one case.
struct Repetition {
  int order_index = 0;  ///< position in the whole run's interleaved order, from 0
  int repeat = 0;  ///< which repeat of its case, from 0; repeats of equal number are compared with
                   ///< each other
  Verdict verdict;

  std::uint64_t frames_sent = 0;            ///< by the exchange, inside the measured window
  std::uint64_t frames_delivered = 0;       ///< to all clients together, verified
  std::uint64_t bytes_delivered = 0;        ///< WebSocket frame bytes, headers included
  double seconds = 0;                       ///< measured window
  std::optional<double> frames_per_second;  ///< delivered; absent if the window is empty
  std::optional<double> bytes_per_second;

  std::optional<measure::Histogram> latency;  ///< ns, delivered - intended send, over all clients
  std::optional<measure::Histogram> service_time;  ///< ns, delivered - actual send
  std::optional<measure::Histogram>
      send_lag;  ///< ns, actual - intended send: the generator's own lateness
  std::optional<measure::StageHistograms> stages;  ///< only for a system that stamps stages

  std::optional<double>
      proxy_cpu_seconds;  ///< user + system, of the system under test, in the window
  std::optional<double> proxy_cpu_seconds_per_million;  ///< per million frames delivered
  std::optional<double> load_cpu_seconds;               ///< of exchange and swarm
  /// From before the warm-up to after the drain, over all cores: spent by programs that are none of
  /// the run's, and given by the hypervisor to others; to some 10 ms a core.
  std::optional<double> other_cpu_seconds;
  std::optional<double> stolen_cpu_seconds;
  std::optional<std::uint64_t> rss_bytes_base;  ///< system under test before the first client
  std::optional<std::uint64_t> rss_bytes_with_clients;  ///< with all of them connected
  std::optional<double> rss_bytes_per_client;

  std::optional<double> swarm_occupancy;              ///< 0 to 1, busy share of the swarm's loop
  std::optional<std::int64_t> swarm_loop_gap_ns_max;  ///< longest time the load's loop was away
  std::optional<std::int64_t> proxy_loop_gap_ns_max;  ///< longest time the proxy's loop was away
  std::optional<std::uint64_t> evictions;             ///< clients the proxy gave up on
  std::map<std::string, std::uint64_t> counters;      ///< whatever else was counted
};

/// One case: all repeats of one point of the matrix, or the reason why there are none.
struct Case {
  std::string name;  ///< unique in the result; case_name(parameters) is a good one
  Parameters parameters;
  std::optional<std::string> skipped;  ///< one sentence: why it could not run here
  Placement placement;
  std::vector<Repetition> repetitions;
};

/// Cases that belong in one table.
struct Group {
  std::string name;
  std::string title;  ///< one line for people
  std::vector<Case> cases;
};

/// How TSC and wall clock were tied together.
struct ClockCalibration {
  std::optional<double> tsc_hz;
  std::optional<double> error_ns;  ///< half the width of the narrowest bracket
};

/// A ratio of two cases' metric over paired repeats.
struct Comparison {
  std::string name;         ///< one line: what is claimed
  std::string group;        ///< the table it is printed under
  std::string metric;       ///< name as in metrics.hpp
  std::string numerator;    ///< case name
  std::string denominator;  ///< case name
  std::optional<double>
      ratio;  ///< median of the repeats' ratios; absent when nothing could be compared
  std::optional<double> low, high;  ///< bootstrap interval, 95 %; absent below three pairs
  std::uint64_t pairs = 0;          ///< ratios it rests on
  std::optional<double> bound;      ///< the claim's limit
  bool bound_is_upper = true;       ///< ratio must be <= bound; otherwise >=
  std::optional<bool> met;          ///< by the median; absent without a bound or a ratio
  std::string words;  ///< "faster", "slower", "no difference shown", or why there is no ratio
};

struct Result {
  std::string created;                      ///< UTC, "2026-01-31T12:00:00Z"
  std::string name;                         ///< of the scenario
  std::string description;                  ///< of the scenario
  std::string scenario_file;                ///< as given
  std::string scenario_text;                ///< its very text
  Json scenario_resolved = Json::object();  ///< after defaults and matrix
  std::uint64_t seed = 0;                   ///< of order, bootstrap, masks
  std::vector<std::string> command_line;
  measure::BuildInfo build;
  measure::Environment environment;
  ClockCalibration clock;
  std::vector<measure::Floors> floors;  ///< taken before and after the cases
  std::vector<Group> groups;
  std::vector<Comparison> comparisons;
  double seconds_total = 0;  ///< wall time of the whole run
  /// Repetitions the scenario asked for; fewer stand in `groups` when the run was interrupted.
  std::optional<std::uint64_t> repetitions_planned;
};

/// "feedproxy epoll spin ws 128 clients max 128 B": system, transport, wait, upstream, clients,
/// pace, payload.
[[nodiscard]] std::string case_name(const Parameters& parameters);

/// The current UTC time in the form `Result::created` has.
[[nodiscard]] std::string utc_now();

/// Repetitions that were carried out, valid or not.
[[nodiscard]] std::uint64_t repetitions_of(const Result& result);
/// "interrupted after 3 of 20 runs", or empty when the run was whole.
[[nodiscard]] std::string interruption_of(const Result& result);

/// Result <-> JSON text. read_result errors: std::runtime_error with one sentence naming file and
/// fault.
[[nodiscard]] Json to_json(const Result& result);
[[nodiscard]] Result result_from_json(const Json& json);
void write_result(const Result& result, const std::string& path);
[[nodiscard]] Result read_result(const std::string& path);

}  // namespace feedbench::report
