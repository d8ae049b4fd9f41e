#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "reference/websocket/close.hpp"

/// The 2 to 14 bytes in front of every WebSocket frame: RFC 6455 §5.2.
namespace feedbench::websocket {

enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};
constexpr bool is_control(Opcode opcode) noexcept {
  return (static_cast<unsigned>(opcode) & 8U) != 0;
}

/// Which end of the connection *we* are. A client masks what it sends, a server must not.
enum class Role : std::uint8_t { client, server };

/// Four key bytes as they stand on the wire, loaded as a little-endian word: byte i masks payload
/// bytes i, i + 4, ...
using MaskKey = std::uint32_t;

inline constexpr std::size_t kHeaderBytesMax = 14;

struct FrameHeader {
  std::uint64_t payload_bytes = 0;
  MaskKey mask_key = 0;  ///< 0 when not masked.
  std::uint8_t header_bytes = 0;
  Opcode opcode = Opcode::continuation;
  std::uint8_t rsv = 0;  ///< RSV1 = 4, RSV2 = 2, RSV3 = 1; only bits that were allowed.
  bool fin = false;
  bool masked = false;

  /// Header and payload together.
  [[nodiscard]] constexpr std::uint64_t frame_bytes() const noexcept {
    return header_bytes + payload_bytes;
  }
};

/// Whether the frames of this direction are masked.
enum class MaskRule : std::uint8_t { any, required, forbidden };

enum class HeaderStatus : std::uint8_t { complete, need_more, error };

struct HeaderResult {
  HeaderStatus status = HeaderStatus::need_more;
  Fault fault = Fault::none;       ///< error: what is wrong.
  std::uint8_t missing_bytes = 0;  ///< need_more: at least this many more bytes are needed.
  FrameHeader header;              ///< complete: the header.
};

namespace header_detail {

constexpr HeaderResult faulty(Fault fault) noexcept {
  return {.status = HeaderStatus::error, .fault = fault, .missing_bytes = 0, .header = {}};
}
constexpr HeaderResult missing(std::size_t bytes) noexcept {
  return {.status = HeaderStatus::need_more,
          .fault = Fault::none,
          .missing_bytes = static_cast<std::uint8_t>(bytes),
          .header = {}};
}

inline std::uint16_t load_big16(const std::byte* at) noexcept {
  std::uint16_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap16(value);
}
inline std::uint64_t load_big64(const std::byte* at) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap64(value);
}

/// Bits of the opcodes that RFC 6455 defines: 0, 1, 2, 8, 9, 10.
inline constexpr unsigned kDefinedOpcodes = 0x0707U;

}  // namespace header_detail

/// Decodes one frame header and checks all that a header alone can violate, each at the first byte
/// that shows it. bytes: [n] received so far from the start of a frame, n >= 0; reads nothing past
/// the header. mask_rule: which masking this direction demands. rsv_allowed: RSV bits an extension
/// has claimed (RSV1 = 4). returns the header, need_more with the least number of bytes missing, or
/// error with the fault. O(1), no allocation. thread: any. source: RFC 6455 §5.2, §5.5.
inline HeaderResult decode_header(std::span<const std::byte> bytes,
                                  MaskRule mask_rule = MaskRule::any,
                                  unsigned rsv_allowed = 0) noexcept {
  using namespace header_detail;
  if (bytes.empty()) return missing(2);
  const auto first = std::to_integer<unsigned>(bytes[0]);
  const unsigned rsv = (first >> 4U) & 7U;
  if ((rsv & ~rsv_allowed) != 0) return faulty(Fault::reserved_bits);
  if (((kDefinedOpcodes >> (first & 15U)) & 1U) == 0) return faulty(Fault::reserved_opcode);
  const bool fin = (first & 0x80U) != 0;
  const bool control = (first & 8U) != 0;
  if (control && !fin) return faulty(Fault::fragmented_control);
  if (bytes.size() < 2) return missing(1);

  const auto second = std::to_integer<unsigned>(bytes[1]);
  const bool masked = (second & 0x80U) != 0;
  if (masked && mask_rule == MaskRule::forbidden) return faulty(Fault::masked_by_server);
  if (!masked && mask_rule == MaskRule::required) return faulty(Fault::unmasked_by_client);
  std::uint64_t payload_bytes = second & 0x7FU;
  if (control && payload_bytes > kControlPayloadBytesMax) return faulty(Fault::control_too_long);

  std::size_t at = 2;
  const std::size_t header_bytes = 2U +
                                   (payload_bytes == 126   ? 2U
                                    : payload_bytes == 127 ? 8U
                                                           : 0U) +
                                   (masked ? 4U : 0U);
  if (payload_bytes == 126) {
    if (bytes.size() < 4) return missing(header_bytes - bytes.size());
    payload_bytes = load_big16(bytes.data() + 2);
    if (payload_bytes < 126) return faulty(Fault::length_not_minimal);
    at = 4;
  } else if (payload_bytes == 127) {
    if (bytes.size() > 2 && (std::to_integer<unsigned>(bytes[2]) & 0x80U) != 0) {
      return faulty(Fault::length_top_bit);
    }
    if (bytes.size() < 10) return missing(header_bytes - bytes.size());
    payload_bytes = load_big64(bytes.data() + 2);
    if (payload_bytes < 65536) return faulty(Fault::length_not_minimal);
    at = 10;
  }
  if (bytes.size() < header_bytes) return missing(header_bytes - bytes.size());

  HeaderResult result;
  result.status = HeaderStatus::complete;
  if (masked) std::memcpy(&result.header.mask_key, bytes.data() + at, 4);
  result.header.payload_bytes = payload_bytes;
  result.header.header_bytes = static_cast<std::uint8_t>(header_bytes);
  result.header.opcode = static_cast<Opcode>(first & 15U);
  result.header.rsv = static_cast<std::uint8_t>(rsv);
  result.header.fin = fin;
  result.header.masked = masked;
  return result;
}

/// Bytes that encode_header() needs.
constexpr std::size_t header_bytes_for(std::uint64_t payload_bytes, bool masked) noexcept {
  return 2U + (payload_bytes < 126 ? 0U : payload_bytes < 65536 ? 2U : 8U) + (masked ? 4U : 0U);
}

/// Writes `header` in its shortest form; header_bytes is ignored and computed, mask_key is written
/// if `masked`. out: at least header_bytes_for() bytes. returns the bytes written (2..14). O(1).
/// thread: any. source: RFC 6455 §5.2.
inline std::size_t encode_header(std::span<std::byte> out, const FrameHeader& header) noexcept {
  out[0] =
      static_cast<std::byte>((header.fin ? 0x80U : 0U) | (static_cast<unsigned>(header.rsv) << 4U) |
                             static_cast<unsigned>(header.opcode));
  const unsigned mask_bit = header.masked ? 0x80U : 0U;
  std::size_t at = 2;
  if (header.payload_bytes < 126) {
    out[1] = static_cast<std::byte>(mask_bit | static_cast<unsigned>(header.payload_bytes));
  } else if (header.payload_bytes < 65536) {
    out[1] = static_cast<std::byte>(mask_bit | 126U);
    const std::uint16_t big = __builtin_bswap16(static_cast<std::uint16_t>(header.payload_bytes));
    std::memcpy(out.data() + 2, &big, sizeof big);
    at = 4;
  } else {
    out[1] = static_cast<std::byte>(mask_bit | 127U);
    const std::uint64_t big = __builtin_bswap64(header.payload_bytes);
    std::memcpy(out.data() + 2, &big, sizeof big);
    at = 10;
  }
  if (header.masked) {
    std::memcpy(out.data() + at, &header.mask_key, sizeof header.mask_key);
    at += 4;
  }
  return at;
}

}  // namespace feedbench::websocket
