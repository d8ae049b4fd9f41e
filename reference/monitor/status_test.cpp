#include "reference/monitor/status.hpp"

#include <gtest/gtest.h>

namespace feedbench::monitor {
namespace {

constexpr const char* kStatus = R"({
  "pid": 77, "version": "1.2.3", "uptime_ns": 5000000000, "new_in_a_later_version": true,
  "feeds": [{"feed": 2, "url": "ws://127.0.0.1:9443/ws", "venue": "raw", "state": "live", "clients": 1, "ws_clients": 0,
             "frames": 300, "bytes": 12345, "connects": 2, "losses": 1, "ring_bytes": 1048576, "last_error": "why"}],
  "clients": [{"id": 9, "name": "reader", "pid": 78, "uid": 1000, "monitor": false, "waiting": "futex", "feeds": [2],
               "cursors": [{"feed": 2, "sequence": 299, "messages": 298, "missed": 1}]}]})";

TEST(Status, IsReadWhole) {
  const auto status = parse_status(kStatus);
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_EQ(status->pid, 77);
  EXPECT_EQ(status->version, "1.2.3");
  EXPECT_EQ(status->uptime_ns, 5'000'000'000);
  ASSERT_EQ(status->feeds.size(), 1u);
  const FeedStatus& feed = status->feeds[0];
  EXPECT_EQ(feed.url, "ws://127.0.0.1:9443/ws");
  EXPECT_EQ(feed.messages, 300u);
  EXPECT_EQ(feed.connects, 2u);
  EXPECT_EQ(feed.losses, 1u);
  EXPECT_EQ(feed.last_error, "why");
  ASSERT_EQ(status->clients.size(), 1u);
  const ClientStatus& client = status->clients[0];
  EXPECT_EQ(client.name, "reader");
  EXPECT_EQ(client.waiting, "futex");
  EXPECT_EQ(client.feeds, std::vector<std::uint64_t>{2});
  ASSERT_EQ(client.cursors.size(), 1u);
  EXPECT_EQ(client.cursors[0].sequence, 299u);
  EXPECT_EQ(client.cursors[0].missed, 1u);
  EXPECT_EQ(status->find_feed(2), &feed);
  EXPECT_EQ(status->find_feed(3), nullptr);
  EXPECT_EQ(status->find_client(9), &client);
  EXPECT_EQ(status->find_client(1), nullptr);
}

TEST(Status, OfAnotherVersionIsRefusedInOneSentence) {
  for (const char* const text :
       {"", "[]", "{}", R"({"pid": "x"})", R"({"pid": 1, "version": "1"})"}) {
    const auto status = parse_status(text);
    ASSERT_FALSE(status) << text;
    EXPECT_NE(status.error().message.find("status"), std::string::npos);
    EXPECT_EQ(status.error().message.find('\n'), std::string::npos) << status.error().message;
  }
}

}  // namespace
}  // namespace feedbench::monitor
