// The Internet checksum (RFC 1071), eight bytes at a time. lwIP calls it by the macros of
// lwipopts.h.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "transports/xdp/lwip/lwipopts.h"

namespace {

std::uint16_t fold(std::uint64_t sum) noexcept {
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFFFFFF) + (sum >> 32);
  sum = (sum & 0xFFFF) + (sum >> 16);
  sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

}  // namespace

extern "C" {

uint16_t feedbench_checksum(const void* data, int bytes) {
  const auto* at = static_cast<const unsigned char*>(data);
  auto left = static_cast<std::size_t>(bytes);
  std::uint64_t sum = 0;
  // 32-bit words into 64 bits: the carries wait in the upper half, for up to 4 G words.
  for (; left >= 16; at += 16, left -= 16) {
    std::uint32_t words[4];
    std::memcpy(words, at, sizeof(words));
    sum += std::uint64_t{words[0]} + words[1] + words[2] + words[3];
  }
  for (; left >= 2; at += 2, left -= 2) {
    std::uint16_t word;
    std::memcpy(&word, at, sizeof(word));
    sum += word;
  }
  if (left != 0) sum += *at;
  return fold(sum);
}

uint16_t feedbench_checksum_copy(void* to, const void* from, uint16_t bytes) {
  std::memcpy(to, from, bytes);
  return feedbench_checksum(to, bytes);
}
}
