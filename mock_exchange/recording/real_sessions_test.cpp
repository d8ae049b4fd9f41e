#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include "mock_exchange/recording/inspect.hpp"
#include "mock_exchange/recording/test_files.hpp"

/// Holds our figures against those that were published with the real sessions (STATISTICS.md beside them): an independent
/// computation, so a mistake would have to be made twice.
namespace feedbench::recording {
namespace {

using namespace testing_support;

struct Document {
  std::map<std::string, std::vector<std::vector<std::string>>>
      rows;                                    // session -> rows of cells, in order
  std::map<std::string, std::string> symbols;  // session -> the line about symbols
};

std::string trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(' ') - first + 1));
}

Document read_document(const std::filesystem::path& path) {
  Document document;
  std::ifstream file(path);
  bool at_symbols = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "Symbols:") at_symbols = true;
    if (line.starts_with("Receive minus")) at_symbols = false;
    if (at_symbols && line.starts_with("- binance-")) {
      document.symbols[line.substr(2, line.find(':') - 2)] = line;
    }
    if (!line.starts_with("| binance-")) continue;
    std::vector<std::string> cells;
    std::istringstream stream(line.substr(1));
    for (std::string cell; std::getline(stream, cell, '|');) cells.push_back(trimmed(cell));
    document.rows[cells.front()].push_back(cells);
  }
  return document;
}

/// The numbers of a cell: "474 / 184 / 103", "1 38 71 337", "1,825", "45%".
std::vector<std::string> numbers_of(std::string cell) {
  std::erase(cell, ',');
  for (char& byte : cell) {
    if (byte == '/' || byte == '%') byte = ' ';
  }
  std::istringstream stream(cell);
  return {std::istream_iterator<std::string>(stream), {}};
}

/// `value`, rounded as the text is, must be what the text says.
void expect_shown(const std::string& text, double value, const std::string& what) {
  const std::size_t point = text.find('.');
  const auto digits = point == std::string::npos ? 0 : static_cast<int>(text.size() - point - 1);
  const double half = 0.5 * std::pow(10, -digits);
  EXPECT_NEAR(std::stod(text), value, half * 1.01 + 1e-9) << what;
}

void expect_cell(const std::string& cell, std::initializer_list<double> values,
                 const std::string& what) {
  const auto numbers = numbers_of(cell);
  ASSERT_EQ(numbers.size(), values.size()) << what << ": " << cell;
  std::size_t i = 0;
  for (const double value : values) expect_shown(numbers[i++], value, what);
}

void expect_rates(const std::vector<std::string>& row, const Inspection& in) {
  expect_cell(row[1], {static_cast<double>(in.frames)}, "frames");
  expect_cell(row[2], {in.seconds()}, "seconds");
  expect_cell(row[3], {static_cast<double>(in.frames) / in.seconds()}, "mean rate");
  for (std::size_t i = 0; i < 4; ++i) {
    expect_cell(row[4 + i], {static_cast<double>(in.windows[i].frames_peak)}, "peak");
  }
  expect_cell(row[8], {static_cast<double>(in.bytes) / 1e3 / in.seconds()}, "kB/s");
  const auto peak_kb = [&](std::size_t i) {
    return static_cast<double>(in.windows[i].bytes_peak) / 1e3;
  };
  expect_cell(row[9], {peak_kb(0), peak_kb(1), peak_kb(2)}, "peak kB");
}

void expect_gaps(const std::vector<std::string>& row, const Inspection& in) {
  for (std::size_t i = 0; i < 11; ++i)
    expect_cell(row[1 + i], {in.gap_us.values[i]}, "gap quantile");
  expect_cell(row[12], {in.gap_us.deviation / in.gap_us.mean}, "CV");
  expect_cell(row[13], {100 * in.gaps_below_10us}, "below 10 us");
  expect_cell(row[14], {100 * in.gaps_below_100us}, "below 100 us");
  expect_cell(row[15], {100 * in.gaps_below_1ms}, "below 1 ms");
}

void expect_sizes(const std::vector<std::string>& row, const Inspection& in) {
  expect_cell(row[1], {in.size_bytes.mean}, "mean size");
  for (std::size_t i = 0; i < 11; ++i)
    expect_cell(row[2 + i], {in.size_bytes.values[i]}, "size quantile");
}

void expect_bursts(const std::vector<std::string>& row, const Inspection& in) {
  const auto& second = in.windows[0];
  const auto& tenth = in.windows[1];
  const auto& hundredth = in.windows[2];
  expect_cell(row[1], {in.windows[3].dispersion}, "dispersion 1 ms");
  expect_cell(row[2], {hundredth.dispersion}, "dispersion 10 ms");
  expect_cell(row[3], {tenth.dispersion}, "dispersion 100 ms");
  expect_cell(row[4], {second.dispersion}, "dispersion 1 s");
  expect_cell(row[5], {tenth.autocorrelation}, "autocorrelation");
  const auto expect_counts = [](const std::string& cell, const Quantiles& q) {
    expect_cell(cell, {q.p50(), q.p99(), q.p999(), q.max()}, "counts");
  };
  expect_counts(row[6], hundredth.count);
  expect_counts(row[7], tenth.count);
  const Quantiles& cluster = in.cluster;
  expect_cell(row[8],
              {cluster.p50(), cluster.values[6], cluster.p99(), cluster.p999(), cluster.max()},
              "clusters");
  expect_cell(row[9], {100 * in.frames_in_clusters_over_10}, "frames in clusters");
}

void expect_type(const std::vector<std::string>& row, const Inspection& in) {
  const auto type = std::find_if(in.types.begin(), in.types.end(),
                                 [&](const auto& t) { return t.type == row[1]; });
  ASSERT_NE(type, in.types.end()) << row[1];
  expect_cell(row[2], {static_cast<double>(type->count)}, row[1]);
  expect_cell(row[3], {100.0 * static_cast<double>(type->count) / static_cast<double>(in.messages)},
              row[1]);
  expect_cell(row[4], {100.0 * static_cast<double>(type->bytes) / static_cast<double>(in.bytes)},
              row[1]);
  expect_cell(row[5], {type->size_bytes.mean}, row[1]);
  expect_cell(row[6], {type->size_bytes.p50()}, row[1]);
  expect_cell(row[7], {type->size_bytes.p99()}, row[1]);
  expect_cell(row[8], {type->size_bytes.max()}, row[1]);
}

/// "- name: 4; NKNUSDT 85%, LRCBTC 10%...; Zipf exponent (least squares, log-log) 3.23"
void expect_symbols(const std::string& line, const Inspection& in) {
  std::uint64_t counted = 0;
  for (const auto& symbol : in.symbols) counted += symbol.second;
  const std::string list = line.substr(line.find("; ") + 2);
  std::istringstream stream(list.substr(0, list.find(';')));
  std::size_t i = 0;
  for (std::string item; std::getline(stream, item, ','); ++i) {
    const std::string pair = trimmed(item);
    ASSERT_LT(i, in.symbols.size());
    EXPECT_EQ(pair.substr(0, pair.find(' ')), in.symbols[i].first);
    expect_cell(pair.substr(pair.find(' ')),
                {100.0 * static_cast<double>(in.symbols[i].second) / static_cast<double>(counted)},
                pair);
  }
  EXPECT_EQ(i, in.symbols.size());
  const std::size_t zipf = line.find("log-log) ");
  if (zipf != std::string::npos)
    expect_cell(line.substr(zipf + 9), {in.zipf_exponent}, "Zipf exponent");
}

TEST(RealSessions, HaveTheFiguresThatWerePublishedWithThem) {
  const auto folder = real_recordings_folder();
  if (!std::filesystem::exists(folder / "STATISTICS.md")) {
    GTEST_SKIP() << "no real sessions in " << folder << " (set FEEDBENCH_RECORDINGS)";
  }
  const Document document = read_document(folder / "STATISTICS.md");
  int sessions = 0;
  for (const auto& [name, rows] : document.rows) {
    const auto path = folder / (name + ".jsonl.zst");
    if (!std::filesystem::exists(path)) continue;  // some were measured and not kept
    SCOPED_TRACE(name);
    ++sessions;
    const auto in = inspect(path);
    ASSERT_TRUE(in) << in.error().message;
    EXPECT_EQ(in->venue, "binance");
    EXPECT_EQ(in->back_steps, 0U);
    ASSERT_GE(rows.size(), 5U);
    expect_rates(rows[0], *in);
    expect_gaps(rows[1], *in);
    expect_sizes(rows[2], *in);
    expect_bursts(rows[3], *in);
    for (std::size_t i = 4; i < rows.size(); ++i) expect_type(rows[i], *in);
    EXPECT_EQ(rows.size() - 4, in->types.size());
    expect_symbols(document.symbols.at(name), *in);
  }
  EXPECT_EQ(sessions, 6);
}

TEST(RealSessions, OfSingleFramesAreRecognisedWithoutATime) {
  const auto path = real_recordings_folder() / "binance-single-frames-mit.jsonl.zst";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << path << " is not there (set FEEDBENCH_RECORDINGS)";
  const auto in = inspect(path);
  ASSERT_TRUE(in) << in.error().message;
  EXPECT_EQ(in->frames, 35U);
  EXPECT_EQ(in->venue, "binance");
  for (const TypeFigures& type : in->types) EXPECT_NE(type.type, "(other text)");
}

}  // namespace
}  // namespace feedbench::recording
