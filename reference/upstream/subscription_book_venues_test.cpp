// What differs between venues, and what is never the book's to send.
#include "reference/upstream/subscription_book.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "reference/upstream/testing/subscription_desk.hpp"

namespace feedbench::upstream {
namespace {

using namespace book_testing;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(SubscriptionBook, TwoSpellingsOfOneBinanceStreamAreOneKey) {
  Desk desk(of(Venue::binance, {"!ticker@arr"}));
  desk.pass(1000);
  desk.subscribe(1, 1, "a", "depth@100ms");
  desk.subscribe(2, 2, "a@depth@100ms", "");
  desk.subscribe(3, 3, "!ticker", "arr");
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"(["a@depth@100ms"])")));
  desk.answer(binance_ok(1'000'000));
  EXPECT_THAT(desk.results(), ElementsAre("3/3 ok existing", "1/1 ok", "2/2 ok existing"));
  desk.unsubscribe(2, 4, "a@depth", "100ms");
  EXPECT_THAT(desk.results(), ElementsAre("2/4 ok"));
}

TEST(SubscriptionBook, NeverSendsNorReleasesPinnedKeys) {
  Desk desk(of(Venue::alpaca, {"trades:*", "AAPL", "bars:MSFT"}));
  desk.pass(1000);
  std::uint32_t id = 0;
  for (const auto& [symbol, kind] :
       {std::pair{"MSFT", "trades"}, {"*", "trades"}, {"AAPL", "quotes"}, {"MSFT", "bars"}}) {
    desk.subscribe(1, ++id, symbol, kind);
    EXPECT_THAT(desk.results(), ElementsAre(fmt::format("1/{} ok existing", id))) << symbol;
    EXPECT_EQ(desk.book.users_of(symbol, kind), 1u);
    EXPECT_THAT(desk.book.keys(),
                ElementsAre(testing::AllOf(testing::Field(&Book::KeyNumbers::symbol, symbol),
                                           testing::Field(&Book::KeyNumbers::kind, kind),
                                           testing::Field(&Book::KeyNumbers::active, true),
                                           testing::Field(&Book::KeyNumbers::pinned, true))));
    desk.unsubscribe(1, id, symbol, kind);
    EXPECT_THAT(desk.results(), ElementsAre(fmt::format("1/{} ok", id)));
  }
  desk.unsubscribe(1, 8, "MSFT", "trades");
  EXPECT_THAT(desk.results(), ElementsAre(HasSubstr("not subscribed")));
  EXPECT_THAT(desk.requests(), IsEmpty());
  desk.subscribe(1, 9, "MSFT", "quotes");
  EXPECT_THAT(desk.requests(), ElementsAre(R"({"action":"subscribe","quotes":["MSFT"]})"));
}

TEST(SubscriptionBook, AlpacaAcknowledgesWhatItsListHolds) {
  Desk desk(of(Venue::alpaca), false);
  desk.subscribe(1, 1, "AAPL", "trades");
  desk.subscribe(1, 2, "MSFT", "quotes");
  desk.book.upstream_ready(desk.now);
  EXPECT_THAT(desk.requests(),
              ElementsAre(R"({"action":"subscribe","trades":["AAPL"],"quotes":["MSFT"]})"));
  desk.answer(R"([{"T":"subscription","trades":["AAPL"],"quotes":[],"bars":["MSFT"]}])");
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok"));
  EXPECT_TRUE(desk.book.awaiting_answer());
  desk.answer(R"([{"T":"success","msg":"connected"}])");
  desk.answer(R"([{"T":"error","code":407,"msg":"slow client"}])");
  desk.answer(R"([{"T":"subscription","trades":["AAPL"],"quotes":["MSFT"]}])");
  EXPECT_THAT(desk.results(), ElementsAre("1/2 ok"));
  desk.pass(250);
  desk.unsubscribe(1, 3, "AAPL", "trades");
  EXPECT_THAT(desk.requests(), ElementsAre(R"({"action":"unsubscribe","trades":["AAPL"]})"));
  desk.answer(R"([{"T":"subscription","trades":["AAPL"],"quotes":["MSFT"]}])");
  EXPECT_THAT(desk.results(), IsEmpty()) << "it still lists the key";
  desk.answer(R"([{"T":"subscription","trades":[],"quotes":["MSFT"]}])");
  EXPECT_THAT(desk.results(), ElementsAre("1/3 ok"));
}

TEST(SubscriptionBook, ALateErrorOfAlpacaLeavesNothingForGranted) {
  Desk desk(of(Venue::alpaca), false);
  desk.subscribe(1, 1, "A", "trades");
  desk.subscribe(1, 2, "B", "trades");
  desk.book.upstream_ready(desk.now);
  desk.pass(10'000);  // no answer: both are to be released, in case
  EXPECT_THAT(desk.requests(), ElementsAre(StartsWith(R"({"action":"subscribe")"),
                                           StartsWith(R"({"action":"unsubscribe")")));
  EXPECT_THAT(desk.results(), SizeIs(2));
  desk.answer(R"([{"T":"error","code":400,"msg":"invalid syntax"}])");  // to the subscribe, late
  desk.subscribe(2, 3, "A", "trades");
  EXPECT_THAT(desk.results(), IsEmpty()) << "nothing says that the venue has it";
  desk.answer(R"([{"T":"subscription","trades":[]}])");
  desk.pass(250);
  desk.answer(R"([{"T":"subscription","trades":[]}])");
  desk.pass(250);
  desk.answer(R"([{"T":"subscription","trades":["A"]}])");
  EXPECT_THAT(desk.results(), ElementsAre("2/3 ok"));

  (void)desk.requests();
  desk.subscribe(2, 4, "C", "trades");
  desk.pass(250);
  desk.answer(R"([{"T":"error","code":400,"msg":"invalid syntax"}])");  // whose is it?
  EXPECT_THAT(desk.results(), ElementsAre(HasSubstr("2/4 subscribe to trades:C: the venue")));
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre(R"({"action":"subscribe","trades":["C"]})",
                                           R"({"action":"unsubscribe","trades":["C"]})"));
}

TEST(SubscriptionBook, AlpacaErrorsNameCodeAndText) {
  Desk desk(of(Venue::alpaca));
  desk.subscribe(1, 1, "aapl", "trades");
  desk.answer(R"([{"T":"error","code":400,"msg":"invalid syntax"}])");
  EXPECT_THAT(desk.results(),
              ElementsAre("1/1 subscribe to trades:aapl: the venue refused: invalid syntax "
                          "(code 400)"));
}

TEST(SubscriptionBook, ARawVenueIsSentTheTextsOfTheFirstAndTheLastAndAnswersNothing) {
  Desk desk(of(Venue::raw));
  desk.subscribe(1, 1, "X", "", "sub X", "unsub X");
  desk.subscribe(2, 2, "X", "", "other text", "other release");
  EXPECT_THAT(desk.requests(), ElementsAre("sub X"));
  EXPECT_FALSE(desk.book.awaiting_answer());
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok", "2/2 ok existing"));
  desk.subscribe(1, 3, "Y", "k", "sub Y");
  EXPECT_THAT(desk.results(), IsEmpty()) << "it is not out yet";
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre("sub Y"));
  EXPECT_THAT(desk.results(), ElementsAre("1/3 ok"));
  desk.pass(250);
  desk.unsubscribe(1, 4, "Y", "k");
  desk.unsubscribe(1, 5, "X", "");
  EXPECT_THAT(desk.results(), ElementsAre("1/4 ok", "1/5 ok"));
  EXPECT_THAT(desk.requests(), IsEmpty()) << "no release was given";
  desk.unsubscribe(2, 6, "X", "");
  EXPECT_THAT(desk.requests(), ElementsAre("unsub X"));
  EXPECT_THAT(desk.results(), ElementsAre("2/6 ok"));
  desk.subscribe(1, 7, "Z", "k");
  EXPECT_THAT(desk.results(), ElementsAre(HasSubstr("a raw venue needs the request")));
  desk.answer("anything");
  EXPECT_EQ(desk.book.numbers().keys, 0u);
}

TEST(SubscriptionBook, ARequestOfAClientsOwnGoesAloneAndIsMatchedByItsId) {
  Desk desk(of(Venue::binance), false);
  const std::string own = R"({"method":"SUBSCRIBE","params":["x@y"],"id":"abc"})";
  desk.subscribe(1, 1, "a", "trade");
  desk.subscribe(1, 2, "any name", "at all", own, R"({"method":"UNSUBSCRIBE","params":["x@y"]})");
  desk.subscribe(1, 3, "b", "trade");
  desk.book.upstream_ready(desk.now);
  std::int64_t id = 1'000'000;
  std::size_t seen = 0;
  for (int turn = 0; turn < 3; ++turn) {
    const auto requests = desk.requests();
    ASSERT_THAT(requests, SizeIs(1));
    if (requests[0] == own) {
      ++seen;
      desk.answer(binance_ok(7));
      desk.answer(R"({"result":null})");
      EXPECT_TRUE(desk.book.awaiting_answer());
      desk.answer(R"({"result":null,"id":"abc"})");
    } else {
      desk.answer(binance_ok(id++));
    }
    desk.pass(250);
  }
  EXPECT_EQ(seen, 1u);
  EXPECT_THAT(desk.results(), SizeIs(3));
  desk.unsubscribe(1, 4, "any name", "at all");
  EXPECT_THAT(desk.requests(), ElementsAre(R"({"method":"UNSUBSCRIBE","params":["x@y"]})"));
  desk.answer(R"({"result":null,"id":null})");
  EXPECT_THAT(desk.results(), ElementsAre("1/4 ok"));
  desk.pass(250);
  desk.subscribe(1, 5, "c", "trade", "no JSON");
  desk.answer(R"({"error":{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}})");
  EXPECT_THAT(desk.results(), ElementsAre(HasSubstr("Invalid JSON: expected value")));

  Desk alpaca(of(Venue::alpaca));
  alpaca.subscribe(1, 1, "all", "mine", R"({"action":"subscribe","trades":["A","B"]})", "x");
  alpaca.answer(R"([{"T":"subscription","trades":["A","B"]}])");
  EXPECT_THAT(alpaca.results(), ElementsAre("1/1 ok"));
}

}  // namespace
}  // namespace feedbench::upstream
