#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/frame_header.hpp"
#include "reference/websocket/mask.hpp"

/// Frames for tests: written with any fault one likes, and read back strictly.
namespace feedbench::websocket::testing {

using Bytes = std::vector<std::byte>;

inline Bytes to_bytes(std::string_view text) {
  const auto span = as_bytes(text);
  return {span.begin(), span.end()};
}
inline std::string to_string(std::span<const std::byte> bytes) {
  return std::string(as_text(bytes));
}

/// A frame as a test peer sends it; nothing is checked.
struct RawFrame {
  unsigned opcode = 1;
  std::string payload;
  bool fin = true;
  unsigned rsv = 0;
};

inline RawFrame text(std::string payload, bool fin = true) {
  return {1, std::move(payload), fin, 0};
}
inline RawFrame binary(std::string payload, bool fin = true) {
  return {2, std::move(payload), fin, 0};
}
inline RawFrame more(std::string payload, bool fin = false) {
  return {0, std::move(payload), fin, 0};
}
inline RawFrame ping(std::string payload = {}) { return {9, std::move(payload), true, 0}; }
inline RawFrame pong(std::string payload = {}) { return {10, std::move(payload), true, 0}; }
inline RawFrame close_raw(std::string payload = {}) { return {8, std::move(payload), true, 0}; }
inline RawFrame close_code(unsigned code, std::string_view reason = {}) {
  std::string payload{static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)};
  return close_raw(payload.append(reason));
}

/// The wire bytes of `frame`, masked with `key` if `masked`.
inline Bytes encode(const RawFrame& frame, bool masked, MaskKey key = 0x9BD3F017U) {
  Bytes out(kHeaderBytesMax + frame.payload.size());
  FrameHeader header{
      .payload_bytes = frame.payload.size(), .mask_key = key, .fin = frame.fin, .masked = masked};
  header.opcode = static_cast<Opcode>(frame.opcode);
  header.rsv = static_cast<std::uint8_t>(frame.rsv);
  const std::size_t at = encode_header(out, header);
  if (!frame.payload.empty())
    std::memcpy(out.data() + at, frame.payload.data(), frame.payload.size());
  if (masked) apply_mask(std::span(out).subspan(at, frame.payload.size()), key);
  out.resize(at + frame.payload.size());
  return out;
}

/// A frame as the endpoint under test sent it.
struct SentFrame {
  Opcode opcode = Opcode::continuation;
  bool fin = false;
  bool masked = false;
  std::string payload;
  bool operator==(const SentFrame&) const = default;
};

/// Reads all of `bytes` as whole frames. `whole` is false when they end in the middle of one or
/// break the header rules.
struct SentFrames {
  std::vector<SentFrame> frames;
  bool whole = true;
};
inline SentFrames read_frames(std::span<const std::byte> bytes) {
  SentFrames result;
  while (!bytes.empty()) {
    const HeaderResult decoded = decode_header(bytes);
    if (decoded.status != HeaderStatus::complete || decoded.header.frame_bytes() > bytes.size()) {
      result.whole = false;
      return result;
    }
    const auto& header = decoded.header;
    Bytes payload(bytes.begin() + header.header_bytes,
                  bytes.begin() + static_cast<std::ptrdiff_t>(header.frame_bytes()));
    if (header.masked) apply_mask(payload, header.mask_key);
    result.frames.push_back({header.opcode, header.fin, header.masked, to_string(payload)});
    bytes = bytes.subspan(static_cast<std::size_t>(header.frame_bytes()));
  }
  return result;
}

}  // namespace feedbench::websocket::testing
