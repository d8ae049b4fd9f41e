#include "reference/baselines/relay/upgrade.hpp"

#include <gtest/gtest.h>

#include <string>

namespace feedbench::baselines {
namespace {

const std::string kAccepted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

TEST(UpgradeAnswer, IsReadOnlyOnceTheHeadIsWholeWhereverItWasCut) {
  for (std::size_t bytes = 0; bytes < kAccepted.size(); ++bytes) {
    EXPECT_FALSE(read_upgrade_answer(std::string_view(kAccepted).substr(0, bytes)).has_value())
        << bytes;
  }
  const auto answer = read_upgrade_answer(kAccepted);
  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->accepted);
  EXPECT_EQ(answer->head_bytes, kAccepted.size());
}

TEST(UpgradeAnswer, LeavesTheBytesBehindTheHeadToTheStream) {
  const auto answer = read_upgrade_answer(kAccepted + "\x81\x02hi\r\n\r\n");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->head_bytes, kAccepted.size());
}

TEST(UpgradeAnswer, OfAnyOtherStatusIsNotAcceptedAndTellsTheStatusLine) {
  for (const char* line :
       {"HTTP/1.1 404 Not Found", "HTTP/1.1 1010 No", "HTTP/1.0 101 Old", "hello"}) {
    const auto answer = read_upgrade_answer(std::string(line) + "\r\n\r\n");
    ASSERT_TRUE(answer.has_value()) << line;
    EXPECT_FALSE(answer->accepted) << line;
    EXPECT_EQ(answer->status_line, line);
  }
}

TEST(UpgradeAnswer, IsARefusalWhenTheHeadHasNoEnd) {
  const auto answer = read_upgrade_answer(std::string(kResponseHeadBytesMax, 'x'));
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->accepted);
}

TEST(UpgradeRequest, HasAFreshKeyOfSixteenBytesInBase64) {
  const auto key_of = [](const std::string& request) {
    const auto at = request.find("Sec-WebSocket-Key: ") + 19;
    return request.substr(at, request.find("\r\n", at) - at);
  };
  const std::string first = upgrade_request("127.0.0.1:9443", "/stream?streams=a/b");
  EXPECT_TRUE(first.starts_with("GET /stream?streams=a/b HTTP/1.1\r\nHost: 127.0.0.1:9443\r\n"));
  EXPECT_TRUE(first.ends_with("\r\n\r\n"));
  EXPECT_EQ(key_of(first).size(), 24U);
  EXPECT_TRUE(key_of(first).ends_with("=="));
  EXPECT_NE(key_of(first), key_of(upgrade_request("127.0.0.1:9443", "/")));
}

}  // namespace
}  // namespace feedbench::baselines
