#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "mock_exchange/schedule.hpp"

/// What a scenario file says, as values: what is run, at which pace, for how long, and which
/// comparisons are printed. The schema for users is docs/scenarios.md.
namespace feedbench::scenario {

enum class System : std::uint8_t { feedproxy, relay, beast, bridge };
std::string_view to_string(System system);

enum class WaitMode : std::uint8_t { spin, block };
std::string_view to_string(WaitMode wait);

/// When frames are due. max: as fast as the slowest client takes them, at most window_bytes ahead of
/// it.
using mock_exchange::Pace;
/// As the exchange names it, but for a rate, which is "1000/s" in tables and results.
std::string pace_name(const Pace& pace);

/// What the exchange replays.
struct SessionSource {
  enum class Kind : std::uint8_t {
    file,       ///< a file that must exist, relative to the scenario file
    recording,  ///< a file of the recordings folder; cases that need it are skipped where it is
                ///< absent
    synthetic,  ///< seeded frames of one size
  };
  Kind kind = Kind::synthetic;
  std::string name;            ///< as written in the scenario; "synthetic" for synthetic
  std::filesystem::path path;  ///< resolved; empty for synthetic, or for a recording that is absent
  std::uint32_t payload_bytes = 128;  ///< synthetic: payload of each frame
  std::uint32_t frames = 4096;        ///< synthetic: distinct frames before the session repeats
  std::string absent_reason;          ///< recording: why it cannot be used here; empty when it can
};

/// How clients get the feed.
enum class Via : std::uint8_t {
  websocket,  ///< over TCP
  shm,        ///< from shared memory, as local clients; feedproxy alone has them
  ring,       ///< as readers of the bridge's ring; the bridge alone has them, and no others
};
std::string_view to_string(Via via);

/// Between the exchange and the clients on one side and the system under test on the other.
enum class Network : std::uint8_t {
  loopback,
  veth,  ///< a veth pair in namespaces of its own, made for each run (transports/veth_site.hpp)
};
std::string_view to_string(Network network);

/// A value of the axis transport in its parts: "io_uring+registered_files" is io_uring with that option
/// (transports/io_uring/io_uring_options.hpp).
struct TransportChoice {
  std::string name;
  std::vector<std::string> options;
};
TransportChoice split_transport(const std::string& value);

/// The ring that a bridge publishes into and its clients read. Only the feed log has more than one
/// reader.
enum class Ring : std::uint8_t { feed_log, mirrored, spsc, hft_shm };
std::string_view to_string(Ring ring);

/// One block of the matrix: the product of its axes.
struct MatrixBlock {
  std::vector<System> systems = {System::feedproxy};
  std::vector<std::string> transports = {"epoll"};
  std::vector<Network> networks = {Network::loopback};
  std::vector<std::uint32_t> clients = {1};
  std::vector<WaitMode> waits = {WaitMode::spin};
  std::vector<Via> vias = {Via::websocket};
  std::vector<Ring> rings = {Ring::feed_log};  ///< of the bridge
  std::vector<bool> tls = {false};
  std::vector<bool> stamps = {true};
  std::vector<std::uint32_t> payload_bytes;  ///< empty: the session's own sizes
  std::vector<double> rates_hz;              ///< empty: the group's pace
};

/// Cases that share a session and a pace.
struct Group {
  std::string name;
  SessionSource session;
  std::string venue = "raw";
  Pace pace;
  std::vector<MatrixBlock> matrix;
  double warm_up_s = 0.3;  ///< load runs, nothing is recorded
  double measure_s = 2.0;  ///< frames due in this span are recorded
  double drain_s = 2.0;    ///< longest wait for the last frame to arrive everywhere
  std::uint32_t repeats = 3;
};

/// Names cases by the values of their axes: {group: latency, system: relay}.
using Selector = std::map<std::string, std::string>;

struct Bound {
  bool at_most = true;  ///< "<= value", else ">= value"
  double value = 0.0;
};

/// One comparison that the run prints. Without a denominator it is the metric itself that is held
/// against the bound.
struct Ratio {
  std::string name;
  std::string metric;  ///< a name of report::metrics(), such as latency_p50_ns
  Selector numerator;
  Selector denominator;  ///< empty: none
  std::optional<Bound> bound;
};

/// Which core runs what; nullopt chooses: the load the first core allowed, the system the second
/// (or the only one).
struct Placement {
  std::optional<int> system_cpu;
  std::optional<int> load_cpu;
};

/// A combination that is left out on purpose, with the reason that is printed.
struct Exclusion {
  Selector match;
  std::string reason;
};

struct Scenario {
  std::string name;
  std::string description;
  std::filesystem::path file;
  std::string text;  ///< the file as it was read; stored in the result
  std::uint64_t seed = 1;
  Placement placement;
  std::uint64_t ring_bytes = 16U << 20U;  ///< feed log of the proxy
  std::uint64_t window_bytes =
      256U << 10U;  ///< pace max: how far the exchange may be ahead of the slowest client
  double generator_lag_max = 0.25;  ///< verdict: median send lag over median latency
  double occupancy_max = 0.9;       ///< verdict: busy share of the load thread in paced runs
  bool allow_oversubscribed =
      false;          ///< verdict: more spinning threads than cores is a note, not a reason
  bool gate = false;  ///< a ratio outside its bound makes the run fail
  std::vector<Group> groups;
  std::vector<Ratio> ratios;
  std::vector<Exclusion> exclude;
};

/// One thing wrong with a scenario, where it stands (1-based), in one sentence.
struct Fault {
  std::string file;
  int line = 0;
  int column = 0;
  std::string message;
};
/// "file:line:column: message".
std::string to_string(const Fault& fault);

struct LoadOptions {
  /// Folder of real recordings; empty: $FEEDBENCH_RECORDINGS, else ../shared/recordings beside the
  /// repository.
  std::filesystem::path recordings;
};

/// Reads and checks a scenario file. Lists every fault it can find, not only the first.
tl::expected<Scenario, std::vector<Fault>> load_scenario(const std::filesystem::path& file,
                                                         const LoadOptions& options = {});

/// The same from text; `file` is what faults and relative paths refer to.
tl::expected<Scenario, std::vector<Fault>> parse_scenario(const std::string& text,
                                                          const std::filesystem::path& file,
                                                          const LoadOptions& options = {});

/// The resolved scenario, every default filled in.
nlohmann::json to_json(const Scenario& scenario);

}  // namespace feedbench::scenario
