#include "reference/venues/venue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <concepts>
#include <ostream>

#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/base64.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/topic_table.hpp"
#include "reference/venues/upstream_login.hpp"

namespace feedbench::venues {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class T>
concept Printable = requires(std::ostream& out, const T& value) {
  out << value;
};
static_assert(!Printable<Credentials>, "credentials must never reach a log by accident");
static_assert(!std::convertible_to<Credentials, std::string>);

TEST(VenueName, IsReadAndWritten) {
  for (const auto* name : {"raw", "binance", "alpaca"})
    EXPECT_EQ(to_string(venue_from_name(name).value()), name);
  EXPECT_THAT(venue_from_name("Binance").error().message,
              HasSubstr("choose raw, binance or alpaca"));
  EXPECT_THAT(split_subscriptions(" a@trade, b@depth ,,c"), ElementsAre("a@trade", "b@depth", "c"));
  EXPECT_TRUE(split_subscriptions("").empty());
}

TEST(VenueName, OfNoNameIsWhatTheHostSays) {
  EXPECT_EQ(venue_for("", "stream.data.alpaca.markets").value(), Venue::alpaca);
  EXPECT_EQ(venue_for("", "Stream.Binance.COM").value(), Venue::binance);
  EXPECT_EQ(venue_for("", "binance.us").value(), Venue::binance);
  EXPECT_EQ(venue_for("", "notbinance.com").value(), Venue::raw) << "another domain";
  EXPECT_EQ(venue_for("", "binance.com.example.org").value(), Venue::raw);
  EXPECT_EQ(venue_for("raw", "stream.binance.com").value(), Venue::raw) << "what is said wins";
  EXPECT_FALSE(venue_for("alpacca", "stream.data.alpaca.markets"));
}

TEST(Base64, AgreesWithTheVectorsOfRfc4648) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    std::string encoded, decoded;
    append_base64(bytes, encoded);
    EXPECT_EQ(encoded, text);
    EXPECT_TRUE(decode_base64(text, decoded));
    EXPECT_EQ(decoded, bytes);
  }
}

TEST(Base64, RefusesWhatIsNotStrict) {
  std::string bytes;
  for (const auto* text :
       {"Z", "Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zg==Zg==", "Zm9-"}) {
    EXPECT_FALSE(decode_base64(text, bytes)) << text;
  }
}

TEST(TopicTable, NumbersNamesInTheOrderFirstSeen) {
  TopicTable topics;
  EXPECT_EQ(topics.intern("a"), 1U);
  EXPECT_EQ(topics.intern("b"), 2U);
  EXPECT_EQ(topics.intern("a"), 1U);
  EXPECT_EQ(topics.intern(""), 0U);
  EXPECT_EQ(topics.find("b"), 2U);
  EXPECT_EQ(topics.find("c"), 0U);
  EXPECT_EQ(topics.name(2), "b");
  EXPECT_EQ(topics.name(0), "");
  EXPECT_EQ(topics.name(3), "");
}

TEST(TopicTable, KeepsNumbersAndViewsWhileItGrows) {
  TopicTable topics;
  topics.intern("first");
  const std::string_view first = topics.name(1);
  for (int i = 0; i < 10'000; ++i)
    ASSERT_EQ(topics.intern("name" + std::to_string(i)), static_cast<std::uint32_t>(i + 2));
  for (int i = 0; i < 10'000; ++i)
    ASSERT_EQ(topics.find("name" + std::to_string(i)), static_cast<std::uint32_t>(i + 2));
  EXPECT_EQ(first, "first");
}

TEST(TopicTable, CountsTheNamesThatItHasNoRoomFor) {
  TopicTable topics(2);
  topics.intern("a");
  topics.intern("b");
  EXPECT_EQ(topics.intern("c"), 0U);
  EXPECT_EQ(topics.intern("a"), 1U);
  EXPECT_EQ(topics.refused(), 1U);
}

UpstreamLogin login(Venue venue, std::vector<std::string> subscriptions = {}) {
  return UpstreamLogin::create({venue, {"K", "S"}, std::move(subscriptions)}).value();
}

TEST(UpstreamLogin, IsReadyAtOnceOnARawVenueAndWithNothingToSubscribe) {
  EXPECT_EQ(login(Venue::raw).on_open().status, LoginStatus::ready);
  EXPECT_EQ(login(Venue::binance).on_open().status, LoginStatus::ready);
}

TEST(UpstreamLogin, WaitsForBinancesAnswerAndPassesOverData) {
  UpstreamLogin upstream = login(Venue::binance, {"btcusdt@trade"});
  const LoginStep open = upstream.on_open();
  EXPECT_EQ(open.status, LoginStatus::working);
  EXPECT_THAT(open.send,
              ElementsAre(R"({"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1})"));
  EXPECT_EQ(upstream.on_message(R"({"stream":"btcusdt@trade","data":{}})").status,
            LoginStatus::working);
  EXPECT_EQ(upstream.on_message(R"({"result":null,"id":1})").status, LoginStatus::ready);
  EXPECT_EQ(upstream.on_message(R"({"error":{"code":2,"msg":"later"},"id":9})").status,
            LoginStatus::ready);
}

TEST(UpstreamLogin, StaysWithinBinancesMessageLimitWithTheMostStreams) {
  std::vector<std::string> streams;
  for (int i = 0; i < 1024; ++i) streams.push_back("s" + std::to_string(i) + "@trade");
  UpstreamLogin upstream = login(Venue::binance, streams);
  const LoginStep open = upstream.on_open();
  EXPECT_EQ(open.send.size(), 4U);
  binance::Session server{binance::Target{}};
  LoginStatus status = open.status;
  for (const std::string& request : open.send) {
    EXPECT_EQ(status, LoginStatus::working);
    status = upstream.on_message(server.on_text(request, 0).text).status;
  }
  EXPECT_EQ(status, LoginStatus::ready);
  EXPECT_EQ(server.subscriptions(), streams);
}

TEST(UpstreamLogin, IsRefusedByBinanceWithTheVenuesText) {
  UpstreamLogin upstream = login(Venue::binance, {"btcusdt@trade"});
  upstream.on_open();
  const LoginStep step =
      upstream.on_message(R"({"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":1})");
  EXPECT_EQ(step.status, LoginStatus::refused);
  EXPECT_THAT(step.error, HasSubstr("Invalid request: invalid stream (code 2)"));
}

TEST(UpstreamLogin, GoesThroughAlpacasWholeConversationWithTheServerSide) {
  UpstreamLogin upstream = login(Venue::alpaca, {"trades:AAPL", "quotes:*"});
  alpaca::Session server(alpaca::SessionOptions{.expected = {"K", "S"}});
  LoginStep step = upstream.on_open();
  EXPECT_TRUE(step.send.empty()) << "the venue speaks first";
  std::vector<std::string> from_server = server.on_open({}, 0).texts;
  int messages = 0;
  while (!from_server.empty()) {
    std::vector<std::string> to_server;
    for (const std::string& text : from_server) {
      step = upstream.on_message(text);
      to_server.insert(to_server.end(), step.send.begin(), step.send.end());
      ++messages;
    }
    from_server.clear();
    for (const std::string& text : to_server) {
      for (std::string& answer : server.on_message(text, 0).texts)
        from_server.push_back(std::move(answer));
    }
  }
  EXPECT_EQ(step.status, LoginStatus::ready);
  EXPECT_EQ(messages, 3);
  EXPECT_TRUE(server.wants("t", "AAPL"));
  EXPECT_TRUE(server.wants("q", "ANY"));
}

TEST(UpstreamLogin, TellsWhatIsWorthTryingAgainFromWhatIsNot) {
  const auto after = [](std::string_view error) {
    UpstreamLogin upstream = login(Venue::alpaca, {"trades:AAPL"});
    upstream.on_open();
    upstream.on_message(R"([{"T":"success","msg":"connected"}])");
    return upstream.on_message(error);
  };
  EXPECT_EQ(after(alpaca::error_message(402)).status, LoginStatus::refused);
  EXPECT_THAT(after(alpaca::error_message(402)).error, HasSubstr("402 (auth failed)"));
  EXPECT_EQ(after(alpaca::error_message(404)).status, LoginStatus::refused);
  EXPECT_EQ(after(alpaca::error_message(409)).status, LoginStatus::refused);
  EXPECT_EQ(after(alpaca::error_message(406)).status, LoginStatus::retry);
  EXPECT_EQ(after(alpaca::error_message(500)).status, LoginStatus::retry);
  const LoginStep already = after(alpaca::error_message(403));
  EXPECT_EQ(already.status, LoginStatus::working) << "the handshake authenticated";
  EXPECT_EQ(already.send.size(), 1U);
}

TEST(UpstreamLogin, StaysReadyThroughAnswersToLaterRequestsAndEndsWithTheSession) {
  UpstreamLogin upstream = login(Venue::alpaca);
  upstream.on_open();
  upstream.on_message(R"([{"T":"success","msg":"connected"}])");
  EXPECT_EQ(upstream.on_message(R"([{"T":"success","msg":"authenticated"}])").status,
            LoginStatus::ready);
  EXPECT_EQ(upstream.on_message(alpaca::error_message(405)).status, LoginStatus::ready);
  EXPECT_EQ(upstream.on_message(R"([{"T":"t","S":"A"}])").status, LoginStatus::ready);
  EXPECT_EQ(upstream.on_message(alpaca::error_message(407)).status, LoginStatus::retry);
}

TEST(UpstreamLogin, IsNotMadeFromFaultyOptionsAndNeverRepeatsASecret) {
  EXPECT_THAT(UpstreamLogin::create({Venue::binance, {}, {"btcusdt"}}).error().message,
              HasSubstr("is no stream name"));
  EXPECT_THAT(UpstreamLogin::create({Venue::binance, {}, std::vector<std::string>(1025, "a@b")})
                  .error()
                  .message,
              HasSubstr("takes 1024"));
  EXPECT_THAT(UpstreamLogin::create({Venue::alpaca, {}, {}}).error().message,
              HasSubstr("needs a key and a secret"));
  const auto half = UpstreamLogin::create({Venue::alpaca, {"", "hush"}, {}});
  EXPECT_THAT(half.error().message, testing::Not(HasSubstr("hush")));
  EXPECT_THAT(UpstreamLogin::create({Venue::alpaca, {"K", "S"}, {"news:A"}}).error().message,
              HasSubstr("no channel"));
}

}  // namespace
}  // namespace feedbench::venues
