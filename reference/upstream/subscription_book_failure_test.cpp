// What comes of refusals, silence, lost upstreams and users who go.
#include "reference/upstream/subscription_book.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "reference/upstream/testing/subscription_desk.hpp"

namespace feedbench::upstream {
namespace {

using namespace book_testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

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

}  // namespace
}  // namespace feedbench::upstream
