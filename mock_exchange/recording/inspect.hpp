#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mock_exchange/recording/frame.hpp"
#include "transports/transport.hpp"

namespace feedbench::recording {

using transports::Error;
using transports::Expected;

/// Quantiles of a set of values, linear between neighbours: p at position p * (n - 1) of the sorted
/// values.
struct Quantiles {
  static constexpr std::array<double, 11> kAt = {0.01, 0.05, 0.10, 0.25,  0.50, 0.75,
                                                 0.90, 0.95, 0.99, 0.999, 1.0};
  std::array<double, 11> values{};
  double mean = 0;
  double deviation = 0;  ///< Standard deviation of the population.
  std::uint64_t count = 0;
  [[nodiscard]] double p50() const noexcept { return values[4]; }
  [[nodiscard]] double p99() const noexcept { return values[8]; }
  [[nodiscard]] double p999() const noexcept { return values[9]; }
  [[nodiscard]] double max() const noexcept { return values[10]; }
};

/// Frames of one stream type (binance) or messages of one "T" (alpaca).
struct TypeFigures {
  std::string type;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  Quantiles size_bytes;
};

/// How frames crowd together at one width of window.
struct WindowFigures {
  std::int64_t width_ns = 0;
  std::uint64_t frames_peak = 0;  ///< Most frames in any window (sliding, exact).
  std::uint64_t bytes_peak = 0;   ///< Most payload bytes in any window (sliding, exact).
  double dispersion = 0;       ///< Variance / mean of counts in windows side by side; 1 is Poisson.
  double autocorrelation = 0;  ///< Of neighbouring counts, lag 1.
  Quantiles count;             ///< Counts of the windows side by side.
};

/// What a recording holds. Inter-arrival figures are in microseconds, sizes in bytes of payload.
struct Inspection {
  std::string path;
  std::uint64_t frames = 0;
  std::uint64_t frames_tx = 0;  ///< Of `frames`; all figures below are of rx frames.
  std::uint64_t frames_binary = 0;
  std::uint64_t bytes = 0;       ///< Payload: the messages themselves, without JSON and framing.
  std::uint64_t file_bytes = 0;  ///< As it lies on the disk, compressed or not; 0 if in memory.
  std::uint64_t messages = 0;    ///< Objects inside the frames (alpaca), else the frames.
  std::int64_t first_ns = 0, last_ns = 0;
  std::uint64_t back_steps = 0;  ///< Frames whose time is before that of the frame before.
  bool timed = false;            ///< At least two different times: pace figures mean something.
  std::string venue;             ///< As guessed from the frames: binance, alpaca or raw.
  std::map<std::string, std::uint64_t> connections;            ///< Frames a `conn`.
  std::vector<std::pair<std::string, std::uint64_t>> symbols;  ///< Most frequent first.
  double zipf_exponent =
      0;  ///< Least squares over log rank, log count; 0 with fewer than 3 symbols.
  std::vector<TypeFigures> types;  ///< Most frequent first.
  Quantiles size_bytes;
  Quantiles gap_us;
  double gaps_below_10us = 0, gaps_below_100us = 0, gaps_below_1ms = 0;  ///< Shares of all gaps.
  std::vector<WindowFigures> windows;     ///< 1 s, 100 ms, 10 ms, 1 ms
  Quantiles cluster;                      ///< Sizes of clusters; a gap of more than 1 ms ends one.
  double frames_in_clusters_over_10 = 0;  ///< Share of all frames.

  [[nodiscard]] double seconds() const noexcept {
    return static_cast<double>(last_ns - first_ns) / 1e9;
  }
};

/// Takes frames one by one and computes the figures at the end: for files and for generated
/// sessions alike. Memory: about 24 bytes a frame. thread: one at a time.
class Inspector {
 public:
  Inspector();
  Inspector(Inspector&&) noexcept;
  Inspector& operator=(Inspector&&) noexcept;
  ~Inspector();
  void add(const Frame& frame);
  [[nodiscard]] Inspection finish(std::string path = {});

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Called now and then while a long file is read: bytes of the file taken, of how many, frames so
/// far.
using Progress = std::function<void(std::uint64_t taken, std::uint64_t of, std::uint64_t frames)>;

/// errors: those of the reader; a recording without a frame.
Expected<Inspection> inspect(const std::filesystem::path& path, const Progress& progress = {});

/// 179316 -> "179,316".
std::string grouped(std::uint64_t number);

/// Tables for people.
std::string to_text(const Inspection& inspection);
/// One JSON object, the names of the members with their units last, two spaces of indentation.
std::string to_json(const Inspection& inspection);

}  // namespace feedbench::recording
