// What is refused, cut or passed over, and how much fits.
#include "reference/upstream/subscription_book.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "reference/upstream/testing/subscription_desk.hpp"
#include "reference/venues/alpaca_session.hpp"

namespace feedbench::upstream {
namespace {

using namespace book_testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(SubscriptionBook, RefusesWhatIsNoSymbolBeforeAnythingIsSent) {
  for (const Venue venue : {Venue::raw, Venue::binance, Venue::alpaca}) {
    Desk desk(of(venue));
    const std::string kind = "trades";
    for (const std::string& bad :
         {std::string(), std::string("a\"b"), std::string("a'b"), std::string("a\\b"),
          std::string("a\nb"), std::string("a\0b", 3), std::string("a\x7f"), std::string("\xff"),
          std::string("a\xc3"), std::string(129, 'a'), std::string(1 << 20, '"')}) {
      desk.subscribe(1, 1, bad, kind, "request");
      EXPECT_THAT(desk.results(), ElementsAre(StartsWith("1/1 subscribe: the symbol"))) << bad;
      desk.unsubscribe(1, 2, bad, kind);
      EXPECT_THAT(desk.results(), ElementsAre(HasSubstr("not subscribed")));
      if (bad.empty()) continue;
      desk.subscribe(1, 1, "A", bad, "request", "release");
      EXPECT_THAT(desk.results(), ElementsAre(StartsWith("1/1 subscribe: the kind"))) << bad;
    }
    for (const std::string& bad : {std::string(16 * 1024 + 1, 'a'), std::string("\xff")}) {
      desk.subscribe(1, 1, "A", kind, bad, "release");
      EXPECT_THAT(desk.results(), ElementsAre(StartsWith("1/1 subscribe: the request")));
      desk.subscribe(1, 1, "A", kind, "request", bad);
      EXPECT_THAT(desk.results(), ElementsAre(StartsWith("1/1 subscribe: the release")));
    }
    EXPECT_THAT(desk.requests(), IsEmpty());
    EXPECT_EQ(desk.book.numbers().keys, 0u);
  }
  Desk binance(of(Venue::binance));
  for (const auto& [symbol, kind] : {std::pair{"btcusdt", ""},
                                     {"@trade", ""},
                                     {"btc usdt", "trade"},
                                     {"btc/usdt", "trade"},
                                     {"!", ""},
                                     {"btcusdt@", ""}}) {
    binance.subscribe(1, 1, symbol, kind);
    EXPECT_THAT(binance.results(), ElementsAre(HasSubstr("no stream name"))) << symbol;
  }
  Desk alpaca(of(Venue::alpaca));
  for (const auto* kind : {"", "news", "corrections", "cancelErrors", "T"}) {
    alpaca.subscribe(1, 1, "AAPL", kind);
    EXPECT_THAT(alpaca.results(), ElementsAre(HasSubstr(fmt::format("\"{}\" is no channel", kind))))
        << kind;
  }
}

TEST(SubscriptionBook, SaysSoWhereABoundIsReached) {
  SubscriptionBookOptions options = of(Venue::alpaca, {"bars:*"});
  options.keys_max = 2;
  options.waiting_per_user_max = 3;
  Desk desk(options, false);
  desk.subscribe(1, 1, "A", "trades");
  desk.subscribe(1, 2, "B", "trades");
  desk.subscribe(1, 3, "C", "bars");
  EXPECT_THAT(desk.results(), ElementsAre("1/3 subscribe: 2 keys are subscribed already, as many "
                                          "as the proxy takes"));
  desk.unsubscribe(1, 4, "A", "trades");
  desk.subscribe(1, 5, "A", "trades");
  desk.unsubscribe(1, 6, "A", "trades");
  EXPECT_THAT(desk.results(), ElementsAre(HasSubstr("1/5 subscribe: 3 requests wait"),
                                          HasSubstr("1/6 unsubscribe: 3 requests wait")));
  desk.subscribe(2, 7, "A", "trades");
  EXPECT_THAT(desk.results(), IsEmpty()) << "a bound of one user is not another's";

  std::vector<std::string> pinned;
  for (int i = 0; i < 1023; ++i) pinned.push_back(fmt::format("p{}@trade", i));
  Desk binance(of(Venue::binance, pinned), false);
  binance.subscribe(1, 1, "a", "trade");
  binance.subscribe(1, 2, "b", "trade");
  binance.subscribe(1, 3, "p7", "trade");
  EXPECT_THAT(binance.results(),
              ElementsAre("1/2 subscribe: the proxy has 1024 streams already, as many as one "
                          "connection to binance takes"));
}

TEST(SubscriptionBook, PassesOverAnswersThatAreNone) {
  std::string deep(100'000, '[');
  std::string wide = R"([{"T":"subscription","trades":[")" + std::string(9'000'000, 'A') + "\"]}]";
  const std::string texts[] = {
      "",
      "{",
      "[",
      "null",
      "[]",
      "{}",
      "[{}]",
      "[1]",
      "\"",
      std::string(1000, '\0'),
      deep,
      wide,
      R"({"result":null})",
      R"({"id":1000000})",
      R"({"result":null,"id":1})",
      R"({"result":null,"id":"1000000"})",
      R"({"result":null,"id":1000000.0})",
      R"({"result":null,"id":[1000000]})",
      R"({"result":null,"id":1000000)",
      R"({"result":null,"id":99999999999999999999999})",
      R"([{"T":"subscription"}])",
      R"([{"T":"subscription","trades":7,"quotes":[7,null,{"A":"B"}],"bars":["A"]}])",
      R"([{"T":"subscription","trades":["B"]}, {"T":"subscription","trades":["A"]}])",
      R"([{"T":"success","msg":"authenticated"}])",
      R"([{"T":"t","S":"A"}])",
      "\xff\xfe{\"id\":1}",
      R"({"T":"subscription","trades":["A"]})",
      R"([[{"T":"error"}]])"};
  for (const Venue venue : {Venue::binance, Venue::alpaca}) {
    Desk desk(of(venue));
    desk.subscribe(1, 1, "A", "trades");
    for (const std::string& text : texts) {
      desk.answer(text);
      EXPECT_TRUE(desk.book.awaiting_answer()) << text.substr(0, 100);
    }
    EXPECT_THAT(desk.results(), IsEmpty());
    EXPECT_EQ(desk.book.numbers().answers_ignored, std::size(texts));
    std::mt19937_64 random(7);
    const std::string good = venue == Venue::binance
                                 ? binance_error(1'000'000)
                                 : R"([{"T":"error","code":400,"msg":"invalid syntax"}])";
    for (int i = 0; i < 2'000; ++i) {  // any bytes are safe, whatever they are taken for
      std::string text = good;
      for (int cut = 0; cut < 3; ++cut) text[random() % text.size()] = static_cast<char>(random());
      desk.answer(std::string_view(text).substr(0, random() % (text.size() + 1)));
      if (!desk.book.awaiting_answer()) {
        desk.subscribe(1, 1, "A", "trades");
        desk.pass(250);
      }
    }
  }
}

TEST(SubscriptionBook, CutsTheVenuesWordsBetweenCharacters) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  std::string words = "x";
  while (words.size() < 100'000) words += "\u20ac";
  desk.answer(fmt::format(R"({{"error":{{"code":2,"msg":"{}"}},"id":1000000}})", words));
  const auto results = desk.results();
  ASSERT_THAT(results, ElementsAre(HasSubstr("\u20ac... (code 2)")));
  EXPECT_LT(results[0].size(), 600u);
}

TEST(SubscriptionBook, TakesTenThousandKeysOf256UsersThroughAReconnect) {
  Desk desk(of(Venue::alpaca));
  venues::alpaca::Session session({});
  (void)session.on_open({"k", "s", ""}, 0);
  const auto settle = [&] {
    for (int turn = 0; turn < 50 && desk.book.next_deadline() != Book::kNever; ++turn) {
      for (const std::string& text : desk.requests())
        for (const std::string& answer : session.on_message(text, 0).texts) desk.answer(answer);
      desk.pass(250);
    }
  };
  constexpr std::uint32_t kKeys = 10'000;
  std::uint32_t asked = 0;
  for (Book::UserId user = 0; user < 256; ++user)
    for (std::uint32_t i = static_cast<std::uint32_t>(user) % 8; i < kKeys; i += 8, ++asked)
      desk.subscribe(user, i, fmt::format("S{}", i), "trades");
  settle();
  EXPECT_THAT(desk.book.take_results(), SizeIs(asked));
  EXPECT_EQ(session.symbols(venues::alpaca::Channel::trades).size(), kKeys);
  EXPECT_EQ(desk.book.numbers().keys_active, kKeys);
  desk.book.upstream_lost(desk.now);
  session = venues::alpaca::Session({});
  (void)session.on_open({"k", "s", ""}, 0);
  desk.book.upstream_ready(desk.now);
  settle();
  EXPECT_EQ(session.symbols(venues::alpaca::Channel::trades).size(), kKeys);
  for (Book::UserId user = 0; user < 256; ++user) desk.book.user_gone(user, desk.now);
  settle();
  EXPECT_FALSE(session.subscribed());
  EXPECT_EQ(desk.book.numbers().keys, 0u);
}

}  // namespace
}  // namespace feedbench::upstream
