#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "mock_exchange/recording/frame.hpp"
#include "transports/transport.hpp"

namespace feedbench::recording {

using transports::Error;
using transports::Expected;

/// Reads a recording: JSON Lines, plain or zstd, one frame a line:
///   {"t_ns":<int64>,"conn":"<part of the URL>","dir":"rx"|"tx","data":"<text>"}     text message
///   {"t_ns":<int64>,"conn":"<part of the URL>","dir":"rx"|"tx","data_b64":"<base64>"}  binary
///   message
/// Keys come in any order, unknown keys are passed over, blank lines too. Streaming: memory does
/// not grow with the file. thread: one at a time. Cost: about 1 microsecond a frame of 250 bytes,
/// decompression included.
class RecordingReader {
 public:
  /// errors: the file cannot be opened, or is named .zst and is not zstd.
  static Expected<RecordingReader> open(const std::filesystem::path& path);

  RecordingReader(RecordingReader&&) noexcept;
  RecordingReader& operator=(RecordingReader&&) noexcept;
  ~RecordingReader();

  /// Fills `frame` with the next frame; returns false at the end of the file.
  /// errors: one sentence with the file, the line and what is wrong (corrupt or cut-off zstd,
  /// cut-off line, not JSON, a key missing or of the wrong type, a `dir` that is neither rx nor
  /// tx). After an error the reader is spent.
  Expected<bool> next(Frame& frame);

  /// Number of the line that next() read last; the first line is 1.
  [[nodiscard]] std::uint64_t line_number() const noexcept;
  /// Bytes of the file taken so far, and its size when opened: for progress.
  [[nodiscard]] std::uint64_t bytes_taken() const noexcept;
  [[nodiscard]] std::uint64_t file_bytes() const noexcept;

 private:
  struct State;
  explicit RecordingReader(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace feedbench::recording
