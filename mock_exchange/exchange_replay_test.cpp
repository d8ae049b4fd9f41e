#include <gmock/gmock.h>

#include "mock_exchange/send_log.hpp"
#include "mock_exchange/testing/exchange_fixture.hpp"
#include "mock_exchange/testing/raw_client.hpp"

namespace feedbench::mock_exchange::testing {
namespace {

using transports::TscInstant;
using venues::Venue;

class ExchangeReplay : public ExchangeTest {
 protected:
  static std::shared_ptr<const PreparedSession> session_at(
      std::initializer_list<std::int64_t> times_ns) {
    SessionBuilder builder;
    for (const std::int64_t t_ns : times_ns)
      builder.add("frame at " + std::to_string(t_ns), t_ns, kNoTopic);
    return builder.finish();
  }
};

TEST_F(ExchangeReplay, SendsTheWholeSessionByteForByteAtMaxPace) {
  const auto session = synthetic_session(300, 5000, 1);
  serve(options_for(Venue::raw, session));
  const BeastClient& client = connect("/any/path");
  run_until_messages(client, 5000);
  EXPECT_EQ(client.messages(), texts_of(*session));
  EXPECT_TRUE(exchange_->finished());
  EXPECT_EQ(exchange_->counters().frames_sent, 5000U);
  EXPECT_EQ(exchange_->counters().bytes_sent, session->loop_bytes());
}

TEST_F(ExchangeReplay, PutsManyFramesIntoOneWriteAtMaxPace) {
  serve(options_for(Venue::raw, synthetic_session(128, 5000, 1)));
  run_until_messages(connect("/"), 5000);
  EXPECT_LE(exchange_->counters().writes, 100U);
}

TEST_F(ExchangeReplay, SendsFramesOfEverySizeOfHeader) {
  SessionBuilder builder;
  for (const std::size_t bytes : {0, 1, 125, 126, 65535, 65536, 200000}) {
    builder.add(std::string(bytes, 'x'), 0, kNoTopic);
  }
  builder.add(std::string("\x00\xff\x80", 3), 0, kNoTopic, true);
  const auto session = builder.finish();
  serve(options_for(Venue::raw, session));
  const BeastClient& client = connect("/");
  run_until_messages(client, 8);
  EXPECT_EQ(client.messages(), texts_of(*session));
}

TEST_F(ExchangeReplay, EachConnectionHasItsOwnReplayFromTheBeginning) {
  const auto session = synthetic_session(128, 100, 1);
  serve(options_for(Venue::raw, session));
  run_until_messages(connect("/"), 100);
  const BeastClient& later = connect("/");
  run_until_messages(later, 100);
  EXPECT_EQ(later.messages(), texts_of(*session));
}

TEST_F(ExchangeReplay, SharedReplayStartsWhenItIsTold) {
  const auto session = synthetic_session(128, 100, 1);
  auto options = options_for(Venue::raw, session);
  options.start = Start::shared;
  serve(options);
  const BeastClient& a = connect("/");
  const BeastClient& b = connect("/");
  run_until([&] { return exchange_->sessions_ready() == 2; });
  settle();
  EXPECT_EQ(exchange_->counters().frames_sent, 0U);
  EXPECT_FALSE(exchange_->finished());
  exchange_->start(now());
  run_until_messages(a, 100);
  run_until_messages(b, 100);
  EXPECT_EQ(a.messages(), texts_of(*session));
  EXPECT_EQ(b.messages(), texts_of(*session));
  EXPECT_TRUE(exchange_->finished());
}

TEST_F(ExchangeReplay, WhoComesLateToASharedReplayJoinsWhereItStands) {
  auto options = options_for(Venue::raw, session_at({0, 100, 200, 300}), Pace::Kind::recorded);
  options.start = Start::shared;
  serve(options);
  exchange_->start(now());
  turn();
  pass_ns(150);  // frames 0 and 1 are gone
  turn();
  const BeastClient& late = connect("/");
  run_until_open(late);
  pass_ns(200);
  run_until_messages(late, 2);
  EXPECT_THAT(late.messages(), ::testing::ElementsAre("frame at 200", "frame at 300"));
}

TEST_F(ExchangeReplay, RecordedPaceSendsEachFrameAtItsTime) {
  serve(options_for(Venue::raw, session_at({1000, 1500, 1500, 4000}), Pace::Kind::recorded));
  const BeastClient& client = connect("/");
  run_until_messages(client, 1);
  const auto sent = [&] { return exchange_->counters().frames_sent; };
  settle();
  EXPECT_EQ(sent(), 1U);
  EXPECT_EQ((exchange_->next_due() - now()).ticks, 500);
  pass_ns(499);
  settle();
  EXPECT_EQ(sent(), 1U);
  pass_ns(1);
  settle();
  EXPECT_EQ(sent(), 3U);
  pass_ns(2500);
  run_until_messages(client, 4);
  EXPECT_TRUE(exchange_->finished());
  EXPECT_FALSE(exchange_->next_due().present());
}

TEST_F(ExchangeReplay, MultipleAndRateFollowTheirSchedules) {
  for (const Pace pace : {Pace{Pace::Kind::multiple, 10}, Pace{Pace::Kind::rate, 1e6}}) {
    auto options = options_for(Venue::raw, session_at({0, 10'000, 20'000}));
    options.pace = pace;
    serve(options);
    const BeastClient& client = connect("/");
    for (std::size_t frames = 1; frames <= 3; ++frames) {
      run_until_messages(client, frames);
      settle();
      EXPECT_EQ(exchange_->counters().frames_sent, frames) << to_string(pace);
      pass_ns(1000);
    }
  }
}

TEST_F(ExchangeReplay, AFrameLongerThanOneWriteIsWholeBeforeTheNextIsDue) {
  SessionBuilder builder;
  for (const std::int64_t t_ns : {0, 1'000'000})
    builder.add(std::string(10'000, 'x'), t_ns, kNoTopic);
  auto options = options_for(Venue::raw, builder.finish(), Pace::Kind::recorded);
  options.write_bytes_max = 4096;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_messages(client, 1);  // the clock stands still
  EXPECT_EQ(exchange_->counters().frames_sent, 1U);
  EXPECT_EQ(exchange_->counters().writes, 2U);
  EXPECT_EQ((exchange_->next_due() - now()).ticks, 1'000'000);
}

TEST_F(ExchangeReplay, AStalledExchangeSendsTheBacklogAndSaysHowLateItWas) {
  auto log = SendLogWriter::create(10).value();
  auto options = options_for(Venue::raw, session_at({0, 100, 200, 300}), Pace::Kind::recorded);
  options.send_log = &log;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_messages(client, 1);
  const std::uint64_t start = now().ticks;
  pass_ns(250);
  run_until_messages(client, 3);
  pass_ns(50);
  run_until_messages(client, 4);
  const auto reader = SendLogReader::map(log.descriptor()).value();
  ASSERT_EQ(reader.count(), 4U);
  const std::uint64_t intended[] = {0, 100, 200, 300};
  const std::uint64_t actual[] = {0, 250, 250, 300};
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(reader[i].intended_tsc, start + intended[i]);
    EXPECT_EQ(reader[i].actual_tsc, start + actual[i]);
    EXPECT_EQ(reader[i].frame_index, i);
  }
  EXPECT_EQ(exchange_->counters().lag_ticks_max, 150U);
}

TEST_F(ExchangeReplay, LoopsRepeatTheSessionAndShiftItsTimes) {
  auto log = SendLogWriter::create(100).value();
  auto options = options_for(Venue::raw, session_at({0, 100, 200}), Pace::Kind::recorded);
  options.loops = 3;
  options.send_log = &log;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_open(client);
  for (std::size_t frame = 1; frame <= 9; ++frame) {
    run_until_messages(client, frame);
    pass_ns(100);
  }
  const auto reader = SendLogReader::map(log.descriptor()).value();
  ASSERT_EQ(reader.count(), 9U);
  for (std::uint64_t i = 0; i < 9; ++i) {
    EXPECT_EQ(reader[i].intended_tsc - reader[0].intended_tsc, i * 100);
    EXPECT_EQ(reader[i].frame_index, i % 3);
    EXPECT_EQ(reader[i].loop, i / 3);
    EXPECT_EQ(client.messages()[i], "frame at " + std::to_string(i % 3 * 100));
  }
  EXPECT_TRUE(exchange_->finished());
}

TEST_F(ExchangeReplay, LoopingForEverGoesOnAtMaxPace) {
  const auto session = synthetic_session(128, 10, 1);
  auto options = options_for(Venue::raw, session);
  options.loops = kLoopForever;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_messages(client, 5000);
  for (std::size_t i = 0; i < 5000; ++i) ASSERT_EQ(client.messages()[i], session->text(i % 10));
  EXPECT_FALSE(exchange_->finished());
}

TEST_F(ExchangeReplay, ClosesWhenItIsDoneIfAsked) {
  auto options = options_for(Venue::raw, synthetic_session(128, 10, 1));
  options.when_done = WhenDone::close;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_ended(client);
  EXPECT_EQ(client.messages().size(), 10U);
  EXPECT_EQ(client.close_code(), 1000);
  run_until([&] { return exchange_->connections() == 0; });
  EXPECT_TRUE(exchange_->finished());
}

TEST_F(ExchangeReplay, ManyConnectionsGetTheWholeSessionEach) {
  constexpr std::size_t kClients = 200;
  const auto session = synthetic_session(200, 300, 1);
  auto options = options_for(Venue::raw, session);
  options.start = Start::shared;
  serve(options);
  for (std::size_t i = 0; i < kClients; ++i) connect("/");
  run_until([&] { return exchange_->sessions_ready() == kClients; });
  exchange_->start(now());
  for (const auto& client : clients_) run_until_messages(*client, 300);
  const auto expected = texts_of(*session);
  for (const auto& client : clients_) ASSERT_EQ(client->messages(), expected);
  EXPECT_EQ(exchange_->counters().frames_sent, kClients * 300);
}

TEST_F(ExchangeReplay, ConnectionsBeyondTheMostAreRefusedAndCounted) {
  auto options = options_for(Venue::raw, synthetic_session(128, 10, 1));
  options.connections_max = 2;
  serve(options);
  run_until_open(connect("/"));
  run_until_open(connect("/"));
  const BeastClient& third = connect("/");
  run_until_ended(third);
  EXPECT_FALSE(third.open());
  EXPECT_EQ(exchange_->counters().refused_full, 1U);
}

TEST_F(ExchangeReplay, ASlowReaderLagsAndLosesNothing) {
  const auto session =
      synthetic_session(1000, 20'000, 1);  // 20 MB: more than any socket buffer holds
  auto options = options_for(Venue::raw, session, Pace::Kind::rate);
  options.pace.value = 1e9;
  options.send_buffer_bytes = 64 * 1024;
  serve(options);
  BeastClientOptions slow;
  slow.reading = false;
  slow.receive_buffer_bytes = 64 * 1024;
  BeastClient& client = connect(slow);
  const BeastClient& other = connect("/");
  run_until_open(client);
  run_until_open(other);
  pass_ns(kSecond_ns);
  run_until_messages(other, 20'000);
  EXPECT_TRUE(client.messages().empty());
  EXPECT_GT(exchange_->counters().lag_frames_max, 10'000U);
  EXPECT_FALSE(exchange_->finished());
  client.read();
  run_until_messages(client, 20'000);
  EXPECT_EQ(client.messages(), texts_of(*session));
  EXPECT_TRUE(exchange_->finished());
}

TEST_F(ExchangeReplay, AReaderThatLagsTooFarIsClosedWhenAsked) {
  auto options = options_for(Venue::raw, synthetic_session(1000, 20'000, 1), Pace::Kind::rate);
  options.pace.value = 1e9;
  options.send_buffer_bytes = 64 * 1024;
  options.lag_frames_max = 1000;
  serve(options);
  BeastClientOptions slow;
  slow.reading = false;
  slow.receive_buffer_bytes = 64 * 1024;
  BeastClient& client = connect(slow);
  run_until_open(client);
  pass_ns(kSecond_ns);
  run_until([&] { return exchange_->counters().policy_closes == 1; });
  client.read();
  run_until_ended(client);
  EXPECT_EQ(client.close_code(), 1008);
  EXPECT_LT(client.messages().size(), 20'000U);
}

TEST_F(ExchangeReplay, TheLogFollowsTheFirstConnectionAndThenTheNext) {
  auto log = SendLogWriter::create(1000).value();
  auto options = options_for(Venue::raw, synthetic_session(128, 10, 1));
  options.send_log = &log;
  serve(options);
  BeastClient& first = connect("/");
  run_until_messages(first, 10);
  run_until_messages(connect("/"), 10);
  EXPECT_EQ(log.count(), 10U);
  first.disconnect();
  run_until([&] { return exchange_->connections() == 1; });
  run_until_messages(connect("/"), 10);
  const auto reader = SendLogReader::map(log.descriptor()).value();
  ASSERT_EQ(reader.count(), 20U);
  EXPECT_EQ(reader[9].connection, 1U);
  EXPECT_EQ(reader[10].connection, 3U);
  EXPECT_EQ(reader[10].frame_index, 0U);
}

TEST_F(ExchangeReplay, TheLogNamesEveryFrameHoweverTheSocketCutsThem) {
  constexpr std::uint32_t kFrames = 20'000;
  auto log = SendLogWriter::create(kFrames).value();
  const auto session = synthetic_session(1000, kFrames, 1);
  auto options = options_for(Venue::raw, session);
  options.send_log = &log;
  options.send_buffer_bytes = 16 * 1024;
  serve(options);
  const BeastClient& client = connect("/");
  run_until_messages(client, kFrames);
  EXPECT_GT(exchange_->counters().writes_partial, 0U);
  const auto reader = SendLogReader::map(log.descriptor()).value();
  ASSERT_EQ(reader.count(), kFrames);
  for (std::uint32_t i = 0; i < kFrames; ++i) {
    ASSERT_EQ(reader[i].frame_index, i);
    ASSERT_EQ(reader[i].length, session->frames()[i].length);
  }
}

TEST_F(ExchangeReplay, AnIdleExchangeHasNothingDue) {
  serve(options_for(Venue::raw, synthetic_session(128, 10, 1)));
  turn();
  EXPECT_FALSE(exchange_->next_due().present());
}

TEST_F(ExchangeReplay, ShutDownClosesEveryConnectionWithGoingAway) {
  auto options = options_for(Venue::raw, synthetic_session(128, 10, 1));
  serve(options);
  const BeastClient& client = connect("/");
  RawClient silent(exchange_->endpoint());
  run_until_messages(client, 10);
  run_until([&] { return exchange_->connections() == 2; });
  exchange_->shut_down();
  run_until([&] { return exchange_->connections() == 0; });
  run_until_ended(client);
  EXPECT_EQ(client.close_code(), 1001);
}

TEST_F(ExchangeReplay, CanBeDestroyedWhileConnectionsAreOpen) {
  serve(options_for(Venue::raw, synthetic_session(128, 10, 1)));
  run_until_open(connect("/"));
  exchange_.reset();
  for (int i = 0; i < 100; ++i) io_.poll();
}

TEST_F(ExchangeReplay, SaysWhatIsMissingFromItsOptions) {
  ExchangeOptions options;
  EXPECT_THAT(Exchange::create(io_, options).error().message, ::testing::HasSubstr("no session"));
  options.session = synthetic_session(128, 10, 1);
  EXPECT_THAT(Exchange::create(io_, options).error().message,
              ::testing::HasSubstr("rate of the clock"));
  options.tsc_hz = 1e9;
  options.tls_key_file = "key.pem";
  EXPECT_THAT(Exchange::create(io_, options).error().message, ::testing::HasSubstr("only one"));
  options.tls_certificate_file = "no-such-file.pem";
  EXPECT_THAT(Exchange::create(io_, options).error().message,
              ::testing::HasSubstr("no-such-file.pem"));
}

TEST_F(ExchangeReplay, APortInUseIsOneSentenceWithTheAddress) {
  auto options = options_for(Venue::raw, synthetic_session(128, 10, 1));
  serve(options);
  options.listen = exchange_->endpoint();
  const auto second = Exchange::create(io_, options);
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, ::testing::HasSubstr(to_string(exchange_->endpoint())));
  EXPECT_THAT(second.error().message,
              ::testing::HasSubstr("Address already in use (choose another port"));
}

TEST_F(ExchangeReplay, AnAddressThatIsNoneIsOneSentence) {
  auto options = options_for(Venue::raw, synthetic_session(128, 10, 1));
  options.listen.address = "not an address";
  EXPECT_THAT(Exchange::create(io_, options).error().message,
              ::testing::HasSubstr("not an address"));
}

}  // namespace
}  // namespace feedbench::mock_exchange::testing
