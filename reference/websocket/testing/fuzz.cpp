#include "reference/websocket/testing/fuzz.hpp"

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "reference/websocket/frame_scanner.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "reference/websocket/testing/frames.hpp"
#include "reference/websocket/url.hpp"

namespace feedbench::websocket::testing {
namespace {

constexpr ParserLimits kLimits{
    .message_bytes_max = 1U << 16U, .fragments_max = 64, .assembly_keep_bytes = 100};

/// Cuts a stream into pieces whose sizes follow from one byte.
class Cutter {
 public:
  explicit Cutter(std::uint8_t choice) : state_(choice * 2654435761U + 1) {}
  std::size_t next(std::size_t left) {
    state_ = state_ * 1664525U + 1013904223U;
    const std::size_t piece =
        (state_ >> 24U) % 4 == 0 ? 1 + (state_ >> 8U) % 3000 : 1 + (state_ >> 16U) % 9;
    return std::min(piece, left);
  }

 private:
  std::uint32_t state_;
};

/// All that a parser reported, in a form that can be compared. Parts are joined into messages.
struct Recorder {
  std::vector<std::string> events;
  std::string joined;
  void on_message(Opcode opcode, std::span<const std::byte> payload) {
    events.push_back((opcode == Opcode::text ? "T:" : "B:") + to_string(payload));
  }
  void on_message_part(Opcode opcode, std::span<const std::byte> part, bool last) {
    joined += to_string(part);
    if (last) events.push_back((opcode == Opcode::text ? "T:" : "B:") + std::exchange(joined, {}));
  }
  void on_ping(std::span<const std::byte> payload) {
    events.push_back("ping:" + to_string(payload));
  }
  void on_pong(std::span<const std::byte> payload) {
    events.push_back("pong:" + to_string(payload));
  }
  void on_close(const CloseStatus& status) {
    events.push_back("close:" + std::to_string(status.code) + ":" + std::string(status.reason));
  }
};

struct Parsed {
  ParseResult result;
  std::vector<std::string> events;
  std::uint64_t messages = 0;
};

template <Role kRole, Delivery kDelivery>
Parsed parse(const Bytes& stream, Cutter* cutter) {
  MessageParser<kRole, kDelivery> parser(kLimits);
  Recorder recorder;
  std::size_t at = 0;
  while (at < stream.size()) {
    const std::size_t piece = cutter == nullptr ? stream.size() : cutter->next(stream.size() - at);
    // A buffer of exactly this size, so that a byte read or written beyond it is seen.
    Bytes exact(stream.begin() + static_cast<std::ptrdiff_t>(at),
                stream.begin() + static_cast<std::ptrdiff_t>(at + piece));
    parser.feed(exact, recorder);
    at += piece;
  }
  return {parser.result(), std::move(recorder.events), parser.counters().messages};
}

bool same_end(const Parsed& a, const Parsed& b) {
  return a.result.status == b.result.status && a.result.fault == b.result.fault;
}

template <Role kRole>
std::string check_parser(const Bytes& stream, std::uint8_t cut) {
  const Parsed whole = parse<kRole, Delivery::whole>(stream, nullptr);
  Cutter first(cut);
  const Parsed pieces = parse<kRole, Delivery::whole>(stream, &first);
  if (!same_end(whole, pieces) || whole.events != pieces.events)
    return "the parser's report depends on how the stream is cut";
  Cutter second(cut);
  const Parsed parts = parse<kRole, Delivery::parts>(stream, &second);
  if (!same_end(whole, parts) || whole.events != parts.events)
    return "the parts of messages do not join to the messages";
  Cutter third(cut);
  const Parsed discarded = parse<kRole, Delivery::discard>(stream, &third);
  if (!same_end(whole, discarded) || whole.messages != discarded.messages)
    return "discarding changes the verdict";
  for (const std::string& event : whole.events) {
    if (event.starts_with("T:") && !utf8_valid(as_bytes(event).subspan(2)))
      return "text that is not UTF-8 was handed out";
  }
  return {};
}

/// The scanner must see the frames that the parser sees, and the same faults, Close payloads aside.
std::string check_scanner(const Bytes& stream) {
  FrameScanner scanner({.message_bytes_max = kLimits.message_bytes_max,
                        .fragments_max = kLimits.fragments_max,
                        .validate_utf8 = true});
  const Parsed parsed = parse<Role::client, Delivery::whole>(stream, nullptr);
  std::span<const std::byte> rest = stream;
  while (true) {
    const ScanResult result = scanner.scan(rest);
    if (result.status == ScanStatus::error) {
      return result.fault == parsed.result.fault ? std::string()
                                                 : "scanner and parser name different faults";
    }
    if (result.status == ScanStatus::need_more) {
      const bool text_failed_early = parsed.result.fault == Fault::invalid_utf8;
      return parsed.result.status == ParseStatus::open || text_failed_early
                 ? std::string()
                 : "the scanner misses a fault";
    }
    if (result.opcode == Opcode::close) {
      return parsed.result.status != ParseStatus::open ? std::string()
                                                       : "the parser misses a Close";
    }
    if (result.frame_bytes() > rest.size()) return "the scanner reports a frame beyond its input";
    rest = rest.subspan(static_cast<std::size_t>(result.frame_bytes()));
  }
}

std::string check_utf8(const Bytes& text, std::uint8_t cut) {
  Cutter cutter(cut);
  Utf8Validator validator;
  bool open = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t piece = cutter.next(text.size() - at);
    open = validator.feed(std::span(text).subspan(at, piece));
    at += piece;
  }
  return (open && validator.complete()) == utf8_valid(text)
             ? std::string()
             : "UTF-8 depends on how the text is cut";
}

template <class Handshake>
std::pair<HandshakeStatus, std::size_t> shake(Handshake& handshake, const Bytes& stream,
                                              Cutter* cutter) {
  std::size_t at = 0;
  while (at < stream.size()) {
    const std::size_t piece = cutter == nullptr ? stream.size() : cutter->next(stream.size() - at);
    const HandshakeStep step = handshake.feed(std::span(stream).subspan(at, piece));
    if (step.status != HandshakeStatus::need_more) return {step.status, at + step.consumed_bytes};
    at += piece;
  }
  return {HandshakeStatus::need_more, at};
}

std::string check_handshakes(const Bytes& stream, std::uint8_t cut) {
  ServerHandshake whole({.subprotocols = {"x"}, .head_bytes_max = 600});
  ServerHandshake pieces({.subprotocols = {"x"}, .head_bytes_max = 600});
  Cutter cutter(cut);
  const auto expected = shake(whole, stream, nullptr);
  const auto actual = shake(pieces, stream, &cutter);
  if (expected.first != actual.first) return "the server handshake depends on how the head is cut";
  if (expected.first == HandshakeStatus::done) {
    if (expected.second != actual.second)
      return "the server handshake takes more or less than its head";
    if (whole.accept() != pieces.accept() || whole.request().target != pieces.request().target)
      return "two answers to one request";
  }
  auto client = ClientHandshake::create({.host = "fuzz.example", .subprotocols = {"x"}});
  if (!client) return "a plain client handshake was refused";
  auto same = *client;
  Cutter again(cut);
  if (shake(*client, stream, nullptr).first != shake(same, stream, &again).first)
    return "the client handshake depends on how the head is cut";
  if (const auto url = parse_url(as_text(stream)); url) {
    const std::string round = (url->tls ? "wss://" : "ws://") + url->host_header() + url->target;
    const auto again_url = parse_url(round);
    if (!again_url || again_url->host != url->host || again_url->port != url->port ||
        again_url->target != url->target)
      return "a URL does not survive being written";
  }
  return {};
}

}  // namespace

std::string fuzz_one(std::span<const std::uint8_t> input) {
  if (input.size() < 2) return {};
  const std::uint8_t what = input[0] % 4;
  const std::uint8_t cut = input[1];
  Bytes stream;
  for (const std::uint8_t value : input.subspan(2)) stream.push_back(static_cast<std::byte>(value));
  if (what == 0) return check_handshakes(stream, cut);
  if (what == 1) return check_parser<Role::server>(stream, cut);
  std::string broken = check_parser<Role::client>(stream, cut);
  if (broken.empty()) broken = check_scanner(stream);
  if (broken.empty()) broken = check_utf8(stream, cut);
  return broken;
}

std::string make_fuzz_input(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto below = [&random](std::uint64_t limit) {
    return static_cast<unsigned>(random() % limit);
  };
  std::string input{static_cast<char>(below(4)), static_cast<char>(below(256))};
  std::string stream;
  if (input[0] == 0) {
    stream = below(2) == 0
                 ? "GET /path HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, "
                   "Upgrade\r\n"
                   "Sec-WebSocket-Key: AAECAwQFBgcICQoLDA0ODw==\r\nSec-WebSocket-Version: 13\r\n"
                   "Sec-WebSocket-Protocol: y, x\r\n\r\n"
                 : "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                   "Upgrade\r\n\r\n";
    if (below(8) == 0) stream = "wss://host.example:9443/stream?streams=a/b";
  } else {
    bool in_message = false;
    for (unsigned i = 1 + below(12); i > 0; --i) {
      RawFrame frame;
      frame.payload.assign(below(8) == 0 ? below(3000) : below(40), 'a');
      for (char& c : frame.payload) c = static_cast<char>(' ' + below(95));
      if (below(4) == 0) frame.payload += "\xE2\x82\xAC";
      if (below(5) == 0) {
        frame.opcode = 8 + below(3);
        frame.payload.resize(std::min<std::size_t>(frame.payload.size(), 125));
        if (frame.opcode == 8)
          frame.payload = std::string("\x03") + static_cast<char>(0xE8 + below(20)) +
                          frame.payload.substr(0, 20);
      } else {
        frame.opcode = in_message ? 0 : 1 + below(2);
        frame.fin = below(2) == 0;
        in_message = !frame.fin;
      }
      stream += to_string(encode(frame, input[0] == 1, static_cast<MaskKey>(random())));
    }
  }
  for (unsigned damage = below(4); damage > 0 && !stream.empty(); --damage) {
    const std::size_t at = below(stream.size());
    const unsigned kind = below(3);
    if (kind == 0) stream[at] = static_cast<char>(random());
    if (kind == 1) stream.erase(at, 1 + below(4));
    if (kind == 2) stream.insert(at, 1 + below(3), static_cast<char>(random()));
  }
  return input + stream;
}

}  // namespace feedbench::websocket::testing
