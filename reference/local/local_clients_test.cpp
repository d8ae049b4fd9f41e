// Local clients against the real proxy (the binary), on a venue that does what the test says.
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "reference/local/testing/proxy_fixture.hpp"

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
using testing::ProxyFixture;
using testing::Reading;
using testing::ScriptedVenue;

class LocalClients : public ProxyFixture {};

TEST_F(LocalClients, ShareOneUpstreamAndGetTheSameMessages) {
  ScriptedVenue venue;
  auto first = client("first");
  auto second = client("second");
  const auto one = first->open({.url = venue.url()});
  const auto two = second->open({.url = venue.url()});
  EXPECT_TRUE(one.is_new);
  EXPECT_FALSE(two.is_new);
  EXPECT_EQ(first->server_pid(), second->server_pid());
  venue.publish_numbered(1000, 100);
  for (const auto& [of, feed] :
       {std::pair(first.get(), one.feed), std::pair(second.get(), two.feed)}) {
    Reading reading(*of, feed);
    reading.until_number(1000);
    EXPECT_EQ(reading.messages, 1000u);
    EXPECT_EQ(reading.wrong, 0u);
    EXPECT_EQ(reading.gaps, 0u);
  }
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(LocalClients, CarryTheStagesOfEachMessage) {
  ScriptedVenue venue;
  auto reader = client("stages");
  const auto feed = reader->open({.url = venue.url()}).feed;
  venue.publish_numbered(1, 100);
  Message message;
  ASSERT_EQ(testing::next_message(*reader, feed, message), Pull::message);
  const feedproxy::Stamps stamps = message.stamps();
  EXPECT_TRUE(stamps.wake.present() && stamps.read.present() && stamps.plain.present() &&
              stamps.parsed.present() && stamps.handler.present());
  EXPECT_LE(stamps.wake, stamps.read);
  EXPECT_LE(stamps.parsed, stamps.handler);
  EXPECT_TRUE(message.intact());
}

TEST_F(LocalClients, TheUpstreamGoesWithItsLastUser) {
  ScriptedVenue venue;
  auto first = client("first");
  auto second = client("second");
  const auto one = first->open({.url = venue.url()}).feed;
  const auto two = second->open({.url = venue.url()}).feed;
  const auto other = first->open({.url = venue.url("/other")}).feed;
  EXPECT_EQ(venue.connections(), 2u);
  first->close(one);
  venue.publish_numbered(10, 10);
  Reading(*second, two).until_number(10);
  EXPECT_EQ(venue.connections(), 2u);
  second->close(two);
  testing::eventually([&] { return venue.connections() == 1; });
  venue.publish_numbered(10, 10);
  Reading(*first, other).until_number(20);
  // Opened again it is a new connection.
  EXPECT_TRUE(second->open({.url = venue.url()}).is_new);
  EXPECT_EQ(venue.connections_ever(), 3u);
}

TEST_F(LocalClients, ManyOpensAtOnceMakeOneUpstream) {
  ScriptedVenue venue;
  constexpr int kClients = 12;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) clients.push_back(client("c" + std::to_string(i)));
  std::atomic<int> made{0};
  std::vector<std::thread> threads;
  for (auto& each : clients)
    threads.emplace_back([&] { made += each->open({.url = venue.url()}).is_new ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(LocalClients, DifferentCredentialsHeadersAndProtocolsAreDifferentUpstreams) {
  ScriptedVenue venue;
  auto reader = client("reader");
  EXPECT_TRUE(reader->open({.url = venue.url()}).is_new);
  EXPECT_TRUE(reader->open({.url = venue.url(), .headers = "X-Account: 2\n"}).is_new);
  EXPECT_TRUE(reader->open({.url = venue.url("/2")}).is_new);
  EXPECT_FALSE(reader->open({.url = venue.url("/2")}).is_new);
}

TEST_F(LocalClients, OneUpstreamWrittenInOtherWaysIsOneUpstream) {
  ScriptedVenue venue;
  const std::string port = venue.url().substr(venue.url().rfind(':') + 1);  // with the slash
  const std::string host = "127.0.0.1:" + port;
  auto reader = client("reader");
  EXPECT_TRUE(reader->open({.url = "ws://" + host}).is_new);
  EXPECT_FALSE(reader->open({.url = "ws://" + host, .venue = "raw"}).is_new);
  EXPECT_FALSE(reader->open({.url = "WS://" + host}).is_new);
  EXPECT_FALSE(reader->open({.url = "ws://" + host.substr(0, host.size() - 1)}).is_new);
  EXPECT_TRUE(reader->open({.url = "ws://" + host, .venue = "binance"}).is_new);
  EXPECT_TRUE(reader->open({.url = "ws://" + host, .headers = "X-A: 1"}).is_new);
  EXPECT_FALSE(reader->open({.url = "ws://" + host, .headers = "X-A:1\n"}).is_new);
  EXPECT_EQ(venue.connections_ever(), 3u);
}

TEST_F(LocalClients, AnOpenThatCannotSucceedSaysWhy) {
  ScriptedVenue alpaca({.venue = venues::Venue::alpaca, .key = "right", .secret = "right"});
  options_.timeout = 1500ms;
  auto reader = client("reader");
  EXPECT_EQ(code_of([&] { reader->open({.url = "ftp://x"}); }), Errc::bad_request);
  EXPECT_EQ(code_of([&] { reader->open({.url = "ws://127.0.0.1:1/"}); }), Errc::timed_out);
  EXPECT_EQ(code_of([&] {
              reader->open({.url = alpaca.url(), .credentials = "NOSUCH", .venue = "alpaca"});
            }),
            Errc::bad_request);
  EXPECT_EQ(code_of([&] {
              reader->open({.url = alpaca.url(), .credentials = "TESTWRONG", .venue = "alpaca"});
            }),
            Errc::venue_refused);
  EXPECT_EQ(code_of([&] { reader->open({.url = alpaca.url(), .venue = "alpacca"}); }),
            Errc::bad_request);
  EXPECT_EQ(code_of([&] { reader->open({}); }),
            Errc::bad_request);  // this proxy has no upstream of its own
  EXPECT_EQ(code_of([&] { reader->close(77); }), Errc::no_such_feed);
  try {
    reader->open({.url = "ws://127.0.0.1:1/"});
  } catch (const feedproxy::Error& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("127.0.0.1:1: connection refused"), std::string::npos) << text;
    EXPECT_EQ(text.find("Connection refused"), std::string::npos) << "said twice: " << text;
  }
  // And it is as good as before.
  ScriptedVenue venue;
  EXPECT_TRUE(reader->open({.url = venue.url()}).is_new);
}

TEST_F(LocalClients, SubscriptionsAreCountedOverAllClients) {
  ScriptedVenue venue({.venue = venues::Venue::alpaca, .key = "right", .secret = "right"});
  auto first = client("first");
  auto second = client("second");
  const feedproxy::OpenOptions what{
      .url = venue.url(), .credentials = "TESTRIGHT", .venue = "alpaca"};
  const auto one = first->open(what).feed;
  const auto two = second->open(what).feed;
  EXPECT_FALSE(first->subscribe(one, "AAPL", "trades"));
  EXPECT_TRUE(second->subscribe(two, "AAPL", "trades"));
  EXPECT_FALSE(second->subscribe(two, "MSFT", "quotes"));
  EXPECT_EQ(venue.subscriptions(), (std::vector<std::string>{"trades:AAPL", "quotes:MSFT"}));
  first->unsubscribe(one, "AAPL", "trades");
  EXPECT_EQ(venue.subscriptions(), (std::vector<std::string>{"trades:AAPL", "quotes:MSFT"}));
  second->unsubscribe(two, "AAPL", "trades");
  EXPECT_EQ(venue.subscriptions(), (std::vector<std::string>{"quotes:MSFT"}));
  EXPECT_NE(code_of([&] { second->unsubscribe(two, "AAPL", "trades"); }), Errc::ok);
  // The venue's answers are not in the stream, and data is.
  venue.publish_numbered(5, 10);
  Reading reading(*first, one);
  reading.until_number(5);
  EXPECT_EQ(reading.messages, 5u);
}

TEST_F(LocalClients, TheVenuesRefusalOfASubscriptionReachesTheClient) {
  ScriptedVenue venue({.venue = venues::Venue::alpaca});
  auto reader = client("reader");
  const auto feed =
      reader->open({.url = venue.url(), .credentials = "TESTRIGHT", .venue = "alpaca"}).feed;
  try {
    reader->subscribe(feed, "AAPL", "orderbooks");  // crypto has them, stocks have not
    ADD_FAILURE() << "was accepted";
  } catch (const feedproxy::Error& error) {
    EXPECT_EQ(error.code(), Errc::venue_refused);
    EXPECT_NE(std::string(error.what()).find("410"), std::string::npos) << error.what();
  }
  EXPECT_FALSE(reader->subscribe(feed, "AAPL", "trades"));
}

TEST_F(LocalClients, ADeadClientsSubscriptionsAreReleased) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  auto first = client("first");
  auto second = client("second");
  const feedproxy::OpenOptions what{.url = venue.url(), .venue = "binance"};
  first->subscribe(first->open(what).feed, "btcusdt", "trade");
  second->subscribe(second->open(what).feed, "ethusdt", "trade");
  EXPECT_EQ(venue.subscriptions(), (std::vector<std::string>{"btcusdt@trade", "ethusdt@trade"}));
  first.reset();
  testing::eventually(
      [&] { return venue.subscriptions() == std::vector<std::string>{"ethusdt@trade"}; });
}

TEST_F(LocalClients, SendReachesTheVenue) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  reader->send(feed, "hello");
  testing::eventually([&] { return venue.heard() == std::vector<std::string>{"hello"}; });
  const std::string large(feedproxy::Client::send_bytes_max() + 1, 'x');
  EXPECT_EQ(code_of([&] { reader->send(feed, large); }), Errc::too_large);
}

TEST_F(LocalClients, ALostUpstreamIsToldAndComesBackWithItsSubscriptions) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url(), .venue = "binance"}).feed;
  reader->subscribe(feed, "btcusdt", "trade");
  venue.publish_numbered(3, 10);
  Reading reading(*reader, feed);
  reading.until_number(3);
  venue.drop_all();
  Notice notice;
  EXPECT_TRUE(testing::next_notice(*reader, Notice::Kind::upstream_lost, notice));
  EXPECT_FALSE(notice.text.empty());
  EXPECT_TRUE(testing::next_notice(*reader, Notice::Kind::upstream_ready, notice));
  testing::eventually(
      [&] { return venue.subscriptions() == std::vector<std::string>{"btcusdt@trade"}; });
  venue.publish_numbered(3, 10);
  reading.until_number(6);
  EXPECT_EQ(reading.messages, 6u);
  EXPECT_EQ(reading.gaps, 1u);
  EXPECT_EQ(reading.last_gap.reason, GapReason::upstream_lost);
  EXPECT_EQ(reading.last_gap.missed_messages, feedproxy::kUnknown);
}

TEST_F(LocalClients, AFragmentedMessageComesWhole) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  std::string text;
  for (int i = 0; text.size() < 100'000; ++i) text += std::to_string(i);
  for (const std::size_t fragment : {1'000UL, 70'000UL, 100UL}) {
    venue.publish_fragmented(text, fragment);
    Message message;
    ASSERT_EQ(testing::next_message(*reader, feed, message), Pull::message);
    EXPECT_TRUE(message.assembled);
    EXPECT_EQ(message.text(), text);
    EXPECT_TRUE(message.intact());
  }
}

TEST_F(LocalClients, WhoJoinsMayBeginWithTheNewestOfEachTopic) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  auto early = client("early");
  feedproxy::OpenOptions what{.url = venue.url(), .venue = "binance"};
  const auto feed = early->open(what).feed;
  const auto frame = [](const std::string& stream, int n) {
    return R"({"stream":")" + stream + R"(","data":{"n":)" + std::to_string(n) + "}}";
  };
  for (int n = 1; n <= 300; ++n) venue.publish(frame(n % 3 == 0 ? "a@trade" : "b@trade", n));
  venue.publish(frame("once@trade", 301));
  testing::eventually([&] { return early->lag(feed) == 301; });

  what.last_values = true;
  auto late = client("late");
  const auto joined = late->open(what).feed;
  std::vector<std::string> texts;
  Message message;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(testing::next_message(*late, joined, message), Pull::message);
    EXPECT_TRUE(message.last_value);
    EXPECT_TRUE(message.intact());
    texts.emplace_back(message.text());
  }
  EXPECT_EQ(texts, (std::vector<std::string>{frame("b@trade", 299), frame("a@trade", 300),
                                             frame("once@trade", 301)}));
  venue.publish(frame("a@trade", 302));
  ASSERT_EQ(testing::next_message(*late, joined, message), Pull::message);
  EXPECT_FALSE(message.last_value);
  EXPECT_EQ(message.sequence, 302u);
  EXPECT_EQ(message.text(), frame("a@trade", 302));
}

TEST_F(LocalClients, LastValuesAndTheLiveStreamJoinWithoutGapOrDuplicateUnderLoad) {
  ScriptedVenue venue;  // raw: one topic, so the last value is the newest message
  auto early = client("early");
  early->open({.url = venue.url()});
  std::thread publisher([&] { venue.publish_numbered(100'000, 40); });
  for (int i = 0; i < 20; ++i) {
    auto late = client("late");
    const auto feed = late->open({.url = venue.url(), .last_values = true}).feed;
    std::uint64_t last = 0;
    for (int n = 0; n < 500; ++n) {
      Message message;
      const Pull pulled = testing::next_message(*late, feed, message);
      if (pulled != Pull::message) break;  // lapped, on a machine that is busy
      if (last != 0) {
        ASSERT_EQ(message.sequence, last + 1);
      }
      last = message.sequence;
      if (last == 100'000) break;
    }
  }
  publisher.join();
}

TEST_F(LocalClients, AnUpstreamLostAfterTheLastValuesIsAGap) {
  ScriptedVenue venue;
  auto first = client("first");
  const auto keeps = first->open({.url = venue.url(), .last_values = true}).feed;
  venue.publish_numbered(3, 100);
  Reading(*first, keeps).until_number(3);
  auto late = client("late");
  const auto feed = late->open({.url = venue.url(), .last_values = true}).feed;
  Notice notice;
  venue.drop_all();
  ASSERT_TRUE(testing::next_notice(*late, Notice::Kind::upstream_lost, notice));
  ASSERT_TRUE(testing::next_notice(*late, Notice::Kind::upstream_ready, notice));
  venue.publish_numbered(1, 100);
  Message message;
  ASSERT_EQ(testing::next_message(*late, feed, message), Pull::message);
  EXPECT_TRUE(message.last_value);
  EXPECT_EQ(testing::next_message(*late, feed, message), Pull::gap);
  ASSERT_EQ(testing::next_message(*late, feed, message), Pull::message);
  EXPECT_TRUE(message.text().starts_with(R"({"n":4,)"));
}

TEST_F(LocalClients, WhoIsTooSlowIsToldExactlyWhatItMissed) {
  ScriptedVenue venue;
  auto slow = client("slow");
  auto fast = client("fast");
  const auto feed = slow->open({.url = venue.url()}).feed;
  const auto other = fast->open({.url = venue.url()}).feed;
  constexpr std::uint64_t kMessages = 40'000;  // of 1 kB, into a ring of 16 MiB
  std::thread publisher([&] { venue.publish_numbered(kMessages, 1000); });
  Reading steady(*fast, other);
  steady.until_number(kMessages);
  publisher.join();
  EXPECT_EQ(steady.messages + steady.missed, kMessages);
  Reading late(*slow, feed);
  late.until_number(kMessages);
  EXPECT_GE(late.gaps, 1u);
  EXPECT_EQ(late.last_gap.reason, GapReason::lapped);
  EXPECT_EQ(late.messages + late.missed, kMessages);
  EXPECT_EQ(late.missed_bytes + late.frame_bytes, steady.missed_bytes + steady.frame_bytes);
  EXPECT_EQ(late.wrong, 0u);
}

TEST_F(LocalClients, WhoSleepsIsWoken) {
  ScriptedVenue venue;
  options_.spin = 0ns;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  for (std::uint64_t i = 1; i <= 200; ++i) {
    std::thread publisher([&] {
      if (i % 2 == 0) std::this_thread::sleep_for(1ms);
      venue.publish_numbered(1, 10);
    });
    Reading(*reader, feed).until_number(i);
    publisher.join();
  }
}

TEST_F(LocalClients, ALoopOfTheUsersOwnIsWoken) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  rings::Descriptor loop(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(loop.get(), EPOLL_CTL_ADD, reader->fd(), &event), 0);
  Reading reading(*reader, feed);
  std::thread publisher([&] {
    for (int i = 0; i < 100; ++i) {
      venue.publish_numbered(1, 10);
      std::this_thread::sleep_for(500us);
    }
  });
  int sleeps = 0;
  while (reading.some(), reading.messages < 100) {
    if (!reader->arm()) continue;
    ASSERT_EQ(::epoll_wait(loop.get(), &event, 1, 10'000), 1) << "nothing woke the loop";
    ++sleeps;
  }
  publisher.join();
  EXPECT_GE(sleeps, 1);
  EXPECT_EQ(reading.wrong, 0u);
}

TEST_F(LocalClients, TheEndOfTheProxyIsAnEvent) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  venue.publish_numbered(7, 10);
  testing::eventually([&] { return reader->lag(feed) == 7; });
  kill_proxy(SIGKILL);
  Reading reading(*reader, feed);
  EXPECT_EQ(reading.until_closed(), 7u);  // what was published is still there
  Notice notice;
  EXPECT_TRUE(testing::next_notice(*reader, Notice::Kind::proxy_lost, notice));
  EXPECT_EQ(code_of([&] { reader->open({.url = venue.url()}); }), Errc::proxy_lost);
}

TEST_F(LocalClients, ComeBackToAProxyThatWasRestarted) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  options_.reconnect = true;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url(), .venue = "binance"}).feed;
  reader->subscribe(feed, "btcusdt", "trade");
  venue.publish_numbered(3, 10);
  Reading reading(*reader, feed);
  reading.until_number(3);
  const int first = reader->server_pid();
  kill_proxy(SIGKILL);
  Notice notice;
  ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::proxy_lost, notice));
  ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::proxy_back, notice));
  EXPECT_NE(reader->server_pid(), first);
  testing::eventually([&] {
    reading.some();
    return venue.subscriptions() == std::vector<std::string>{"btcusdt@trade"};
  });
  venue.publish_numbered(3, 10);
  reading.until_number(6);
  EXPECT_EQ(reading.messages, 6u);
  EXPECT_EQ(reading.gaps, 1u);
  EXPECT_EQ(reading.last_gap.reason, GapReason::proxy_lost);
}

TEST_F(LocalClients, ThatRaceForNoProxyStartExactlyOne) {
  std::vector<std::unique_ptr<testing::Process>> racers;
  for (int i = 0; i < 10; ++i)
    racers.push_back(consumer({"spawn", "-", program(), "--linger-ms", "200"}));
  std::set<std::string> pids;
  for (auto& racer : racers) pids.insert(racer->read_line());
  EXPECT_EQ(pids.size(), 1u);
  proxy_pid_ = std::stoi(*pids.begin());
  ASSERT_GT(proxy_pid_, 0);
  // The one that started it is killed, and then all the others: each time the rest goes on, and at last the proxy ends.
  racers.front()->kill(SIGKILL);
  EXPECT_FALSE(testing::has_ended(proxy_pid_));
  racers.clear();
  testing::eventually([&] { return testing::has_ended(proxy_pid_); });
  proxy_pid_ = -1;
  EXPECT_EQ(files_left(), std::vector<std::string>{});
}

/// The sentence of the Error that `call` throws.
std::string text_of(const std::function<void()>& call) {
  try {
    call();
    return "no error";
  } catch (const feedproxy::Error& error) {
    return error.what();
  }
}

TEST_F(LocalClients, WhoForgotItsCredentialsIsToldWhichProxyHasTheEnvironmentWithoutThem) {
  ScriptedVenue venue({.venue = venues::Venue::alpaca, .key = "k", .secret = "s"});
  options_.spawn = {program(), "--linger-ms", "100000000"};
  const feedproxy::OpenOptions what{
      .url = venue.url(), .credentials = "FEEDBENCH_LATE", .venue = "alpaca"};
  auto early = client("early");
  const int first = proxy_pid_;
  const std::string text = text_of([&] { early->open(what); });
  for (const char* const part :
       {"FEEDBENCH_LATE_KEY and FEEDBENCH_LATE_SECRET", "--replace --detach --local-socket"})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  EXPECT_NE(text.find(std::to_string(first)), std::string::npos) << text;
  EXPECT_NE(text.find(options_.path), std::string::npos) << text;
  // It was of no use to anybody, so it does not stand in the way of the next attempt for long.
  early.reset();
  testing::eventually([&] { return testing::has_ended(first); });
  ::setenv("FEEDBENCH_LATE_KEY", "k", 1);
  ::setenv("FEEDBENCH_LATE_SECRET", "s", 1);
  auto late = client("late");
  EXPECT_NE(proxy_pid_, first);
  EXPECT_EQ(text_of([&] { late->open(what); }), "no error");
  ::unsetenv("FEEDBENCH_LATE_KEY");
  ::unsetenv("FEEDBENCH_LATE_SECRET");
  EXPECT_NE(
      text_of([&] { late->open({.url = venue.url(), .venue = "alpaca"}); }).find("credentials"),
      std::string::npos);
}

TEST_F(LocalClients, AProgramThatIsNoProxyIsDescribed) {
  const auto said = [&](std::vector<std::string> spawn) {
    options_.spawn = std::move(spawn);
    return text_of([&] { client("reader"); });
  };
  EXPECT_NE(said({"/bin/true"}).find("it ended with 0 and said nothing"), std::string::npos)
      << said({"/bin/true"});
  EXPECT_NE(said({"/bin/false"}).find("it ended with 1 and said nothing"), std::string::npos);
  EXPECT_NE(said({"feedproxy_not_there"}).find("not found in PATH"), std::string::npos);
  const std::string line = said({"feedproxy_not_there --linger-ms 3000"});
  EXPECT_NE(line.find("program and arguments as a list"), std::string::npos) << line;
}

TEST_F(LocalClients, AFolderThatCannotBeMadeIsToldWithWhatToCheck) {
  const char* const before = std::getenv("XDG_RUNTIME_DIR");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("XDG_RUNTIME_DIR", "/proc", 1);
  const std::string text = text_of([] { feedproxy::socket_path("default"); });
  before == nullptr ? ::unsetenv("XDG_RUNTIME_DIR") : ::setenv("XDG_RUNTIME_DIR", kept.c_str(), 1);
  EXPECT_NE(text.find("XDG_RUNTIME_DIR"), std::string::npos) << text;
  options_.path = folder_ + "/none/proxy.sock";
  const std::string lock = text_of([&] { client("reader"); });
  EXPECT_NE(lock.find("XDG_RUNTIME_DIR"), std::string::npos) << lock;
}

TEST_F(LocalClients, AProxyThatCannotStartSaysWhyInTheClientsError) {
  options_.spawn = {program(), "--transport", "carrier-pigeon"};
  try {
    client("reader");
    ADD_FAILURE() << "started";
  } catch (const feedproxy::Error& error) {
    EXPECT_EQ(error.code(), Errc::spawn_failed);
    EXPECT_NE(std::string(error.what()).find("carrier-pigeon"), std::string::npos) << error.what();
  }
  options_.spawn = {"/no/such/program"};
  EXPECT_EQ(code_of([&] { client("reader"); }), Errc::spawn_failed);
  options_.spawn = {};
  EXPECT_EQ(code_of([&] { client("reader"); }), Errc::no_proxy);
  options_.path = std::string(200, 'x');
  EXPECT_EQ(code_of([&] { client("reader"); }), Errc::bad_request);
  options_.path = "/proc/nowhere/socket";
  EXPECT_EQ(code_of([&] { client("reader"); }), Errc::no_proxy);
}

TEST_F(LocalClients, ANameStandsForASocketInTheUsersRuntimeFolder) {
  ::setenv("XDG_RUNTIME_DIR", folder_.c_str(), 1);
  options_.path = "";
  auto unnamed = client("unnamed");
  EXPECT_EQ(unnamed->path(), folder_ + "/feedproxy/default.sock");
  options_.path = "default";
  auto named = client("named");
  EXPECT_EQ(named->server_pid(), unnamed->server_pid());
  // A folder that others may write is not trusted.
  ::chmod((folder_ + "/feedproxy").c_str(), 0777);
  EXPECT_EQ(code_of([&] { client("careful"); }), Errc::not_allowed);
  ::chmod((folder_ + "/feedproxy").c_str(), 0700);
  ::unsetenv("XDG_RUNTIME_DIR");
}

TEST_F(LocalClients, StatusTellsWhoReadsWhat) {
  ScriptedVenue venue;
  auto reader = client("status-reader");
  const auto feed = reader->open({.url = venue.url("/path?token=secret")}).feed;
  venue.publish_numbered(300, 10);
  Reading(*reader, feed).until_number(300);
  const std::string status = reader->status();
  EXPECT_NE(status.find("status-reader"), std::string::npos) << status;
  EXPECT_NE(status.find("/path"), std::string::npos);
  EXPECT_NE(status.find("\"frames\":300"), std::string::npos) << status;
  EXPECT_EQ(status.find("secret"), std::string::npos) << "a token was shown";
}

TEST_F(LocalClients, AProxyThatStopsWhileItIsAskedForItsStatusStops) {
  ScriptedVenue venue;
  auto reader = client("reader");
  for (int i = 0; i < 4; ++i) reader->open({.url = venue.url("/" + std::to_string(i))});
  // Not detached, so that its end can be seen.
  std::vector<std::string> words = successor();
  std::erase(words, "--detach");
  testing::Process proxy(words);
  Notice notice;
  ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::proxy_replaced, notice));
  proxy_pid_ = -1;
  std::vector<std::thread> asking;
  for (int i = 0; i < 3; ++i)
    asking.emplace_back([&, i] {
      Client curious("curious" + std::to_string(i), options_);
      while (code_of([&] { curious.status(); }) == Errc::ok) {
      }
    });
  std::this_thread::sleep_for(50ms);
  proxy.kill(SIGTERM);
  EXPECT_EQ(proxy.wait(), 0);
  for (std::thread& each : asking) each.join();
}

TEST_F(LocalClients, AGroupsMembersMayComeWhateverTheUmask) {
  options_.spawn.insert(options_.spawn.end(),
                        {"--local-group", "daemon", "--allow-open", "ws://127.0.0.1"});
  const mode_t before = ::umask(0077);
  auto reader = client("reader");
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(options_.path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660u);
}

TEST_F(LocalClients, TheProxysLogComesIfAskedFor) {
  ScriptedVenue venue;
  auto reader = client("reader");
  reader->set_log_level(feedproxy::LogLevel::info);
  reader->open({.url = venue.url()});
  Notice notice;
  ASSERT_TRUE(testing::next_notice(*reader, Notice::Kind::log, notice));
  EXPECT_FALSE(notice.text.empty());
}

TEST_F(LocalClients, ATokenIsAskedForIfTheProxyHasOne) {
  ::setenv("FEEDBENCH_TEST_TOKEN", "correct horse", 1);
  options_.spawn = {program(), "--local-token-env", "FEEDBENCH_TEST_TOKEN"};
  options_.token = "correct horse";
  auto good = client("good");
  options_.token = "wrong";
  EXPECT_EQ(code_of([&] { client("bad"); }), Errc::not_allowed);
  EXPECT_EQ(code_of([&] { client("a name with spaces"); }), Errc::not_allowed);
  options_.token = "correct horse";
  EXPECT_EQ(code_of([&] { client("a name with spaces"); }), Errc::bad_request);
}

TEST_F(LocalClients, AProxyWhoseTokenIsNotSetDoesNotStart) {
  options_.spawn = {program(), "--local-token-env", "FEEDBENCH_TEST_NO_SUCH_TOKEN"};
  EXPECT_EQ(code_of([&] { client("anybody"); }), Errc::spawn_failed);
}

TEST_F(LocalClients, OnlyAllowedUrlsAreOpened) {
  ScriptedVenue venue;
  options_.spawn = {program(), "--allow-open", venue.url("/good")};
  auto reader = client("reader");
  EXPECT_EQ(code_of([&] { reader->open({.url = venue.url("/bad")}); }), Errc::not_allowed);
  EXPECT_EQ(code_of([&] { reader->open({.url = venue.url("/goodness")}); }), Errc::not_allowed);
  EXPECT_EQ(code_of([&] { reader->open({.url = venue.url("/good.evil.example")}); }),
            Errc::not_allowed);
  EXPECT_TRUE(reader->open({.url = venue.url("/good/1")}).is_new);
  EXPECT_TRUE(reader->open({.url = "WS" + venue.url("/good").substr(2)}).is_new) << "is the same";
  EXPECT_EQ(code_of([&] { reader->open({.url = "ws:/"}); }), Errc::bad_request);
  const std::string text = text_of([&] { reader->open({.url = venue.url("/bad?token=hidden")}); });
  for (const std::string& part :
       {venue.url("/bad"), venue.url("/good"), std::string("--allow-open")})
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in: " << text;
  EXPECT_EQ(text.find("hidden"), std::string::npos) << text;
}

TEST_F(LocalClients, WithAGroupAndNothingAllowedNoUrlIsOpened) {
  ScriptedVenue venue;
  options_.spawn.insert(options_.spawn.end(), {"--local-group", "daemon"});
  auto reader = client("reader");
  EXPECT_EQ(code_of([&] { reader->open({.url = venue.url()}); }), Errc::not_allowed);
  const std::string text = text_of([&] { reader->open({.url = venue.url()}); });
  EXPECT_NE(text.find("--local-group"), std::string::npos) << text;
}

TEST_F(LocalClients, TooManyFeedsAreRefusedAndNothingElseSuffers) {
  ScriptedVenue venue;
  auto reader = client("reader");
  std::vector<feedproxy::FeedId> feeds;
  for (std::uint32_t i = 0; i < feedproxy::control::kFeedsPerClientMax; ++i)
    feeds.push_back(reader->open({.url = venue.url("/" + std::to_string(i))}).feed);
  EXPECT_EQ(code_of([&] { reader->open({.url = venue.url("/more")}); }), Errc::too_many);
  reader->close(feeds[3]);
  feeds[3] = reader->open({.url = venue.url("/more")}).feed;
  venue.publish_numbered(10, 10);
  for (const auto feed : feeds) {
    Reading reading(*reader, feed);
    reading.until_number(10);
    EXPECT_EQ(reading.messages, 10u);
  }
}

}  // namespace
}  // namespace feedbench::local
