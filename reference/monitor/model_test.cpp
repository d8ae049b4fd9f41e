#include "reference/monitor/model.hpp"

#include <gtest/gtest.h>

namespace feedbench::monitor {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

FeedStatus feed(std::uint64_t number, std::uint64_t messages) {
  FeedStatus status;
  status.feed = number;
  status.url = "ws://127.0.0.1/";
  status.state = "live";
  status.messages = messages;
  status.bytes = messages * 100;
  return status;
}

ClientStatus client(std::uint64_t id, std::uint64_t on, std::uint64_t sequence,
                    std::uint64_t missed = 0) {
  ClientStatus status;
  status.id = id;
  status.name = "c" + std::to_string(id);
  status.pid = 1000 + static_cast<std::int64_t>(id);
  status.waiting = "futex";
  status.feeds = {on};
  status.cursors = {{on, sequence, sequence - missed, missed}};
  return status;
}

ProxyStatus proxy(std::int64_t uptime_ns) {
  ProxyStatus status;
  status.pid = 77;
  status.uptime_ns = uptime_ns;
  return status;
}

TEST(Picture, RatesAreWhatCameByTheProxysOwnClock) {
  ProxyStatus before = proxy(10 * kSecond);
  before.feeds = {feed(1, 1000)};
  before.clients = {client(5, 1, 900)};
  ProxyStatus after = proxy(12 * kSecond);
  after.feeds = {feed(1, 3000)};
  after.clients = {client(5, 1, 2900)};
  const Picture picture = make_picture(before, after, {});
  EXPECT_EQ(picture.interval_ns, 2 * kSecond);
  ASSERT_EQ(picture.feeds.size(), 1u);
  EXPECT_DOUBLE_EQ(picture.feeds[0].messages_per_s.value(), 1000);
  EXPECT_DOUBLE_EQ(picture.feeds[0].bytes_per_s.value(), 100'000);
  EXPECT_DOUBLE_EQ(picture.messages_per_s, 1000);
  ASSERT_EQ(picture.clients.size(), 1u);
  EXPECT_DOUBLE_EQ(picture.clients[0].messages_per_s.value(), 1000);
  EXPECT_EQ(picture.clients[0].lag_messages, 100u);
}

TEST(Picture, WhatIsNewHasNoRates) {
  ProxyStatus before = proxy(10 * kSecond);
  ProxyStatus after = proxy(11 * kSecond);
  after.feeds = {feed(1, 3000)};
  after.clients = {client(5, 1, 2900, 7)};
  const Picture picture = make_picture(before, after, {});
  EXPECT_FALSE(picture.feeds[0].messages_per_s);
  EXPECT_FALSE(picture.feeds[0].stages);
  EXPECT_FALSE(picture.clients[0].messages_per_s);
  EXPECT_FALSE(picture.clients[0].missed_per_s) << "missed before we looked";
  EXPECT_EQ(picture.clients[0].lag_messages, 100u);
}

TEST(Picture, AnotherProcessIsNotComparedWith) {
  ProxyStatus before = proxy(10 * kSecond);
  before.feeds = {feed(1, 1000)};
  ProxyStatus after = proxy(11 * kSecond);
  after.pid = 78;
  after.feeds = {feed(1, 3000)};
  const Picture picture = make_picture(before, after, {});
  EXPECT_EQ(picture.interval_ns, 0);
  EXPECT_FALSE(picture.feeds[0].messages_per_s);
}

TEST(Picture, ACounterThatWentBackHasNoRate) {
  ProxyStatus before = proxy(10 * kSecond);
  before.feeds = {feed(1, 1000)};
  before.clients = {client(5, 1, 1000, 9)};
  ProxyStatus after = proxy(11 * kSecond);
  after.feeds = {feed(1, 1100)};
  after.clients = {client(5, 1, 10, 0)};  // opened the feed again
  const Picture picture = make_picture(before, after, {});
  EXPECT_FALSE(picture.clients[0].messages_per_s);
  EXPECT_FALSE(picture.clients[0].missed_per_s);
}

TEST(Picture, WhoReadOnWhileTheStatusWasTakenIsNotBehind) {
  ProxyStatus after = proxy(kSecond);
  after.feeds = {feed(1, 100)};
  after.clients = {client(5, 1, 103)};
  EXPECT_EQ(make_picture(after, after, {}).clients[0].lag_messages, 0u);
}

TEST(Picture, MonitorsAreCountedAndNotShown) {
  ProxyStatus after = proxy(kSecond);
  after.feeds = {feed(1, 100)};
  after.clients = {client(5, 1, 100), client(6, 1, 100)};
  after.clients[1].monitor = true;
  const Picture picture = make_picture(after, after, {});
  EXPECT_EQ(picture.monitors, 1u);
  EXPECT_EQ(picture.local_clients, 1u);
  ASSERT_EQ(picture.clients.size(), 1u);
  EXPECT_EQ(picture.clients[0].id, 5u);
}

TEST(Picture, AClientHasARowForEachFeedAndOneIfItHasNone) {
  ProxyStatus after = proxy(kSecond);
  after.feeds = {feed(2, 100), feed(1, 50)};
  after.clients = {client(5, 1, 40), client(6, 1, 0)};
  after.clients[0].feeds = {1, 2};
  after.clients[0].cursors = {{1, 40, 40, 0}, {2, 90, 90, 0}, {2, 80, 80, 0}, {99, 1, 1, 0}};
  after.clients[1].feeds.clear();
  const Picture picture = make_picture(after, after, {});
  EXPECT_EQ(picture.feeds[0].status.feed, 1u) << "feeds by number";
  ASSERT_EQ(picture.clients.size(), 4u) << "feed 2 is open twice; feed 99 is no feed of its";
  EXPECT_EQ(picture.clients[0].lag_messages, 10u);
  EXPECT_EQ(picture.clients[1].lag_messages, 10u);
  EXPECT_EQ(picture.clients[2].lag_messages, 20u);
  EXPECT_EQ(picture.clients[3].feed, 0u);
  EXPECT_FALSE(picture.clients[3].cursor) << "it has closed what its page still shows";
}

TEST(Picture, AFeedWithoutACursorIsShownWithoutOne) {
  ProxyStatus after = proxy(kSecond);
  after.feeds = {feed(1, 100)};
  after.clients = {client(5, 1, 40)};
  after.clients[0].cursors.clear();
  const Picture picture = make_picture(after, after, {});
  ASSERT_EQ(picture.clients.size(), 1u);
  EXPECT_EQ(picture.clients[0].feed, 1u);
  EXPECT_FALSE(picture.clients[0].lag_messages);
}

TEST(Picture, ThoseFarBehindComeFirstAndTheOrderIsSteadyOtherwise) {
  ProxyStatus after = proxy(kSecond);
  after.feeds = {feed(1, 100'000)};
  after.clients = {client(1, 1, 99'990), client(2, 1, 50'000), client(3, 1, 100'000),
                   client(4, 1, 99'700), client(5, 1, 10'000)};
  std::vector<std::uint64_t> order;
  for (const ClientRow& row : make_picture(after, after, {}).clients) order.push_back(row.id);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{5, 2, 1, 3, 4}));
}

TEST(Picture, NewLossesAndMissesAreThoseOfTheInterval) {
  ProxyStatus before = proxy(10 * kSecond);
  before.feeds = {feed(1, 1000)};
  before.feeds[0].losses = 2;
  before.clients = {client(5, 1, 900, 10)};
  ProxyStatus after = proxy(11 * kSecond);
  after.feeds = {feed(1, 1000)};
  after.feeds[0].losses = 3;
  after.clients = {client(5, 1, 900, 66)};
  const Picture picture = make_picture(before, after, {});
  EXPECT_EQ(picture.feeds[0].losses_new, 1u);
  EXPECT_DOUBLE_EQ(picture.clients[0].missed_per_s.value(), 56);
}

TEST(Picture, CarriesTheStagesOfTheFeedsThatAreWatched) {
  ProxyStatus after = proxy(kSecond);
  after.feeds = {feed(1, 100), feed(2, 100)};
  StageView view;
  view.published = 50;
  view.span_ns = kSecond;
  rings::PackedStamps stamps;
  stamps.handler_ticks = 10'000;
  for (std::uint32_t& back : stamps.back_ticks) back = 100;
  for (int i = 0; i < 20; ++i) view.sample.record(stamps, 1.0);
  const Picture picture = make_picture(after, after, {{2, view}});
  EXPECT_FALSE(picture.feeds[0].stages);
  ASSERT_TRUE(picture.feeds[1].stages);
  const StageRow& row = *picture.feeds[1].stages;
  EXPECT_EQ(row.sampled, 20u);
  EXPECT_EQ(row.published, 50u);
  EXPECT_TRUE(row.at(Interval::parsed_handler).p50_ns);
  EXPECT_FALSE(row.at(Interval::parsed_handler).p99_ns) << "twenty messages have no p99";
  EXPECT_EQ(row.at(Interval::parsed_handler).count, 20u);
}

}  // namespace
}  // namespace feedbench::monitor
