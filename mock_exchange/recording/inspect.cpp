#include "mock_exchange/recording/inspect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "mock_exchange/recording/figures.hpp"
#include "mock_exchange/recording/recording_reader.hpp"
#include "reference/venues/binance_frame.hpp"
#include "reference/venues/binance_target.hpp"
#include "reference/venues/json_scan.hpp"
#include "reference/venues/topic_table.hpp"

namespace feedbench::recording {

namespace binance = venues::binance;
namespace json_scan = venues::json_scan;

namespace {

constexpr std::int64_t kMillisecond_ns = 1'000'000;
constexpr std::int64_t kWindows_ns[] = {1000 * kMillisecond_ns, 100 * kMillisecond_ns,
                                        10 * kMillisecond_ns, kMillisecond_ns};
constexpr std::int64_t kTimeMax_ns = 4'000'000'000'000'000'000;
constexpr std::uint64_t kFramesPerProgress = 32'768;

/// The only stream that a connection was opened for ("/ws/btcusdt@trade", with or without a host in front), if so.
std::string stream_of_connection(std::string_view conn) {
  const std::size_t slash = conn.find('/');
  if (slash == std::string_view::npos) return {};
  const auto target = binance::parse_target(conn.substr(slash));
  return target && target->streams.size() == 1 ? target->streams.front() : std::string{};
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& byte : result) {
    if (byte >= 'a' && byte <= 'z') byte = static_cast<char>(byte - 32);
  }
  return result;
}

}  // namespace

struct Inspector::State {
  Inspection figures;
  std::vector<Arrival> arrivals;
  venues::TopicTable types;
  std::vector<std::vector<double>> sizes_of_type;  // [topic]
  std::map<std::string, std::uint64_t, std::less<>> symbols;
  std::map<std::string, std::string, std::less<>> stream_of_conn;
  std::uint64_t binance_frames = 0, alpaca_frames = 0;
  bool has_time_zero = false;
  std::string symbol_scratch;

  void count_type(std::string_view type, std::size_t bytes) {
    const std::uint32_t topic = types.intern(type);
    if (sizes_of_type.size() <= topic) sizes_of_type.resize(topic + 1);
    sizes_of_type[topic].push_back(static_cast<double>(bytes));
    ++figures.messages;
  }

  void count_symbol(std::string_view symbol) {
    if (symbol.empty()) return;
    const auto found = symbols.find(symbol);
    if (found != symbols.end()) {
      ++found->second;
    } else {
      symbols.emplace(symbol, 1);
    }
  }

  bool add_alpaca(std::string_view frame);
  bool add_binance(const Frame& frame);
  void add_rx(const Frame& frame);
  void finish_pace();
};

/// returns false if the frame is none of Alpaca's.
bool Inspector::State::add_alpaca(std::string_view frame) {
  if (!frame.starts_with(R"([{"T":")")) return false;
  for (std::size_t brace = frame.find('{'); brace != std::string_view::npos;) {
    json_scan::ObjectScanner scan(frame, brace);
    std::string_view type, symbol;
    for (json_scan::Member member; scan.next(member);) {
      if (member.key == "T") type = json_scan::string_of(member.value);
      if (member.key == "S") symbol = json_scan::string_of(member.value);
    }
    if (scan.end() == json_scan::kNone) break;
    count_type(type.empty() ? "(no T)" : type, scan.end() - brace);
    count_symbol(symbol);
    brace = frame.find('{', scan.end());
  }
  return true;
}

/// returns false if the frame is none of Binance's.
bool Inspector::State::add_binance(const Frame& frame) {
  binance::NameBuffer buffer;
  std::string_view stream = binance::stream_of_combined(frame.data);
  if (stream.empty() && binance::is_answer(frame.data)) {
    count_type("answer", frame.data.size());
    return true;
  }
  if (stream.empty()) {
    auto found = stream_of_conn.find(frame.conn);
    if (found == stream_of_conn.end()) {
      found = stream_of_conn.emplace(frame.conn, stream_of_connection(frame.conn)).first;
    }
    stream = found->second;
  }
  if (stream.empty()) stream = binance::stream_of_raw(frame.data, buffer);
  if (stream.empty()) return false;
  count_type(binance::type_of_stream(stream), frame.data.size());
  symbol_scratch = upper(binance::symbol_of_stream(stream));
  count_symbol(symbol_scratch);
  return true;
}

void Inspector::State::add_rx(const Frame& frame) {
  if (!arrivals.empty() && frame.t_ns < arrivals.back().t_ns) ++figures.back_steps;
  // Times within 126 years of the epoch, so that no difference of two overflows.
  const std::int64_t t_ns = std::clamp(frame.t_ns, -kTimeMax_ns, kTimeMax_ns);
  arrivals.push_back({t_ns, static_cast<std::uint32_t>(frame.data.size())});
  has_time_zero = has_time_zero || frame.t_ns == 0;
  figures.bytes += frame.data.size();
  if (frame.binary) {
    count_type("(binary)", frame.data.size());
  } else if (add_alpaca(frame.data)) {
    ++alpaca_frames;
  } else if (add_binance(frame)) {
    ++binance_frames;
  } else {
    count_type("(other text)", frame.data.size());
  }
}

void Inspector::State::finish_pace() {
  std::stable_sort(arrivals.begin(), arrivals.end(),
                   [](const Arrival& a, const Arrival& b) { return a.t_ns < b.t_ns; });
  figures.first_ns = arrivals.front().t_ns;
  figures.last_ns = arrivals.back().t_ns;
  figures.timed = !has_time_zero && figures.first_ns < figures.last_ns;
  if (!figures.timed) return;
  std::vector<double> gaps_us;
  gaps_us.reserve(arrivals.size());
  for (std::size_t i = 1; i < arrivals.size(); ++i) {
    gaps_us.push_back(static_cast<double>(arrivals[i].t_ns - arrivals[i - 1].t_ns) / 1e3);
  }
  figures.gap_us = quantiles_of(gaps_us);  // sorts them
  const auto share_below = [&](double limit) {
    const auto end = std::lower_bound(gaps_us.begin(), gaps_us.end(), limit);
    return static_cast<double>(end - gaps_us.begin()) / static_cast<double>(gaps_us.size());
  };
  figures.gaps_below_10us = share_below(10);
  figures.gaps_below_100us = share_below(100);
  figures.gaps_below_1ms = share_below(1000);
  for (const std::int64_t width_ns : kWindows_ns) {
    figures.windows.push_back(window_figures(arrivals, width_ns));
  }
  auto clusters = cluster_sizes(arrivals, kMillisecond_ns);
  figures.cluster = quantiles_of(clusters);
  double in_large = 0;
  for (const double size : clusters) in_large += size > 10 ? size : 0;
  figures.frames_in_clusters_over_10 = in_large / static_cast<double>(arrivals.size());
}

Inspector::Inspector() : state_(std::make_unique<State>()) {}
Inspector::Inspector(Inspector&&) noexcept = default;
Inspector& Inspector::operator=(Inspector&&) noexcept = default;
Inspector::~Inspector() = default;

void Inspector::add(const Frame& frame) {
  State& state = *state_;
  ++state.figures.frames;
  ++state.figures.connections[frame.conn];
  if (frame.binary) ++state.figures.frames_binary;
  if (frame.dir == Direction::tx) {
    ++state.figures.frames_tx;
  } else {
    state.add_rx(frame);
  }
}

Inspection Inspector::finish(std::string path) {
  State& state = *state_;
  Inspection& figures = state.figures;
  figures.path = std::move(path);
  const auto most_first = [](const auto& a, const auto& b) { return a.second > b.second; };
  figures.symbols.assign(state.symbols.begin(), state.symbols.end());
  std::stable_sort(figures.symbols.begin(), figures.symbols.end(), most_first);
  figures.zipf_exponent = zipf_exponent_of(figures.symbols);
  std::vector<double> sizes;
  sizes.reserve(state.arrivals.size());
  for (const Arrival& arrival : state.arrivals) sizes.push_back(arrival.bytes);
  figures.size_bytes = quantiles_of(sizes);
  for (std::uint32_t topic = 1; topic <= state.types.size(); ++topic) {
    TypeFigures type{std::string(state.types.name(topic)), 0, 0, {}};
    auto& of_type = state.sizes_of_type[topic];
    type.count = of_type.size();
    for (const double bytes : of_type) type.bytes += static_cast<std::uint64_t>(bytes);
    type.size_bytes = quantiles_of(of_type);
    figures.types.push_back(std::move(type));
  }
  std::stable_sort(figures.types.begin(), figures.types.end(),
                   [](const TypeFigures& a, const TypeFigures& b) { return a.count > b.count; });
  const std::uint64_t other = state.arrivals.size() - state.binance_frames - state.alpaca_frames;
  figures.venue = "raw";
  if (state.binance_frames > std::max(state.alpaca_frames, other)) figures.venue = "binance";
  if (state.alpaca_frames > std::max(state.binance_frames, other)) figures.venue = "alpaca";
  if (!state.arrivals.empty()) state.finish_pace();
  Inspection result = std::move(figures);
  state_ = std::make_unique<State>();
  return result;
}

Expected<Inspection> inspect(const std::filesystem::path& path, const Progress& progress) {
  auto reader = RecordingReader::open(path);
  if (!reader) return tl::unexpected(reader.error());
  Inspector inspector;
  Frame frame;
  std::uint64_t frames = 0;
  for (;;) {
    const auto more = reader->next(frame);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    inspector.add(frame);
    if (++frames % kFramesPerProgress == 0 && progress) {
      progress(reader->bytes_taken(), reader->file_bytes(), frames);
    }
  }
  if (frames == 0) {
    return tl::unexpected(Error{fmt::format("recording {}: no frame in it", path.string()), 0});
  }
  Inspection figures = inspector.finish(path.string());
  figures.file_bytes = reader->file_bytes();
  return figures;
}

}  // namespace feedbench::recording
