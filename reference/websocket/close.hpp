#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "reference/websocket/utf8.hpp"

/// How a WebSocket connection ends: close codes, what each fault of the peer is answered with, the
/// Close payload.
namespace feedbench::websocket {

/// Close codes of RFC 6455 §7.4.1 and the IANA registry. Applications add their own from 3000 to
/// 4999.
enum class CloseCode : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  unsupported_data = 1003,
  no_status = 1005,  ///< Never on the wire: the peer's Close had no payload.
  abnormal = 1006,   ///< Never on the wire: the connection ended without a Close.
  invalid_payload = 1007,
  policy_violation = 1008,
  too_big = 1009,
  extension_required = 1010,
  internal_error = 1011,
  service_restart = 1012,
  try_again_later = 1013,
  bad_gateway = 1014,
};

/// True for a code that may stand in a Close frame: 1000-1003, 1007-1014, 3000-4999.
constexpr bool close_code_valid(std::uint16_t code) noexcept {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

/// What a peer did wrong. `none` is zero, so that a result can be tested like a boolean.
enum class Fault : std::uint8_t {
  none = 0,
  reserved_bits,
  reserved_opcode,
  fragmented_control,
  control_too_long,
  length_not_minimal,
  length_top_bit,
  masked_by_server,
  unmasked_by_client,
  nothing_to_continue,
  message_unfinished,
  message_too_big,
  too_many_fragments,
  invalid_utf8,
  close_one_byte,
  close_code_invalid,
  close_reason_not_utf8,
};

/// The close code that answers a fault (RFC 6455 §7.4.1).
constexpr CloseCode close_code_of(Fault fault) noexcept {
  switch (fault) {
    case Fault::none:
      return CloseCode::normal;
    case Fault::message_too_big:
      return CloseCode::too_big;
    case Fault::too_many_fragments:
      return CloseCode::policy_violation;
    case Fault::invalid_utf8:
    case Fault::close_reason_not_utf8:
      return CloseCode::invalid_payload;
    default:
      return CloseCode::protocol_error;
  }
}

/// One short sentence, ASCII, fit for the reason of a Close frame and for a log line.
constexpr std::string_view text_of(Fault fault) noexcept {
  switch (fault) {
    case Fault::none:
      return "no fault";
    case Fault::reserved_bits:
      return "reserved bits set without an extension";
    case Fault::reserved_opcode:
      return "reserved opcode";
    case Fault::fragmented_control:
      return "control frame in fragments";
    case Fault::control_too_long:
      return "control frame longer than 125 bytes";
    case Fault::length_not_minimal:
      return "payload length not in its shortest form";
    case Fault::length_top_bit:
      return "top bit of a 64-bit payload length set";
    case Fault::masked_by_server:
      return "masked frame from a server";
    case Fault::unmasked_by_client:
      return "unmasked frame from a client";
    case Fault::nothing_to_continue:
      return "continuation without a message to continue";
    case Fault::message_unfinished:
      return "new message before the last one was finished";
    case Fault::message_too_big:
      return "message exceeds the size limit";
    case Fault::too_many_fragments:
      return "message has too many fragments";
    case Fault::invalid_utf8:
      return "text is not valid UTF-8";
    case Fault::close_one_byte:
      return "close payload of one byte";
    case Fault::close_code_invalid:
      return "close code not allowed on the wire";
    case Fault::close_reason_not_utf8:
      return "close reason is not valid UTF-8";
  }
  return "unknown fault";
}

inline constexpr std::size_t kControlPayloadBytesMax = 125;  ///< RFC 6455 §5.5.
inline constexpr std::size_t kCloseReasonBytesMax = 123;

/// What the peer's Close frame said.
struct CloseStatus {
  std::uint16_t code =
      static_cast<std::uint16_t>(CloseCode::no_status);  ///< 1005: it said nothing.
  std::string_view reason;                               ///< UTF-8; points into the payload.
  Fault fault = Fault::none;  ///< Not none: the Close frame itself is malformed.
};

/// Reads the payload of a Close frame.
/// payload: [0..125] bytes, unmasked; must outlive the returned reason.
/// errors: `fault` of the result; code and reason are then not to be trusted. thread: any. source:
/// RFC 6455 §5.5.1.
inline CloseStatus parse_close_payload(std::span<const std::byte> payload) noexcept {
  CloseStatus status;
  if (payload.empty()) return status;
  if (payload.size() == 1) {
    status.fault = Fault::close_one_byte;
    return status;
  }
  status.code = static_cast<std::uint16_t>((std::to_integer<unsigned>(payload[0]) << 8U) |
                                           std::to_integer<unsigned>(payload[1]));
  if (!close_code_valid(status.code)) {
    status.fault = Fault::close_code_invalid;
    return status;
  }
  const auto reason = payload.subspan(2);
  if (!utf8_valid(reason)) {
    status.fault = Fault::close_reason_not_utf8;
    return status;
  }
  if (!reason.empty()) {
    status.reason = {reinterpret_cast<const char*>(reason.data()), reason.size()};
  }
  return status;
}

/// A Close payload, ready to be framed.
struct ClosePayload {
  std::array<std::byte, kControlPayloadBytesMax> bytes{};
  std::size_t size = 0;
  [[nodiscard]] std::span<const std::byte> span() const noexcept { return {bytes.data(), size}; }
};

/// Builds a Close payload: code and reason. A reason longer than 123 bytes is cut at a character
/// boundary; no_status gives the empty payload. reason: UTF-8. thread: any.
inline ClosePayload make_close_payload(CloseCode code, std::string_view reason = {}) noexcept {
  ClosePayload payload;
  if (code == CloseCode::no_status) return payload;
  const auto value = static_cast<unsigned>(code);
  payload.bytes[0] = static_cast<std::byte>(value >> 8U);
  payload.bytes[1] = static_cast<std::byte>(value & 0xFFU);
  std::size_t length = std::min(reason.size(), kCloseReasonBytesMax);
  if (length < reason.size()) {
    while (length > 0 && (static_cast<unsigned char>(reason[length]) & 0xC0U) == 0x80U) --length;
  }
  if (length > 0) std::memcpy(payload.bytes.data() + 2, reason.data(), length);
  payload.size = 2 + length;
  return payload;
}

}  // namespace feedbench::websocket
