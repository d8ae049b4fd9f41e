#include "mock_exchange/recording/recording_writer.hpp"

#include <fmt/format.h>
#include <simdjson.h>
#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "reference/venues/base64.hpp"

namespace feedbench::recording {
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
struct ContextFree {
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
};

void append_escaped(std::string_view text, std::string& into) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::size_t plain = 0;  // [plain, i) needs no escape
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    into.append(text, plain, i - plain);
    plain = i + 1;
    switch (byte) {
      case '"':
        into += "\\\"";
        break;
      case '\\':
        into += "\\\\";
        break;
      case '\b':
        into += "\\b";
        break;
      case '\f':
        into += "\\f";
        break;
      case '\n':
        into += "\\n";
        break;
      case '\r':
        into += "\\r";
        break;
      case '\t':
        into += "\\t";
        break;
      default:
        into += "\\u00";
        into += kHex[byte >> 4];
        into += kHex[byte & 15U];
    }
  }
  into.append(text, plain);
}

}  // namespace

void append_line(const Frame& frame, std::string& text) {
  fmt::format_to(std::back_inserter(text), "{{\"t_ns\":{},\"conn\":\"", frame.t_ns);
  append_escaped(frame.conn, text);
  text += "\",\"dir\":\"";
  text += to_string(frame.dir);
  if (frame.binary) {
    text += "\",\"data_b64\":\"";
    venues::append_base64(frame.data, text);
  } else {
    text += "\",\"data\":\"";
    append_escaped(frame.data, text);
  }
  text += "\"}\n";
}

struct RecordingWriter::State {
  std::string path;
  std::unique_ptr<std::FILE, FileCloser> file;
  std::unique_ptr<ZSTD_CCtx, ContextFree> context;  // null: plain text
  std::vector<char> compressed;
  std::string line;
  std::uint64_t frames = 0;
  std::uint64_t payload_bytes = 0;

  [[nodiscard]] Error error(std::string_view what, int cause) const {
    return Error{fmt::format("write recording {}: {}", path, what), cause};
  }

  Expected<void> put(const char* bytes, std::size_t size) {
    if (std::fwrite(bytes, 1, size, file.get()) == size) return {};
    const int cause = errno;
    return tl::unexpected(error(std::strerror(cause), cause));
  }

  Expected<void> compress(std::string_view text, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{compressed.data(), compressed.size(), 0};
      const std::size_t left = ZSTD_compressStream2(context.get(), &out, &in, directive);
      if (ZSTD_isError(left) != 0) return tl::unexpected(error(ZSTD_getErrorName(left), 0));
      if (auto done = put(compressed.data(), out.pos); !done) return done;
      const bool finished = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
      if (finished) return {};
    }
  }

  Expected<void> finish() {
    if (!file) return {};
    auto result = context ? compress({}, ZSTD_e_end) : Expected<void>{};
    std::FILE* open_file = file.release();
    if (std::fclose(open_file) != 0 && result) {
      const int cause = errno;
      result = tl::unexpected(error(std::strerror(cause), cause));
    }
    return result;
  }
};

RecordingWriter::RecordingWriter(std::unique_ptr<State> state) noexcept
    : state_(std::move(state)) {}
RecordingWriter::RecordingWriter(RecordingWriter&&) noexcept = default;
RecordingWriter& RecordingWriter::operator=(RecordingWriter&&) noexcept = default;
RecordingWriter::~RecordingWriter() {
  if (state_) static_cast<void>(state_->finish());
}

Expected<RecordingWriter> RecordingWriter::create(const std::filesystem::path& path,
                                                  const WriterOptions& options) {
  auto state = std::make_unique<State>();
  state->path = path.string();
  state->file.reset(std::fopen(path.c_str(), "wbe"));
  if (!state->file) {
    const int cause = errno;
    return tl::unexpected(state->error(std::strerror(cause), cause));
  }
  if (path.extension() == ".zst") {
    state->context.reset(ZSTD_createCCtx());
    if (!state->context) return tl::unexpected(state->error("no memory for zstd", ENOMEM));
    for (const auto& [parameter, value] :
         {std::pair{ZSTD_c_compressionLevel, options.zstd_level},
          std::pair{ZSTD_c_windowLog, options.window_log}, std::pair{ZSTD_c_checksumFlag, 1}}) {
      const std::size_t status = ZSTD_CCtx_setParameter(state->context.get(), parameter, value);
      if (ZSTD_isError(status) != 0) {
        return tl::unexpected(state->error(ZSTD_getErrorName(status), EINVAL));
      }
    }
    state->compressed.resize(ZSTD_CStreamOutSize());
  }
  return RecordingWriter(std::move(state));
}

Expected<void> RecordingWriter::write(const Frame& frame) {
  if (!state_->file) return tl::unexpected(state_->error("the file is closed already", 0));
  if (!simdjson::validate_utf8(frame.conn)) {
    return tl::unexpected(state_->error("\"conn\" is not valid UTF-8", 0));
  }
  if (!frame.binary && !simdjson::validate_utf8(frame.data)) {
    return tl::unexpected(
        state_->error("a text message is not valid UTF-8; mark it binary to keep its bytes", 0));
  }
  state_->line.clear();
  append_line(frame, state_->line);
  auto done = state_->context ? state_->compress(state_->line, ZSTD_e_continue)
                              : state_->put(state_->line.data(), state_->line.size());
  if (!done) return done;
  ++state_->frames;
  state_->payload_bytes += frame.data.size();
  return {};
}

Expected<void> RecordingWriter::close() { return state_->finish(); }

std::uint64_t RecordingWriter::frames() const noexcept { return state_->frames; }
std::uint64_t RecordingWriter::payload_bytes() const noexcept { return state_->payload_bytes; }

}  // namespace feedbench::recording
