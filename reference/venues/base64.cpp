#include "reference/venues/base64.hpp"

#include <array>
#include <cstdint>

namespace feedbench::venues {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> digit_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}
constexpr std::array<std::uint8_t, 256> kDigitValues = digit_values();

std::uint32_t byte_at(std::string_view bytes, std::size_t index) {
  return static_cast<unsigned char>(bytes[index]);
}

}  // namespace

void append_base64(std::string_view bytes, std::string& text) {
  text.reserve(text.size() + (bytes.size() + 2) / 3 * 4);
  std::size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    const std::uint32_t group =
        byte_at(bytes, i) << 16 | byte_at(bytes, i + 1) << 8 | byte_at(bytes, i + 2);
    for (int shift = 18; shift >= 0; shift -= 6) text += kAlphabet[group >> shift & 63U];
  }
  const std::size_t rest = bytes.size() - i;
  if (rest == 0) return;
  const std::uint32_t group =
      byte_at(bytes, i) << 16 | (rest == 2 ? byte_at(bytes, i + 1) << 8 : 0U);
  text += kAlphabet[group >> 18 & 63U];
  text += kAlphabet[group >> 12 & 63U];
  text += rest == 2 ? kAlphabet[group >> 6 & 63U] : '=';
  text += '=';
}

bool decode_base64(std::string_view text, std::string& bytes) {
  bytes.clear();
  if (text.size() % 4 != 0) return false;
  if (text.empty()) return true;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  bytes.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      const std::uint8_t value =
          k < digits ? kDigitValues[static_cast<unsigned char>(text[i + k])] : std::uint8_t{0};
      if (value == kNoDigit) return false;
      group = group << 6 | value;
    }
    // Bits that the padding leaves unused must be zero, so that each payload has one encoding.
    if ((digits == 3 && (group & 0xffU) != 0) || (digits == 2 && (group & 0xffffU) != 0))
      return false;
    bytes += static_cast<char>(group >> 16 & 0xffU);
    if (digits > 2) bytes += static_cast<char>(group >> 8 & 0xffU);
    if (digits > 3) bytes += static_cast<char>(group & 0xffU);
  }
  return true;
}

}  // namespace feedbench::venues
