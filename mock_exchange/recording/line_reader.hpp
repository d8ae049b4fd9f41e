#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "transports/transport.hpp"

struct ZSTD_DCtx_s;

namespace feedbench::recording {

using transports::Error;
using transports::Expected;

/// A line longer than this is an error: no venue sends such a message, and memory stays bounded.
inline constexpr std::size_t kLineBytesMax = 64 * 1024 * 1024;

/// Reads a text file line by line, plain or zstd (told by its first bytes, not by its name; several
/// zstd frames in a row read as one). Bounded memory whatever the file's size. thread: one at a
/// time.
class LineReader {
 public:
  static Expected<LineReader> open(const std::filesystem::path& path);

  LineReader(LineReader&&) noexcept;
  LineReader& operator=(LineReader&&) noexcept;
  ~LineReader();

  /// Readable bytes behind every line that next() gives, for parsers that read ahead.
  static constexpr std::size_t kPaddingBytes = 64;

  struct Line {
    std::string_view text;   ///< Without the newline. Valid until the next call.
    bool terminated = true;  ///< false: the file ended before a newline did.
    bool end = false;        ///< No line: the file is read.
  };
  Expected<Line> next();

  /// Number of the line that next() gave last; the first line is 1.
  [[nodiscard]] std::uint64_t line_number() const noexcept { return line_number_; }
  /// Bytes of the file (compressed ones, if it is) taken so far, and its size when opened: for
  /// progress.
  [[nodiscard]] std::uint64_t bytes_taken() const noexcept { return bytes_taken_; }
  [[nodiscard]] std::uint64_t file_bytes() const noexcept { return file_bytes_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  struct FileCloser {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  struct ContextFree {
    void operator()(ZSTD_DCtx_s* context) const noexcept;
  };

  LineReader() = default;
  Expected<void> read_input();  // refills input_; input_end_ == 0 at the end of the file
  Expected<bool> fill();        // appends to text_; false at the end of the file
  Expected<bool> fill_plain();
  Expected<bool> fill_zstd();
  Expected<void> make_room();
  [[nodiscard]] Error error_at_next_line(const std::string& what) const;

  std::string path_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  std::unique_ptr<ZSTD_DCtx_s, ContextFree> context_;  // null: the file is plain text
  std::vector<char> input_;
  std::size_t input_begin_ = 0;
  std::size_t input_end_ = 0;
  bool input_ended_ = false;
  bool in_zstd_frame_ = false;    // the bytes so far end inside a zstd frame
  bool output_was_full_ = false;  // zstd may hold output back that needs no further input
  std::vector<char> text_;        // size: usable bytes + kPaddingBytes
  std::size_t text_begin_ = 0;
  std::size_t text_scanned_ = 0;  // no newline in [text_begin_, text_scanned_)
  std::size_t text_end_ = 0;
  std::uint64_t line_number_ = 0;
  std::uint64_t bytes_taken_ = 0;
  std::uint64_t file_bytes_ = 0;
};

}  // namespace feedbench::recording
