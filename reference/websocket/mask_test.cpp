#include "reference/websocket/mask.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

namespace feedbench::websocket {
namespace {

using Bytes = std::vector<std::byte>;

Bytes random_bytes(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

/// RFC 6455 §5.3, read aloud.
void mask_slowly(std::span<std::byte> data, MaskKey key, std::uint64_t phase) {
  for (std::size_t i = 0; i < data.size(); ++i)
    data[i] ^= static_cast<std::byte>(key >> (8U * ((phase + i) & 3U)));
}

TEST(Mask, EqualsTheDefinitionAtEveryLengthAlignmentAndPhase) {
  const Bytes original = random_bytes(700, 1);
  for (std::size_t bytes = 0; bytes <= 600; bytes += bytes < 300 ? 1 : 37) {
    for (std::size_t offset = 0; offset < 66; offset += bytes < 140 ? 1 : 13) {
      for (std::uint64_t phase = 0; phase < 4; ++phase) {
        Bytes expected = original;
        mask_slowly(std::span(expected).subspan(offset, bytes), 0x8F1E2D3CU, phase);
        Bytes actual = original;
        apply_mask(std::span(actual).subspan(offset, bytes), 0x8F1E2D3CU, phase);
        ASSERT_EQ(actual, expected) << bytes << " bytes at " << offset << ", phase " << phase;
        Bytes copied = original;
        copy_masked(copied.data() + offset, std::span(original).subspan(offset, bytes), 0x8F1E2D3CU,
                    phase);
        ASSERT_EQ(copied, expected)
            << bytes << " bytes at " << offset << ", phase " << phase << ", copied";
      }
    }
  }
}

TEST(Mask, EveryRoutineOfThisProcessorEqualsTheDefinition) {
  const Bytes original = random_bytes(1500, 2);
  for (const MaskRoutine& routine : mask_routines()) {
    if (!routine.supported) continue;
    SCOPED_TRACE(routine.name);
    for (std::size_t bytes = routine.bytes_min; bytes < 1400; ++bytes) {
      const std::size_t offset = bytes % 67;
      Bytes expected = original;
      mask_slowly(std::span(expected).subspan(offset, bytes), 0x01020304U, 0);
      Bytes actual = original;
      routine.run(actual.data() + offset, actual.data() + offset, bytes, 0x01020304U);
      ASSERT_EQ(actual, expected) << bytes;
    }
  }
}

TEST(Mask, TwiceIsTheOriginalAndAKeyOfZeroChangesNothing) {
  const Bytes original = random_bytes(5000, 3);
  Bytes bytes = original;
  apply_mask(bytes, 0xDEADBEEFU, 1);
  EXPECT_NE(bytes, original);
  apply_mask(bytes, 0xDEADBEEFU, 1);
  EXPECT_EQ(bytes, original);
  apply_mask(bytes, 0);
  EXPECT_EQ(bytes, original);
}

TEST(Mask, InPiecesWithTheirPhasesEqualsTheWhole) {
  const Bytes original = random_bytes(1000, 4);
  Bytes whole = original;
  apply_mask(whole, 0x13579BDFU);
  for (std::size_t split = 0; split <= original.size(); ++split) {
    Bytes bytes = original;
    apply_mask(std::span(bytes).first(split), 0x13579BDFU);
    apply_mask(std::span(bytes).subspan(split), 0x13579BDFU, split);
    ASSERT_EQ(bytes, whole);
  }
}

TEST(MaskKeys, DifferFromFrameToFrameAndFromGeneratorToGenerator) {
  MaskKeys first;
  MaskKeys second;
  std::set<MaskKey> seen;
  for (int i = 0; i < 2000; ++i) {
    seen.insert(first.next());
    seen.insert(second.next());
  }
  EXPECT_GT(seen.size(),
            3990U);  // birthday collisions among 4,000 of 2^32: two expected in a thousand runs
}

TEST(MaskKeys, FromOneSeedAreTheSameAndUseAllBits) {
  MaskKeys first(std::uint64_t{42});
  MaskKeys second(std::uint64_t{42});
  std::array<int, 32> ones{};
  for (int i = 0; i < 4096; ++i) {
    const MaskKey key = first.next();
    ASSERT_EQ(key, second.next());
    for (unsigned bit = 0; bit < 32; ++bit) ones[bit] += static_cast<int>((key >> bit) & 1U);
  }
  for (const int count : ones) EXPECT_NEAR(count, 2048, 200);  // over six standard deviations
}

}  // namespace
}  // namespace feedbench::websocket
