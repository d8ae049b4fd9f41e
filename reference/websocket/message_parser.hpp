#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "reference/websocket/close.hpp"
#include "reference/websocket/frame_header.hpp"
#include "reference/websocket/mask.hpp"
#include "reference/websocket/utf8.hpp"

/// Messages out of a byte stream that arrives in any pieces: fragmentation, control frames in
/// between, all checks.
namespace feedbench::websocket {

/// What becomes of the payload of data messages.
enum class Delivery : std::uint8_t {
  /// sink.on_message(opcode, payload), once a message; assembled only when it does not lie whole in
  /// one feed.
  whole,
  /// sink.on_message_part(opcode, part, last), as it arrives. Nothing is stored.
  parts,
  /// Validated and counted, never stored or handed out: for peers that have nothing to say.
  discard,
};

/// Shared by all parsers of one kind; must outlive them.
struct ParserLimits {
  /// A larger message fails with 1009, when its header is seen.
  std::uint64_t message_bytes_max = 16U << 20U;
  /// A message of more fragments fails with 1008.
  std::uint32_t fragments_max = 1U << 17U;
  /// Assembly memory above this is given back after each message.
  std::size_t assembly_keep_bytes = 64U << 10U;
};
inline constexpr ParserLimits kDefaultParserLimits{};

enum class ParseStatus : std::uint8_t {
  open,     ///< All bytes were taken; feed more when there is more.
  closed,   ///< The peer's Close was handed to the sink; whatever follows it is ignored.
  failed,   ///< The peer broke the protocol: send Close (close_code(), text()) and drop it.
  stopped,  ///< stop() was called.
};

struct ParseResult {
  ParseStatus status = ParseStatus::open;
  Fault fault = Fault::none;
  [[nodiscard]] CloseCode close_code() const noexcept { return close_code_of(fault); }
  [[nodiscard]] std::string_view text() const noexcept { return text_of(fault); }
};

/// Caller-visible counts since construction: a flood of control frames or of empty messages shows
/// here.
struct ParserCounters {
  std::uint64_t messages = 0;
  std::uint32_t control_frames = 0;  ///< Pings, pongs and the Close; wraps.
};

/// kRole: which end *we* are. A server unmasks in place and refuses unmasked frames; a client
/// refuses masked ones.
/// Sink: on_ping(span<const byte>), on_pong(span<const byte>), on_close(const CloseStatus&), and
/// on_message or on_message_part as Delivery says. Spans and reasons are valid for the call alone.
/// A sink must not destroy the parser; it may stop() it.
/// Memory: 184 bytes inline, 208 for `whole`, which allocates for messages that span feeds.
/// thread: one at a time.
template <Role kRole, Delivery kDelivery = Delivery::whole>
class MessageParser {
 public:
  /// What feed() takes: a server writes into it (unmasking), a client only reads.
  using Bytes = std::span<std::conditional_t<kRole == Role::server, std::byte, const std::byte>>;

  explicit MessageParser(const ParserLimits& limits = kDefaultParserLimits) noexcept
      : limits_(&limits) {}
  explicit MessageParser(const ParserLimits&&) = delete;  // limits must outlive the parser

  /// bytes: [n] the next of the stream, n >= 0, cut anywhere; a server's are unmasked in place.
  /// returns what became of the connection; after anything but open, later calls do nothing and say
  /// the same. Text that cannot become valid UTF-8 fails at the feed that shows it, also in the
  /// middle of a frame.
  /// Cost: a few ns a frame, unmasking, UTF-8. source: RFC 6455 §5, §8.1.
  template <class Sink>
  ParseResult feed(Bytes bytes, Sink& sink) {
    while (status_ == ParseStatus::open) {
      if (!in_payload_) {
        if (bytes.empty()) break;
        if (!take_header(bytes)) continue;
      }
      if (!take_payload(bytes, sink)) break;
    }
    return {status_, fault_};
  }

  /// Ends parsing: callable from inside a sink's callback, for example when a peer floods. feed()
  /// returns stopped.
  void stop() noexcept {
    if (status_ == ParseStatus::open) status_ = ParseStatus::stopped;
  }

  [[nodiscard]] ParseResult result() const noexcept { return {status_, fault_}; }
  [[nodiscard]] const ParserCounters& counters() const noexcept { return counters_; }
  /// True at a boundary: no header, frame or message is unfinished. An EOF here cuts nothing.
  [[nodiscard]] bool at_boundary() const noexcept {
    return !in_payload_ && stash_bytes_ == 0 && !in_message_;
  }

 private:
  static constexpr MaskRule kMaskRule =
      kRole == Role::server ? MaskRule::required : MaskRule::forbidden;

  void fail(Fault fault) noexcept {
    status_ = ParseStatus::failed;
    fault_ = fault;
  }

  /// returns true when a header is complete and the payload may begin; false: all bytes taken, or
  /// failed.
  bool take_header(Bytes& bytes) noexcept {
    HeaderResult decoded;
    if (stash_bytes_ == 0) {
      decoded = decode_header(bytes, kMaskRule);
      if (decoded.status == HeaderStatus::complete)
        bytes = bytes.subspan(decoded.header.header_bytes);
    } else {
      decoded = decode_header({stash_.data(), stash_bytes_}, kMaskRule);
    }
    while (decoded.status == HeaderStatus::need_more) {
      // The stash holds every byte of the header seen so far; only as many are added as are surely
      // needed.
      const std::size_t count = std::min<std::size_t>(
          bytes.size(), stash_bytes_ == 0 ? bytes.size() : decoded.missing_bytes);
      if (count == 0) return false;
      std::memcpy(stash_.data() + stash_bytes_, bytes.data(), count);
      stash_bytes_ = static_cast<std::uint8_t>(stash_bytes_ + count);
      bytes = bytes.subspan(count);
      decoded = decode_header({stash_.data(), stash_bytes_}, kMaskRule);
      if (bytes.empty() && decoded.status == HeaderStatus::need_more) return false;
    }
    stash_bytes_ = 0;
    if (decoded.status == HeaderStatus::error) {
      fail(decoded.fault);
      return false;
    }
    return begin_frame(decoded.header);
  }

  bool begin_frame(const FrameHeader& header) noexcept {
    if (!is_control(header.opcode)) {
      const bool continues = header.opcode == Opcode::continuation;
      if (continues != in_message_) {
        fail(continues ? Fault::nothing_to_continue : Fault::message_unfinished);
        return false;
      }
      if (!continues) {
        message_opcode_ = header.opcode;
        message_bytes_ = 0;
        fragments_ = 0;
        utf8_.reset();
      }
      if (header.payload_bytes > limits_->message_bytes_max ||
          message_bytes_ > limits_->message_bytes_max - header.payload_bytes) {
        fail(Fault::message_too_big);
        return false;
      }
      if (fragments_ >= limits_->fragments_max) {
        fail(Fault::too_many_fragments);
        return false;
      }
      message_bytes_ += header.payload_bytes;
      ++fragments_;
      in_message_ = true;
    }
    frame_opcode_ = header.opcode;
    frame_fin_ = header.fin;
    remaining_bytes_ = header.payload_bytes;
    mask_key_ = header.mask_key;
    in_payload_ = true;
    return true;
  }

  /// returns false when more bytes are needed.
  template <class Sink>
  bool take_payload(Bytes& bytes, Sink& sink) {
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), remaining_bytes_));
    const Bytes part = bytes.first(count);
    bytes = bytes.subspan(count);
    if constexpr (kRole == Role::server) {
      apply_mask(part, mask_key_);
      mask_key_ = advance_key(mask_key_, count);
    }
    remaining_bytes_ -= count;
    const bool frame_done = remaining_bytes_ == 0;
    if (frame_done) in_payload_ = false;
    if (is_control(frame_opcode_)) {
      take_control(part, frame_done, sink);
    } else {
      take_data(part, frame_done, sink);
    }
    return frame_done;
  }

  template <class Sink>
  void take_control(Bytes part, bool frame_done, Sink& sink) {
    std::span<const std::byte> payload = part;
    if (!frame_done || stash_bytes_ != 0) {
      if (!part.empty()) std::memcpy(stash_.data() + stash_bytes_, part.data(), part.size());
      stash_bytes_ = static_cast<std::uint8_t>(stash_bytes_ + part.size());
      if (!frame_done) return;
      payload = {stash_.data(), stash_bytes_};
      stash_bytes_ = 0;
    }
    ++counters_.control_frames;
    if (frame_opcode_ == Opcode::ping) {
      sink.on_ping(payload);
    } else if (frame_opcode_ == Opcode::pong) {
      sink.on_pong(payload);
    } else {
      const CloseStatus close = parse_close_payload(payload);
      if (close.fault != Fault::none) return fail(close.fault);
      if (status_ == ParseStatus::open) status_ = ParseStatus::closed;
      sink.on_close(close);
    }
  }

  template <class Sink>
  void take_data(Bytes part, bool frame_done, Sink& sink) {
    const bool message_done = frame_done && frame_fin_;
    if (message_opcode_ == Opcode::text) {
      if (!utf8_.feed(part) || (message_done && !utf8_.complete()))
        return fail(Fault::invalid_utf8);
    }
    if (message_done) {
      in_message_ = false;
      ++counters_.messages;
    }
    if constexpr (kDelivery == Delivery::parts) {
      if (message_done || !part.empty()) sink.on_message_part(message_opcode_, part, message_done);
    } else if constexpr (kDelivery == Delivery::whole) {
      if (message_done && assembly_.empty())
        return sink.on_message(message_opcode_, std::span<const std::byte>(part));
      assembly_.insert(assembly_.end(), part.begin(), part.end());
      if (!message_done) return;
      sink.on_message(message_opcode_, std::span<const std::byte>(assembly_));
      assembly_.clear();
      if (assembly_.capacity() > limits_->assembly_keep_bytes) assembly_.shrink_to_fit();
    }
  }

  struct Nothing {};

  const ParserLimits* limits_;
  std::uint64_t remaining_bytes_ = 0;  // of the current frame's payload
  std::uint64_t message_bytes_ = 0;    // declared by the frames of the current message so far
  ParserCounters counters_;
  [[no_unique_address]] std::conditional_t<kDelivery == Delivery::whole, std::vector<std::byte>,
                                           Nothing>
      assembly_;
  MaskKey mask_key_ = 0;  // already turned to the next payload byte
  std::uint32_t fragments_ = 0;
  ParseStatus status_ = ParseStatus::open;
  Fault fault_ = Fault::none;
  Opcode frame_opcode_ = Opcode::continuation;
  Opcode message_opcode_ = Opcode::continuation;
  bool frame_fin_ = false;
  bool in_payload_ = false;
  bool in_message_ = false;
  Utf8Validator utf8_;
  std::uint8_t stash_bytes_ = 0;
  // A header cut by the end of a feed, or the payload of a control frame cut by it: never both at
  // once.
  std::array<std::byte, kControlPayloadBytesMax> stash_;
};

static_assert(sizeof(MessageParser<Role::server, Delivery::whole>) <= 208);
static_assert(sizeof(MessageParser<Role::server, Delivery::discard>) <= 184);

}  // namespace feedbench::websocket
