#include <gmock/gmock.h>

#include "mock_exchange/load_session.hpp"
#include "mock_exchange/testing/exchange_fixture.hpp"

namespace feedbench::mock_exchange::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using venues::Venue;

std::string envelope(const std::string& stream, int number) {
  return R"({"stream":")" + stream + R"(","data":{"n":)" + std::to_string(number) + "}}";
}
std::string data(int number) { return R"({"n":)" + std::to_string(number) + "}"; }

/// Frames 0..count of streams a@trade and b@trade in turn, 1 us apart, in combined form.
std::shared_ptr<const PreparedSession> two_streams(int count) {
  SessionBuilder builder;
  for (int i = 0; i < count; ++i) {
    const std::string stream = i % 2 == 0 ? "a@trade" : "b@trade";
    builder.add(envelope(stream, i), i * 1000, builder.topic(stream));
  }
  return builder.finish();
}

class BinanceExchange : public ExchangeTest {
 protected:
  void serve_two_streams(int count, Pace::Kind pace = Pace::Kind::max) {
    session_ = two_streams(count);
    serve(options_for(Venue::binance, session_, pace));
  }
  std::shared_ptr<const PreparedSession> session_;
};

TEST_F(BinanceExchange, CombinedPathGivesTheEnvelopesAsRecorded) {
  serve_two_streams(1000);
  const BeastClient& client = connect("/stream?streams=a@trade/b@trade");
  run_until_messages(client, 1000);
  EXPECT_EQ(client.messages(), texts_of(*session_));
}

TEST_F(BinanceExchange, SomeStreamsGiveTheirFramesAndNoOthers) {
  serve_two_streams(1000);
  const BeastClient& client = connect("/stream?streams=b%40trade");
  run_until_messages(client, 500);
  settle();
  ASSERT_EQ(client.messages().size(), 500U);
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(client.messages()[static_cast<std::size_t>(i)], envelope("b@trade", 2 * i + 1));
  }
  EXPECT_TRUE(exchange_->finished());
}

TEST_F(BinanceExchange, RawPathGivesTheDataAlone) {
  serve_two_streams(10);
  const BeastClient& all = connect("/ws/a@trade/b@trade");
  const BeastClient& one = connect("/ws/a@trade");
  run_until_messages(all, 10);
  run_until_messages(one, 5);
  EXPECT_EQ(all.messages()[3], data(3));
  EXPECT_THAT(one.messages(), ElementsAre(data(0), data(2), data(4), data(6), data(8)));
}

TEST_F(BinanceExchange, ARecordingOfRawFramesIsWrappedForTheCombinedPath) {
  SessionBuilder builder;
  builder.add(data(7), 0, builder.topic("a@trade"));
  serve(options_for(Venue::binance, builder.finish()));
  const BeastClient& combined = connect("/stream?streams=a@trade");
  const BeastClient& raw = connect("/ws/a@trade");
  run_until_messages(combined, 1);
  run_until_messages(raw, 1);
  EXPECT_EQ(combined.messages()[0], envelope("a@trade", 7));
  EXPECT_EQ(raw.messages()[0], data(7));
}

TEST_F(BinanceExchange, NothingIsSentBeforeTheFirstSubscription) {
  serve_two_streams(10);
  BeastClient& client = connect("/stream");
  run_until_open(client);
  settle();
  EXPECT_TRUE(client.messages().empty());
  EXPECT_EQ(exchange_->sessions_ready(), 0U);
  client.send(R"({"method":"SUBSCRIBE","params":["a@trade"],"id":"x1"})");
  run_until_messages(client, 6);
  EXPECT_EQ(client.messages()[0], R"({"result":null,"id":"x1"})");
  EXPECT_EQ(client.messages()[1], envelope("a@trade", 0));
  EXPECT_EQ(exchange_->sessions_ready(), 1U);
}

TEST_F(BinanceExchange, SubscriptionsChangeWhatFollows) {
  serve_two_streams(100, Pace::Kind::recorded);
  BeastClient& client = connect("/stream?streams=a@trade");
  run_until_messages(client, 1);  // frame 0 of a
  client.send(R"({"method":"SUBSCRIBE","params":["b@trade"],"id":1})");
  run_until_messages(client, 2);
  pass_ns(2000);  // frames 1 (b), 2 (a)
  run_until_messages(client, 4);
  client.send(R"({"method":"UNSUBSCRIBE","params":["a@trade"],"id":2})");
  run_until_messages(client, 5);
  pass_ns(3000);  // frames 3 (b), 4 (a), 5 (b)
  run_until_messages(client, 7);
  client.send(R"({"method":"LIST_SUBSCRIPTIONS","id":3})");
  run_until_messages(client, 8);
  EXPECT_THAT(
      client.messages(),
      ElementsAre(envelope("a@trade", 0), R"({"result":null,"id":1})", envelope("b@trade", 1),
                  envelope("a@trade", 2), R"({"result":null,"id":2})", envelope("b@trade", 3),
                  envelope("b@trade", 5), R"({"result":["b@trade"],"id":3})"));
}

TEST_F(BinanceExchange, ThePropertyCombinedChangesTheForm) {
  serve_two_streams(4, Pace::Kind::recorded);
  BeastClient& client = connect("/stream?streams=a@trade/b@trade");
  run_until_messages(client, 1);
  client.send(R"({"method":"SET_PROPERTY","params":["combined",false],"id":1})");
  run_until_messages(client, 2);
  pass_ns(1000);
  run_until_messages(client, 3);
  EXPECT_THAT(client.messages(),
              ElementsAre(envelope("a@trade", 0), R"({"result":null,"id":1})", data(1)));
}

TEST_F(BinanceExchange, AFragmentedRequestIsOneMessage) {
  serve_two_streams(2);
  BeastClientOptions options;
  options.target = "/stream";
  options.fragment_bytes = 8;
  BeastClient& client = connect(options);
  run_until_open(client);
  client.send(R"({"method":"SUBSCRIBE","params":["a@trade"],"id":12345})");
  run_until_messages(client, 2);
  EXPECT_EQ(client.messages()[0], R"({"result":null,"id":12345})");
  EXPECT_EQ(exchange_->counters().messages_received, 1U);
}

TEST_F(BinanceExchange, MalformedRequestsAreAnsweredNested) {
  serve_two_streams(2);
  BeastClient& client = connect("/ws/0");
  run_until_open(client);
  client.send("not json");
  client.send(R"({"method":"DANCE","params":[],"id":5})");
  run_until_messages(client, 2);
  EXPECT_THAT(client.messages()[0], HasSubstr(R"({"error":{"code":3,)"));
  EXPECT_THAT(client.messages()[1], HasSubstr(R"({"error":{"code":2,)"));
  EXPECT_THAT(client.messages()[1], HasSubstr(R"("id":5})"));
}

TEST_F(BinanceExchange, TheSixthMessageOfASecondClosesTheConnection) {
  serve_two_streams(2);
  BeastClient& client = connect("/ws");
  run_until_open(client);
  for (int i = 0; i < 6; ++i) client.send(R"({"method":"LIST_SUBSCRIPTIONS","id":1})");
  run_until_ended(client);
  EXPECT_EQ(client.close_code(), 1008);
  EXPECT_EQ(client.close_reason(), "Too many requests");
  EXPECT_EQ(client.messages().size(), 5U);
  EXPECT_EQ(exchange_->counters().policy_closes, 1U);
}

TEST_F(BinanceExchange, FiveMessagesASecondForEverAreFine) {
  serve_two_streams(2);
  BeastClient& client = connect("/ws");
  run_until_open(client);
  for (std::size_t i = 1; i <= 20; ++i) {
    client.send(R"({"method":"LIST_SUBSCRIPTIONS","id":1})");
    run_until_messages(client, i);
    pass_ns(kSecond_ns / 5);
  }
}

TEST_F(BinanceExchange, PingsOfTheClientAreAnsweredAndCounted) {
  serve_two_streams(2);
  BeastClient& client = connect("/ws");
  run_until_open(client);
  client.ping("are you there");
  run_until([&] { return !client.pongs().empty(); });
  EXPECT_EQ(client.pongs()[0], "are you there");
  for (std::size_t i = 0; i < 5; ++i) {
    client.send(R"({"method":"LIST_SUBSCRIPTIONS","id":1})");
  }
  run_until_ended(client);
  EXPECT_EQ(client.close_code(), 1008);
}

TEST_F(BinanceExchange, PingsEveryTwentySecondsAndAPongKeepsTheConnection) {
  serve_two_streams(2);
  const BeastClient& client = connect("/ws");
  run_until_open(client);
  turn();
  EXPECT_EQ((exchange_->next_due() - now()).ticks, 20 * static_cast<std::int64_t>(kSecond_ns));
  for (std::size_t pings = 1; pings <= 10; ++pings) {
    pass_ns(20 * kSecond_ns - 1);
    settle();
    ASSERT_EQ(client.pings().size(), pings - 1);
    pass_ns(1);
    run_until([&] { return client.pings().size() == pings; });
    settle();  // the pong comes back
  }
  EXPECT_TRUE(client.open());
  EXPECT_EQ(exchange_->counters().pong_timeouts, 0U);
}

TEST_F(BinanceExchange, AClientThatDoesNotPongWithinAMinuteIsDropped) {
  serve_two_streams(2);
  BeastClientOptions deaf;
  deaf.target = "/ws";
  deaf.reading = false;
  const BeastClient& client = connect(deaf);
  run_until_open(client);
  for (int i = 0; i < 4; ++i) {
    settle();
    EXPECT_EQ(exchange_->connections(), 1U);
    pass_ns(20 * kSecond_ns);  // the first ping at 20 s, patience ends at 80 s
  }
  run_until([&] { return exchange_->counters().pong_timeouts == 1; });
  pass_ns(5 * kSecond_ns);  // it does not answer our Close either
  run_until([&] { return exchange_->connections() == 0; });
}

TEST_F(BinanceExchange, AMalformedStreamInTheUrlIsClosedWith1008) {
  serve_two_streams(2);
  const BeastClient& client = connect("/stream?streams=b@@@%20d~/x");
  run_until_ended(client);
  EXPECT_EQ(client.http_status(), 101U);
  EXPECT_EQ(client.close_code(), 1008);
  EXPECT_EQ(client.close_reason(), R"({"code":-1,"msg":"Illegal format ws or stream"})");
}

TEST_F(BinanceExchange, AnUnknownPathIsNotFound) {
  serve_two_streams(2);
  const BeastClient& client = connect("/v2/sip");
  run_until_ended(client);
  EXPECT_EQ(client.http_status(), 404U);
  EXPECT_EQ(exchange_->counters().handshakes_failed, 1U);
}

TEST_F(BinanceExchange, TheTargetsThatRealClientsUseAreAccepted) {
  serve_two_streams(2);
  for (const char* target : {"/ws/0", "/ws", "/stream", "/stream?streams=", "/ws/a@trade/b@trade",
                             "/stream?streams=a@trade&timeUnit=MICROSECOND"}) {
    run_until_open(connect(target));
  }
}

/// Elements as Alpaca sends them; one frame mixes symbols and types.
class AlpacaExchange : public ExchangeTest {
 protected:
  static constexpr const char* kT1 = R"({"T":"t","S":"AAPL","i":1,"p":1.5})";
  static constexpr const char* kT2 = R"({"T":"t","S":"MSFT","i":2,"p":2})";
  static constexpr const char* kQ1 = R"({"T":"q","S":"AAPL","bp":1})";
  static constexpr const char* kC1 = R"({"T":"c","S":"AAPL","x":"Q"})";
  static std::string array(std::initializer_list<std::string> elements) {
    std::string text;
    for (const std::string& element : elements) text += (text.empty() ? "[" : ",") + element;
    return text + "]";
  }
  static std::shared_ptr<const PreparedSession> session() {
    SessionBuilder builder;
    const auto add = [&](std::initializer_list<std::pair<const char*, const char*>> parts) {
      std::string text;
      std::vector<PreparedElement> elements;
      for (const auto& [topic, element] : parts) {
        text += text.empty() ? "[" : ",";
        elements.push_back({static_cast<std::uint32_t>(text.size()),
                            static_cast<std::uint32_t>(std::string_view(element).size()),
                            builder.topic(topic)});
        text += element;
      }
      text += "]";
      builder.add(text, static_cast<std::int64_t>(builder.frame_count()) * 1000, elements);
    };
    add({{"trades:AAPL", kT1}, {"trades:MSFT", kT2}});
    add({{"quotes:AAPL", kQ1}});
    add({{"corrections:AAPL", kC1}, {"quotes:AAPL", kQ1}, {"trades:MSFT", kT2}});
    return builder.finish();
  }
  static constexpr const char* kAuth = R"({"action":"auth","key":"k","secret":"s"})";
  static constexpr const char* kConnected = R"([{"T":"success","msg":"connected"}])";
  static constexpr const char* kAuthenticated = R"([{"T":"success","msg":"authenticated"}])";
};

TEST_F(AlpacaExchange, SaysConnectedThenAuthenticatedThenTheSubscriptionThenTheSession) {
  serve(options_for(Venue::alpaca, session()));
  BeastClient& client = connect("/v2/sip");
  run_until_messages(client, 1);
  EXPECT_EQ(client.messages()[0], kConnected);
  client.send(kAuth);
  run_until_messages(client, 2);
  EXPECT_EQ(client.messages()[1], kAuthenticated);
  EXPECT_EQ(exchange_->sessions_ready(), 0U);
  client.send(R"({"action":"subscribe","trades":["*"],"quotes":["*"]})");
  run_until_messages(client, 6);
  EXPECT_THAT(client.messages()[2],
              StartsWith(R"([{"T":"subscription","trades":["*"],"quotes":["*"])"));
  EXPECT_THAT(std::vector(client.messages().begin() + 3, client.messages().end()),
              ElementsAre(array({kT1, kT2}), array({kQ1}), array({kC1, kQ1, kT2})));
}

TEST_F(AlpacaExchange, AFrameIsReducedToTheElementsThatWereSubscribed) {
  serve(options_for(Venue::alpaca, session()));
  BeastClient& client = connect("/v2/iex");
  run_until_open(client);
  client.send(kAuth);
  client.send(R"({"action":"subscribe","trades":["MSFT"]})");
  run_until_messages(client, 5);
  settle();
  EXPECT_THAT(std::vector(client.messages().begin() + 3, client.messages().end()),
              ElementsAre(array({kT2}), array({kT2})));
}

TEST_F(AlpacaExchange, CorrectionsFollowTrades) {
  serve(options_for(Venue::alpaca, session()));
  BeastClient& client = connect("/v2/sip");
  run_until_open(client);
  client.send(kAuth);
  client.send(R"({"action":"subscribe","trades":["AAPL"]})");
  run_until_messages(client, 5);
  EXPECT_THAT(std::vector(client.messages().begin() + 3, client.messages().end()),
              ElementsAre(array({kT1}), array({kC1})));
}

TEST_F(AlpacaExchange, CredentialsInTheHandshakeLogIn) {
  auto options = options_for(Venue::alpaca, session());
  options.credentials = venues::Credentials("k", "s");
  serve(options);
  BeastClientOptions good;
  good.target = "/v2/test";
  good.headers = {{"APCA-API-KEY-ID", "k"}, {"APCA-API-SECRET-KEY", "s"}};
  const BeastClient& client = connect(good);
  run_until_messages(client, 2);
  EXPECT_THAT(client.messages(), ElementsAre(kConnected, kAuthenticated));
}

TEST_F(AlpacaExchange, WrongCredentialsAreError402AndTheConnectionStays) {
  auto options = options_for(Venue::alpaca, session());
  options.credentials = venues::Credentials("k", "other");
  serve(options);
  BeastClient& client = connect("/v2/sip");
  run_until_open(client);
  client.send(kAuth);
  run_until_messages(client, 2);
  EXPECT_EQ(client.messages()[1], R"([{"T":"error","code":402,"msg":"auth failed"}])");
  client.send(R"({"action":"subscribe","trades":["AAPL"]})");
  run_until_messages(client, 3);
  EXPECT_THAT(client.messages()[2], HasSubstr("401"));
  EXPECT_TRUE(client.open());
}

TEST_F(AlpacaExchange, NoLoginWithinTenSecondsIsError404AndTheEnd) {
  serve(options_for(Venue::alpaca, session()));
  const BeastClient& client = connect("/v2/sip");
  run_until_messages(client, 1);
  turn();
  EXPECT_EQ((exchange_->next_due() - now()).ticks, 10 * static_cast<std::int64_t>(kSecond_ns));
  pass_ns(10 * kSecond_ns);
  run_until_ended(client);
  ASSERT_EQ(client.messages().size(), 2U);
  EXPECT_EQ(client.messages()[1], R"([{"T":"error","code":404,"msg":"auth timeout"}])");
}

TEST_F(AlpacaExchange, TheLoginTimeoutEndsWithTheLogin) {
  serve(options_for(Venue::alpaca, session()));
  BeastClient& client = connect("/v2/sip");
  run_until_open(client);
  client.send(kAuth);
  run_until_messages(client, 2);
  pass_ns(11 * kSecond_ns);
  settle();
  EXPECT_TRUE(client.open());
}

TEST_F(AlpacaExchange, ASlowReaderIsTold407) {
  SessionBuilder builder;
  const std::string big = R"([{"T":"t","S":"AAPL","x":")" + std::string(1000, 'x') + R"("}])";
  for (int i = 0; i < 20'000; ++i) builder.add(big, i, builder.topic("trades:AAPL"));
  auto options = options_for(Venue::alpaca, builder.finish(), Pace::Kind::recorded);
  options.lag_frames_max = 1000;
  options.send_buffer_bytes = 64 * 1024;
  serve(options);
  BeastClientOptions slow;
  slow.target = "/v2/sip";
  slow.reading = false;
  slow.receive_buffer_bytes = 64 * 1024;
  BeastClient& client = connect(slow);
  run_until_open(client);
  client.send(kAuth);
  client.send(R"({"action":"subscribe","trades":["AAPL"]})");
  run_until([&] { return exchange_->sessions_ready() == 1; });
  pass_ns(kSecond_ns);
  run_until([&] { return exchange_->counters().policy_closes == 1; });
  client.read();
  run_until_ended(client);
  EXPECT_EQ(client.messages().back(), R"([{"T":"error","code":407,"msg":"slow client"}])");
  EXPECT_EQ(client.close_code(), 1008);
}

TEST_F(AlpacaExchange, AnUnknownFeedIsNotFound) {
  serve(options_for(Venue::alpaca, session()));
  const BeastClient& client = connect("/stream");
  run_until_ended(client);
  EXPECT_EQ(client.http_status(), 404U);
}

TEST_F(AlpacaExchange, SendsNoPingsOfItsOwn) {
  serve(options_for(Venue::alpaca, session()));
  BeastClient& client = connect("/v2/sip");
  run_until_open(client);
  client.send(kAuth);
  run_until_messages(client, 2);
  settle();
  EXPECT_FALSE(exchange_->next_due().present());
}

}  // namespace
}  // namespace feedbench::mock_exchange::testing
