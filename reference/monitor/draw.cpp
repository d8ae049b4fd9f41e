#include "reference/monitor/draw.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace feedbench::monitor {
namespace {

constexpr std::size_t kUrlInlineMin = 24;  // a URL with less room stands on a line of its own
constexpr std::size_t kWide = 100;         // from here on columns stand two apart
constexpr std::size_t kClientNameMin = 12;
constexpr const char* kNone = "-";
constexpr const char* kBelow = "     ";

/// A terminal is told nothing by what a venue or a client wrote.
std::string clean(std::string text) {
  for (char& c : text)
    if (c < ' ' || c > '~') c = '?';
  return text;
}

/// Three digits of a value below 1000.
std::string three_digits(double value) {
  if (value < 9.995) return fmt::format("{:.2f}", value);
  if (value < 99.95) return fmt::format("{:.1f}", value);
  return fmt::format("{:.0f}", value);
}

/// value in the largest of the units in which it is at least 1; each is 1,000 of the one before.
template <std::size_t N>
std::string in_units(double value, const std::array<const char*, N>& units) {
  std::size_t unit = 0;
  while (unit + 1 < N && value >= 999.5) {
    value /= 1000;
    ++unit;
  }
  return three_digits(value) + units[unit];
}

std::string plural(std::uint64_t count, const char* what) {
  return fmt::format("{} {}{}", show_count(count), what, count == 1 ? "" : "s");
}

/// Columns that are as wide as what stands in them, and no narrower than they were meant.
class Table {
 public:
  struct Column {
    const char* heading;
    std::size_t width;
    bool left = false;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {
    for (Column& column : columns_)
      column.width = std::max(column.width, std::string_view(column.heading).size());
  }

  void add(std::vector<std::string> cells, Tone tone = Tone::plain,
           std::vector<std::string> below = {}) {
    for (std::size_t i = 0; i + 1 < cells.size(); ++i)
      columns_[i].width = std::max(columns_[i].width, cells[i].size());
    rows_.push_back({std::move(cells), tone, std::move(below)});
  }
  /// What the columns before the last take, the gap after them included.
  [[nodiscard]] std::size_t width_before_last(std::size_t gap) const {
    std::size_t all = 0;
    for (std::size_t i = 0; i + 1 < columns_.size(); ++i) all += columns_[i].width + gap;
    return all;
  }
  void write(std::size_t gap, std::vector<Line>& lines) const {
    std::vector<std::string> headings;
    for (const Column& column : columns_) headings.emplace_back(column.heading);
    lines.push_back({row_text(headings, gap), Tone::heading});
    for (const Row& row : rows_) {
      lines.push_back({row_text(row.cells, gap), row.tone});
      for (const std::string& text : row.below) lines.push_back({kBelow + text, row.tone});
    }
  }

 private:
  struct Row {
    std::vector<std::string> cells;
    Tone tone;
    std::vector<std::string> below;
  };
  [[nodiscard]] std::string row_text(const std::vector<std::string>& cells, std::size_t gap) const {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (i != 0) text.append(gap, ' ');
      const std::size_t pad =
          columns_[i].width > cells[i].size() ? columns_[i].width - cells[i].size() : 0;
      if (!columns_[i].left) text.append(pad, ' ');
      text += cells[i];
      if (columns_[i].left) text.append(pad, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  }

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

void draw_title(const Picture& picture, const DrawOptions& options, std::vector<Line>& lines) {
  std::string left = fmt::format("feedproxy {}  pid {}  up {}", clean(picture.version), picture.pid,
                                 show_duration(picture.uptime_ns));
  const std::string time = picture.taken_at.size() < 19 ? "" : picture.taken_at.substr(11, 8);
  const std::string right = time + (options.interactive ? "  q: quit" : "");
  const std::size_t taken = left.size() + right.size();
  const std::size_t between = options.width > taken + 2 ? options.width - taken : 2;
  lines.push_back({left + std::string(between, ' ') + right, Tone::title});
  std::string sums = plural(picture.feeds.size(), "feed") + ", " +
                     plural(picture.local_clients, "local client") + ", " +
                     plural(picture.ws_clients, "WebSocket client");
  if (picture.interval_ns == 0)
    sums += "; measuring";
  else
    sums += fmt::format("; {} msg/s, {}/s in {}", show_rate(picture.messages_per_s),
                        show_bytes(picture.bytes_per_s), show_duration(picture.interval_ns));
  lines.push_back({sums});
  if (!picture.note.empty()) lines.push_back({clean(picture.note), Tone::alarm});
}

void draw_feeds(const Picture& picture, const DrawOptions& options, std::size_t gap,
                std::vector<Line>& lines) {
  std::vector<Table::Column> columns = {{"FEED", 4},    {"STATE", 10, true}, {"VENUE", 7, true},
                                        {"LOCAL", 5},   {"WS", 4},           {"MSG/S", 6},
                                        {"BYTES/S", 7}, {"MESSAGES", 8},     {"BYTES", 7},
                                        {"UP/LOST", 7}, {"URL", 0, true}};
  const std::size_t before_url = Table(columns).width_before_last(gap);
  const bool url_inline = options.width == 0 || options.width >= before_url + kUrlInlineMin;
  if (!url_inline) columns.back().heading = "";
  Table table(std::move(columns));
  for (const FeedRow& row : picture.feeds) {
    const FeedStatus& feed = row.status;
    const std::string url = clean(feed.url);
    std::vector<std::string> below;
    if (!url_inline) below.push_back(url);
    if (feed.state != "live" && !feed.last_error.empty())
      below.push_back("last error: " + clean(feed.last_error));
    const bool bad = feed.state == "lost" || row.losses_new > 0;
    table.add(
        {show_count(feed.feed), clean(feed.state), clean(feed.venue), show_count(feed.clients),
         show_count(feed.ws_clients), row.messages_per_s ? show_rate(*row.messages_per_s) : kNone,
         row.bytes_per_s ? show_bytes(*row.bytes_per_s) : kNone, show_count(feed.messages),
         show_bytes(static_cast<double>(feed.bytes)),
         show_count(feed.connects) + "/" + show_count(feed.losses), url_inline ? url : ""},
        bad ? Tone::alarm : Tone::plain, std::move(below));
  }
  if (picture.feeds.empty())
    lines.push_back({"No feed is open."});
  else
    table.write(gap, lines);
}

std::vector<std::string> stage_cells(const StageRow& row, bool p99) {
  // Without NIC stamps the whole way begins with the wake-up.
  const bool from_nic = row.at(Interval::nic_handler).count > 0;
  std::vector<std::string> cells;
  for (const Interval interval :
       {Interval::nic_wake, Interval::wake_read, Interval::read_plain, Interval::plain_parsed,
        Interval::parsed_handler, from_nic ? Interval::nic_handler : Interval::wake_handler}) {
    const Quantiles& of = row.at(interval);
    const std::optional<std::int64_t> ns = p99 ? of.p99_ns : of.p50_ns;
    cells.push_back(ns ? show_time(*ns) : kNone);
  }
  return cells;
}

/// What the second line of a feed's stages says about the sample.
std::string stage_note(const StageRow& row) {
  std::uint64_t negative = 0;
  for (const Quantiles& each : row.intervals) negative += each.negative;
  std::string note = "in " + show_duration(row.span_ns);
  if (row.at(Interval::wake_handler).count == 0 && row.at(Interval::parsed_handler).count == 0)
    note += ", not stamped";
  else if (row.at(Interval::nic_handler).count == 0)
    note += ", no NIC stamps";
  if (row.sampled < StageWindow::kMessagesWanted)
    note += fmt::format(", p99 needs {}", show_count(StageWindow::kMessagesWanted));
  if (negative > 0) note += fmt::format(", {} negative", show_count(negative));
  return note;
}

void draw_stages(const Picture& picture, std::size_t gap, std::vector<Line>& lines) {
  if (picture.feeds.empty() || picture.interval_ns == 0) return;
  lines.push_back({});
  Table table({{"FEED", 4},
               {"", 3, true},
               {"WAKE", 6},
               {"READ", 6},
               {"PLAIN", 6},
               {"PARSED", 6},
               {"HANDLER", 7},
               {"TOTAL", 6},
               {"SAMPLED", 0, true}});
  for (const FeedRow& feed : picture.feeds) {
    const std::string number = show_count(feed.status.feed);
    if (!feed.stages || feed.stages->sampled == 0) {
      table.add({number, "", kNone, kNone, kNone, kNone, kNone, kNone,
                 feed.stages ? "nothing came" : "not watched"});
      continue;
    }
    const StageRow& row = *feed.stages;
    for (const bool p99 : {false, true}) {
      std::vector<std::string> cells = {p99 ? "" : number, p99 ? "p99" : "p50"};
      for (std::string& cell : stage_cells(row, p99)) cells.push_back(std::move(cell));
      cells.push_back(p99 ? stage_note(row)
                          : show_count(row.sampled) + " of " + show_count(row.published));
      table.add(std::move(cells));
    }
  }
  table.write(gap, lines);
}

std::string show_waiting(const std::string& waiting) {
  if (waiting == "no") return "awake";
  if (waiting == "futex") return "parked";
  if (waiting == "doorbell") return "parked (fd)";
  return "?";
}

void draw_clients(const Picture& picture, const DrawOptions& options, std::size_t gap,
                  std::vector<Line>& lines) {
  lines.push_back({});
  if (picture.clients.empty()) {
    lines.push_back({"No local client is connected."});
    return;
  }
  const std::vector<Table::Column> others = {{"PID", 5},    {"FEED", 4},       {"CURSOR", 6},
                                             {"LAG", 6},    {"MSG/S", 6},      {"MISSED", 6},
                                             {"MISS/S", 6}, {"WAITS", 0, true}};
  constexpr std::size_t kWaitsWidth = 11;  // parked (fd)
  std::size_t name_width = 0;
  for (const ClientRow& row : picture.clients) name_width = std::max(name_width, row.name.size());
  if (options.width != 0) {
    const std::size_t rest = Table(others).width_before_last(gap) + gap + kWaitsWidth;
    const std::size_t room = options.width > rest ? options.width - rest : 0;
    name_width = std::min(name_width, std::max(room, kClientNameMin));
  }
  std::vector<Table::Column> columns = {{"CLIENT", kClientNameMin, true}};
  columns.insert(columns.end(), others.begin(), others.end());
  Table table(std::move(columns));
  for (const ClientRow& row : picture.clients) {
    const auto count_or_none = [](const auto& count) {
      return count ? show_count(*count) : std::string(kNone);
    };
    const auto rate_or_none = [](const std::optional<double>& rate) {
      return rate ? show_rate(*rate) : std::string(kNone);
    };
    table.add(
        {fit(clean(row.name), name_width), std::to_string(row.pid),
         row.feed == 0 ? kNone : show_count(row.feed),
         row.cursor ? show_count(row.cursor->sequence) : kNone, count_or_none(row.lag_messages),
         rate_or_none(row.messages_per_s), row.cursor ? show_count(row.cursor->missed) : kNone,
         rate_or_none(row.missed_per_s), show_waiting(row.waiting)},
        row.missed_per_s.value_or(0) > 0 ? Tone::alarm : Tone::plain);
  }
  table.write(gap, lines);
}

}  // namespace

std::string show_count(std::uint64_t count) {
  constexpr std::uint64_t kExactBelow = 100'000;
  if (count >= kExactBelow)
    return in_units(static_cast<double>(count) / 1000,
                    std::array<const char*, 5>{"k", "M", "G", "T", "P"});
  if (count < 1000) return std::to_string(count);
  return fmt::format("{},{:03}", count / 1000, count % 1000);
}

std::string show_rate(double per_second) {
  if (per_second == 0.0) return "0";
  if (per_second < 9.95) return fmt::format("{:.{}f}", per_second, per_second < 0.995 ? 2 : 1);
  return show_count(static_cast<std::uint64_t>(std::llround(per_second)));
}

std::string show_bytes(double bytes) {
  if (bytes < 999.5) return fmt::format("{:.0f} B", bytes);
  return in_units(bytes / 1000, std::array<const char*, 5>{" kB", " MB", " GB", " TB", " PB"});
}

std::string show_time(std::int64_t ns) {
  if (ns < 1000) return fmt::format("{}ns", ns);
  return in_units(static_cast<double>(ns) / 1000, std::array<const char*, 3>{"us", "ms", "s"});
}

std::string show_duration(std::int64_t ns) {
  const std::int64_t seconds = (ns + 500'000'000) / 1'000'000'000;
  if (ns < 950'000'000) return show_time(ns);
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min {:02} s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{} d {:02} h", seconds / 86'400, seconds / 3600 % 24);
}

std::string fit(std::string text, std::size_t width) {
  if (text.size() <= width) return text;
  if (width <= 3) return text.substr(0, width);
  return text.substr(0, width - 3) + "...";
}

std::vector<Line> draw(const Picture& picture, const DrawOptions& options) {
  const std::size_t gap = options.width == 0 || options.width >= kWide ? 2 : 1;
  std::vector<Line> lines;
  draw_title(picture, options, lines);
  lines.push_back({});
  draw_feeds(picture, options, gap, lines);
  draw_stages(picture, gap, lines);
  draw_clients(picture, options, gap, lines);
  if (options.height != 0 && lines.size() > options.height) {
    const std::size_t hidden = lines.size() - options.height + 1;
    lines.resize(options.height - 1);
    lines.push_back({plural(hidden, "more line") + ": make the window taller"});
  }
  if (options.width != 0)
    for (Line& line : lines) line.text = fit(std::move(line.text), options.width);
  return lines;
}

}  // namespace feedbench::monitor
