#include "mock_exchange/recording/line_reader.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>

namespace feedbench::recording {
namespace {

constexpr std::size_t kInputBytes = 128 * 1024;
constexpr std::size_t kTextBytes = 256 * 1024;

bool is_zstd(const std::vector<char>& bytes, std::size_t size) {
  if (size < 4) return false;
  std::uint32_t magic = 0;
  std::memcpy(&magic, bytes.data(), sizeof magic);
  return magic == ZSTD_MAGICNUMBER ||
         (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

}  // namespace

void LineReader::ContextFree::operator()(ZSTD_DCtx_s* context) const noexcept {
  ZSTD_freeDCtx(context);
}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader& LineReader::operator=(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

Expected<LineReader> LineReader::open(const std::filesystem::path& path) {
  LineReader reader;
  reader.path_ = path.string();
  reader.file_.reset(std::fopen(path.c_str(), "rbe"));
  if (!reader.file_) {
    const int cause = errno;
    return tl::unexpected(
        Error{fmt::format("open recording {}: {}", reader.path_, std::strerror(cause)), cause});
  }
  std::error_code ignored;
  const auto size = std::filesystem::file_size(path, ignored);
  reader.file_bytes_ = ignored ? 0 : size;
  reader.input_.resize(kInputBytes);
  reader.text_.resize(kTextBytes + kPaddingBytes);
  if (auto read = reader.read_input(); !read) return tl::unexpected(read.error());
  if (is_zstd(reader.input_, reader.input_end_)) {
    reader.context_.reset(ZSTD_createDCtx());
    if (!reader.context_) {
      return tl::unexpected(
          Error{fmt::format("open recording {}: no memory for zstd", reader.path_), ENOMEM});
    }
  } else if (path.extension() == ".zst") {
    return tl::unexpected(Error{
        fmt::format("open recording {}: its name ends in .zst but it does not begin like zstd data "
                    "({} bytes); give a plain file another name",
                    reader.path_, reader.file_bytes_),
        0});
  }
  return reader;
}

Error LineReader::error_at_next_line(const std::string& what) const {
  return Error{fmt::format("recording {}, line {}: {}", path_, line_number_ + 1, what), 0};
}

Expected<void> LineReader::read_input() {
  input_begin_ = 0;
  input_end_ = std::fread(input_.data(), 1, input_.size(), file_.get());
  bytes_taken_ += input_end_;
  if (input_end_ == 0) {
    if (std::ferror(file_.get()) != 0) {
      const int cause = errno;
      Error error = error_at_next_line(fmt::format("read: {}", std::strerror(cause)));
      error.os_error = cause;
      return tl::unexpected(std::move(error));
    }
    input_ended_ = true;
  }
  return {};
}

Expected<void> LineReader::make_room() {
  if (text_begin_ > 0) {
    std::memmove(text_.data(), text_.data() + text_begin_, text_end_ - text_begin_);
    text_end_ -= text_begin_;
    text_scanned_ -= text_begin_;
    text_begin_ = 0;
  }
  const std::size_t usable = text_.size() - kPaddingBytes;
  if (text_end_ < usable) return {};
  if (usable >= kLineBytesMax) {
    return tl::unexpected(error_at_next_line(
        fmt::format("longer than {} bytes; this is not a recording", kLineBytesMax)));
  }
  text_.resize(usable * 2 + kPaddingBytes);
  return {};
}

Expected<bool> LineReader::fill() {
  if (auto room = make_room(); !room) return tl::unexpected(room.error());
  return context_ ? fill_zstd() : fill_plain();
}

Expected<bool> LineReader::fill_plain() {
  if (input_begin_ == input_end_ && !input_ended_) {
    if (auto read = read_input(); !read) return tl::unexpected(read.error());
  }
  const std::size_t room = text_.size() - kPaddingBytes - text_end_;
  const std::size_t bytes = std::min(room, input_end_ - input_begin_);
  std::memcpy(text_.data() + text_end_, input_.data() + input_begin_, bytes);
  input_begin_ += bytes;
  text_end_ += bytes;
  return bytes > 0;
}

Expected<bool> LineReader::fill_zstd() {
  ZSTD_outBuffer out{text_.data(), text_.size() - kPaddingBytes, text_end_};
  while (out.pos == text_end_) {
    if (input_begin_ == input_end_ && !output_was_full_) {
      if (!input_ended_) {
        if (auto read = read_input(); !read) return tl::unexpected(read.error());
      }
      if (input_ended_) {
        if (!in_zstd_frame_) return false;
        return tl::unexpected(error_at_next_line(
            "the zstd data is cut off: the file ends inside a compressed block; copy it again"));
      }
    }
    ZSTD_inBuffer in{input_.data(), input_end_, input_begin_};
    const std::size_t hint = ZSTD_decompressStream(context_.get(), &out, &in);
    if (ZSTD_isError(hint) != 0) {
      return tl::unexpected(error_at_next_line(
          fmt::format("corrupt zstd data ({}); copy the file again", ZSTD_getErrorName(hint))));
    }
    output_was_full_ = out.pos == out.size;
    input_begin_ = in.pos;
    in_zstd_frame_ = hint != 0;
  }
  text_end_ = out.pos;
  return true;
}

Expected<LineReader::Line> LineReader::next() {
  for (;;) {
    const char* from = text_.data() + text_scanned_;
    const auto* newline =
        static_cast<const char*>(std::memchr(from, '\n', text_end_ - text_scanned_));
    if (newline != nullptr) {
      const auto end = static_cast<std::size_t>(newline - text_.data());
      Line line{{text_.data() + text_begin_, end - text_begin_}, true, false};
      text_begin_ = text_scanned_ = end + 1;
      ++line_number_;
      return line;
    }
    text_scanned_ = text_end_;
    const auto filled = fill();
    if (!filled) return tl::unexpected(filled.error());
    if (*filled) continue;
    if (text_begin_ == text_end_) return Line{{}, true, true};
    Line line{{text_.data() + text_begin_, text_end_ - text_begin_}, false, false};
    text_begin_ = text_scanned_ = text_end_;
    ++line_number_;
    return line;
  }
}

}  // namespace feedbench::recording
