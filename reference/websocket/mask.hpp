#pragma once

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "reference/websocket/frame_header.hpp"

/// Masking of client frames (RFC 6455 §5.3): payload byte i is XORed with key byte i mod 4. The
/// same call unmasks.
namespace feedbench::websocket {

/// The key as it applies `offset` bytes further into the payload.
constexpr MaskKey advance_key(MaskKey key, std::uint64_t offset) noexcept {
  return std::rotr(key, static_cast<int>(8U * (offset & 3U)));
}

namespace mask_detail {

/// 33 bytes or more; AVX-512, AVX2 or SSE2, whichever this processor has. from may equal to, else
/// no overlap.
void mask_long(std::byte* to, const std::byte* from, std::size_t bytes, MaskKey key) noexcept;

template <class Word>
inline void mask_two_words(std::byte* to, const std::byte* from, std::size_t bytes,
                           MaskKey key) noexcept {
  // Two words that may overlap cover the whole; both are read before either is written.
  constexpr auto kRepeat = static_cast<Word>(0x0000000100000001U);
  Word head = 0;
  Word tail = 0;
  std::memcpy(&head, from, sizeof head);
  std::memcpy(&tail, from + bytes - sizeof tail, sizeof tail);
  head ^= static_cast<Word>(key) * kRepeat;
  tail ^= static_cast<Word>(advance_key(key, bytes - sizeof tail)) * kRepeat;
  std::memcpy(to, &head, sizeof head);
  std::memcpy(to + bytes - sizeof tail, &tail, sizeof tail);
}

inline void mask_any(std::byte* to, const std::byte* from, std::size_t bytes,
                     MaskKey key) noexcept {
  if (bytes > 32) return mask_long(to, from, bytes, key);
  if (bytes >= 16) {
    const std::byte* last = from + bytes - 16;
    const __m128i head = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m128i tail = _mm_loadu_si128(reinterpret_cast<const __m128i*>(last));
    const __m128i head_key = _mm_set1_epi32(static_cast<int>(key));
    const __m128i tail_key = _mm_set1_epi32(static_cast<int>(advance_key(key, bytes - 16)));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_xor_si128(head, head_key));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + bytes - 16), _mm_xor_si128(tail, tail_key));
    return;
  }
  if (bytes >= 8) return mask_two_words<std::uint64_t>(to, from, bytes, key);
  if (bytes >= 4) return mask_two_words<std::uint32_t>(to, from, bytes, key);
  for (std::size_t i = 0; i < bytes; ++i) to[i] = from[i] ^ static_cast<std::byte>(key >> (8U * i));
}

}  // namespace mask_detail

/// Masks or unmasks in place.
/// data: [n] any alignment, n >= 0. phase: how many payload bytes of this frame lie before data[0].
/// Cost: about that of memcpy. thread: any.
inline void apply_mask(std::span<std::byte> data, MaskKey key, std::uint64_t phase = 0) noexcept {
  mask_detail::mask_any(data.data(), data.data(), data.size(), advance_key(key, phase));
}

/// Copies and masks in one pass: to[i] = from[i] ^ key. to: at least from.size() bytes, not
/// overlapping `from`.
inline void copy_masked(std::byte* to, std::span<const std::byte> from, MaskKey key,
                        std::uint64_t phase = 0) noexcept {
  mask_detail::mask_any(to, from.data(), from.size(), advance_key(key, phase));
}

/// One vectorised routine of mask_long(), for tests and benchmarks.
struct MaskRoutine {
  std::string_view name;  ///< "sse2", "avx2", "avx512"
  bool supported = false;
  void (*run)(std::byte* to, const std::byte* from, std::size_t bytes,
              MaskKey key) noexcept = nullptr;
  std::size_t bytes_min = 0;  ///< run() must get at least this many bytes.
};
/// All routines, slowest first; mask_long() uses the last supported one.
std::span<const MaskRoutine> mask_routines() noexcept;

/// Mask keys for a client: unpredictable to whoever controls the payload, a fresh one a frame.
/// ChaCha with 8 rounds as a generator, keyed once from the kernel. Cost: about 3 ns a key.
/// thread: one at a time. source: RFC 6455 §10.3.
class MaskKeys {
 public:
  /// Seeds from getrandom(2). throws std::system_error when the kernel gives no randomness.
  MaskKeys();
  /// Seeds from `seed`: reproducible, for tests alone.
  explicit MaskKeys(std::uint64_t seed) noexcept;

  MaskKey next() noexcept {
    if (used_ == keys_.size()) refill();
    return keys_[used_++];
  }

 private:
  void refill() noexcept;

  std::array<std::uint32_t, 8> secret_{};
  std::uint64_t block_ = 0;
  std::array<std::uint32_t, 64> keys_{};
  std::size_t used_ = 64;
};

}  // namespace feedbench::websocket
