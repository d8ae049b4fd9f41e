#include "reference/upstream/subscription_book.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <limits>
#include <memory>
#include <random>

#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/upstream_login.hpp"

namespace feedbench::upstream {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;
using venues::Venue;
using Book = SubscriptionBook;
using Instant = Book::Instant;

constexpr std::int64_t kMs = 1'000'000;

/// A book, its clock, and shorter ways to say things. Results read like "1/7 ok", "1/7 ok existing", "1/7 <error>".
struct Desk {
  explicit Desk(SubscriptionBookOptions options, bool ready = true) : book(std::move(options)) {
    if (ready) book.upstream_ready(now);
  }
  void subscribe(Book::UserId user, std::uint32_t id, const std::string& symbol,
                 const std::string& kind, const std::string& request = {},
                 const std::string& release = {}) {
    book.subscribe(user, id, {symbol, kind, request, release}, now);
  }
  void unsubscribe(Book::UserId user, std::uint32_t id, const std::string& symbol,
                   const std::string& kind) {
    book.unsubscribe(user, id, symbol, kind, now);
  }
  void answer(std::string_view text) { book.on_answer(text, now); }
  /// Lets the time go by as an event loop does: from deadline to deadline.
  void pass(std::int64_t ms) {
    const Instant end = now + ms * kMs;
    int turns = 0;
    while (book.next_deadline() <= end) {
      ASSERT_LT(++turns, 100'000) << "deadlines at which nothing is done";
      now = std::max(now, book.next_deadline());
      book.on_time(now);
    }
    now = end;
    book.on_time(now);
  }
  std::vector<std::string> results() {
    std::vector<std::string> texts;
    for (const Book::Result& result : book.take_results()) {
      texts.push_back(fmt::format("{}/{} {}{}", result.user, result.request_id,
                                  result.error.empty() ? "ok" : result.error,
                                  result.existing ? " existing" : ""));
    }
    return texts;
  }
  std::vector<std::string> requests() { return book.take_requests(); }

  Instant now{1'000'000'000};
  Book book;
};

SubscriptionBookOptions of(Venue venue, std::vector<std::string> pinned = {}) {
  SubscriptionBookOptions options;
  options.venue = venue;
  options.pinned = std::move(pinned);
  return options;
}

std::string binance_ok(std::int64_t id) { return fmt::format(R"({{"result":null,"id":{}}})", id); }
std::string binance_error(std::int64_t id) {
  return fmt::format(R"({{"error":{{"code":2,"msg":"Invalid request: invalid stream"}},"id":{}}})",
                     id);
}

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

TEST(SubscriptionBook, ARefusedKeyFailsAllWhoWaitForItAndIsGone) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.subscribe(2, 2, "a", "trade");
  desk.answer(R"({"code":4,"msg":"Too many\n\u0001subscriptions","id":1000000})");
  EXPECT_THAT(desk.results(),
              ElementsAre("1/1 subscribe to a@trade: the venue refused: Too many  subscriptions "
                          "(code 4)",
                          "2/2 subscribe to a@trade: the venue refused: Too many  subscriptions "
                          "(code 4) existing"));
  EXPECT_EQ(desk.book.numbers().keys, 0u);
  desk.subscribe(3, 3, "a", "trade");
  desk.pass(250);
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("3/3 ok"));
}

TEST(SubscriptionBook, FindsTheOneBadKeyOf256WithFewRequests) {
  Desk desk(of(Venue::binance), false);
  for (std::uint32_t i = 0; i < 256; ++i)
    desk.subscribe(1, i, i == 77 ? "bad" : fmt::format("s{}", i), "trade");
  desk.book.upstream_ready(desk.now);
  std::int64_t id = 1'000'000;
  std::size_t requests = 0;
  while (desk.book.awaiting_answer()) {
    const auto texts = desk.requests();
    ASSERT_THAT(texts, SizeIs(1));
    ++requests;
    desk.answer(texts[0].find("bad@") != std::string::npos ? binance_error(id) : binance_ok(id));
    ++id;
    desk.pass(250);
  }
  EXPECT_EQ(requests, 17u);
  std::size_t failed = 0;
  const auto results = desk.book.take_results();
  EXPECT_THAT(results, SizeIs(256));
  for (const auto& result : results) {
    EXPECT_EQ(result.error.empty(), result.request_id != 77) << result.error;
    failed += result.error.empty() ? 0 : 1;
  }
  EXPECT_EQ(failed, 1u);
  EXPECT_EQ(desk.book.numbers().keys_active, 255u);
}

TEST(SubscriptionBook, AsksAgainOnlyForWhatIsStillWantedAfterARefusal) {
  Desk desk(of(Venue::binance), false);
  desk.subscribe(1, 1, "a", "trade");
  desk.subscribe(2, 2, "b", "trade");
  desk.book.upstream_ready(desk.now);
  (void)desk.requests();
  desk.book.user_gone(1, desk.now);
  desk.answer(binance_error(1'000'000));
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("SUBSCRIBE","params":["b@trade"])")));
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("2/2 ok"));
  EXPECT_EQ(desk.book.numbers().keys, 1u);

  desk.subscribe(2, 3, "c", "trade");
  desk.pass(250);
  desk.answer(binance_ok(1'000'002));
  desk.book.user_gone(2, desk.now);
  desk.pass(250);
  EXPECT_THAT(desk.requests(),
              ElementsAre(HasSubstr(R"(["c@trade"])"),
                          HasSubstr(R"("UNSUBSCRIBE","params":["b@trade","c@trade"])")));
  desk.subscribe(3, 4, "b", "trade");
  EXPECT_THAT(desk.results(), IsEmpty()) << "it may be released by now";
  desk.answer(binance_error(1'000'003));
  EXPECT_THAT(desk.results(), ElementsAre("3/4 ok")) << "it was not";
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("UNSUBSCRIBE","params":["c@trade"])")));
}

TEST(SubscriptionBook, AVenueThatDoesNotAnswerFailsTheRequestAndIsToldToForgetIt) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.pass(9'999);
  EXPECT_THAT(desk.results(), IsEmpty());
  (void)desk.requests();
  desk.pass(1);
  EXPECT_THAT(desk.results(),
              ElementsAre("1/1 subscribe to a@trade: the venue did not answer within 10000 ms"));
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("UNSUBSCRIBE","params":["a@trade"])")));
  desk.answer(binance_ok(1'000'000));
  EXPECT_TRUE(desk.book.awaiting_answer()) << "that was the late answer to the first";
  EXPECT_EQ(desk.book.numbers().answers_ignored, 1u);
  desk.subscribe(2, 2, "a", "trade");
  EXPECT_THAT(desk.results(), IsEmpty()) << "it is not known to be held";
  desk.answer(binance_ok(1'000'001));
  desk.answer(binance_ok(1'000'002));
  desk.pass(250);
  desk.answer(binance_ok(1'000'002));
  EXPECT_THAT(desk.results(), ElementsAre("2/2 ok"));
}

TEST(SubscriptionBook, AReleaseThatIsNotAnsweredFailsAndTheKeyIsGone) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.unsubscribe(1, 2, "a", "trade");
  desk.pass(10'250);
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok",
                                          "1/2 unsubscribe from a@trade: the venue did not answer "
                                          "within 10000 ms"));
  EXPECT_EQ(desk.book.numbers().keys, 0u);
  EXPECT_EQ(desk.book.next_deadline(), Book::kNever);
}

TEST(SubscriptionBook, WithoutUpstreamASubscribeWaitsAndThenFails) {
  Desk desk(of(Venue::binance, {"p@trade"}), false);
  desk.subscribe(1, 1, "a", "trade");
  desk.unsubscribe(1, 2, "a", "trade");
  desk.subscribe(2, 3, "p", "trade");
  desk.pass(5'000);
  desk.subscribe(1, 4, "a", "trade");
  desk.subscribe(3, 5, "a", "trade");
  desk.unsubscribe(3, 6, "a", "trade");  // stays behind the subscribe when others fail
  EXPECT_THAT(desk.results(), IsEmpty());
  EXPECT_THAT(desk.requests(), IsEmpty());
  desk.pass(5'000);
  const std::string down = "the upstream is down, and was not up again within 10000 ms";
  EXPECT_THAT(desk.results(),
              testing::UnorderedElementsAre("1/1 subscribe to a@trade: " + down,
                                            "1/2 unsubscribe from a@trade: not subscribed to it",
                                            "2/3 subscribe to p@trade: " + down + " existing"));
  desk.pass(4'999);
  desk.book.upstream_ready(desk.now);
  desk.pass(250);
  EXPECT_THAT(desk.requests(), SizeIs(1));
  desk.answer(binance_ok(1'000'000));
  EXPECT_THAT(desk.results(), ElementsAre("1/4 ok existing", "3/5 ok existing", "3/6 ok"));
}

TEST(SubscriptionBook, AsksAgainForAllKeysAfterAReconnect) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.subscribe(2, 2, "b", "trade");
  desk.pass(250);
  EXPECT_TRUE(desk.book.awaiting_answer());
  desk.book.upstream_lost(desk.now);
  EXPECT_FALSE(desk.book.awaiting_answer());
  EXPECT_THAT(desk.requests(), IsEmpty()) << "what was not taken was for the old connection";
  desk.answer(binance_ok(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok"));
  EXPECT_EQ(desk.book.numbers().keys_missing, 1u);

  desk.subscribe(3, 3, "a", "trade");
  desk.book.upstream_ready(desk.now);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"(["a@trade","b@trade"],"id":1000002)")));
  desk.answer(binance_ok(1'000'002));
  EXPECT_THAT(desk.results(), ElementsAre("3/3 ok existing", "2/2 ok"));
  EXPECT_EQ(desk.book.numbers().keys_missing, 0u);
}

TEST(SubscriptionBook, WhoLeavesWhileTheUpstreamIsDownIsDoneAtOnce) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.subscribe(1, 2, "b", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.pass(250);
  desk.answer(binance_ok(1'000'001));
  desk.pass(250);
  desk.unsubscribe(1, 3, "b", "trade");  // outstanding
  desk.book.upstream_lost(desk.now);
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok", "1/2 ok", "1/3 ok"));
  desk.unsubscribe(1, 4, "a", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("1/4 ok"));
  EXPECT_EQ(desk.book.numbers().keys, 0u);
  desk.book.upstream_ready(desk.now);
  EXPECT_THAT(desk.requests(), IsEmpty());
}

TEST(SubscriptionBook, AKeyRefusedAfterAReconnectStaysItsUsersAndIsTriedOn) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.book.upstream_lost(desk.now);
  desk.book.upstream_ready(desk.now);
  desk.subscribe(2, 2, "a", "trade");
  desk.answer(binance_error(1'000'001));
  EXPECT_THAT(desk.results(), ElementsAre("1/1 ok", HasSubstr("2/2 subscribe to a@trade: the")));
  EXPECT_EQ(desk.book.numbers().keys_missing, 1u);
  (void)desk.requests();
  desk.pass(9'999);
  EXPECT_THAT(desk.requests(), IsEmpty());
  desk.pass(1);
  EXPECT_THAT(desk.requests(), SizeIs(1));
  desk.answer(binance_error(1'000'002));
  desk.pass(250);
  desk.subscribe(3, 3, "a", "trade");
  EXPECT_THAT(desk.requests(), SizeIs(1)) << "a new subscribe does not wait for the pause";
  desk.answer(binance_ok(1'000'003));
  EXPECT_THAT(desk.results(), ElementsAre("3/3 ok existing"));
  desk.unsubscribe(1, 4, "a", "trade");
  EXPECT_THAT(desk.results(), ElementsAre("1/4 ok"));
  EXPECT_EQ(desk.book.users_of("a", "trade"), 1u);
}

TEST(SubscriptionBook, AUserWhoGoesGetsNoResultsAndReleasesWhatItHad) {
  Desk desk(of(Venue::binance));
  desk.subscribe(1, 1, "a", "trade");
  desk.answer(binance_ok(1'000'000));
  desk.subscribe(1, 2, "a", "trade");
  desk.subscribe(1, 3, "b", "trade");
  desk.subscribe(2, 4, "b", "trade");
  desk.subscribe(1, 5, "c", "trade");
  desk.unsubscribe(1, 6, "c", "trade");
  (void)desk.requests();
  desk.book.user_gone(1, desk.now);
  desk.book.user_gone(99, desk.now);
  EXPECT_THAT(desk.results(), IsEmpty()) << "not even those that were not taken";
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("UNSUBSCRIBE","params":["a@trade"])")));
  desk.answer(binance_ok(1'000'001));
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("SUBSCRIBE","params":["b@trade"])")));
  desk.book.user_gone(2, desk.now);
  desk.answer(binance_ok(1'000'002));
  desk.pass(250);
  EXPECT_THAT(desk.requests(), ElementsAre(HasSubstr(R"("UNSUBSCRIBE","params":["b@trade"])")));
  desk.answer(binance_ok(1'000'003));
  EXPECT_THAT(desk.results(), IsEmpty());
  EXPECT_EQ(desk.book.numbers().keys, 0u);
  EXPECT_EQ(desk.book.numbers().users, 0u);
}

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
    EXPECT_THAT(alpaca.results(), ElementsAre(HasSubstr("no channel"))) << kind;
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

// --- The book against a venue, at random -----------------------------------------------------------------------------

/// One side of a connection: what the venue has, and what it says.
class ScriptedVenue {
 public:
  virtual ~ScriptedVenue() = default;
  /// A new connection, logged in with the pinned subscriptions by the real login.
  virtual void connect(const std::vector<std::string>& pinned, Instant now) = 0;
  virtual std::vector<std::string> answer(const std::string& request, Instant now) = 0;
  /// key_label() of all that is subscribed.
  [[nodiscard]] virtual std::set<std::string> subscribed() const = 0;
};

class BinanceVenue : public ScriptedVenue {
 public:
  void connect(const std::vector<std::string>& pinned, Instant now) override {
    session_ = venues::binance::Session({});
    auto login = venues::UpstreamLogin::create({Venue::binance, {}, pinned}).value();
    for (const std::string& text : login.on_open().send)
      (void)login.on_message(session_.on_text(text, now.ns).text);
    ASSERT_EQ(login.status(), venues::LoginStatus::ready);
  }
  std::vector<std::string> answer(const std::string& request, Instant now) override {
    // The session takes all that is well-formed, so badness is played here.
    const std::size_t bad = request.find("\"bad");
    const bool subscribes = request.find("\"SUBSCRIBE") != std::string::npos;
    const std::string id = request.substr(request.rfind(':') + 1);
    const venues::binance::Reply reply = session_.on_text(
        bad != std::string::npos && subscribes ? "{\"id\":" + id : request, now.ns);
    EXPECT_EQ(reply.close_code, 0) << reply.close_reason;
    if (bad != std::string::npos && subscribes)
      return {R"({"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":)" + id};
    return {reply.text};
  }
  [[nodiscard]] std::set<std::string> subscribed() const override {
    return {session_.subscriptions().begin(), session_.subscriptions().end()};
  }

 private:
  venues::binance::Session session_{{}};
};

class AlpacaVenue : public ScriptedVenue {
 public:
  void connect(const std::vector<std::string>& pinned, Instant now) override {
    venues::alpaca::SessionOptions options;
    options.symbols_max = 14;  // error 405 now and then
    session_ = venues::alpaca::Session(options);
    auto login = venues::UpstreamLogin::create({Venue::alpaca, {"k", "s"}, pinned}).value();
    (void)login.on_open();
    std::deque<std::string> said;
    const auto hear = [&](const venues::alpaca::Reply& reply) {
      said.insert(said.end(), reply.texts.begin(), reply.texts.end());
    };
    hear(session_.on_open({}, now.ns));
    for (; !said.empty(); said.pop_front()) {
      for (const std::string& text : login.on_message(said.front()).send)
        hear(session_.on_message(text, now.ns));
    }
    ASSERT_EQ(login.status(), venues::LoginStatus::ready);
  }
  std::vector<std::string> answer(const std::string& request, Instant now) override {
    return session_.on_message(request, now.ns).texts;
  }
  [[nodiscard]] std::set<std::string> subscribed() const override {
    using venues::alpaca::Channel;
    std::set<std::string> all;
    for (std::size_t i = 0; i < venues::alpaca::kChannels; ++i) {
      const auto channel = static_cast<Channel>(i);
      if (channel == Channel::corrections || channel == Channel::cancel_errors) continue;
      for (const std::string& symbol : session_.symbols(channel))
        all.insert(fmt::format("{}:{}", venues::alpaca::to_string(channel), symbol));
    }
    return all;
  }

 private:
  venues::alpaca::Session session_{{}};
};

/// Takes "+name" and "-name" and answers nothing.
class RawVenue : public ScriptedVenue {
 public:
  void connect(const std::vector<std::string>& pinned, Instant) override {
    names_ = {pinned.begin(), pinned.end()};
  }
  std::vector<std::string> answer(const std::string& request, Instant) override {
    if (request[0] == '+')
      EXPECT_TRUE(names_.insert(request.substr(1)).second) << request << " twice";
    else
      EXPECT_EQ(names_.erase(request.substr(1)), 1u) << request << " without its subscribe";
    return {};
  }
  [[nodiscard]] std::set<std::string> subscribed() const override { return names_; }

 private:
  std::set<std::string> names_;
};

/// Users that do as they like, a venue that may be slow, deaf or gone, and what must come of it.
class Simulation {
 public:
  Simulation(Venue venue, std::uint64_t seed) : venue_name_(venue), random_(seed) {
    if (venue == Venue::binance) {
      pinned_ = {"pin1@trade", "pin2@trade"};
      venue_ = std::make_unique<BinanceVenue>();
    } else if (venue == Venue::alpaca) {
      pinned_ = {"bars:*", "PIN"};
      venue_ = std::make_unique<AlpacaVenue>();
    } else {
      pinned_ = {"pin1"};
      venue_ = std::make_unique<RawVenue>();
    }
    desk_ = std::make_unique<Desk>(of(venue, pinned_), false);
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      step();
      look();
      if (i % 500 == 499) {
        come_to_rest();
        check();
      }
    }
  }

 private:
  struct Request {
    bool subscribes = false;
    std::pair<std::string, std::string> key;
  };
  using Counts = std::map<std::pair<std::string, std::string>, int>;

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  std::pair<std::string, std::string> any_key() {
    const std::uint64_t n = pick(30);
    if (venue_name_ == Venue::raw) return {n == 0 ? "pin1" : fmt::format("s{}", n), ""};
    if (venue_name_ == Venue::binance) {
      if (n < 2) return {fmt::format("pin{}", n + 1), "trade"};
      return {fmt::format("{}{}", n < 5 ? "bad" : "s", n), n % 2 == 0 ? "trade" : "depth@100ms"};
    }
    if (n < 2) return {"PIN", n == 0 ? "trades" : "quotes"};
    if (n < 4) return {"ANY", "bars"};
    if (n < 6) return {fmt::format("S{}", n), "orderbooks"};  // stocks have none: error 410
    return {fmt::format("{}{}", n < 8 ? "bad" : "S", n), n % 3 == 0 ? "quotes" : "trades"};
  }

  void step() {
    const std::uint64_t action = pick(100);
    if (action < 40) {
      subscribe(1 + pick(12), any_key());
    } else if (action < 70) {
      unsubscribe();
    } else if (action < 73) {
      const Book::UserId user = 1 + pick(12);
      desk_->book.user_gone(user, desk_->now);
      counts_.erase(user);
      std::erase_if(waiting_, [&](const auto& item) { return item.first.first == user; });
    } else if (action < 74) {
      lose();
    } else if (action < 77) {
      desk_->answer(pick(2) == 0 ? R"({"result":null,"id":5})" : "garbage");
    } else if (action < 95) {
      pass(static_cast<std::int64_t>(pick(pick(20) == 0 ? 12'000 : 400)));
    } else if (action < 96) {
      deaf_ = pick(3) != 0;
    } else if (!up_) {
      connect();
    } else {
      deliver();
    }
  }

  void subscribe(Book::UserId user, const std::pair<std::string, std::string>& key) {
    waiting_[{user, ++last_request_}] = {true, key};
    const bool raw = venue_name_ == Venue::raw;
    desk_->subscribe(user, last_request_, key.first, key.second, raw ? "+" + key.first : "",
                     raw ? "-" + key.first : "");
  }

  void unsubscribe() {
    // Mostly something that the user has.
    const Book::UserId user = 1 + pick(12);
    std::pair<std::string, std::string> key = any_key();
    const auto has = counts_.find(user);
    if (has != counts_.end() && !has->second.empty() && pick(5) != 0)
      key = std::next(has->second.begin(), static_cast<std::ptrdiff_t>(pick(has->second.size())))
                ->first;
    waiting_[{user, ++last_request_}] = {false, key};
    desk_->unsubscribe(user, last_request_, key.first, key.second);
  }

  void lose() {
    up_ = false;
    said_.clear();
    desk_->book.upstream_lost(desk_->now);
  }
  void connect() {
    up_ = true;
    doubt_ = false;
    venue_->connect(pinned_, desk_->now);
    desk_->book.upstream_ready(desk_->now);
  }
  void pass(std::int64_t ms) {
    const Instant end = desk_->now + ms * kMs;
    while (desk_->now < end) {  // requests reach the venue when they are sent, not later
      const Instant due = std::clamp(desk_->book.next_deadline(), desk_->now, end);
      desk_->now = due;
      desk_->book.on_time(due);
      look();
      ASSERT_TRUE(due == end || desk_->book.next_deadline() > due) << "nothing was done";
    }
  }
  void deliver() {
    if (said_.empty()) return;
    desk_->answer(said_.front());
    said_.pop_front();
  }

  /// Takes what the book has to say.
  void look() {
    const std::uint64_t unanswered = desk_->book.numbers().requests_unanswered;
    doubt_ = doubt_ || (unanswered != unanswered_ && !said_.empty());
    unanswered_ = unanswered;
    for (const std::string& text : desk_->requests()) {
      ASSERT_TRUE(up_) << text;
      // A deaf venue loses subscribes or their answers; of an unsubscribe only the answer, since a book that is told
      // nothing may forget the key.
      const bool release =
          text.find("UNSUB") != std::string::npos || text.find("unsub") != std::string::npos;
      if (deaf_ && !release && venue_name_ != Venue::raw && pick(2) == 0) continue;
      for (std::string& answer : venue_->answer(text, desk_->now))
        if (!deaf_)
          said_.push_back(std::move(answer));
        else if (release && answer.find("error") != std::string::npos)
          doubt_ = true;  // not done, and the book takes it for done
    }
    for (const Book::Result& result : desk_->book.take_results()) {
      const auto asked = waiting_.find({result.user, result.request_id});
      ASSERT_NE(asked, waiting_.end())
          << "a second result, or one for nobody: " << result.request_id << result.error;
      int& count = counts_[result.user][asked->second.key];
      if (asked->second.subscribes) {
        count += result.error.empty() ? 1 : 0;
      } else {
        count -= result.error.find("not subscribed") == std::string::npos ? 1 : 0;
      }
      ASSERT_GE(count, 0);
      if (count == 0) counts_[result.user].erase(asked->second.key);
      waiting_.erase(asked);
    }
  }

  void come_to_rest() {
    deaf_ = false;
    if (!up_) connect();
    for (int turn = 0; turn < 500; ++turn) {
      pass(300);
      while (!said_.empty()) deliver();
      look();
      if (desk_->book.next_deadline() == Book::kNever) break;
    }
    // A key that its users had and the venue refuses since (a symbol limit) is tried for ever.
    EXPECT_EQ(desk_->book.numbers().keys_queued, 0u);
    EXPECT_THAT(waiting_, IsEmpty());
  }

  void check() {
    std::set<std::string> expected, missing;
    for (const Book::KeyNumbers& key : desk_->book.keys()) {
      EXPECT_EQ(key.waiting, 0u);
      EXPECT_GT(key.users, 0u) << key.symbol;
      if (!key.active) missing.insert(key_label(venue_name_, key.symbol, key.kind));
    }
    EXPECT_EQ(missing.size(), desk_->book.numbers().keys_missing);
    if (venue_name_ != Venue::alpaca) {
      EXPECT_THAT(missing, IsEmpty());
    }
    std::set<std::pair<std::string, std::string>> keys;
    PinnedKeys covered(venue_name_, pinned_);
    for (const auto& [user, counts] : counts_) {
      for (const auto& [key, count] : counts) {
        keys.insert(key);
        if (!covered.cover(key.first, key.second))
          expected.insert(key_label(venue_name_, key.first, key.second));
      }
    }
    for (const auto& [symbol, kind] : keys) {
      const auto has = [&](const auto& user) { return user.second.contains({symbol, kind}); };
      EXPECT_EQ(desk_->book.users_of(symbol, kind),
                static_cast<std::size_t>(std::count_if(counts_.begin(), counts_.end(), has)));
    }
    EXPECT_EQ(desk_->book.numbers().keys, keys.size());
    for (const std::string& item : pinned_) {
      if (item == "PIN")
        expected.insert({"trades:PIN", "quotes:PIN"});
      else
        expected.insert(item);
    }
    for (const std::string& key : missing) expected.erase(key);
    const std::set<std::string> has = venue_->subscribed();
    if (venue_name_ == Venue::alpaca && doubt_) {
      // Its late answers cannot be told from others: it may send what nobody wants.
      EXPECT_TRUE(std::includes(has.begin(), has.end(), expected.begin(), expected.end()));
    } else {
      EXPECT_EQ(has, expected);
    }
  }

  Venue venue_name_;
  std::mt19937_64 random_;
  std::vector<std::string> pinned_;
  std::unique_ptr<ScriptedVenue> venue_;
  std::unique_ptr<Desk> desk_;
  bool up_ = false;
  bool deaf_ = false;
  bool doubt_ = false;  // answers came after the book had given them up
  std::uint64_t unanswered_ = 0;
  std::deque<std::string> said_;  // answers on their way
  std::uint32_t last_request_ = 0;
  std::map<std::pair<Book::UserId, std::uint32_t>, Request> waiting_;
  std::map<Book::UserId, Counts> counts_;
};

constexpr std::uint64_t kSeeds = 40;

class SubscriptionBookAtRandom : public testing::TestWithParam<Venue> {};

TEST_P(SubscriptionBookAtRandom, TheVenueHasWhatTheUsersHaveOnceAllIsAnswered) {
  for (std::uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Simulation(GetParam(), seed).run(2'000);
  }
}
INSTANTIATE_TEST_SUITE_P(Venues, SubscriptionBookAtRandom,
                         testing::Values(Venue::raw, Venue::binance, Venue::alpaca),
                         [](const auto& parameter) {
                           return std::string(venues::to_string(parameter.param));
                         });

}  // namespace
}  // namespace feedbench::upstream
