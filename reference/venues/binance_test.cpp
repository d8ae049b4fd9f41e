#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reference/venues/binance_frame.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/binance_target.hpp"

namespace feedbench::venues::binance {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kSecond_ns = 1'000'000'000;

std::string stream(std::string_view frame) {
  NameBuffer buffer;
  return std::string(stream_of(frame, buffer));
}

TEST(BinanceFrame, NamesTheStreamOfACombinedFrameFromItsFirstBytes) {
  EXPECT_EQ(stream(R"({"stream":"btcusdt@depth@100ms","data":{"e":"trade","s":"ETHUSDT"}})"),
            "btcusdt@depth@100ms");
  EXPECT_EQ(stream(R"({"stream":"!ticker@arr","data":[]})"), "!ticker@arr");
  EXPECT_EQ(stream(R"({"stream":"btcusdt)"), "") << "cut off";
  EXPECT_EQ(stream(R"({"stream":")" + std::string(300, 'x') + "\""), "")
      << "no stream is called that";
}

TEST(BinanceFrame, NamesTheStreamOfARawFrameByEventAndSymbol) {
  EXPECT_EQ(stream(R"({"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1"})"), "btcusdt@trade");
  EXPECT_EQ(stream(R"({"e":"aggTrade","E":1,"a":5,"s":"BTCUSD_210625"})"),
            "btcusd_210625@aggTrade");
  EXPECT_EQ(stream(R"({"e":"depthUpdate","E":1,"s":"BNBBTC","U":1,"u":2,"b":[["1","2"]],"a":[]})"),
            "bnbbtc@depth");
  EXPECT_EQ(stream(R"({"u":400900217,"s":"BNBUSDT","b":"1","B":"2","a":"3","A":"4"})"),
            "bnbusdt@bookTicker");
  EXPECT_EQ(stream(R"({"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"2"})"),
            "btcusdt@bookTicker");
  EXPECT_EQ(stream(R"({"e":"kline","E":1,"s":"BNBBTC","k":{"t":1,"T":2,"s":"BNBBTC","i":"1m"}})"),
            "bnbbtc@kline_1m");
  EXPECT_EQ(
      stream(R"({"e":"continuous_kline","E":1,"ps":"BTCUSDT","ct":"PERPETUAL","k":{"i":"5m"}})"),
      "btcusdt_perpetual@continuousKline_5m");
  EXPECT_EQ(stream(R"({"e":"24hrTicker","E":1,"s":"BTCUSDT"})"), "btcusdt@ticker");
  EXPECT_EQ(stream(R"({"e":"24hrMiniTicker","E":1,"s":"BTCUSDT"})"), "btcusdt@miniTicker");
  EXPECT_EQ(stream(R"({ "e" : "trade" , "s" : "BTCUSDT" })"), "btcusdt@trade") << "white space";
}

TEST(BinanceFrame, NamesTheStreamOfARawArrayByItsFirstElement) {
  EXPECT_EQ(stream(R"([{"e":"24hrTicker","E":1,"s":"BTCUSDT"},{"e":"24hrTicker"}])"),
            "!ticker@arr");
  EXPECT_EQ(stream(R"([{"e":"24hrMiniTicker","E":1,"s":"A"}])"), "!miniTicker@arr");
  EXPECT_EQ(stream(R"([{"e":"markPriceUpdate","E":1,"s":"A"}])"), "!markPrice@arr");
  EXPECT_EQ(stream("[]"), "");
}

TEST(BinanceFrame, NamesNoStreamWhereTheFrameDoesNotSay) {
  EXPECT_EQ(stream(R"({"lastUpdateId":160,"bids":[["0.1","1"]],"asks":[]})"), "")
      << "partial depth";
  EXPECT_EQ(stream(R"({"result":null,"id":1})"), "");
  EXPECT_EQ(stream(R"({"error":{"code":2,"msg":"x"},"id":1})"), "");
  EXPECT_EQ(stream(R"({"e":"serverShutdown","E":1770123456789})"), "");
  EXPECT_EQ(stream(""), "");
  EXPECT_EQ(stream("hello"), "");
  EXPECT_EQ(stream(R"({"e":"trade","s":")" + std::string(200, 'A') + R"("})"), "")
      << "no symbol is that long";
}

TEST(BinanceFrame, LeavesALargeDepthUpdateBehindItsSymbolUnread) {
  EXPECT_EQ(stream(R"({"e":"depthUpdate","E":1,"s":"BTCUSDT","U":)"), "btcusdt@depth")
      << "the rest may even be missing";
}

TEST(BinanceFrame, GivesTheRawFormOfACombinedFrame) {
  EXPECT_EQ(data_of_combined(R"({"stream":"a@b","data":{"e":"x","b":[]}})"), R"({"e":"x","b":[]})");
  EXPECT_EQ(data_of_combined(R"({"stream":"!a@arr","data":[1,2]})"), "[1,2]");
  EXPECT_EQ(data_of_combined(R"({"e":"x"})"), "");
  EXPECT_EQ(data_of_combined(R"({"stream":"a@b","other":1})"), "");
  EXPECT_EQ(data_of_combined(R"({"stream":"a@b","data":)"), "");
}

TEST(BinanceFrame, KnowsNoticesAndAnswers) {
  EXPECT_TRUE(is_server_shutdown(R"({"e":"serverShutdown","E":1})"));
  EXPECT_TRUE(
      is_server_shutdown(R"({"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1}})"));
  EXPECT_FALSE(is_server_shutdown(R"({"e":"trade","s":"A"})"));
  EXPECT_TRUE(is_answer(R"({"result":null,"id":1})"));
  EXPECT_TRUE(is_answer(R"({"id":1,"result":null})"));
  EXPECT_TRUE(is_answer(R"({"error":{"code":2,"msg":"x"},"id":1})"));
  EXPECT_TRUE(is_answer(R"({"code":2,"msg":"x"})"));
  EXPECT_FALSE(is_answer(R"({"stream":"a@b","data":{}})"));
}

TEST(BinanceFrame, SplitsAStreamNameIntoSymbolAndType) {
  EXPECT_EQ(symbol_of_stream("btcusdt@depth@100ms"), "btcusdt");
  EXPECT_EQ(type_of_stream("btcusdt@depth@100ms"), "depth@100ms");
  EXPECT_EQ(symbol_of_stream("!ticker@arr"), "");
  EXPECT_EQ(type_of_stream("!ticker@arr"), "!ticker@arr");
}

TEST(BinanceTarget, TakesEveryFormThatClientsUse) {
  const auto parse = [](std::string_view text) { return parse_target(text).value(); };
  EXPECT_TRUE(parse("/stream?streams=btcusdt@trade/ethusdt@depth").combined);
  EXPECT_THAT(parse("/stream?streams=btcusdt@trade/ethusdt@depth").streams,
              ElementsAre("btcusdt@trade", "ethusdt@depth"));
  EXPECT_THAT(parse("/stream?streams=btcusdt%40trade%2Fethusdt%40depth").streams,
              ElementsAre("btcusdt@trade", "ethusdt@depth"));
  EXPECT_TRUE(parse("/stream").streams.empty());
  EXPECT_TRUE(parse("/stream?streams=").streams.empty());
  EXPECT_FALSE(parse("/ws").combined);
  EXPECT_THAT(parse("/ws/btcusdt@trade/!ticker@arr").streams,
              ElementsAre("btcusdt@trade", "!ticker@arr"));
  EXPECT_THAT(parse("/ws/btcusdt%40trade").streams, ElementsAre("btcusdt@trade"));
  EXPECT_THAT(parse("/ws/btcusdt@kline_1d@+08:00").streams, ElementsAre("btcusdt@kline_1d@+08:00"));
  EXPECT_TRUE(parse("/ws/0").streams.empty());
  EXPECT_THAT(parse("/ws/a@trade/a@trade").streams, ElementsAre("a@trade"));
  EXPECT_TRUE(parse("/ws/a@trade?timeUnit=MICROSECOND").microseconds);
  EXPECT_TRUE(parse("/stream?timeUnit=microsecond&streams=a@trade").microseconds);
  EXPECT_FALSE(parse("/stream?streams=a@trade&timeUnit=MILLISECOND").microseconds);
}

TEST(BinanceTarget, RefusesWhatIsMalformedWithOneSentence) {
  const auto error = [](std::string_view text) { return parse_target(text).error().message; };
  EXPECT_THAT(error("/"), HasSubstr("no such path"));
  EXPECT_THAT(error("/wsx"), HasSubstr("no such path"));
  EXPECT_THAT(error("/ws/btc usdt@trade"), HasSubstr("is no stream name"));
  EXPECT_THAT(error("/ws/@trade"), HasSubstr("is no stream name"));
  EXPECT_THAT(error("/ws/btcusdt%4"), HasSubstr("escape is malformed"));
  EXPECT_THAT(error("/stream?streams=a%zz"), HasSubstr("escape is malformed"));
  EXPECT_THAT(error("/stream?timeUnit=days"), HasSubstr("timeUnit"));
  std::string many = "/ws";
  for (int i = 0; i < 1025; ++i) many += fmt::format("/s{}@trade", i);
  EXPECT_THAT(error(many), HasSubstr("the most is 1024"));
}

class BinanceSession : public testing::Test {
 protected:
  /// Each call comes a second later: within the limit.
  std::string ask(std::string_view text) {
    return session_.on_text(text, now_ns_ += kSecond_ns).text;
  }
  Session session_{Target{}};
  std::int64_t now_ns_ = 0;
};

TEST_F(BinanceSession, SubscribesListsAndUnsubscribes) {
  EXPECT_EQ(ask(R"({"method":"SUBSCRIBE","params":["a@trade","b@depth","a@trade"],"id":1})"),
            R"({"result":null,"id":1})");
  EXPECT_EQ(ask(R"({"method":"LIST_SUBSCRIPTIONS","id":3})"),
            R"({"result":["a@trade","b@depth"],"id":3})");
  const auto revision = session_.revision();
  EXPECT_EQ(ask(R"({"method":"UNSUBSCRIBE","params":["a@trade","unknown@x"],"id":2})"),
            R"({"result":null,"id":2})");
  EXPECT_GT(session_.revision(), revision);
  EXPECT_TRUE(session_.subscribed("b@depth"));
  EXPECT_FALSE(session_.subscribed("a@trade"));
  EXPECT_EQ(ask(R"({"method":"UNSUBSCRIBE","params":["b@depth"],"id":2})"),
            R"({"result":null,"id":2})");
  EXPECT_EQ(ask(R"({"method":"LIST_SUBSCRIPTIONS","id":3})"), R"({"result":[],"id":3})");
}

TEST_F(BinanceSession, StartsWithWhatTheUrlAskedFor) {
  Session combined(parse_target("/stream?streams=a@trade").value());
  EXPECT_TRUE(combined.combined());
  EXPECT_TRUE(combined.subscribed("a@trade"));
}

TEST_F(BinanceSession, EchoesIdsInTypeAndValue) {
  const std::pair<std::string_view, std::string_view> ids[] = {
      {"1", "1"},
      {"0", "0"},
      {"-7", "-7"},
      {"9223372036854775807", "9223372036854775807"},
      {"null", "null"},
      {R"("0123456789abcdef0123456789abcdef")", R"("0123456789abcdef0123456789abcdef")"},
      {R"("")", R"("")"}};
  for (const auto& [given, echoed] : ids) {
    EXPECT_EQ(ask(fmt::format(R"({{"method":"SUBSCRIBE","params":["a@trade"],"id":{}}})", given)),
              fmt::format(R"({{"result":null,"id":{}}})", echoed));
  }
  EXPECT_EQ(ask(R"({"method":"SUBSCRIBE","params":["a@trade"]})"), R"({"result":null,"id":null})");
}

TEST_F(BinanceSession, RefusesWhatIsNoId) {
  for (const auto* id : {"1.5", "true", "{}", "18446744073709551615", R"("with space")",
                         R"("0123456789012345678901234567890123456")"}) {
    EXPECT_EQ(
        ask(fmt::format(R"({{"method":"SUBSCRIBE","params":[],"id":{}}})", id)),
        R"({"error":{"code":2,"msg":"Invalid request: request ID must be an unsigned integer"},"id":null})");
  }
}

TEST_F(BinanceSession, SwitchesTheEnvelopeByProperty) {
  EXPECT_EQ(ask(R"({"method":"GET_PROPERTY","params":["combined"],"id":2})"),
            R"({"result":false,"id":2})");
  EXPECT_EQ(ask(R"({"method":"SET_PROPERTY","params":["combined",true],"id":5})"),
            R"({"result":null,"id":5})");
  EXPECT_TRUE(session_.combined());
  EXPECT_EQ(ask(R"({"method":"GET_PROPERTY","params":["combined"],"id":2})"),
            R"({"result":true,"id":2})");
}

TEST_F(BinanceSession, AnswersFaultsInTheNestedFormOfTheWire) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {R"({"method":"SET_PROPERTY","params":["other",true],"id":1})",
       R"({"error":{"code":0,"msg":"Unknown property"},"id":1})"},
      {R"({"method":"SET_PROPERTY","params":["combined",1],"id":1})",
       R"({"error":{"code":1,"msg":"Invalid value type: expected Boolean"},"id":1})"},
      {R"({"method":"SET_PROPERTY","params":[1,true],"id":1})",
       R"({"error":{"code":2,"msg":"Invalid request: property name must be a string"},"id":1})"},
      {R"({"method":"GET_PROPERTY","params":[],"id":1})",
       R"({"error":{"code":2,"msg":"Invalid request: property name must be a string"},"id":1})"},
      {R"({"method":"SET_PROPERTY","params":["combined",true,1],"id":1})",
       R"({"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1})"},
      {R"({"method":"SUBSCRIBE","params":["not a stream"],"id":2})",
       R"({"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":2})"},
      {R"({"method":"SUBSCRIBE","params":[7],"id":2})",
       R"({"error":{"code":2,"msg":"Invalid request: property name must be a string"},"id":2})"},
      {R"({"params":[],"id":"x1"})",
       R"({"error":{"code":2,"msg":"Invalid request: missing field `method` at line 1 column 23"},"id":"x1"})"},
      {R"([1])",
       R"({"error":{"code":2,"msg":"Invalid request: missing field `method` at line 1 column 3"},"id":null})"},
      {R"(hello)",
       R"({"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}})"},
      {R"({"method":)",
       R"({"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 10"}})"},
  };
  for (const auto& [request, answer] : cases) EXPECT_EQ(ask(request), answer);
  EXPECT_THAT(
      ask(R"({"method":"FOO\"","id":1})"),
      HasSubstr(
          R"("code":2,"msg":"Invalid request: unknown variant `FOO?`, expected one of `SUBSCRIBE`)"));
  EXPECT_TRUE(session_.subscriptions().empty());
}

TEST_F(BinanceSession, AcknowledgesStreamsThatAreWellFormedAndUnknown) {
  EXPECT_EQ(ask(R"({"method":"SUBSCRIBE","params":["nosuch@thing"],"id":1})"),
            R"({"result":null,"id":1})");
}

TEST_F(BinanceSession, TakesNoMoreThan1024StreamsAndThenChangesNothing) {
  std::string params;
  for (int i = 0; i < 1024; ++i) params += fmt::format("{}\"s{}@trade\"", i == 0 ? "" : ",", i);
  EXPECT_EQ(ask(fmt::format(R"({{"method":"SUBSCRIBE","params":[{}],"id":1}})", params)),
            R"({"result":null,"id":1})");
  EXPECT_EQ(ask(R"({"method":"SUBSCRIBE","params":["s0@trade","more@trade"],"id":19})"),
            R"({"error":{"code":4,"msg":"Too many subscriptions"},"id":19})");
  EXPECT_EQ(session_.subscriptions().size(), 1024U);
  EXPECT_EQ(ask(R"({"method":"SUBSCRIBE","params":["s0@trade"],"id":20})"),
            R"({"result":null,"id":20})");
}

TEST_F(BinanceSession, ClosesWith1008AtTheSixthMessageWithinASecond) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(session_.on_control(i).close_code, 0);
  EXPECT_EQ(session_.on_text(R"({"method":"LIST_SUBSCRIPTIONS","id":1})", 5).close_code, 0);
  const Reply sixth = session_.on_text(R"({"method":"LIST_SUBSCRIPTIONS","id":1})", kSecond_ns - 1);
  EXPECT_EQ(sixth.close_code, 1008);
  EXPECT_EQ(sixth.close_reason, "Too many requests");
  EXPECT_EQ(sixth.text, "");
}

TEST_F(BinanceSession, CountsMessagesInASlidingSecond) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(session_.on_control(i * kSecond_ns / 5).close_code, 0) << "five a second, for ever";
  }
}

TEST(BinanceRequests, AreWhatTheServerSideUnderstands) {
  EXPECT_EQ(subscribe_request({"a@trade", "b@depth"}, 7),
            R"({"method":"SUBSCRIBE","params":["a@trade","b@depth"],"id":7})");
  EXPECT_EQ(unsubscribe_request({"a@trade"}, 8),
            R"({"method":"UNSUBSCRIBE","params":["a@trade"],"id":8})");
  EXPECT_EQ(subscribe_request({}, 1), R"({"method":"SUBSCRIBE","params":[],"id":1})");
  Session session(Target{});
  EXPECT_EQ(session.on_text(subscribe_request({"a@trade"}, 7), 0).text,
            R"({"result":null,"id":7})");
}

}  // namespace
}  // namespace feedbench::venues::binance
