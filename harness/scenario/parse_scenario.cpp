#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include "harness/report/metrics.hpp"
#include "harness/scenario/case_matrix.hpp"
#include "harness/scenario/scenario.hpp"
#include "harness/scenario/yaml_reader.hpp"
#include "transports/io_uring/io_uring_options.hpp"

namespace feedbench::scenario {
namespace {

const std::vector<std::string> kSystems = {"feedproxy", "relay", "beast", "bridge"};
const std::vector<std::string> kTransports = {"select", "epoll", "io_uring", "xdp"};
const std::vector<std::string> kWaits = {"spin", "block"};
const std::vector<std::string> kVias = {"websocket", "shm"};
const std::vector<std::string> kNetworks = {"loopback", "veth"};
const std::vector<std::string> kRings = {"feed_log", "mirrored", "spsc", "hft_shm"};
const std::vector<std::string> kVenues = {"raw", "binance", "alpaca"};
constexpr std::uint32_t kClientsMax = 4000;
constexpr std::uint32_t kPayloadBytesMin = 40;  // a synthetic frame carries its number
constexpr std::uint32_t kPayloadBytesMax = 1U << 20U;
constexpr double kRateMax = 20e6;

const std::vector<std::string>& metric_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const report::Metric& metric : report::metrics()) out.emplace_back(metric.name);
    return out;
  }();
  return names;
}

class ScenarioParser {
 public:
  ScenarioParser(const std::filesystem::path& file, const LoadOptions& options)
      : file_(file), options_(options), faults_(file.string()) {}

  tl::expected<Scenario, std::vector<Fault>> parse(const std::string& text) {
    Scenario scenario;
    scenario.file = file_;
    scenario.text = text;
    YAML::Node root;
    try {
      root = YAML::Load(text);
    } catch (const YAML::ParserException& error) {
      faults_.add(error.mark, fmt::format("this is not YAML: {}", error.msg));
      return tl::unexpected(faults_.take());
    }
    read_root(root, scenario);
    if (!faults_.empty()) return tl::unexpected(faults_.take());
    return scenario;
  }

 private:
  void read_root(const YAML::Node& root, Scenario& scenario) {
    MapReader map(root, "the scenario", faults_);
    map.text("name", scenario.name);
    if (scenario.name.empty()) faults_.add(root.Mark(), "the scenario has no name");
    map.text("description", scenario.description);
    map.whole("seed", scenario.seed, 0, UINT64_MAX);
    map.bytes("ring_bytes", scenario.ring_bytes, 1U << 16U, 1ULL << 34U);
    map.bytes("window_bytes", scenario.window_bytes, 1U << 12U, 1ULL << 32U);
    map.number("generator_lag_max", scenario.generator_lag_max, 0.0, 1.0);
    map.number("occupancy_max", scenario.occupancy_max, 0.01, 1.0);
    map.flag("allow_oversubscribed", scenario.allow_oversubscribed);
    map.flag("gate", scenario.gate);
    if (map.has("placement")) read_placement(map.get("placement"), scenario.placement);
    read_groups(map, root, scenario);
    if (map.has("ratios")) read_ratios(map.get("ratios"), scenario);
    if (map.has("exclude")) read_exclusions(map.get("exclude"), scenario);
    map.finish();
    if (scenario.window_bytes > scenario.ring_bytes / 2) {
      faults_.add(
          root.Mark(),
          fmt::format(
              "window_bytes is {} and ring_bytes {}: the window must be at most half the ring",
              scenario.window_bytes, scenario.ring_bytes));
    }
  }

  void read_placement(const YAML::Node& node, Placement& placement) {
    MapReader map(node, "placement", faults_);
    const auto cpu = [&](const char* key, std::optional<int>& out) {
      const YAML::Node value = map.get(key);
      if (!value.IsDefined() || (value.IsScalar() && value.Scalar() == "auto")) return;
      if (const auto read = scalar_whole(value, key, 0, 4095, faults_))
        out = static_cast<int>(*read);
    };
    cpu("system_cpu", placement.system_cpu);
    cpu("load_cpu", placement.load_cpu);
    map.finish();
  }

  // The keys of a group may stand at the top level too: they are then the default of every group.
  void read_groups(MapReader& root_map, const YAML::Node& root, Scenario& scenario) {
    Group defaults;
    defaults.name = scenario.name;
    bool has_session = read_group_keys(root_map, defaults);
    const bool root_matrix = !defaults.matrix.empty();
    const YAML::Node groups = root_map.get("groups");
    if (!groups.IsDefined()) {
      if (!has_session)
        faults_.add(root.Mark(), "the scenario has no session (file, recording or synthetic)");
      if (!root_matrix) faults_.add(root.Mark(), "the scenario has neither a matrix nor groups");
      scenario.groups.push_back(std::move(defaults));
      return;
    }
    if (!groups.IsSequence() || groups.size() == 0) {
      faults_.add(groups.Mark(), "groups must be a list with at least one group");
      return;
    }
    std::set<std::string> names;
    for (const YAML::Node& node : groups) {
      Group group = defaults;
      group.name.clear();
      MapReader map(node, "the group", faults_);
      map.text("name", group.name);
      if (group.name.empty()) faults_.add(node.Mark(), "the group has no name");
      if (!names.insert(group.name).second) {
        faults_.add(node.Mark(), fmt::format("two groups are named \"{}\"", group.name));
      }
      const bool own_session = read_group_keys(map, group);
      map.finish();
      if (!own_session && !has_session) {
        faults_.add(
            node.Mark(),
            fmt::format("the group {} has no session (file, recording or synthetic)", group.name));
      }
      if (group.matrix.empty())
        faults_.add(node.Mark(), fmt::format("the group {} has no matrix", group.name));
      scenario.groups.push_back(std::move(group));
    }
  }

  // Returns whether a session was given.
  bool read_group_keys(MapReader& map, Group& group) {
    const YAML::Node session = map.get("session");
    if (session.IsDefined()) read_session(session, group.session);
    const YAML::Node venue = map.get("venue");
    if (venue.IsDefined()) {
      if (const auto index = scalar_word(venue, "venue", kVenues, faults_))
        group.venue = kVenues[*index];
    }
    const YAML::Node pace = map.get("pace");
    if (pace.IsDefined()) read_pace(pace, group.pace);
    map.number("warm_up_s", group.warm_up_s, 0.0, 3600.0);
    map.number("measure_s", group.measure_s, 0.01, 86400.0);
    map.number("drain_s", group.drain_s, 0.01, 3600.0);
    map.whole("repeats", group.repeats, 1, 1000);
    const YAML::Node matrix = map.get("matrix");
    if (matrix.IsDefined()) {
      group.matrix.clear();
      if (matrix.IsSequence()) {
        for (const YAML::Node& block : matrix) read_matrix(block, group);
      } else {
        read_matrix(matrix, group);
      }
    }
    return session.IsDefined();
  }

  void read_session(const YAML::Node& node, SessionSource& session) {
    MapReader map(node, "session", faults_);
    session = SessionSource{};
    std::string file;
    std::string recording;
    map.text("file", file);
    map.text("recording", recording);
    const YAML::Node synthetic = map.get("synthetic");
    map.finish();
    if (int{!file.empty()} + int{!recording.empty()} + int{synthetic.IsDefined()} != 1) {
      faults_.add(node.Mark(), "session must have exactly one of file, recording, synthetic");
      return;
    }
    if (synthetic.IsDefined()) {
      session.name = "synthetic";
      MapReader inner(synthetic, "synthetic", faults_);
      inner.whole("payload_bytes", session.payload_bytes, kPayloadBytesMin, kPayloadBytesMax);
      inner.whole("frames", session.frames, 2, 1U << 20U);
      inner.finish();
    } else if (!file.empty()) {
      session.kind = SessionSource::Kind::file;
      session.name = file;
      session.path = file_.parent_path() / file;  // an absolute path replaces the folder
      if (!std::filesystem::is_regular_file(session.path)) {
        faults_.add(map.get("file").Mark(),
                    fmt::format("the recording {} is missing (looked for {})", file,
                                session.path.string()));
      }
    } else {
      find_recording(recording, session);
    }
  }

  void find_recording(const std::string& name, SessionSource& session) {
    session.kind = SessionSource::Kind::recording;
    session.name = name;
    std::filesystem::path folder = options_.recordings;
    if (folder.empty()) {
      const char* from_environment = std::getenv("FEEDBENCH_RECORDINGS");
      if (from_environment != nullptr) folder = from_environment;
    }
    if (folder.empty()) {
      std::error_code ignored;
      folder = std::filesystem::absolute(file_, ignored).parent_path().parent_path().parent_path() /
               "shared" / "recordings";
    }
    const auto path = folder / name;
    if (std::filesystem::is_regular_file(path)) {
      session.path = path;
    } else {
      session.absent_reason = fmt::format(
          "the recording {} is not here (FEEDBENCH_RECORDINGS names the folder that has it)", name);
    }
  }

  void read_pace(const YAML::Node& node, Pace& pace) {
    pace = Pace{};
    if (node.IsScalar()) {
      const auto index = scalar_word(node, "pace", {"recorded", "max"}, faults_);
      if (index && *index == 1) pace.kind = Pace::Kind::max;
      return;
    }
    MapReader map(node, "pace", faults_);
    const bool multiple = map.has("multiple");
    const bool rate = map.has("rate_hz");
    if (multiple == rate) {
      faults_.add(node.Mark(), "pace must be recorded, max, {multiple: X} or {rate_hz: N}");
    } else if (multiple) {
      pace.kind = Pace::Kind::multiple;
      map.number("multiple", pace.value, 1e-3, 1e6);
    } else {
      pace.kind = Pace::Kind::rate;
      map.number("rate_hz", pace.value, 0.1, kRateMax);
    }
    map.finish();
  }

  void read_matrix(const YAML::Node& node, Group& group) {
    MapReader map(node, "matrix", faults_);
    MatrixBlock block;
    words(map, "system", kSystems, [&](std::size_t i, bool first) {
      if (first) block.systems.clear();
      block.systems.push_back(static_cast<System>(i));
    });
    transports(map, block.transports);
    if (map.has("network")) block.networks.clear();
    words(map, "network", kNetworks,
          [&](std::size_t i, bool) { block.networks.push_back(static_cast<Network>(i)); });
    words(map, "wait", kWaits, [&](std::size_t i, bool first) {
      if (first) block.waits.clear();
      block.waits.push_back(static_cast<WaitMode>(i));
    });
    words(map, "via", kVias, [&](std::size_t i, bool first) {
      if (first) block.vias.clear();
      block.vias.push_back(static_cast<Via>(i));
    });
    words(map, "ring", kRings, [&](std::size_t i, bool first) {
      if (first) block.rings.clear();
      block.rings.push_back(static_cast<Ring>(i));
    });
    if (map.has("ring") && !map.has("system")) block.systems = {System::bridge};
    if (map.has("clients")) block.clients.clear();
    each_scalar(map.get("clients"), "clients", faults_, [&](const YAML::Node& item) {
      if (item.IsScalar() && item.Scalar() == "0") {
        faults_.add(item.Mark(), "clients is 0; a case needs at least one client");
      } else if (const auto v = scalar_whole(item, "clients", 1, kClientsMax, faults_)) {
        block.clients.push_back(static_cast<std::uint32_t>(*v));
      }
    });
    flags(map, "tls", block.tls);
    flags(map, "stamps", block.stamps);
    each_scalar(map.get("payload_bytes"), "payload_bytes", faults_, [&](const YAML::Node& item) {
      if (const auto v =
              scalar_whole(item, "payload_bytes", kPayloadBytesMin, kPayloadBytesMax, faults_)) {
        block.payload_bytes.push_back(static_cast<std::uint32_t>(*v));
      }
    });
    if (!block.payload_bytes.empty() && group.session.kind != SessionSource::Kind::synthetic) {
      faults_.add(map.get("payload_bytes").Mark(),
                  "payload_bytes is for synthetic sessions; a recording has its own sizes");
    }
    each_scalar(map.get("rate_hz"), "rate_hz", faults_, [&](const YAML::Node& item) {
      if (const auto v = scalar_number(item, "rate_hz", 0.1, kRateMax, faults_))
        block.rates_hz.push_back(*v);
    });
    if (map.has("ring") && !block.clients.empty()) check_rings(map, block);
    check_networks(map, block);
    map.finish();
    group.matrix.push_back(std::move(block));
  }

  // A block with both networks means xdp over one of them; one without a veth pair means nothing.
  void check_networks(MapReader& map, const MatrixBlock& block) {
    const auto has = [](const auto& list, const auto& value) {
      return std::find(list.begin(), list.end(), value) != list.end();
    };
    if (block.networks.empty() || !has(block.transports, "xdp") ||
        has(block.networks, Network::veth)) {
      return;  // the first: told already
    }
    faults_.add(
        map.get("transport").Mark(),
        "transport xdp does not run over loopback: it takes frames from an interface of its "
        "own; say network: veth");
  }

  // A ring that a system does not have, or readers that a ring cannot have, are faults and not skips:
  // nobody means them.
  void check_rings(MapReader& map, const MatrixBlock& block) {
    const auto at = map.get("ring").Mark();
    for (const System system : block.systems) {
      if (system == System::bridge) continue;
      faults_.add(
          at,
          fmt::format("ring is for system: bridge; {} has no ring to choose{}", to_string(system),
                      system == System::feedproxy ? " (it publishes into the feed log)" : ""));
      return;
    }
    if (map.has("via")) {
      faults_.add(map.get("via").Mark(), "via is for feedproxy; a bridge's clients read its ring");
      return;
    }
    const std::uint32_t clients = *std::max_element(block.clients.begin(), block.clients.end());
    for (const Ring ring : block.rings) {
      if (ring == Ring::feed_log || clients == 1) continue;
      faults_.add(
          at, fmt::format(
                  "the ring {} has one reader, and clients is {}; only feed_log is read by many",
                  to_string(ring), clients));
      return;
    }
  }

  template <class Take>
  void words(MapReader& map, const std::string& key, const std::vector<std::string>& known,
             Take take) {
    bool first = true;
    each_scalar(map.get(key), key, faults_, [&](const YAML::Node& item) {
      if (const auto index = scalar_word(item, key, known, faults_)) {
        take(*index, first);
        first = false;
      }
    });
  }

  /// A transport, io_uring also with options: io_uring+registered_files+zero_copy=65536.
  void transports(MapReader& map, std::vector<std::string>& out) {
    if (map.has("transport")) out.clear();
    each_scalar(map.get("transport"), "transport", faults_, [&](const YAML::Node& item) {
      const std::string text = item.IsScalar() ? item.Scalar() : std::string();
      const TransportChoice choice = split_transport(text);
      if (choice.name != "io_uring" || choice.options.empty()) {
        if (const auto index = scalar_word(item, "transport", kTransports, faults_))
          out.push_back(kTransports[*index]);
      } else if (const auto options = feedbench::transports::parse_io_uring_options(choice.options);
                 !options) {
        faults_.add(item.Mark(), fmt::format("transport io_uring: {}", options.error().message));
      } else {
        out.push_back(text);
      }
    });
  }

  void flags(MapReader& map, const std::string& key, std::vector<bool>& out) {
    if (map.has(key)) out.clear();
    each_scalar(map.get(key), key, faults_, [&](const YAML::Node& item) {
      if (const auto value = scalar_flag(item, key, faults_)) out.push_back(*value);
    });
  }

  Selector read_selector(const YAML::Node& node, const std::string& what, bool allow_reason,
                         std::string* reason) {
    Selector selector;
    MapReader map(node, what, faults_);
    for (const std::string& axis : axis_names()) {
      const YAML::Node value = map.get(axis);
      if (!value.IsDefined()) continue;
      if (value.IsScalar()) {
        selector[axis] = normalise_axis_value(axis, value.Scalar());
      } else {
        faults_.add(value.Mark(), fmt::format("{} in {} must be one value", axis, what));
      }
    }
    if (allow_reason) map.text("reason", *reason);
    map.finish();
    return selector;
  }

  void read_ratios(const YAML::Node& node, Scenario& scenario) {
    if (!node.IsSequence()) {
      faults_.add(node.Mark(), "ratios must be a list");
      return;
    }
    for (const YAML::Node& item : node) {
      Ratio ratio;
      MapReader map(item, "the ratio", faults_);
      map.text("name", ratio.name);
      if (ratio.name.empty()) faults_.add(item.Mark(), "the ratio has no name");
      const YAML::Node metric = map.get("metric");
      if (!metric.IsDefined()) {
        faults_.add(item.Mark(), fmt::format("the ratio {} has no metric", ratio.name));
      } else if (const auto index = scalar_word(metric, "metric", metric_names(), faults_)) {
        ratio.metric = metric_names()[*index];
      }
      const YAML::Node bound = map.get("bound");
      if (bound.IsDefined()) read_bound(bound, ratio);
      if (map.has("numerator")) {
        ratio.numerator = read_selector(map.get("numerator"), "numerator", false, nullptr);
        check_selects_one(ratio.numerator, "numerator", map.get("numerator"), scenario);
      } else {
        faults_.add(item.Mark(), fmt::format("the ratio {} has no numerator", ratio.name));
      }
      if (map.has("denominator")) {
        ratio.denominator = read_selector(map.get("denominator"), "denominator", false, nullptr);
        check_selects_one(ratio.denominator, "denominator", map.get("denominator"), scenario);
      }
      map.finish();
      scenario.ratios.push_back(std::move(ratio));
    }
  }

  void check_selects_one(const Selector& selector, const std::string& what, const YAML::Node& node,
                         const Scenario& scenario) {
    std::vector<std::string> hits;
    for (const Case& c : expand(scenario, {}).all) {
      if (matches(c, selector)) hits.push_back(c.name());
    }
    if (hits.size() == 1) return;
    if (hits.empty()) {
      faults_.add(node.Mark(), fmt::format("{} selects no case of the matrix", what));
    } else {
      faults_.add(node.Mark(),
                  fmt::format("{} selects {} cases ({} and {} among them); name more axes", what,
                              hits.size(), hits[0], hits[1]));
    }
  }

  void read_bound(const YAML::Node& node, Ratio& ratio) {
    std::string text = node.IsScalar() ? node.Scalar() : "";
    const bool at_most = text.starts_with("<=");
    if (at_most || text.starts_with(">=")) {
      text.erase(0, 2);
      text.erase(0, text.find_first_not_of(' '));
      double value = 0.0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error == std::errc{} && end == text.data() + text.size()) {
        ratio.bound = Bound{at_most, value};
        return;
      }
    }
    faults_.add(node.Mark(), "bound must be \"<= NUMBER\" or \">= NUMBER\"");
  }

  void read_exclusions(const YAML::Node& node, Scenario& scenario) {
    if (!node.IsSequence()) {
      faults_.add(node.Mark(), "exclude must be a list");
      return;
    }
    for (const YAML::Node& item : node) {
      Exclusion exclusion;
      exclusion.match = read_selector(item, "the exclusion", true, &exclusion.reason);
      if (exclusion.reason.empty()) faults_.add(item.Mark(), "the exclusion has no reason");
      if (exclusion.match.empty()) faults_.add(item.Mark(), "the exclusion names no axis");
      scenario.exclude.push_back(std::move(exclusion));
    }
  }

  std::filesystem::path file_;
  LoadOptions options_;
  FaultList faults_;
};

}  // namespace

tl::expected<Scenario, std::vector<Fault>> parse_scenario(const std::string& text,
                                                          const std::filesystem::path& file,
                                                          const LoadOptions& options) {
  return ScenarioParser(file, options).parse(text);
}

tl::expected<Scenario, std::vector<Fault>> load_scenario(const std::filesystem::path& file,
                                                         const LoadOptions& options) {
  std::ifstream in(file, std::ios::binary);
  if (!in || std::filesystem::is_directory(file)) {
    return tl::unexpected(std::vector<Fault>{
        {file.string(), 0, 0, "the scenario file cannot be opened (is the path right?)"}});
  }
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  return parse_scenario(text, file, options);
}

}  // namespace feedbench::scenario
