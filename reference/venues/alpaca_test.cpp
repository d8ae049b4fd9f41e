#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/alpaca_session.hpp"

namespace feedbench::venues::alpaca {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::int64_t kSecond_ns = 1'000'000'000;
constexpr std::string_view kConnected = R"([{"T":"success","msg":"connected"}])";
constexpr std::string_view kAuthenticated = R"([{"T":"success","msg":"authenticated"}])";

std::vector<std::string> messages(std::string_view frame) {
  std::vector<std::string> found;
  for_each_message(frame, [&](const Message& message) {
    found.push_back(fmt::format("{}/{}", message.type, message.symbol));
  });
  return found;
}

TEST(AlpacaFrame, FindsTypeAndSymbolOfEachMessage) {
  EXPECT_THAT(
      messages(
          R"([{"T":"t","S":"AAPL","i":1,"c":["@","I"],"z":"C"},{"T":"q","S":"BRK.B","bp":1},{"T":"b","S":"SPY"}])"),
      ElementsAre("t/AAPL", "q/BRK.B", "b/SPY"));
  EXPECT_THAT(messages("[]"), ElementsAre());
  EXPECT_THAT(messages(kConnected), ElementsAre("success/"));
}

TEST(AlpacaFrame, StepsOverTheObjectsInsideAnOrderBook) {
  EXPECT_THAT(
      messages(
          R"([{"T":"o","S":"BTC/USD","b":[{"p":1,"s":2},{"p":3,"s":4}],"a":[],"r":true},{"T":"t","S":"ETH/USD"}])"),
      ElementsAre("o/BTC/USD", "t/ETH/USD"));
}

TEST(AlpacaFrame, FindsKeysInAnyOrderAndWithWhiteSpace) {
  EXPECT_THAT(
      messages(
          R"( [ { "S" : "AAPL" , "T" : "t" } , {"i":1,"S":"F","x":{"T":"no","S":"no"},"T":"q"}, {"T":"t","S":"A"}])"),
      ElementsAre("t/AAPL", "q/F", "t/A"));
}

TEST(AlpacaFrame, IsNotMisledByBracesAndQuotesInsideStrings) {
  EXPECT_THAT(
      messages(
          R"([{"T":"s","S":"A","rm":"}],{\"T\":\"t\",\"S\":\"X\"} {"},{"T":"t","S":"B","x":"{"},{"T":"q","S":"C"}])"),
      ElementsAre("s/A", "t/B", "q/C"));
}

TEST(AlpacaFrame, EndsEarlyOnWhatIsNoArrayOfObjects) {
  for (const auto* text : {"", "x", "{", "[", "[{", R"([{"T)", R"([{"T":"t)", R"([{"T":"t","S":"A)",
                           R"({"T":"t","S":"A"})"}) {
    EXPECT_THAT(messages(text), ElementsAre()) << text;
  }
}

TEST(AlpacaFrame, TellsControlMessagesFromData) {
  EXPECT_EQ(control_of(kConnected).kind, ControlKind::connected);
  EXPECT_EQ(control_of(kAuthenticated).kind, ControlKind::authenticated);
  EXPECT_EQ(control_of(R"([{"T":"subscription","trades":["A"]}])").kind, ControlKind::subscription);
  const Control error =
      control_of(R"([{"T":"error","code":406,"msg":"connection limit exceeded"}])");
  EXPECT_EQ(error.kind, ControlKind::error);
  EXPECT_EQ(error.code, 406);
  EXPECT_EQ(error.text, "connection limit exceeded");
  for (const auto* data : {R"([{"T":"s","S":"AAPL"}])", R"([{"S":"AAPL","T":"t"}])", "[]", "",
                           R"([{"T":"success"}])"}) {
    EXPECT_EQ(control_of(data).kind, ControlKind::none) << data;
  }
}

TEST(AlpacaFrame, KnowsTheChannelOfEachType) {
  EXPECT_EQ(channel_of_type("t"), "trades");
  EXPECT_EQ(channel_of_type("c"), "corrections");
  EXPECT_EQ(channel_of_type("o"), "orderbooks");
  EXPECT_EQ(channel_of_type("success"), "");
}

class AlpacaSession : public testing::Test {
 protected:
  static Session opened(SessionOptions options = {}, const HandshakeHeaders& headers = {}) {
    Session session(std::move(options));
    session.on_open(headers, 0);
    return session;
  }
  static Session ready(SessionOptions options = {}) {
    Session session = opened(std::move(options));
    EXPECT_EQ(ask(session, R"({"action":"auth","key":"K","secret":"S"})"), kAuthenticated);
    return session;
  }
  static std::string ask(Session& session, std::string_view text, std::int64_t now_ns = 0) {
    const Reply reply = session.on_message(text, now_ns);
    EXPECT_EQ(reply.texts.size(), 1U) << text;
    return reply.texts.empty() ? std::string{} : reply.texts.front();
  }
};

TEST_F(AlpacaSession, WelcomesAuthenticatesAndAnswersWithTheWholeListOfAllChannels) {
  Session session{SessionOptions{}};
  EXPECT_THAT(session.on_open({}, 0).texts, ElementsAre(kConnected));
  EXPECT_EQ(ask(session, R"({"action":"auth","key":"K","secret":"S"})"), kAuthenticated);
  EXPECT_EQ(
      ask(session, R"({"action":"subscribe","trades":["MSFT","AAPL"],"quotes":["*"]})"),
      R"([{"T":"subscription","trades":["AAPL","MSFT"],"quotes":["*"],"bars":[],"updatedBars":[],"dailyBars":[],)"
      R"("statuses":[],"lulds":[],"corrections":["AAPL","MSFT"],"cancelErrors":["AAPL","MSFT"]}])");
  EXPECT_EQ(
      ask(session, R"({"action":"unsubscribe","trades":["AAPL"],"quotes":["*"]})"),
      R"([{"T":"subscription","trades":["MSFT"],"quotes":[],"bars":[],"updatedBars":[],"dailyBars":[],)"
      R"("statuses":[],"lulds":[],"corrections":["MSFT"],"cancelErrors":["MSFT"]}])");
  EXPECT_TRUE(session.subscribed());
}

TEST_F(AlpacaSession, HasTheChannelsOfCryptoOnACryptoFeed) {
  Session session = ready({.feed = Feed::crypto, .expected = {}});
  EXPECT_EQ(
      ask(session, R"({"action":"subscribe","orderbooks":["BTC/USD"]})"),
      R"([{"T":"subscription","trades":[],"quotes":[],"orderbooks":["BTC/USD"],"bars":[],"updatedBars":[],"dailyBars":[]}])");
  EXPECT_EQ(ask(session, R"({"action":"subscribe","lulds":["BTC/USD"]})"), error_message(410));
}

TEST_F(AlpacaSession, WantsWhatIsSubscribedAndCorrectionsWithTrades) {
  Session session = ready();
  ask(session, R"({"action":"subscribe","trades":["AAPL"],"bars":["*"]})");
  EXPECT_TRUE(session.wants("t", "AAPL"));
  EXPECT_TRUE(session.wants("c", "AAPL"));
  EXPECT_TRUE(session.wants("x", "AAPL"));
  EXPECT_FALSE(session.wants("t", "MSFT"));
  EXPECT_FALSE(session.wants("q", "AAPL"));
  EXPECT_TRUE(session.wants("b", "ANY"));
  EXPECT_FALSE(session.wants("success", "AAPL"));
}

TEST_F(AlpacaSession, TakesCredentialsFromTheHandshakeInEachForm) {
  const SessionOptions options{.expected = {"K", "S"}};
  const auto texts = [&](const HandshakeHeaders& headers) {
    return Session(options).on_open(headers, 0).texts;
  };
  EXPECT_THAT(texts({.key_id = "K", .secret_key = "S", .authorization = {}}),
              ElementsAre(kConnected, kAuthenticated));
  EXPECT_THAT(texts({.key_id = {}, .secret_key = {}, .authorization = "Basic Szpz"}),
              ElementsAre(kConnected, error_message(402)));
  EXPECT_THAT(texts({.key_id = {}, .secret_key = {}, .authorization = "Basic SzpT"}),
              ElementsAre(kConnected, kAuthenticated));
  EXPECT_THAT(texts({.key_id = {}, .secret_key = {}, .authorization = "Basic !"}),
              ElementsAre(kConnected, error_message(402)));
  EXPECT_THAT(texts({}), ElementsAre(kConnected));
  Session by_token(SessionOptions{.expected = {"oauth", "token"}});
  EXPECT_THAT(
      by_token.on_open({.key_id = {}, .secret_key = {}, .authorization = "Bearer token"}, 0).texts,
      ElementsAre(kConnected, kAuthenticated));
  Session by_message = opened(SessionOptions{.expected = {"oauth", "token"}});
  EXPECT_EQ(ask(by_message, R"({"action":"auth","key":"access_token","secret":"token"})"),
            kAuthenticated);
}

TEST_F(AlpacaSession, RefusesWrongCredentialsAndAcceptsRightOnesAfterwards) {
  Session session = opened({.expected = {"K", "S"}});
  EXPECT_EQ(ask(session, R"({"action":"auth","key":"K","secret":"X"})"),
            R"([{"T":"error","code":402,"msg":"auth failed"}])");
  EXPECT_FALSE(session.authenticated());
  EXPECT_EQ(ask(session, R"({"action":"auth","key":"K","secret":"S"})"), kAuthenticated);
  EXPECT_EQ(ask(session, R"({"action":"auth","key":"K","secret":"S"})"), error_message(403));
}

TEST_F(AlpacaSession, RefusesEmptyCredentialsEvenWhereAnyAreGood) {
  Session session = opened();
  EXPECT_EQ(ask(session, R"({"action":"auth","key":"","secret":""})"), error_message(402));
}

TEST_F(AlpacaSession, AnswersASubscriptionBeforeAuthenticationWith401) {
  Session session = opened();
  EXPECT_EQ(ask(session, R"({"action":"subscribe","trades":["A"]})"), error_message(401));
}

TEST_F(AlpacaSession, AnswersWhatItCannotReadWith400) {
  Session session = ready();
  for (const auto* text :
       {"", "hello", "[]", "{}", R"({"action":"dance"})", R"({"action":1})",
        R"({"action":"auth","key":"K"})", R"({"action":"subscribe","trades":"AAPL"})",
        R"({"action":"subscribe","trades":[1]})", R"({"action":"subscribe","trades":["aapl!"]})",
        R"({"action":"subscribe","trades":[""]})"}) {
    EXPECT_EQ(ask(session, text), error_message(400)) << text;
  }
  EXPECT_FALSE(session.subscribed());
}

TEST_F(AlpacaSession, TakesEmptyListsOfAnyChannelAndRefusesFilledOnesOfAnUnknown) {
  Session session = ready();
  const auto revision = session.revision();
  EXPECT_THAT(
      ask(session, R"({"action":"subscribe","trades":[],"quotes":[],"orderbooks":[],"news":[]})"),
      HasSubstr("subscription"));
  EXPECT_EQ(session.revision(), revision) << "nothing changed";
  EXPECT_EQ(ask(session, R"({"action":"subscribe","orderbooks":["A"]})"),
            R"([{"T":"error","code":410,"msg":"invalid subscribe action for this feed"}])");
  EXPECT_THAT(ask(session, R"({"action":"subscribe","corrections":["A"]})"),
              HasSubstr(R"("corrections":[])"));
}

TEST_F(AlpacaSession, LeavesSubscriptionsAsTheyWereBeyondTheSymbolLimit) {
  Session session = ready({.expected = {}, .symbols_max = 3});
  ask(session,
      R"({"action":"subscribe","trades":["A","B"],"quotes":["A"],"bars":["A","B","C","D"]})");
  EXPECT_EQ(ask(session, R"({"action":"subscribe","quotes":["B"]})"), error_message(405));
  EXPECT_EQ(ask(session, R"({"action":"subscribe","trades":["*"]})"), error_message(405));
  EXPECT_FALSE(session.wants("q", "B"));
  EXPECT_THAT(ask(session, R"({"action":"unsubscribe","trades":["A"]})"),
              HasSubstr(R"("trades":["B"])"));
}

TEST_F(AlpacaSession, ClosesWith404WhenNoAuthenticationCameInTime) {
  Session session = opened();
  EXPECT_TRUE(session.on_time(10 * kSecond_ns - 1).texts.empty());
  const Reply late = session.on_time(10 * kSecond_ns);
  EXPECT_THAT(late.texts, ElementsAre(error_message(404)));
  EXPECT_EQ(late.close_code, 1008);
  EXPECT_TRUE(session.on_time(11 * kSecond_ns).texts.empty()) << "once";
  EXPECT_TRUE(session.on_message(R"({"action":"auth","key":"K","secret":"S"})", 12 * kSecond_ns)
                  .texts.empty());
  Session in_time = ready();
  EXPECT_TRUE(in_time.on_time(3600 * kSecond_ns).texts.empty());
}

TEST_F(AlpacaSession, KnowsTheFeedOfATarget) {
  EXPECT_EQ(feed_of_target("/v2/sip").value(), Feed::stocks);
  EXPECT_EQ(feed_of_target("/v2/test?x=1").value(), Feed::stocks);
  EXPECT_EQ(feed_of_target("/v1beta1/overnight").value(), Feed::stocks);
  EXPECT_EQ(feed_of_target("/v1beta3/crypto/us").value(), Feed::crypto);
  for (const auto* wrong : {"/", "/v2/", "/v2/a/b", "/v1beta3/crypto/", "/stream"}) {
    EXPECT_THAT(feed_of_target(wrong).error().message, HasSubstr("no such feed")) << wrong;
  }
}

TEST(AlpacaRequests, AreWhatTheServerSideUnderstands) {
  EXPECT_EQ(auth_request({"K\"1", "S\\2"}), R"({"action":"auth","key":"K\"1","secret":"S\\2"})");
  EXPECT_EQ(subscribe_request({"trades:AAPL", "quotes:*", "trades:F", "MSFT"}).value(),
            R"({"action":"subscribe","trades":["AAPL","F","MSFT"],"quotes":["*","MSFT"]})");
  EXPECT_EQ(unsubscribe_request({"trades:AAPL", "bars:F"}).value(),
            R"({"action":"unsubscribe","trades":["AAPL"],"bars":["F"]})");
  EXPECT_THAT(unsubscribe_request({"trades:"}).error().message, HasSubstr("no symbol"));
  EXPECT_THAT(subscribe_request({"news:AAPL"}).error().message,
              HasSubstr("\"news\" is no channel"));
  EXPECT_THAT(subscribe_request({"trades:"}).error().message, HasSubstr("no symbol"));
  EXPECT_THAT(subscribe_request({""}).error().message, HasSubstr("no symbol"));
}

}  // namespace
}  // namespace feedbench::venues::alpaca
