#pragma once

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

/// UTF-8 validation, incremental: text may be cut anywhere, also inside a character.
///
/// ASCII runs are skipped 64 bytes at a time with SSE2, which every x86-64 has. The rest goes
/// through a shift automaton: each byte's row holds the next state of every state, six bits a
/// state, so that one load and one shift a byte decide.
namespace feedbench::websocket {

namespace utf8_detail {

// States are bit offsets into a row. Names say what must follow.
inline constexpr std::uint64_t kAccept = 0;    // a character boundary
inline constexpr std::uint64_t kReject = 6;    // sticky
inline constexpr std::uint64_t kOneMore = 12;  // 80..BF
inline constexpr std::uint64_t kTwoMore = 18;
inline constexpr std::uint64_t kThreeMore = 24;
inline constexpr std::uint64_t kAfterE0 = 30;  // A0..BF, then one: no overlong forms
inline constexpr std::uint64_t kAfterED = 36;  // 80..9F, then one: no surrogates
inline constexpr std::uint64_t kAfterF0 = 42;  // 90..BF, then two: no overlong forms
inline constexpr std::uint64_t kAfterF4 = 48;  // 80..8F, then two: nothing above U+10FFFF

consteval std::uint64_t after_lead(unsigned byte) {
  if (byte < 0x80) return kAccept;
  if (byte < 0xC2) return kReject;  // continuations, and the leads of overlong two-byte forms
  if (byte < 0xE0) return kOneMore;
  if (byte == 0xE0) return kAfterE0;
  if (byte == 0xED) return kAfterED;
  if (byte < 0xF0) return kTwoMore;
  if (byte == 0xF0) return kAfterF0;
  if (byte < 0xF4) return kThreeMore;
  if (byte == 0xF4) return kAfterF4;
  return kReject;
}

consteval std::array<std::uint64_t, 256> make_rows() {
  std::array<std::uint64_t, 256> rows{};
  for (unsigned byte = 0; byte < 256; ++byte) {
    const auto when = [byte](unsigned low, unsigned high, std::uint64_t next) {
      return byte >= low && byte <= high ? next : kReject;
    };
    rows[byte] =
        (after_lead(byte) << kAccept) | (kReject << kReject) |
        (when(0x80, 0xBF, kAccept) << kOneMore) | (when(0x80, 0xBF, kOneMore) << kTwoMore) |
        (when(0x80, 0xBF, kTwoMore) << kThreeMore) | (when(0xA0, 0xBF, kOneMore) << kAfterE0) |
        (when(0x80, 0x9F, kOneMore) << kAfterED) | (when(0x90, 0xBF, kTwoMore) << kAfterF0) |
        (when(0x80, 0x8F, kTwoMore) << kAfterF4);
  }
  return rows;
}
inline constexpr std::array<std::uint64_t, 256> kRows = make_rows();

inline std::uint64_t step(std::uint64_t state, const std::byte* from,
                          const std::byte* to) noexcept {
  for (; from != to; ++from) state = kRows[std::to_integer<std::size_t>(*from)] >> (state & 63U);
  return state & 63U;
}

inline __m128i load16(const std::byte* at) noexcept {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
}

// GCC 12, inlining this into a caller whose text is a short array of known size, takes the guarded wide loads of the
// tail for reads outside it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Warray-bounds"
/// Where ASCII ends at the latest found by whole blocks: a pointer at or before the first byte >=
/// 0x80, or `end`.
inline const std::byte* skip_ascii(const std::byte* p, const std::byte* end) noexcept {
  while (end - p >= 64) {
    const __m128i any = _mm_or_si128(_mm_or_si128(load16(p), load16(p + 16)),
                                     _mm_or_si128(load16(p + 32), load16(p + 48)));
    if (_mm_movemask_epi8(any) != 0) break;
    p += 64;
  }
  while (end - p >= 16) {
    const auto high = static_cast<unsigned>(_mm_movemask_epi8(load16(p)));
    if (high != 0) return p + std::countr_zero(high);
    p += 16;
  }
  const auto left = static_cast<std::size_t>(end - p);
  constexpr std::uint64_t kHigh = 0x8080808080808080U;
  if (left >= 8) {
    std::uint64_t head = 0;
    std::uint64_t tail = 0;
    std::memcpy(&head, p, 8);
    std::memcpy(&tail, end - 8, 8);
    return ((head | tail) & kHigh) == 0 ? end : p;
  }
  if (left >= 4) {
    std::uint32_t head = 0;
    std::uint32_t tail = 0;
    std::memcpy(&head, p, 4);
    std::memcpy(&tail, end - 4, 4);
    return ((head | tail) & static_cast<std::uint32_t>(kHigh)) == 0 ? end : p;
  }
  return p;
}

#pragma GCC diagnostic pop

/// Continues from `state` over [p, end). Looks for rejection every stride, so that a long invalid text ends early. Where
/// characters beyond ASCII stand far apart the stride is short, so that ASCII is soon skipped by vectors again.
inline std::uint64_t run(std::uint64_t state, const std::byte* p, const std::byte* end) noexcept {
  constexpr std::ptrdiff_t kSparse = 16;
  constexpr std::ptrdiff_t kDense = 64;
  std::ptrdiff_t stride = kDense;
  while (p != end) {
    if (state == kAccept) {
      const std::byte* after = skip_ascii(p, end);
      if (after == end) break;
      stride = after - p >= kSparse ? kSparse : kDense;
      p = after;
    }
    const std::byte* stop = end - p > stride ? p + stride : end;
    state = step(state, p, stop);
    if (state == kReject) break;
    p = stop;
  }
  return state;
}

}  // namespace utf8_detail

/// Validates a text that arrives in pieces. One byte of state. thread: one at a time.
class Utf8Validator {
 public:
  /// piece: [n] the next bytes, n >= 0. returns false as soon as what was fed cannot be the start
  /// of valid UTF-8, and from then on. Cost: ASCII tens of GB/s, dense other text above 2 GB/s. source:
  /// RFC 3629 §4.
  bool feed(std::span<const std::byte> piece) noexcept {
    state_ = static_cast<std::uint8_t>(
        utf8_detail::run(state_, piece.data(), piece.data() + piece.size()));
    return state_ != utf8_detail::kReject;
  }
  /// True when the text may end here: nothing invalid, and no character is cut.
  [[nodiscard]] bool complete() const noexcept { return state_ == utf8_detail::kAccept; }
  void reset() noexcept { state_ = utf8_detail::kAccept; }

 private:
  std::uint8_t state_ = utf8_detail::kAccept;
};

/// True when the whole text is valid UTF-8. thread: any.
inline bool utf8_valid(std::span<const std::byte> text) noexcept {
  return utf8_detail::run(utf8_detail::kAccept, text.data(), text.data() + text.size()) ==
         utf8_detail::kAccept;
}

}  // namespace feedbench::websocket
