// feedproxy --replace: a running proxy hands its clients and its upstreams to another process.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "reference/local/testing/proxy_fixture.hpp"
#include "transports/tls/testing/test_certificates.hpp"

namespace feedbench::local {
namespace {

using namespace std::chrono_literals;
using feedproxy::Client;
using feedproxy::Errc;
using feedproxy::Gap;
using feedproxy::GapReason;
using feedproxy::Message;
using feedproxy::Notice;
using feedproxy::Pull;
using testing::code_of;
using testing::Process;
using testing::Reading;
using testing::ScriptedVenue;

class Replace : public testing::ProxyFixture {
 protected:
  /// Publishes all the while, in a thread of its own, until stop(). So slowly that nobody is lapped who does not read while
  /// the proxy is being replaced.
  class Publishing {
   public:
    Publishing(ScriptedVenue& venue, std::size_t bytes, std::uint64_t together = 10,
               std::chrono::microseconds pause = 1ms)
        : thread_([this, &venue, bytes, together, pause] {
            while (!stop_) {
              venue.publish_numbered(together, bytes);
              std::this_thread::sleep_for(pause);
            }
          }) {}
    ~Publishing() { stop(); }
    void stop() {
      stop_ = true;
      if (thread_.joinable()) thread_.join();
    }

   private:
    std::atomic<bool> stop_{false};
    std::thread thread_;
  };
};

TEST_F(Replace, NobodyMissesAMessageAndTheVenueSeesNothing) {
  ScriptedVenue venue;
  for (const char* const transport : {"epoll", "io_uring", "select"}) {
    auto reader = client("reader");
    auto sleeper = client("sleeper");
    const auto feed =
        reader
            ->open({.url = venue.url(
                        transport == std::string("epoll") ? "/" : "/" + std::string(transport))})
            .feed;
    const auto slept =
        sleeper
            ->open({.url = venue.url(
                        transport == std::string("epoll") ? "/" : "/" + std::string(transport))})
            .feed;
    const std::uint64_t connections = venue.connections_ever();
    Reading reading(*reader, feed);
    std::uint64_t begin = venue.numbered();
    Publishing publishing(venue, 700);
    for (int i = 0; i < 3; ++i) {
      reading.until_number(begin += 1000);
      const int before = proxy_pid_;
      ASSERT_EQ(replace({"--transport", transport}), 0);
      EXPECT_NE(proxy_pid_, before);
      testing::eventually([&] { return testing::has_ended(before); });
      Notice notice;
      ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::proxy_replaced, notice));
      EXPECT_EQ(reader->server_pid(), proxy_pid_);
      reading.until_number(begin = venue.numbered());
    }
    publishing.stop();
    reading.until_number(venue.numbered());
    EXPECT_EQ(reading.gaps, 0u);
    EXPECT_EQ(reading.wrong, 0u);
    EXPECT_EQ(venue.connections_ever(), connections);
    // Who has slept through all of it reads the logs one after the other.
    Reading late(*sleeper, slept);
    late.until_number(venue.numbered());
    EXPECT_EQ(late.messages + late.missed, reading.messages);
    EXPECT_EQ(late.wrong, 0u);
    EXPECT_EQ(code_of([&] { sleeper->close(slept); }), Errc::ok);
  }
}

TEST_F(Replace, AMessageThatHadNotComeWholeIsWholeThen) {
  ScriptedVenue venue;
  options_.spawn.insert(options_.spawn.end(), {"--ring-bytes", "134217728"});
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  Reading reading(*reader, feed);
  // 900 KB each: often one is half there.
  Publishing publishing(venue, 900'000, 1, 20ms);
  for (int i = 0; i < 8; ++i) {
    const std::uint64_t before = reading.last;
    reading.until_number(before + 5);
    ASSERT_EQ(replace(), 0);
  }
  publishing.stop();
  reading.until_number(venue.numbered());
  EXPECT_EQ(reading.gaps, 0u) << "reason " << static_cast<int>(reading.last_gap.reason) << ", "
                              << reading.last_gap.missed_messages << " messages";
  EXPECT_EQ(reading.wrong, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(Replace, ATlsConnectionGoesOnToo) {
  const tls::testing::TestCertificates certificates;
  ScriptedVenue venue(
      {.certificate_file = certificates.certificate_file(), .key_file = certificates.key_file()});
  options_.spawn.insert(options_.spawn.end(), {"--ca", certificates.ca_file()});
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  Reading reading(*reader, feed);
  Publishing publishing(venue, 3000);
  for (int i = 0; i < 12; ++i) {
    reading.until_number(venue.numbered());
    ASSERT_EQ(replace({"--transport", i % 2 == 0 ? "epoll" : "io_uring"}), 0);
  }
  publishing.stop();
  reading.until_number(venue.numbered());
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(reading.wrong, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
  reader->send(feed, "heard");
  testing::eventually([&] {
    const auto heard = venue.heard();
    return !heard.empty() && heard.back() == "heard";
  });
}

TEST_F(Replace, SubscriptionsAndTheirCountsGoOn) {
  ScriptedVenue venue(
      {.venue = venues::Venue::alpaca, .connections_max = 1, .key = "right", .secret = "right"});
  const feedproxy::OpenOptions open{
      .url = venue.url(), .credentials = "TESTRIGHT", .venue = "alpaca"};
  auto one = client("one");
  auto two = client("two");
  const auto first = one->open(open).feed;
  const auto second = two->open(open).feed;
  EXPECT_FALSE(one->subscribe(first, "AAPL", "trades"));
  EXPECT_TRUE(two->subscribe(second, "AAPL", "trades"));
  EXPECT_FALSE(two->subscribe(second, "MSFT", "quotes"));
  const std::size_t heard = venue.heard().size();
  ASSERT_EQ(replace(), 0);
  EXPECT_EQ(venue.connections_ever(), 1u);
  EXPECT_EQ(venue.heard().size(), heard) << "nothing had to be asked again";
  EXPECT_TRUE(one->subscribe(first, "MSFT", "quotes"));
  EXPECT_FALSE(one->subscribe(first, "TSLA", "quotes"));
  two.reset();
  one->unsubscribe(first, "MSFT", "quotes");
  const std::vector<std::string> left = {"quotes:TSLA", "trades:AAPL"};
  testing::eventually([&] {
    auto all = venue.subscriptions();
    std::sort(all.begin(), all.end());
    return all == left;
  });
  EXPECT_EQ(code_of([&] { one->send(first, "{}"); }), Errc::ok);
}

TEST_F(Replace, WhatWasNotAnsweredIsAnsweredByTheNext) {
  ScriptedVenue venue;
  auto reader = client("reader");
  venue.stall(true);
  const auto open = reader->open_async({.url = venue.url()});
  Notice answer;
  EXPECT_FALSE(reader->answer(open, 100ms, answer));
  ASSERT_EQ(replace(), 0);
  EXPECT_FALSE(reader->answer(open, 100ms, answer));
  venue.stall(false);
  ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::opened, answer));
  EXPECT_TRUE(answer.flag) << "it is new all the same";
  venue.publish_numbered(10, 100);
  Reading reading(*reader, answer.feed);
  reading.until_number(venue.numbered());
  EXPECT_EQ(reading.gaps, 0u);
}

TEST_F(Replace, LastValuesSurvive) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url(), .last_values = true}).feed;
  venue.publish_numbered(5, 100);
  Reading(*reader, feed).until_number(5);
  ASSERT_EQ(replace(), 0);
  auto late = client("late");
  const auto joined = late->open({.url = venue.url(), .last_values = true}).feed;
  Message message;
  ASSERT_EQ(testing::next_message(*late, joined, message), Pull::message);
  EXPECT_TRUE(message.last_value);
  EXPECT_TRUE(message.text().starts_with(R"({"n":5,)"));
}

TEST_F(Replace, ASuccessorThatDiesAtAnyMomentHarmsNobody) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  Reading reading(*reader, feed);
  Publishing publishing(venue, 300);
  std::mt19937 random(7);
  int replaced = 0;
  const int rounds = 40 / testing::load_divisor() + 5;
  for (int i = 0; i < rounds; ++i) {
    // Not detached, so that the process that is killed is the one that takes over.
    std::vector<std::string> words = successor();
    std::erase(words, "--detach");
    const int before = proxy_pid_;
    Process next(words);
    reading.some();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60'000));
    // Stopped first, to see whether it had taken over: then the one before ends.
    next.kill(SIGSTOP);
    for (int look = 0; look < 200 && !testing::has_ended(before); ++look)
      std::this_thread::sleep_for(1ms);
    if (testing::has_ended(before)) {
      next.kill(SIGCONT);
      ++replaced;
      ASSERT_EQ(replace(), 0);  // by one that is not this process's child
    }
    next.kill(SIGKILL);
    next.wait();
    // On a busy machine it may have had everything, though the one before had not ended yet: then it was the proxy that
    // was killed, and nothing is left to look at.
    if (code_of([&] { reader->status(); }) != Errc::ok) {
      testing::eventually([&] { return testing::has_ended(before); });
      std::printf("killed too late\n");
      return;
    }
    reading.until_number(venue.numbered());
    if (::testing::Test::HasFailure()) break;
  }
  publishing.stop();
  reading.until_number(venue.numbered());
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(reading.wrong, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
  std::printf("%d of %d took over\n", replaced, rounds);
}

TEST_F(Replace, OneThatIsStoppedIsGivenUpAndTheOtherGoesOn) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  Reading reading(*reader, feed);
  // Everything is handed over, and nothing is heard again.
  int os_error = 0;
  auto thief = feedproxy::detail::connect_to(options_.path, os_error);
  feedproxy::control::Head head;
  head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::hello);
  head.values = {feedproxy::control::kMagic, feedproxy::control::kVersion, 0};
  feedproxy::control::send_packet(thief.get(), feedproxy::control::encode(head, "thief"));
  head.kind = static_cast<std::uint32_t>(feedproxy::control::Kind::replace);
  head.values = {300, 0, 0};
  feedproxy::control::send_packet(thief.get(), feedproxy::control::encode(head));
  venue.publish_numbered(100, 100);
  reading.until_number(100);
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
  ASSERT_EQ(replace(), 0);
  venue.publish_numbered(100, 100);
  reading.until_number(200);
  EXPECT_EQ(reading.gaps, 0u);
}

TEST_F(Replace, WithoutARunningProxyItStarts) {
  EXPECT_EQ(replace(), 0);
  ScriptedVenue venue;
  EXPECT_EQ(code_of([&] { client("reader")->open({.url = venue.url()}); }), Errc::ok);
}

TEST_F(Replace, TheConfigurationsOwnUpstreamAndItsWebSocketPortGoOn) {
  ScriptedVenue venue;
  options_.spawn.insert(options_.spawn.end(),
                        {"--upstream", venue.url(), "--listen", "127.0.0.1:0"});
  auto reader = client("reader");
  const auto feed = reader->open({}).feed;
  Reading reading(*reader, feed);
  Publishing publishing(venue, 100);
  reading.until_number(500);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(replace(), 0);
    reading.until_number(venue.numbered());
  }
  publishing.stop();
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(reading.wrong, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
  // Another upstream is another proxy's business: nothing changes.
  const int before = proxy_pid_;
  auto words = successor();
  for (std::string& word : words)
    if (word == venue.url()) word = "ws://127.0.0.1:1/";
  EXPECT_NE(Process(words).wait(), 0);
  venue.publish_numbered(10, 100);
  reading.until_number(venue.numbered());
  EXPECT_EQ(reader->server_pid(), before);
  EXPECT_EQ(reading.gaps, 0u);
}

TEST_F(Replace, WhatCannotGoOnIsOpenedAnewAndToldAsOneGap) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  options_.spawn.insert(options_.spawn.end(), {"--upstream", venue.url(), "--venue", "binance",
                                               "--listen", "127.0.0.1:0"});
  auto reader = client("reader");
  const auto feed = reader->open({}).feed;
  Reading reading(*reader, feed);
  venue.publish_numbered(100, 100);
  reading.until_number(100);
  ASSERT_EQ(replace({"--subscribe", "btcusdt@trade"}),
            0);  // another login than that of the connection
  testing::eventually([&] { return venue.connections_ever() == 2; });
  Notice notice;
  ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::upstream_ready, notice));
  venue.publish_numbered(100, 100);
  reading.until_number(200);
  EXPECT_EQ(reading.gaps, 1u);
  EXPECT_EQ(reading.last_gap.reason, GapReason::upstream_lost);
  EXPECT_EQ(reading.wrong, 0u);
}

TEST_F(Replace, AMonitorWatchesTheNewOne) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  auto options = options_;
  options.monitor = true;
  Client monitor("monitor", options);
  const auto watched = monitor.open({.feed = 2}).feed;
  ASSERT_EQ(replace(), 0);
  Notice notice;
  ASSERT_TRUE(testing::next_notice(monitor, Notice::Kind::proxy_replaced, notice));
  EXPECT_EQ(monitor.server_pid(), proxy_pid_);
  testing::eventually([&] {  // until its open is answered
    venue.publish_numbered(1, 100);
    Message message;
    Gap gap;
    return monitor.next(watched, message, gap) == Pull::message;
  });
  Reading(*reader, feed).until_number(venue.numbered());
}

TEST_F(Replace, TwoSuccessorsAtOnceComeOneAfterTheOther) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  Reading reading(*reader, feed);
  Publishing publishing(venue, 100);
  for (int i = 0; i < 10; ++i) {
    Process one(successor());
    Process two(successor());
    EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(two.wait(), 0);
    reading.until_number(venue.numbered());
  }
  publishing.stop();
  client("who");
  reading.until_number(venue.numbered());
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(Replace, LimitsThatAreExceededAlreadyAreRefusedAndNothingHappens) {
  ScriptedVenue venue;
  auto one = client("one");
  auto two = client("two");
  const auto feed = one->open({.url = venue.url("/1")}).feed;
  one->open({.url = venue.url("/2")});
  Notice notice;
  for (const char* const limit : {"--feeds-max", "--local-clients-max"})
    EXPECT_NE(Process(successor({limit, "1"})).wait(), 0) << limit;
  venue.publish_numbered(10, 100);
  Reading reading(*one, feed);
  reading.until_number(10);
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(venue.connections_ever(), 2u);
  EXPECT_EQ(code_of([&] { two->status(); }), Errc::ok);
}

/// The first feed of the proxy's status.
nlohmann::json first_feed(Client& client) {
  return nlohmann::json::parse(client.status()).at("feeds").at(0);
}

std::string text_of_file(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST_F(Replace, CountersGoOnAndARefusedReplacementIsNoConnection) {
  ScriptedVenue venue;
  const std::string log = folder_ + "/log";
  options_.spawn.insert(options_.spawn.end(), {"--log-file", log});
  auto reader = client("reader");
  auto other = client("other");
  const auto feed = reader->open({.url = venue.url()}).feed;
  Reading reading(*reader, feed);
  venue.publish_numbered(100, 100);
  reading.until_number(100);
  const auto before = first_feed(*reader);
  EXPECT_EQ(before.at("connects"), 1);
  // Refused: in the log stands why, and that the connection stayed.
  ASSERT_NE(Process(successor({"--local-clients-max", "1"})).wait(), 0);
  testing::eventually([&] { return text_of_file(log).find("upstream kept") != std::string::npos; });
  EXPECT_NE(text_of_file(log).find("cannot start: take over from the running proxy: 2 local"),
            std::string::npos)
      << text_of_file(log);
  EXPECT_EQ(text_of_file(log).find("upstream taken over"), std::string::npos);
  auto now = first_feed(*reader);
  for (const char* const counter : {"frames", "bytes", "connects", "losses"})
    EXPECT_EQ(now.at(counter), before.at(counter)) << counter;
  ASSERT_EQ(replace(), 0);
  now = first_feed(*reader);
  for (const char* const counter : {"frames", "bytes", "connects", "losses"})
    EXPECT_EQ(now.at(counter), before.at(counter)) << counter;
  venue.publish_numbered(50, 100);
  reading.until_number(150);
  EXPECT_EQ(first_feed(*reader).at("frames"), 150);
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(Replace, OtherSecretsAreToldToBeTriedLater) {
  ScriptedVenue venue({.venue = venues::Venue::alpaca, .key = "right", .secret = "right"});
  const std::string log = folder_ + "/log";
  options_.spawn.insert(options_.spawn.end(), {"--log-file", log});
  auto reader = client("reader");
  reader->open({.url = venue.url(), .credentials = "TESTRIGHT", .venue = "alpaca"});
  ASSERT_EQ(replace(), 0);
  EXPECT_EQ(text_of_file(log).find("are tried when it connects next"), std::string::npos);
  ::setenv("TESTRIGHT_SECRET", "another", 1);
  ASSERT_EQ(replace(), 0);
  ::setenv("TESTRIGHT_SECRET", "right", 1);
  EXPECT_NE(text_of_file(log).find("are tried when it connects next"), std::string::npos)
      << text_of_file(log);
  EXPECT_EQ(text_of_file(log).find("another"), std::string::npos) << "a secret in the log";
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(Replace, AFullProxyCanBeReplaced) {
  options_.spawn.insert(options_.spawn.end(), {"--local-clients-max", "2"});
  auto one = client("one");
  auto two = client("two");
  EXPECT_EQ(code_of([&] { client("three"); }), Errc::too_many);
  const int before = one->server_pid();
  EXPECT_EQ(Process(successor()).wait(), 0);
  Notice notice;
  ASSERT_TRUE(testing::next_notice(*one, Notice::Kind::proxy_replaced, notice));
  proxy_pid_ = one->server_pid();
  EXPECT_NE(proxy_pid_, before);
}

TEST_F(Replace, LeavesNothingBehind) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  ASSERT_EQ(replace(), 0);
  testing::eventually([&] { return files_left() == std::vector<std::string>{"proxy.sock"}; });
  std::size_t descriptors = 0;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(replace(), 0);
    if (descriptors == 0) descriptors = proxy_descriptors();
    testing::eventually([&] { return proxy_descriptors() <= descriptors; });
  }
  reader->close(feed);
  testing::eventually([&] { return venue.connections() == 0; });
  kill_proxy(SIGTERM);
  testing::eventually([&] { return files_left().empty(); });
}

}  // namespace
}  // namespace feedbench::local
