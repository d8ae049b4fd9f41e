#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

#include "reference/websocket/close.hpp"
#include "reference/websocket/frame_header.hpp"
#include "reference/websocket/mask.hpp"

/// Whole frames, header and payload, written into the caller's memory.
namespace feedbench::websocket {

/// Room for any control frame of either role.
inline constexpr std::size_t kControlFrameBytesMax = 2 + 4 + kControlPayloadBytesMax;

inline std::span<const std::byte> as_bytes(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
inline std::string_view as_text(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A frame as a server sends it. out: at least header_bytes_for(payload, false) + payload bytes,
/// not overlapping it. returns the bytes written; 0 and nothing written when `out` is too small.
/// thread: any.
inline std::size_t build_server_frame(std::span<std::byte> out, Opcode opcode,
                                      std::span<const std::byte> payload,
                                      bool fin = true) noexcept {
  if (out.size() < header_bytes_for(payload.size(), false) + payload.size()) return 0;
  const std::size_t at =
      encode_header(out, {.payload_bytes = payload.size(), .opcode = opcode, .fin = fin});
  if (!payload.empty()) std::memcpy(out.data() + at, payload.data(), payload.size());
  return at + payload.size();
}

/// A frame as a client sends it: masked with `key`, a fresh one from MaskKeys each time. Shapes and
/// errors as above.
inline std::size_t build_client_frame(std::span<std::byte> out, Opcode opcode,
                                      std::span<const std::byte> payload, MaskKey key,
                                      bool fin = true) noexcept {
  if (out.size() < header_bytes_for(payload.size(), true) + payload.size()) return 0;
  const std::size_t at = encode_header(out, {.payload_bytes = payload.size(),
                                             .mask_key = key,
                                             .opcode = opcode,
                                             .fin = fin,
                                             .masked = true});
  copy_masked(out.data() + at, payload, key);
  return at + payload.size();
}

/// A Close frame of a server / of a client. out: kControlFrameBytesMax always suffices. Errors as
/// above.
inline std::size_t build_server_close(std::span<std::byte> out, CloseCode code,
                                      std::string_view reason = {}) noexcept {
  return build_server_frame(out, Opcode::close, make_close_payload(code, reason).span());
}
inline std::size_t build_client_close(std::span<std::byte> out, CloseCode code, MaskKey key,
                                      std::string_view reason = {}) noexcept {
  return build_client_frame(out, Opcode::close, make_close_payload(code, reason).span(), key);
}

}  // namespace feedbench::websocket
