#include "reference/websocket/build_frame.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "reference/websocket/testing/frames.hpp"

namespace feedbench::websocket {
namespace {

using testing::Bytes;
using testing::read_frames;

TEST(BuildFrame, AServerFrameIsHeaderThenPayloadUnmasked) {
  std::array<std::byte, 16> out{};
  const std::size_t bytes = build_server_frame(out, Opcode::text, as_bytes("Hello"));
  EXPECT_EQ(as_text(std::span(out).first(bytes)), "\x81\x05Hello");  // the example of RFC 6455 §5.7
}

TEST(BuildFrame, AClientFrameIsTheMaskedExampleOfTheRfc) {
  std::array<std::byte, 16> out{};
  const std::size_t bytes = build_client_frame(out, Opcode::text, as_bytes("Hello"), 0x3D21FA37U);
  EXPECT_EQ(as_text(std::span(out).first(bytes)), "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

TEST(BuildFrame, NothingIsWrittenWhereTheFrameDoesNotFit) {
  for (const std::size_t payload_bytes : {0U, 1U, 125U, 126U, 300U}) {
    const std::string payload(payload_bytes, 'x');
    const std::size_t server_bytes = header_bytes_for(payload_bytes, false) + payload_bytes;
    const std::size_t client_bytes = header_bytes_for(payload_bytes, true) + payload_bytes;
    Bytes out(client_bytes, std::byte{7});
    EXPECT_EQ(build_server_frame(std::span(out).first(server_bytes - 1), Opcode::binary,
                                 as_bytes(payload)),
              0U);
    EXPECT_EQ(build_client_frame(std::span(out).first(client_bytes - 1), Opcode::binary,
                                 as_bytes(payload), 1),
              0U);
    EXPECT_EQ(out, Bytes(client_bytes, std::byte{7}));
    EXPECT_EQ(
        build_server_frame(std::span(out).first(server_bytes), Opcode::binary, as_bytes(payload)),
        server_bytes);
    EXPECT_EQ(build_client_frame(out, Opcode::binary, as_bytes(payload), 1), client_bytes);
  }
}

TEST(BuildFrame, AnyControlFrameFitsTheStatedRoom) {
  std::array<std::byte, kControlFrameBytesMax> out{};
  const std::string reason(200, 'r');
  EXPECT_EQ(build_client_close(out, CloseCode::try_again_later, 5, reason), kControlFrameBytesMax);
  const auto sent = read_frames(out);
  ASSERT_TRUE(sent.whole);
  const CloseStatus status = parse_close_payload(as_bytes(sent.frames.at(0).payload));
  EXPECT_EQ(status.code, 1013);
  EXPECT_EQ(status.reason, std::string(123, 'r'));
  EXPECT_EQ(build_server_close(out, CloseCode::no_status), 2U);
}

}  // namespace
}  // namespace feedbench::websocket
