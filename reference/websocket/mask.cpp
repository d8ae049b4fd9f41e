#include "reference/websocket/mask.hpp"

#include <immintrin.h>
#include <sys/random.h>

#include <atomic>
#include <cerrno>
#include <system_error>

namespace feedbench::websocket {
namespace {

// Each routine covers the last, partial vector by one that ends with the payload and overlaps the
// one before. It is read first and written last, so that masking in place stays right. Vectors are
// multiples of four bytes: the key's phase does not move from one to the next.

void mask_sse2(std::byte* to, const std::byte* from, std::size_t bytes, MaskKey key) noexcept {
  constexpr std::size_t kWidth = 16;
  const auto load = [](const std::byte* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  };
  const auto store = [](std::byte* at, __m128i v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), v);
  };
  const std::size_t last = bytes - kWidth;
  const __m128i keys = _mm_set1_epi32(static_cast<int>(key));
  const __m128i tail =
      _mm_xor_si128(load(from + last), _mm_set1_epi32(static_cast<int>(advance_key(key, last))));
  std::size_t at = 0;
  for (; at + 4 * kWidth <= bytes; at += 4 * kWidth) {
    const __m128i a = load(from + at);
    const __m128i b = load(from + at + kWidth);
    const __m128i c = load(from + at + 2 * kWidth);
    const __m128i d = load(from + at + 3 * kWidth);
    store(to + at, _mm_xor_si128(a, keys));
    store(to + at + kWidth, _mm_xor_si128(b, keys));
    store(to + at + 2 * kWidth, _mm_xor_si128(c, keys));
    store(to + at + 3 * kWidth, _mm_xor_si128(d, keys));
  }
  for (; at < last; at += kWidth) store(to + at, _mm_xor_si128(load(from + at), keys));
  store(to + last, tail);
}

__attribute__((target("avx2"))) void mask_avx2(std::byte* to, const std::byte* from,
                                               std::size_t bytes, MaskKey key) noexcept {
  constexpr std::size_t kWidth = 32;
  const auto* in = reinterpret_cast<const __m256i*>(from);
  auto* out = reinterpret_cast<__m256i*>(to);
  const std::size_t last = bytes - kWidth;
  const __m256i keys = _mm256_set1_epi32(static_cast<int>(key));
  const __m256i tail =
      _mm256_xor_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + last)),
                       _mm256_set1_epi32(static_cast<int>(advance_key(key, last))));
  std::size_t at = 0;
  for (; at + 4 * kWidth <= bytes; at += 4 * kWidth, in += 4, out += 4) {
    const __m256i a = _mm256_loadu_si256(in);
    const __m256i b = _mm256_loadu_si256(in + 1);
    const __m256i c = _mm256_loadu_si256(in + 2);
    const __m256i d = _mm256_loadu_si256(in + 3);
    _mm256_storeu_si256(out, _mm256_xor_si256(a, keys));
    _mm256_storeu_si256(out + 1, _mm256_xor_si256(b, keys));
    _mm256_storeu_si256(out + 2, _mm256_xor_si256(c, keys));
    _mm256_storeu_si256(out + 3, _mm256_xor_si256(d, keys));
  }
  for (; at < last; at += kWidth, ++in, ++out) {
    _mm256_storeu_si256(out, _mm256_xor_si256(_mm256_loadu_si256(in), keys));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + last), tail);
}

__attribute__((target("avx512f"))) void mask_avx512(std::byte* to, const std::byte* from,
                                                    std::size_t bytes, MaskKey key) noexcept {
  constexpr std::size_t kWidth = 64;
  const std::size_t last = bytes - kWidth;
  const __m512i keys = _mm512_set1_epi32(static_cast<int>(key));
  const __m512i tail = _mm512_xor_si512(
      _mm512_loadu_si512(from + last), _mm512_set1_epi32(static_cast<int>(advance_key(key, last))));
  std::size_t at = 0;
  for (; at + 4 * kWidth <= bytes; at += 4 * kWidth) {
    const __m512i a = _mm512_loadu_si512(from + at);
    const __m512i b = _mm512_loadu_si512(from + at + kWidth);
    const __m512i c = _mm512_loadu_si512(from + at + 2 * kWidth);
    const __m512i d = _mm512_loadu_si512(from + at + 3 * kWidth);
    _mm512_storeu_si512(to + at, _mm512_xor_si512(a, keys));
    _mm512_storeu_si512(to + at + kWidth, _mm512_xor_si512(b, keys));
    _mm512_storeu_si512(to + at + 2 * kWidth, _mm512_xor_si512(c, keys));
    _mm512_storeu_si512(to + at + 3 * kWidth, _mm512_xor_si512(d, keys));
  }
  for (; at < last; at += kWidth) {
    _mm512_storeu_si512(to + at, _mm512_xor_si512(_mm512_loadu_si512(from + at), keys));
  }
  _mm512_storeu_si512(to + last, tail);
}

using Routine = void (*)(std::byte*, const std::byte*, std::size_t, MaskKey) noexcept;

/// From 33 bytes to less than one 512-bit vector the narrower routine runs.
void mask_widest_avx512(std::byte* to, const std::byte* from, std::size_t bytes,
                        MaskKey key) noexcept {
  if (bytes < 64) return mask_avx2(to, from, bytes, key);
  mask_avx512(to, from, bytes, key);
}

void choose_and_run(std::byte* to, const std::byte* from, std::size_t bytes, MaskKey key) noexcept;
constinit std::atomic<Routine> chosen{&choose_and_run};

void choose_and_run(std::byte* to, const std::byte* from, std::size_t bytes, MaskKey key) noexcept {
  Routine best = &mask_sse2;
  if (__builtin_cpu_supports("avx2")) best = &mask_avx2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f"))
    best = &mask_widest_avx512;
  chosen.store(best, std::memory_order_relaxed);
  best(to, from, bytes, key);
}

void quarter_round(std::uint32_t& a, std::uint32_t& b, std::uint32_t& c,
                   std::uint32_t& d) noexcept {
  a += b;
  d = std::rotl(d ^ a, 16);
  c += d;
  b = std::rotl(b ^ c, 12);
  a += b;
  d = std::rotl(d ^ a, 8);
  c += d;
  b = std::rotl(b ^ c, 7);
}

/// One ChaCha block of 8 rounds: 16 words that only the holder of `secret` can predict. source: RFC
/// 8439 §2.3 (rounds aside).
void chacha8_block(const std::array<std::uint32_t, 8>& secret, std::uint64_t block,
                   std::span<std::uint32_t, 16> out) noexcept {
  const std::array<std::uint32_t, 16> start = {0x61707865U,
                                               0x3320646eU,
                                               0x79622d32U,
                                               0x6b206574U,
                                               secret[0],
                                               secret[1],
                                               secret[2],
                                               secret[3],
                                               secret[4],
                                               secret[5],
                                               secret[6],
                                               secret[7],
                                               static_cast<std::uint32_t>(block),
                                               static_cast<std::uint32_t>(block >> 32U),
                                               0U,
                                               0U};
  std::array<std::uint32_t, 16> x = start;
  for (int two_rounds = 0; two_rounds < 4; ++two_rounds) {
    quarter_round(x[0], x[4], x[8], x[12]);
    quarter_round(x[1], x[5], x[9], x[13]);
    quarter_round(x[2], x[6], x[10], x[14]);
    quarter_round(x[3], x[7], x[11], x[15]);
    quarter_round(x[0], x[5], x[10], x[15]);
    quarter_round(x[1], x[6], x[11], x[12]);
    quarter_round(x[2], x[7], x[8], x[13]);
    quarter_round(x[3], x[4], x[9], x[14]);
  }
  for (std::size_t i = 0; i < 16; ++i) out[i] = x[i] + start[i];
}

}  // namespace

namespace mask_detail {
void mask_long(std::byte* to, const std::byte* from, std::size_t bytes, MaskKey key) noexcept {
  chosen.load(std::memory_order_relaxed)(to, from, bytes, key);
}
}  // namespace mask_detail

std::span<const MaskRoutine> mask_routines() noexcept {
  static const std::array<MaskRoutine, 3> routines = {{
      {"sse2", true, &mask_sse2, 16},
      {"avx2", __builtin_cpu_supports("avx2") != 0, &mask_avx2, 32},
      {"avx512", __builtin_cpu_supports("avx512f") != 0, &mask_avx512, 64},
  }};
  return routines;
}

MaskKeys::MaskKeys() {
  auto* at = reinterpret_cast<unsigned char*>(secret_.data());
  std::size_t missing = sizeof secret_;
  while (missing > 0) {
    const ssize_t got = getrandom(at, missing, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      throw std::system_error(errno, std::system_category(), "seed mask keys: getrandom");
    }
    at += got;
    missing -= static_cast<std::size_t>(got);
  }
}

MaskKeys::MaskKeys(std::uint64_t seed) noexcept {
  secret_[0] = static_cast<std::uint32_t>(seed);
  secret_[1] = static_cast<std::uint32_t>(seed >> 32U);
}

void MaskKeys::refill() noexcept {
  for (std::size_t block = 0; block < keys_.size() / 16; ++block) {
    chacha8_block(secret_, block_++, std::span<std::uint32_t, 16>(keys_.data() + 16 * block, 16));
  }
  used_ = 0;
}

}  // namespace feedbench::websocket
