#include "mock_exchange/load_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mock_exchange/recording/recording_reader.hpp"
#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/binance_frame.hpp"
#include "reference/venues/binance_target.hpp"
#include "reference/venues/json_scan.hpp"

namespace feedbench::mock_exchange {

namespace json = venues::json_scan;
using transports::Error;
using transports::Expected;

namespace {

constexpr std::size_t kFramePayloadBytesMax = 64U << 20U;

/// The stream that a connection of one raw stream carries ("/ws/btcusdt@trade"), or empty.
std::string only_stream_of(const std::string& conn) {
  const std::size_t path = conn.find("/ws/");
  if (path == std::string::npos) return {};
  const auto target = venues::binance::parse_target(std::string_view(conn).substr(path));
  return target && target->streams.size() == 1 ? target->streams.front() : std::string{};
}

void add_binance(SessionBuilder& builder, const recording::Frame& frame) {
  const std::string_view text = frame.data;
  if (venues::binance::is_answer(text)) return;
  if (venues::binance::is_server_shutdown(text)) return builder.add(text, frame.t_ns, kNoTopic);
  std::string stream(venues::binance::stream_of_combined(text));
  if (stream.empty()) stream = only_stream_of(frame.conn);
  venues::binance::NameBuffer buffer;
  if (stream.empty()) stream = venues::binance::stream_of_raw(text, buffer);
  builder.add(text, frame.t_ns, builder.topic(stream), frame.binary);
}

/// "trades:AAPL" for {"T":"t","S":"AAPL",...}; empty for what has no channel.
std::string alpaca_topic(std::string_view object) {
  std::string_view type;
  std::string_view symbol;
  json::ObjectScanner scan(object, 0);
  for (json::Member member; (type.empty() || symbol.empty()) && scan.next(member);) {
    if (member.key == "T") type = json::string_of(member.value);
    if (member.key == "S") symbol = json::string_of(member.value);
  }
  const std::string_view channel = venues::alpaca::channel_of_type(type);
  if (channel.empty() || symbol.empty()) return {};
  return fmt::format("{}:{}", channel, symbol);
}

/// The elements of a JSON array; none if the text is no array.
std::vector<PreparedElement> elements_of(std::string_view text, SessionBuilder& builder) {
  std::vector<PreparedElement> elements;
  std::size_t at = json::skip_space(text, 0);
  if (at >= text.size() || text[at] != '[') return {};
  ++at;
  while (true) {
    at = json::skip_space(text, at);
    if (at < text.size() && text[at] == ']') return elements;
    const std::size_t end = at < text.size() ? json::skip_value(text, at) : json::kNone;
    if (end == json::kNone || end == at) return {};
    const std::string_view object = text.substr(at, end - at);
    elements.push_back({static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(end - at),
                        builder.topic(alpaca_topic(object))});
    at = json::skip_space(text, end);
    if (at < text.size() && text[at] == ',') ++at;
  }
}

/// Returns what is wrong with the frame, or null.
const char* add_alpaca(SessionBuilder& builder, const recording::Frame& frame) {
  const std::string_view text = frame.data;
  if (frame.binary) {
    builder.add(text, frame.t_ns, kNoTopic, true);
    return nullptr;
  }
  if (venues::alpaca::control_of(text).kind != venues::alpaca::ControlKind::none) return nullptr;
  const auto elements = elements_of(text, builder);
  if (elements.size() > UINT16_MAX) return "a frame of more than 65,535 elements";
  const bool of_one_topic = std::all_of(
      elements.begin(), elements.end(),
      [&](const PreparedElement& element) { return element.topic == elements.front().topic; });
  if (elements.empty() || of_one_topic) {
    const std::uint32_t topic = elements.empty() ? kNoTopic : elements.front().topic;
    builder.add(text, frame.t_ns, topic);
  } else {
    builder.add(text, frame.t_ns, elements);
  }
  return nullptr;
}

/// True for Alpaca's own messages, and for data of its channels: nothing that Binance sends.
bool is_plainly_alpaca(std::string_view text) {
  venues::alpaca::Message first;
  if (!venues::alpaca::MessageScanner(text).next(first)) return false;
  return !venues::alpaca::channel_of_type(first.type).empty() ||
         venues::alpaca::control_of(text).kind != venues::alpaca::ControlKind::none;
}

/// True for events and answers of Binance: nothing that Alpaca sends, whose frames are arrays of {"T":...}.
bool is_plainly_binance(const recording::Frame& frame) {
  const std::string_view text = frame.data;
  if (text.starts_with(R"([{"T":)")) return false;
  venues::binance::NameBuffer buffer;
  return !venues::binance::stream_of(text, buffer).empty() || venues::binance::is_answer(text) ||
         !only_stream_of(frame.conn).empty();
}

/// The venue whose frame this plainly is, if that is not the venue that was asked for.
std::optional<venues::Venue> other_venue_of(const recording::Frame& frame, venues::Venue venue) {
  if (frame.binary) return std::nullopt;
  const std::string_view text = frame.data;
  if (venue == venues::Venue::alpaca && is_plainly_binance(frame)) return venues::Venue::binance;
  if (venue == venues::Venue::binance && !venues::binance::is_combined(text) &&
      is_plainly_alpaca(text))
    return venues::Venue::alpaca;
  return std::nullopt;
}

/// Returns what is wrong with the frame, or null.
const char* add_frame(SessionBuilder& builder, const recording::Frame& frame, venues::Venue venue) {
  if (frame.data.size() > kFramePayloadBytesMax) return "a frame of more than 64 MiB";
  switch (venue) {
    case venues::Venue::binance:
      add_binance(builder, frame);
      break;
    case venues::Venue::alpaca:
      return add_alpaca(builder, frame);
    case venues::Venue::raw:
      builder.add(frame.data, frame.t_ns, kNoTopic, frame.binary);
      break;
  }
  return nullptr;
}

}  // namespace

Expected<std::shared_ptr<const PreparedSession>> load_session(const std::filesystem::path& path,
                                                              venues::Venue venue,
                                                              const LoadOptions& options) {
  auto reader = recording::RecordingReader::open(path);
  if (!reader) return tl::unexpected(reader.error());
  SessionBuilder builder;
  recording::Frame frame;
  std::uint64_t lines = 0;
  std::uint64_t of_others = 0;
  while (builder.frame_count() < options.frames_max) {
    const auto more = reader->next(frame);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    ++lines;
    if (!options.conn.empty() && frame.conn != options.conn) {
      ++of_others;
      continue;
    }
    if (frame.dir != recording::Direction::rx) continue;
    if (const auto other = other_venue_of(frame, venue)) {
      const std::string what_to_do =
          builder.frame_count() == 0
              ? fmt::format("say {}{}, or {}raw to replay its frames as they are",
                            options.venue_key, venues::to_string(*other), options.venue_key)
              : "the recording mixes venues: take one connection of it";
      return tl::unexpected(
          Error{fmt::format("{}: line {} is a frame of {}, and was to be replayed as {}{} ({})",
                            path.string(), reader->line_number(), venues::to_string(*other),
                            options.venue_key, venues::to_string(venue), what_to_do)});
    }
    if (const char* wrong = add_frame(builder, frame, venue)) {
      return tl::unexpected(Error{fmt::format("{}: line {}: {}, more than any venue sends",
                                              path.string(), reader->line_number(), wrong)});
    }
  }
  if (builder.frame_count() == 0) {
    std::string why =
        lines == 0 ? "it is empty" : "no line of it is a market-data frame that a venue sent";
    if (of_others == lines && lines > 0)
      why = fmt::format("no frame is of connection '{}'", options.conn);
    return tl::unexpected(Error{fmt::format("{}: nothing to replay: {}", path.string(), why)});
  }
  return builder.finish();
}

std::shared_ptr<const PreparedSession> in_binance_form(
    const std::shared_ptr<const PreparedSession>& session, bool combined) {
  const auto has_form = [&](std::size_t i) {
    const PreparedFrame& frame = session->frames()[i];
    if (venues::binance::is_combined(session->text(i))) return combined;
    return !combined || frame.topic == kNoTopic || frame.binary;
  };
  std::size_t first_other = 0;
  while (first_other < session->frame_count() && has_form(first_other)) ++first_other;
  if (first_other == session->frame_count()) return session;

  SessionBuilder builder;
  for (const std::string& name : session->topics()) builder.topic(name);
  std::string wrapped;
  for (std::size_t i = 0; i < session->frame_count(); ++i) {
    const PreparedFrame& frame = session->frames()[i];
    std::string_view text = session->text(i);
    if (!has_form(i) && combined) {
      wrapped = fmt::format(R"({{"stream":"{}","data":{}}})", session->topics()[frame.topic], text);
      text = wrapped;
    } else if (!has_form(i)) {
      const std::string_view data = venues::binance::data_of_combined(text);
      if (!data.empty()) text = data;  // a malformed envelope stays as it is
    }
    builder.add(text, frame.t_ns, frame.topic, frame.binary);
  }
  return builder.finish();
}

}  // namespace feedbench::mock_exchange
