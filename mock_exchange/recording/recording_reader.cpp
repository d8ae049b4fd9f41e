#include "mock_exchange/recording/recording_reader.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <optional>

#include "mock_exchange/recording/line_reader.hpp"
#include "reference/venues/base64.hpp"

namespace feedbench::recording {

namespace dom = simdjson::dom;
static_assert(LineReader::kPaddingBytes >= simdjson::SIMDJSON_PADDING);

namespace {

std::string_view kind_of(const dom::element& value) {
  switch (value.type()) {
    case dom::element_type::ARRAY:
      return "an array";
    case dom::element_type::OBJECT:
      return "an object";
    case dom::element_type::INT64:
    case dom::element_type::UINT64:
      return "an integer";
    case dom::element_type::DOUBLE:
      return "a fraction";
    case dom::element_type::STRING:
      return "a string";
    case dom::element_type::BOOL:
      return "true or false";
    case dom::element_type::NULL_VALUE:
      return "null";
  }
  return "something else";
}

/// What is wrong with a line, or nothing.
using Fault = std::optional<std::string>;

Fault read_string(std::string_view key, const dom::element& value, std::string_view& text) {
  if (value.get(text) == simdjson::SUCCESS) return std::nullopt;
  return fmt::format("\"{}\" must be a string, found {}", key, kind_of(value));
}

/// The keys seen so far in one line.
struct Seen {
  bool t_ns = false, conn = false, dir = false, data = false, data_b64 = false;
};

Fault take_time(const dom::element& value, Frame& frame) {
  if (value.get(frame.t_ns) == simdjson::SUCCESS) return std::nullopt;
  return fmt::format(
      "\"t_ns\" must be an integer of 64 bits (nanoseconds since the epoch), found {}",
      kind_of(value));
}

Fault take_direction(const dom::element& value, Frame& frame) {
  std::string_view text;
  if (Fault fault = read_string("dir", value, text)) return fault;
  if (text == "rx") {
    frame.dir = Direction::rx;
  } else if (text == "tx") {
    frame.dir = Direction::tx;
  } else {
    return fmt::format("\"dir\" must be \"rx\" or \"tx\", found \"{}\"", text);
  }
  return std::nullopt;
}

Fault take_text(std::string_view key, const dom::element& value, std::string& into) {
  std::string_view text;
  if (Fault fault = read_string(key, value, text)) return fault;
  into.assign(text);
  return std::nullopt;
}

Fault take_base64(const dom::element& value, Frame& frame) {
  std::string_view text;
  if (Fault fault = read_string("data_b64", value, text)) return fault;
  if (!venues::decode_base64(text, frame.data)) return "\"data_b64\" is not valid base64";
  return std::nullopt;
}

Fault take_field(std::string_view key, const dom::element& value, Frame& frame, Seen& seen) {
  const auto once = [&](bool& flag) { return !std::exchange(flag, true); };
  const auto twice = [&]() -> Fault { return fmt::format("\"{}\" stands there twice", key); };
  if (key == "t_ns") return once(seen.t_ns) ? take_time(value, frame) : twice();
  if (key == "conn") return once(seen.conn) ? take_text(key, value, frame.conn) : twice();
  if (key == "dir") return once(seen.dir) ? take_direction(value, frame) : twice();
  if (key == "data") return once(seen.data) ? take_text(key, value, frame.data) : twice();
  if (key == "data_b64") return once(seen.data_b64) ? take_base64(value, frame) : twice();
  return std::nullopt;
}

Fault take_object(const dom::object& object, Frame& frame) {
  Seen seen;
  for (const dom::key_value_pair field : object) {
    if (Fault fault = take_field(field.key, field.value, frame, seen)) return fault;
  }
  if (!seen.t_ns) return "\"t_ns\" is missing";
  if (!seen.conn) return "\"conn\" is missing";
  if (!seen.dir) return "\"dir\" is missing";
  if (seen.data == seen.data_b64) {
    return seen.data ? "\"data\" and \"data_b64\" stand side by side; a message has one payload"
                     : "\"data\" (or \"data_b64\") is missing";
  }
  frame.binary = seen.data_b64;
  return std::nullopt;
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

struct RecordingReader::State {
  LineReader lines;
  dom::parser parser;
};

RecordingReader::RecordingReader(std::unique_ptr<State> state) noexcept
    : state_(std::move(state)) {}
RecordingReader::RecordingReader(RecordingReader&&) noexcept = default;
RecordingReader& RecordingReader::operator=(RecordingReader&&) noexcept = default;
RecordingReader::~RecordingReader() = default;

Expected<RecordingReader> RecordingReader::open(const std::filesystem::path& path) {
  auto lines = LineReader::open(path);
  if (!lines) return tl::unexpected(lines.error());
  return RecordingReader(
      std::make_unique<State>(State{std::move(*lines), dom::parser(kLineBytesMax)}));
}

Expected<bool> RecordingReader::next(Frame& frame) {
  for (;;) {
    auto line = state_->lines.next();
    if (!line) return tl::unexpected(line.error());
    if (line->end) return false;
    if (is_blank(line->text)) continue;
    const auto fail = [&](std::string_view what) {
      return tl::unexpected(Error{fmt::format("recording {}, line {}: {}", state_->lines.path(),
                                              state_->lines.line_number(), what),
                                  0});
    };
    dom::element root;
    // The line reader leaves readable bytes behind every line, so nothing is copied for the parser.
    const auto status = state_->parser.parse(line->text.data(), line->text.size(), false).get(root);
    if (status != simdjson::SUCCESS) {
      if (!line->terminated) {
        return fail("the line is cut off: the file ends before it does; copy the file again");
      }
      return fail(fmt::format("not JSON ({})", simdjson::error_message(status)));
    }
    dom::object object;
    if (root.get(object) != simdjson::SUCCESS) {
      return fail(
          fmt::format("must be an object such as {{\"t_ns\":...}}, found {}", kind_of(root)));
    }
    if (const Fault fault = take_object(object, frame)) return fail(*fault);
    return true;
  }
}

std::uint64_t RecordingReader::line_number() const noexcept { return state_->lines.line_number(); }
std::uint64_t RecordingReader::bytes_taken() const noexcept { return state_->lines.bytes_taken(); }
std::uint64_t RecordingReader::file_bytes() const noexcept { return state_->lines.file_bytes(); }

}  // namespace feedbench::recording
