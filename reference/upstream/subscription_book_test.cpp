// Who is counted, what is asked of the venue, and when.
#include "reference/upstream/subscription_book.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "reference/upstream/testing/subscription_desk.hpp"

namespace feedbench::upstream {
namespace {

using namespace book_testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(SubscriptionBook, AsksTheVenueForTheFirstUserAndReleasesForTheLast) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 10, "btcusdt", "trade");
  EXPECT_TRUE(desk.book.awaiting_answer());
  desk.subscribe(2, 20, "btcusdt", "trade");
  EXPECT_THAT(desk.requests(),
              ElementsAre(R"({"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1000000})"));
  EXPECT_THAT(desk.results(), IsEmpty());
  desk.answer(binance_ok(1'000'000));
  EXPECT_FALSE(desk.book.awaiting_answer());
  EXPECT_THAT(desk.results(), ElementsAre("1/10 ok", "2/20 ok existing"));
  desk.subscribe(3, 30, "btcusdt", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("3/30 ok existing")) << "the venue has it: at once";
  EXPECT_EQ(desk.book.users_of("btcusdt", "trade"), 3u);

  desk.pass(1000);
  desk.unsubscribe(1, 11, "btcusdt", "trade");
  desk.unsubscribe(2, 21, "btcusdt", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("1/11 ok", "2/21 ok"));
  EXPECT_THAT(desk.requests(), IsEmpty());
  desk.unsubscribe(3, 31, "btcusdt", "trade");
  EXPECT_THAT(desk.requests(),
              ElementsAre(R"({"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":1000001})"));
  EXPECT_THAT(desk.results(), IsEmpty()) << "the last waits for the venue";
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("3/31 ok"));
  EXPECT_EQ(desk.book.numbers().keys, 0u);
  EXPECT_EQ(desk.book.numbers().users, 0u);
  EXPECT_EQ(desk.book.next_deadline(), Book::kNever);
}

TEST(SubscriptionBook, CountsTheSubscriptionsOfOneUser) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.subscribe(1, 2, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok", "1/2 ok existing"));
  EXPECT_EQ(desk.book.users_of("a", "trade"), 1u);
  (void)desk.requests();
  desk.pass(1000);
  desk.unsubscribe(1, 3, "a", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("1/3 ok"));
  EXPECT_THAT(desk.requests(), IsEmpty());
  desk.unsubscribe(1, 4, "a", "trade");
  EXPECT_THAT(desk.requests(), SizeIs(1));
  desk.unsubscribe(1, 5, "a", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("1/5 unsubscribe from a@trade: not subscribed to it"));
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("1/4 ok"));
}

TEST(SubscriptionBook, MergesWhatComesMeanwhileInto256KeysARequest) {
  Desk desk(of(Venue::binance));
  for (std::uint32_t i = 0; i < 601; ++i) desk.subscribe(1, i, fmt::format("s{}", i), "trade");
  std::vector<std::size_t> sizes;
  for (int turn = 0; turn < 4; ++turn) {
    const auto requests = desk.requests();
    ASSERT_THAT(requests, SizeIs(1));
    EXPECT_EQ(std::count(requests[0].begin(), requests[0].end(), '@'),
              std::ptrdiff_t{turn == 0  ? 1
                             : turn < 3 ? 256
                                        : 88});
    desk.answer(binance_ok(1'000'000 + turn));
    EXPECT_THAT(desk.requests(), IsEmpty()) << "too soon";
    desk.pass(250);
  }
  EXPECT_THAT(desk.results(), SizeIs(601));
  EXPECT_EQ(desk.book.numbers().keys_active, 601u);
  EXPECT_EQ(desk.book.numbers().requests_sent, 4u);
}

TEST(SubscriptionBook, KeepsRequestsAnIntervalApartAndReleasesFirst) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.subscribe(1, 2, "b", "trade");
  desk.unsubscribe(1, 3, "a", "trade");
  desk.pass(249);
  EXPECT_THAT(desk.requests(), SizeIs(1));
  EXPECT_EQ(desk.book.next_deadline(), desk.now + kMs);
  desk.pass(1);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr("UNSUBSCRIBE")));
  desk.pass(1000);
  EXPECT_THAT(desk.requests(), IsEmpty()) << "one outstanding";
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("SUBSCRIBE","params":["b@trade"])")));
}

TEST(SubscriptionBook, SendsNoMoreThanFiveMessagesASecondWithTheLoginsOwn) {
  std::vector<std::string> pinned;
  for (int i = 0; i < 1000; ++i) pinned.push_back(fmt::format("p{}@trade", i));
  Desk desk(of(Venue::binance, pinned));
  desk.subscribe(1, 1, "a", "trade");
  desk.pass(999);
  EXPECT_THAT(desk.requests(), IsEmpty()) << "the login sent four just now";
  desk.pass(1);
  EXPECT_THAT(desk.requests(), SizeIs(1));
}

TEST(SubscriptionBook, ASubscribeDuringTheReleaseWaitsAndAsksAgain) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.pass(1000);
  desk.unsubscribe(1, 2, "a", "trade");
  desk.subscribe(2, 3, "a", "trade");
  (void)desk.requests();
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok"));
  desk.pass(1000);
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("1/2 ok"));
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("SUBSCRIBE","params":["a@trade"])")));
  desk.answer(binance_ok(1'000'002));
  EXPECT_THAT(desk.results(), ElementsAre("2/3 ok"));
}

TEST(SubscriptionBook, CallsOffAReleaseThatWasNotSentYet) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.unsubscribe(1, 2, "a", "trade");  // waits for its interval
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok"));
  desk.subscribe(2, 3, "a", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("1/2 ok", "2/3 ok existing"));
  (void)desk.requests();
  desk.pass(60'000);
  EXPECT_THAT(desk.requests(), IsEmpty());
}

TEST(SubscriptionBook, AnUnsubscribeIsDoneAfterItsOwnSubscribe) {
  Desk desk(of(Venue::binance));
  desk.subscribe(9, 0, "z", "trade");  // outstanding meanwhile
  desk.subscribe(1, 1, "a", "trade");
  desk.unsubscribe(1, 2, "a", "trade");
  desk.unsubscribe(1, 3, "a", "trade");
  EXPECT_THAT(desk.results(), IsEmpty());
  (void)desk.requests();
  desk.pass(250);
  desk.answer(binance_ok(1'000'000));
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("SUBSCRIBE","params":["a@trade"])")));
  desk.pass(250);
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("UNSUBSCRIBE","params":["a@trade"])")));
  desk.answer(binance_ok(1'000'002));
  EXPECT_THAT(
      desk.results(),
      ElementsAre("9/0 ok", "1/1 ok", HasSubstr("1/3 unsubscribe from a@trade: not"), "1/2 ok"));
}

TEST(SubscriptionBook, AnUnsubscribeBehindASubscribeThatFailsIsAnError) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.unsubscribe(1, 2, "a", "trade");
  desk.answer(binance_error(1'000'000));
  EXPECT_THAT(desk.results(),
              ElementsAre("1/1 subscribe to a@trade: the venue refused: Invalid request: invalid "
                          "stream (code 2)",
                          "1/2 unsubscribe from a@trade: not subscribed to it"));
  EXPECT_EQ(desk.book.numbers().keys, 0u);
}

}  // namespace
}  // namespace feedbench::upstream
