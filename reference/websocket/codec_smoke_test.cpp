#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/frame_scanner.hpp"
#include "reference/websocket/handshake.hpp"
#include "reference/websocket/message_parser.hpp"
#include "reference/websocket/url.hpp"

namespace feedbench::websocket {
namespace {

struct Sink {
  std::vector<std::string> messages;
  void on_message(Opcode, std::span<const std::byte> payload) {
    messages.emplace_back(as_text(payload));
  }
  void on_ping(std::span<const std::byte>) {}
  void on_pong(std::span<const std::byte>) {}
  void on_close(const CloseStatus&) {}
};

TEST(Codec, AClientFrameComesOutOfTheServerParserAtEverySplit) {
  std::array<std::byte, 256> frame{};
  const std::size_t bytes = build_client_frame(
      frame, Opcode::text, as_bytes("The quick brown fox jumps over the lazy dog"), 0x12345678U);
  for (std::size_t split = 0; split <= bytes; ++split) {
    auto copy = frame;
    MessageParser<Role::server> parser;
    Sink sink;
    ASSERT_EQ(parser.feed({copy.data(), split}, sink).status, ParseStatus::open);
    ASSERT_EQ(parser.feed({copy.data() + split, bytes - split}, sink).status, ParseStatus::open);
    ASSERT_EQ(sink.messages.size(), 1U);
    EXPECT_EQ(sink.messages[0], "The quick brown fox jumps over the lazy dog");
  }
}

TEST(Codec, BothEndsOfTheHandshakeAgree) {
  const auto url = parse_url("ws://localhost:9443/stream?streams=a/b");
  ASSERT_TRUE(url);
  auto client = ClientHandshake::create({.host = url->host_header(),
                                         .target = url->target,
                                         .subprotocols = {"x", "y"},
                                         .headers = {}});
  ASSERT_TRUE(client) << client.error().message;
  ServerHandshake server({.subprotocols = {"y"}});
  const auto step = server.feed(as_bytes(client->request()));
  ASSERT_EQ(step.status, HandshakeStatus::done) << server.error();
  EXPECT_EQ(server.request().target, "/stream?streams=a/b");
  const std::string response = server.accept() + "rest";
  const auto answer = client->feed(as_bytes(response));
  ASSERT_EQ(answer.status, HandshakeStatus::done) << client->error();
  EXPECT_EQ(answer.consumed_bytes, response.size() - 4);
  EXPECT_EQ(client->subprotocol(), "y");
}

}  // namespace
}  // namespace feedbench::websocket
