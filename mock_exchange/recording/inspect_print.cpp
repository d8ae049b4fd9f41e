#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <nlohmann/json.hpp>

#include "mock_exchange/recording/inspect.hpp"

namespace feedbench::recording {
namespace {

constexpr std::size_t kSymbolsShown = 12;

/// Three significant digits at least, no decimals where they say nothing.
std::string shown(double value) {
  if (value >= 100 || value == static_cast<double>(static_cast<std::int64_t>(value))) {
    return grouped(static_cast<std::uint64_t>(value + 0.5));
  }
  return fmt::format("{:.{}f}", value, value >= 10 ? 1 : 2);
}

std::string utc(std::int64_t t_ns) {
  const auto seconds = t_ns >= 0 ? t_ns / 1'000'000'000 : (t_ns - 999'999'999) / 1'000'000'000;
  const auto milliseconds = (t_ns - seconds * 1'000'000'000) / 1'000'000;
  return fmt::format("{:%Y-%m-%d %H:%M:%S}.{:03} UTC",
                     fmt::gmtime(static_cast<std::time_t>(seconds)), milliseconds);
}

std::string width_name(std::int64_t width_ns) {
  if (width_ns >= 1'000'000'000) return fmt::format("{} s", width_ns / 1'000'000'000);
  return fmt::format("{} ms", width_ns / 1'000'000);
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

class TextWriter {
 public:
  template <class... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    text_ += '\n';
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void print_head(const Inspection& in, TextWriter& out) {
  out.line("{}", in.path.empty() ? std::string("(in memory)") : in.path);
  out.line("  venue        {}", in.venue);
  out.line("  frames       {}  ({} received, {} sent, {} binary)", grouped(in.frames),
           grouped(in.frames - in.frames_tx), grouped(in.frames_tx), grouped(in.frames_binary));
  if (in.messages != in.frames - in.frames_tx) out.line("  messages     {}", grouped(in.messages));
  out.line("  payload      {} bytes", grouped(in.bytes));
  if (in.file_bytes > 0) out.line("  file         {} bytes", grouped(in.file_bytes));
  if (in.timed) {
    const double rate_hz = static_cast<double>(in.frames - in.frames_tx) / in.seconds();
    out.line("  span         {:.1f} s, {} to {}", in.seconds(), utc(in.first_ns), utc(in.last_ns));
    out.line("  mean rate    {:.1f} frames/s, {:.1f} kB/s", rate_hz,
             static_cast<double>(in.bytes) / 1e3 / in.seconds());
  } else {
    out.line("  span         none: the frames carry no usable times, so pace figures are left out");
  }
  if (in.back_steps > 0)
    out.line("  back steps   {} frames are timed before their forerunner", in.back_steps);
  for (const auto& [conn, frames] : in.connections) {
    out.line("  connection   {}  {} frames", conn, grouped(frames));
  }
  std::uint64_t counted = 0;
  for (const auto& symbol : in.symbols) counted += symbol.second;
  std::string list;
  for (std::size_t i = 0; i < in.symbols.size() && i < kSymbolsShown; ++i) {
    fmt::format_to(std::back_inserter(list), "{}{} {:.1f}%", i == 0 ? "" : ", ",
                   in.symbols[i].first, percent(in.symbols[i].second, counted));
  }
  if (in.symbols.size() > kSymbolsShown) list += ", ...";
  out.line("  symbols      {}{}{}", in.symbols.size(), list.empty() ? "" : ": ", list);
  if (in.zipf_exponent != 0) out.line("  zipf         {:.2f}", in.zipf_exponent);
}

void print_quantile_head(std::string_view title, TextWriter& out) {
  out.line("\n{}", title);
  out.line("  {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}", "mean",
           "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9", "max");
}

void print_quantiles(const Quantiles& q, TextWriter& out) {
  std::string row = fmt::format("  {:>9}", shown(q.mean));
  for (const double value : q.values)
    fmt::format_to(std::back_inserter(row), " {:>9}", shown(value));
  out.line("{}", row);
}

void print_types(const Inspection& in, TextWriter& out) {
  std::uint64_t bytes = 0;
  for (const TypeFigures& type : in.types) bytes += type.bytes;
  out.line("\nTypes (size in bytes)");
  out.line("  {:<20} {:>10} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}", "type", "count", "count %",
           "bytes %", "mean", "p50", "p99", "max");
  for (const TypeFigures& type : in.types) {
    const Quantiles& size = type.size_bytes;
    out.line("  {:<20} {:>10} {:>8.1f} {:>8.1f} {:>9} {:>9} {:>9} {:>9}", type.type,
             grouped(type.count), percent(type.count, in.messages), percent(type.bytes, bytes),
             shown(size.mean), shown(size.p50()), shown(size.p99()), shown(size.max()));
  }
}

void print_pace(const Inspection& in, TextWriter& out) {
  print_quantile_head("Inter-arrival time, microseconds", out);
  print_quantiles(in.gap_us, out);
  out.line("  CV {:.2f}; {:.0f}% below 10 us, {:.0f}% below 100 us, {:.0f}% below 1 ms",
           in.gap_us.mean > 0 ? in.gap_us.deviation / in.gap_us.mean : 0, 100 * in.gaps_below_10us,
           100 * in.gaps_below_100us, 100 * in.gaps_below_1ms);
  out.line("\nBursts (peaks slide; counts are of windows side by side; dispersion 1 is Poisson)");
  out.line("  {:>7} {:>12} {:>10} {:>11} {:>9} {:>8} {:>8} {:>8} {:>8}", "window", "peak frames",
           "peak kB", "dispersion", "autocorr.", "p50", "p99", "p99.9", "max");
  for (const WindowFigures& window : in.windows) {
    out.line("  {:>7} {:>12} {:>10.1f} {:>11.1f} {:>9.2f} {:>8.0f} {:>8.0f} {:>8.0f} {:>8.0f}",
             width_name(window.width_ns), grouped(window.frames_peak),
             static_cast<double>(window.bytes_peak) / 1e3, window.dispersion,
             window.autocorrelation, window.count.p50(), window.count.p99(), window.count.p999(),
             window.count.max());
  }
  out.line(
      "  clusters (a gap above 1 ms ends one): p50 {:.0f}, p90 {:.0f}, p99 {:.0f}, p99.9 {:.0f}, "
      "max {:.0f}; "
      "{:.0f}% of frames in clusters above 10",
      in.cluster.p50(), in.cluster.values[6], in.cluster.p99(), in.cluster.p999(), in.cluster.max(),
      100 * in.frames_in_clusters_over_10);
}

using Json = nlohmann::ordered_json;

Json to_json_value(const Quantiles& q) {
  return Json{{"count", q.count},     {"mean", q.mean},     {"deviation", q.deviation},
              {"p1", q.values[0]},    {"p5", q.values[1]},  {"p10", q.values[2]},
              {"p25", q.values[3]},   {"p50", q.values[4]}, {"p75", q.values[5]},
              {"p90", q.values[6]},   {"p95", q.values[7]}, {"p99", q.values[8]},
              {"p99.9", q.values[9]}, {"max", q.values[10]}};
}

Json pace_json(const Inspection& in) {
  Json windows = Json::array();
  for (const WindowFigures& window : in.windows) {
    windows.push_back({{"width_ns", window.width_ns},
                       {"frames_peak", window.frames_peak},
                       {"bytes_peak", window.bytes_peak},
                       {"dispersion", window.dispersion},
                       {"autocorrelation", window.autocorrelation},
                       {"frames", to_json_value(window.count)}});
  }
  return Json{{"gap_us", to_json_value(in.gap_us)},
              {"gaps_below_10us_share", in.gaps_below_10us},
              {"gaps_below_100us_share", in.gaps_below_100us},
              {"gaps_below_1ms_share", in.gaps_below_1ms},
              {"windows", windows},
              {"cluster_frames", to_json_value(in.cluster)},
              {"frames_in_clusters_over_10_share", in.frames_in_clusters_over_10}};
}

}  // namespace

std::string grouped(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string to_text(const Inspection& in) {
  TextWriter out;
  print_head(in, out);
  print_types(in, out);
  print_quantile_head("Payload, bytes", out);
  print_quantiles(in.size_bytes, out);
  if (in.timed) print_pace(in, out);
  return out.take();
}

std::string to_json(const Inspection& in) {
  Json symbols = Json::array();
  for (const auto& [symbol, count] : in.symbols)
    symbols.push_back({{"symbol", symbol}, {"count", count}});
  Json types = Json::array();
  for (const TypeFigures& type : in.types) {
    types.push_back({{"type", type.type},
                     {"count", type.count},
                     {"bytes", type.bytes},
                     {"size_bytes", to_json_value(type.size_bytes)}});
  }
  Json json{{"schema", "feedbench.inspection/1"},
            {"path", in.path},
            {"venue", in.venue},
            {"frames", in.frames},
            {"frames_tx", in.frames_tx},
            {"frames_binary", in.frames_binary},
            {"messages", in.messages},
            {"bytes", in.bytes},
            {"file_bytes", in.file_bytes},
            {"first_ns", in.first_ns},
            {"last_ns", in.last_ns},
            {"timed", in.timed},
            {"back_steps", in.back_steps},
            {"connections", in.connections},
            {"symbols", symbols},
            {"zipf_exponent", in.zipf_exponent},
            {"types", types},
            {"size_bytes", to_json_value(in.size_bytes)},
            {"pace", in.timed ? pace_json(in) : Json(nullptr)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace feedbench::recording
