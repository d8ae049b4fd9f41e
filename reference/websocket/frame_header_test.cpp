#include "reference/websocket/frame_header.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "reference/websocket/testing/frames.hpp"

namespace feedbench::websocket {
namespace {

using testing::Bytes;

Bytes bytes_of(std::initializer_list<unsigned> values) {
  Bytes bytes;
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Fault fault_of(std::initializer_list<unsigned> values, MaskRule rule = MaskRule::any) {
  const HeaderResult result = decode_header(bytes_of(values), rule);
  EXPECT_EQ(result.status == HeaderStatus::error, result.fault != Fault::none);
  return result.fault;
}

TEST(FrameHeader, EveryHeaderComesBackAsItWasWritten) {
  for (const std::uint64_t payload_bytes :
       {0ULL, 1ULL, 125ULL, 126ULL, 127ULL, 65535ULL, 65536ULL, 1ULL << 32U, ~0ULL >> 1U}) {
    for (const Opcode opcode : {Opcode::continuation, Opcode::text, Opcode::binary, Opcode::close,
                                Opcode::ping, Opcode::pong}) {
      if (is_control(opcode) && payload_bytes > 125) continue;
      for (const bool fin : {true, false}) {
        if (is_control(opcode) && !fin) continue;
        for (const bool masked : {true, false}) {
          FrameHeader header{
              .payload_bytes = payload_bytes, .opcode = opcode, .fin = fin, .masked = masked};
          if (masked) header.mask_key = 0xA1B2C3D4U;
          std::array<std::byte, kHeaderBytesMax> wire{};
          const std::size_t bytes = encode_header(wire, header);
          ASSERT_EQ(bytes, header_bytes_for(payload_bytes, masked));
          const HeaderResult result = decode_header({wire.data(), bytes});
          ASSERT_EQ(result.status, HeaderStatus::complete);
          EXPECT_EQ(result.header.payload_bytes, payload_bytes);
          EXPECT_EQ(result.header.header_bytes, bytes);
          EXPECT_EQ(result.header.opcode, opcode);
          EXPECT_EQ(result.header.fin, fin);
          EXPECT_EQ(result.header.masked, masked);
          EXPECT_EQ(result.header.mask_key, header.mask_key);
          for (std::size_t cut = 0; cut < bytes; ++cut) {
            const HeaderResult partial = decode_header({wire.data(), cut});
            ASSERT_EQ(partial.status, HeaderStatus::need_more);
            // Following missing_bytes reaches the end of the header exactly, never beyond.
            std::size_t at = cut;
            while (at < bytes) at += decode_header({wire.data(), at}).missing_bytes;
            ASSERT_EQ(at, bytes);
          }
        }
      }
    }
  }
}

TEST(FrameHeader, ReadsNoByteBehindTheHeader) {
  // Exactly as long as the header: AddressSanitizer sees a byte too far.
  for (const std::uint64_t payload_bytes : {5ULL, 200ULL, 70000ULL}) {
    std::array<std::byte, kHeaderBytesMax> wire{};
    const std::size_t bytes =
        encode_header(wire, {.payload_bytes = payload_bytes, .opcode = Opcode::text, .fin = true});
    const std::vector<std::byte> exact(wire.begin(),
                                       wire.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_EQ(decode_header(exact).header.payload_bytes, payload_bytes);
  }
}

TEST(FrameHeader, RefusesReservedBitsAtTheFirstByte) {
  for (const unsigned rsv : {1U, 2U, 3U, 4U, 5U, 6U, 7U})
    EXPECT_EQ(fault_of({0x81U | (rsv << 4U)}), Fault::reserved_bits);
}

TEST(FrameHeader, LetsReservedBitsPassThatAnExtensionClaimed) {
  EXPECT_EQ(decode_header(bytes_of({0xC1, 0}), MaskRule::any, 4).header.rsv, 4);
  EXPECT_EQ(decode_header(bytes_of({0xE1, 0}), MaskRule::any, 4).fault, Fault::reserved_bits);
}

TEST(FrameHeader, RefusesReservedOpcodesAtTheFirstByte) {
  for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
    EXPECT_EQ(fault_of({0x80U | opcode}), Fault::reserved_opcode);
  }
}

TEST(FrameHeader, RefusesFragmentedAndLongControlFramesBeforeTheirPayload) {
  for (const unsigned opcode : {8U, 9U, 10U}) {
    EXPECT_EQ(fault_of({opcode}), Fault::fragmented_control);
    EXPECT_EQ(fault_of({0x80U | opcode, 126}), Fault::control_too_long);
    EXPECT_EQ(fault_of({0x80U | opcode, 0x80U | 127U}), Fault::control_too_long);
    EXPECT_EQ(fault_of({0x80U | opcode, 125}), Fault::none);
  }
}

TEST(FrameHeader, RefusesTheWrongMaskingAtTheSecondByte) {
  EXPECT_EQ(fault_of({0x81, 0x85}, MaskRule::forbidden), Fault::masked_by_server);
  EXPECT_EQ(fault_of({0x81, 0x05}, MaskRule::required), Fault::unmasked_by_client);
  EXPECT_EQ(fault_of({0x81, 0x05}, MaskRule::forbidden), Fault::none);
}

TEST(FrameHeader, RefusesEveryLengthThatIsNotInItsShortestForm) {
  for (const unsigned length : {0U, 1U, 125U})
    EXPECT_EQ(fault_of({0x82, 126, 0, length}), Fault::length_not_minimal);
  EXPECT_EQ(fault_of({0x82, 126, 0, 126}), Fault::none);
  EXPECT_EQ(fault_of({0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}), Fault::length_not_minimal);
  EXPECT_EQ(fault_of({0x82, 127, 0, 0, 0, 0, 0, 0, 0, 0}), Fault::length_not_minimal);
  EXPECT_EQ(fault_of({0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}), Fault::none);
  // Told before the mask key is there.
  EXPECT_EQ(fault_of({0x82, 0x80U | 126U, 0, 5}), Fault::length_not_minimal);
}

TEST(FrameHeader, RefusesTheTopBitOfALengthAtItsFirstByte) {
  EXPECT_EQ(fault_of({0x82, 127, 0x80}), Fault::length_top_bit);
  EXPECT_EQ(fault_of({0x82, 127, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}),
            Fault::length_top_bit);
  EXPECT_EQ(fault_of({0x82, 127, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}), Fault::none);
}

}  // namespace
}  // namespace feedbench::websocket
