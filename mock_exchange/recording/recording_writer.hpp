#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "mock_exchange/recording/frame.hpp"
#include "transports/transport.hpp"

namespace feedbench::recording {

using transports::Error;
using transports::Expected;

struct WriterOptions {
  int zstd_level = 12;  ///< 1 (fast) to 19 (small). Used for files named .zst alone.
  int window_log =
      23;  ///< zstd window, 2^n bytes: 8 MB, so that repeated shapes far apart are found.
};

/// Appends the line of `frame`, newline included, to `text`. Precondition: text payload and conn
/// are valid UTF-8. Only what JSON demands is escaped, so that reading the line gives back the same
/// bytes.
void append_line(const Frame& frame, std::string& text);

/// Writes a recording; zstd if the file's name ends in .zst, plain text otherwise. thread: one at a
/// time.
class RecordingWriter {
 public:
  /// Creates or replaces the file. errors: it cannot be opened.
  static Expected<RecordingWriter> create(const std::filesystem::path& path,
                                          const WriterOptions& options = {});

  RecordingWriter(RecordingWriter&&) noexcept;
  RecordingWriter& operator=(RecordingWriter&&) noexcept;
  ~RecordingWriter();  ///< Ends the file as well as it can if close() was not called; errors go
                       ///< unseen.

  /// errors: the text payload or conn is not UTF-8 (nothing is written then), the disk is full.
  Expected<void> write(const Frame& frame);

  /// Ends the zstd frame and the file. errors: the disk is full.
  Expected<void> close();

  [[nodiscard]] std::uint64_t frames() const noexcept;
  /// Bytes of the messages written so far: what inspect() calls payload.
  [[nodiscard]] std::uint64_t payload_bytes() const noexcept;

 private:
  struct State;
  explicit RecordingWriter(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace feedbench::recording
