#include "reference/websocket/utf8.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace feedbench::websocket {
namespace {

using Bytes = std::vector<std::byte>;

/// The definition: decode each character and check its value and its length. Slow and plain, the oracle of this file.
bool valid_slowly(std::span<const std::byte> text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto lead = std::to_integer<std::uint32_t>(text[at]);
    std::size_t length = 0;
    std::uint32_t point = 0;
    if (lead < 0x80) {
      length = 1;
      point = lead;
    } else if ((lead & 0xE0U) == 0xC0) {
      length = 2;
      point = lead & 0x1FU;
    } else if ((lead & 0xF0U) == 0xE0) {
      length = 3;
      point = lead & 0x0FU;
    } else if ((lead & 0xF8U) == 0xF0) {
      length = 4;
      point = lead & 0x07U;
    } else {
      return false;
    }
    if (at + length > text.size()) return false;
    for (std::size_t i = 1; i < length; ++i) {
      const auto next = std::to_integer<std::uint32_t>(text[at + i]);
      if ((next & 0xC0U) != 0x80) return false;
      point = (point << 6U) | (next & 0x3FU);
    }
    constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kSmallest[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
      return false;
    at += length;
  }
  return true;
}

TEST(Utf8, EqualsTheDefinitionOnEverySequenceOfUpToThreeBytes) {
  EXPECT_TRUE(utf8_valid({}));
  Bytes bytes(3);
  for (unsigned value = 0; value < (1U << 24U); ++value) {
    bytes[0] = static_cast<std::byte>(value >> 16U);
    bytes[1] = static_cast<std::byte>(value >> 8U);
    bytes[2] = static_cast<std::byte>(value);
    ASSERT_EQ(utf8_valid(bytes), valid_slowly(bytes)) << value;
    if ((value & 0xFFU) == 0) {
      ASSERT_EQ(utf8_valid(std::span(bytes).first(2)), valid_slowly(std::span(bytes).first(2)))
          << value;
    }
    if ((value & 0xFFFFU) == 0) {
      ASSERT_EQ(utf8_valid(std::span(bytes).first(1)), valid_slowly(std::span(bytes).first(1)))
          << value;
    }
  }
}

TEST(Utf8, EqualsTheDefinitionOnEverySequenceOfFourBytesAroundTheLimits) {
  // All leads of four bytes and their neighbours, all second bytes, and the edges of the third and fourth.
  constexpr unsigned kEdges[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
  Bytes bytes(4);
  for (unsigned lead = 0xEE; lead <= 0xFF; ++lead) {
    for (unsigned second = 0; second < 256; ++second) {
      for (const unsigned third : kEdges) {
        for (const unsigned fourth : kEdges) {
          bytes = {static_cast<std::byte>(lead), static_cast<std::byte>(second),
                   static_cast<std::byte>(third), static_cast<std::byte>(fourth)};
          ASSERT_EQ(utf8_valid(bytes), valid_slowly(bytes))
              << lead << " " << second << " " << third << " " << fourth;
        }
      }
    }
  }
}

std::string encoded(std::uint32_t point) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value); };
  if (point < 0x80) return {byte(point)};
  if (point < 0x800) return {byte(0xC0U | (point >> 6U)), byte(0x80U | (point & 0x3FU))};
  if (point < 0x10000)
    return {byte(0xE0U | (point >> 12U)), byte(0x80U | ((point >> 6U) & 0x3FU)),
            byte(0x80U | (point & 0x3FU))};
  return {byte(0xF0U | (point >> 18U)), byte(0x80U | ((point >> 12U) & 0x3FU)),
          byte(0x80U | ((point >> 6U) & 0x3FU)), byte(0x80U | (point & 0x3FU))};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

TEST(Utf8, TakesEveryCharacterAtEveryCut) {
  for (std::uint32_t point = 0; point <= 0x10FFFF; ++point) {
    const bool surrogate = point >= 0xD800 && point <= 0xDFFF;
    const std::string text = encoded(point);
    ASSERT_EQ(utf8_valid(bytes_of(text)), !surrogate) << point;
    if (surrogate) continue;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
      Utf8Validator validator;
      ASSERT_TRUE(validator.feed(bytes_of(text).first(cut)));
      ASSERT_EQ(validator.complete(), cut == 0 || cut == text.size());
      ASSERT_TRUE(validator.feed(bytes_of(text).subspan(cut)));
      ASSERT_TRUE(validator.complete());
    }
  }
}

TEST(Utf8, FindsOneWrongByteAtEveryPlaceOfALongText) {
  for (std::size_t length = 1; length <= 300; ++length) {
    std::string text(length, 'a');
    ASSERT_TRUE(utf8_valid(bytes_of(text)));
    for (std::size_t place = 0; place < length; ++place) {
      text[place] = '\x80';
      ASSERT_FALSE(utf8_valid(bytes_of(text))) << place << " of " << length;
      text[place] = 'a';
    }
  }
}

TEST(Utf8, EqualsTheDefinitionOnRandomTextsInRandomPieces) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const std::size_t characters = random() % 200;
    for (std::size_t i = 0; i < characters; ++i) {
      const std::uint64_t kind = random() % 20;
      if (kind < 14) {
        text += static_cast<char>(random() % 128);
      } else {
        const std::uint32_t limit = kind < 16 ? 0x800 : kind < 18 ? 0xD800 : 0x110000;
        std::uint32_t point = static_cast<std::uint32_t>(random() % limit);
        if (point >= 0xD800 && point <= 0xDFFF) point = 0x20AC;
        text += encoded(point);
      }
    }
    if (round % 2 == 0 && !text.empty()) text[random() % text.size()] = static_cast<char>(random());
    const bool expected = valid_slowly(bytes_of(text));
    ASSERT_EQ(utf8_valid(bytes_of(text)), expected);
    Utf8Validator validator;
    auto rest = bytes_of(text);
    bool open = true;
    while (!rest.empty()) {
      const std::size_t piece = std::min<std::size_t>(rest.size(), 1 + random() % 90);
      open = validator.feed(rest.first(piece));
      rest = rest.subspan(piece);
    }
    ASSERT_EQ(open && validator.complete(), expected);
  }
}

TEST(Utf8, FailsAtTheFirstByteThatCannotBeMendedAndStaysFailed) {
  Utf8Validator validator;
  EXPECT_TRUE(validator.feed(bytes_of("abc\xF4")));
  EXPECT_FALSE(validator.feed(bytes_of("\x90")));
  EXPECT_FALSE(validator.feed(bytes_of("good text")));
  EXPECT_FALSE(validator.complete());
  validator.reset();
  EXPECT_TRUE(validator.feed(bytes_of("good text")));
}

}  // namespace
}  // namespace feedbench::websocket
