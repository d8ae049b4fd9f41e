// The C interface against the real proxy (the binary), on a venue that does what the test says.
#include "reference/client/c/feedproxy_client.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "reference/local/testing/proxy_fixture.hpp"

namespace feedbench::local {
namespace {

using namespace std::chrono_literals;
using testing::eventually;
using testing::ProxyFixture;
using testing::ScriptedVenue;

constexpr std::int64_t kSecondNs = 1'000'000'000;

struct Destroy {
  void operator()(fp_client* client) const { fp_client_destroy(client); }
};
using Handle = std::unique_ptr<fp_client, Destroy>;

std::string text_of(const fp_message& message) {
  return {reinterpret_cast<const char*>(message.payload), message.length};
}

class CInterface : public ProxyFixture {
 protected:
  CInterface() {
    for (const std::string& word : options_.spawn) spawn_.push_back(word.c_str());
    spawn_.push_back(nullptr);
    given_.size = sizeof given_;
    given_.path = options_.path.c_str();
    given_.spawn = spawn_.data();
  }

  Handle create(const char* name = "c-test") {
    Handle made(fp_client_create(name, &given_));
    if (made == nullptr) {
      ADD_FAILURE() << fp_error_text(nullptr);
      return made;
    }
    proxy_pid_ = static_cast<int>(fp_server_pid(made.get()));
    return made;
  }
  fp_feed open(fp_client* client, const ScriptedVenue& venue, const char* kind = nullptr) {
    const std::string url = venue.url();
    fp_open_options what{};
    what.size = sizeof what;
    what.url = url.c_str();
    what.venue = kind;
    fp_feed feed = 0;
    EXPECT_EQ(fp_open(client, &what, &feed, nullptr), FP_OK) << fp_error_text(client);
    return feed;
  }
  /// The next message; passes over nothing.
  static fp_pull next(fp_client* client, fp_feed feed, fp_message& message, fp_gap& gap) {
    fp_pull pulled = FP_PULL_NONE;
    eventually([&] {
      pulled = fp_next(client, feed, &message, &gap);
      if (pulled == FP_PULL_NONE) fp_wait(client, feed, kSecondNs / 10);
      return pulled != FP_PULL_NONE;
    });
    return pulled;
  }
  static bool notice(fp_client* client, fp_notice_kind kind, fp_notice& out) {
    bool found = false;
    eventually([&] {
      while (!found && fp_next_notice(client, &out) == 1) found = out.kind == kind;
      if (!found) fp_wait(client, 0, kSecondNs / 100);
      return found;
    });
    return found;
  }

  static std::string binary(const std::string& name) {
    const char* const folder = std::getenv("FEEDBENCH_BIN");
    return std::string(folder == nullptr ? "build/dev/bin" : folder) + "/../tests/" + name;
  }
  /// This process has a mapping of some feed log.
  static bool log_is_mapped() {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);)
      if (line.find("memfd:") != std::string::npos && line.find("r--s") != std::string::npos)
        return true;
    return false;
  }

  std::vector<const char*> spawn_;
  fp_client_options given_{};
};

TEST_F(CInterface, IsUsedByAProgramInC99) {
  ScriptedVenue venue;
  const auto keeper = create();  // starts the proxy
  testing::Process program(
      {binary("feedproxy_test_c_consumer"), options_.path, venue.url(), "3000"});
  ASSERT_EQ(program.read_line(), "ready");
  venue.publish_numbered(3000, 50);
  EXPECT_EQ(program.read_line(), "3000 0 0 1 1");
  EXPECT_EQ(program.wait(), 0);
}

TEST_F(CInterface, ReadsInBatchesWithStampsAndSequenceNumbers) {
  ScriptedVenue venue;
  const auto client = create();
  const fp_feed feed = open(client.get(), venue);
  venue.publish_numbered(1000, 50);
  eventually([&] { return fp_lag(client.get(), feed) == 1000; });
  std::array<fp_message, 300> messages;
  std::uint64_t sequence = 0;
  fp_gap gap;
  for (const std::size_t expected : {300u, 300u, 300u, 100u}) {
    std::size_t count = 0;
    const fp_pull pulled =
        fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap);
    EXPECT_EQ(count, expected);
    EXPECT_EQ(pulled, count == messages.size() ? FP_PULL_MESSAGE : FP_PULL_NONE);
    for (std::size_t i = 0; i < count; ++i) {
      if (sequence == 0) sequence = messages[i].sequence - 1;
      EXPECT_EQ(messages[i].sequence, ++sequence);
      EXPECT_EQ(messages[i].opcode, FP_TEXT);
      EXPECT_EQ(messages[i].feed, feed);
      EXPECT_LE(messages[i].stamps[FP_STAMP_WAKE], messages[i].stamps[FP_STAMP_HANDLER]);
      EXPECT_NE(messages[i].stamps[FP_STAMP_WAKE], 0u);
      EXPECT_EQ(fp_message_intact(&messages[i]), 1);
      EXPECT_TRUE(text_of(messages[i]).starts_with("{\"n\":" + std::to_string(sequence)));
    }
  }
  EXPECT_EQ(fp_lag(client.get(), feed), 0u);
  EXPECT_EQ(fp_readable(client.get(), feed), 0);
}

TEST_F(CInterface, ARetainedLogOutlivesFeedClientAndProxy) {
  ScriptedVenue venue;
  auto client = create();
  const fp_feed feed = open(client.get(), venue);
  venue.publish("to be read later");
  fp_message message;
  fp_gap gap;
  ASSERT_EQ(next(client.get(), feed, message, gap), FP_PULL_MESSAGE);
  fp_log* const log = fp_log_retain(message.log);
  EXPECT_EQ(fp_close(client.get(), feed), FP_OK);
  client.reset();
  kill_proxy(SIGKILL);
  eventually([&] { return ::kill(proxy_pid_, 0) != 0; });
  EXPECT_EQ(text_of(message), "to be read later");
  EXPECT_EQ(fp_log_intact(log, message.offset), 1);
  EXPECT_TRUE(log_is_mapped());
  fp_log_release(log);
  EXPECT_FALSE(log_is_mapped());
}

TEST_F(CInterface, WithoutARetainedLogNothingStaysMapped) {
  ScriptedVenue venue;
  auto client = create();
  const fp_feed feed = open(client.get(), venue);
  venue.publish("x");
  fp_message message;
  fp_gap gap;
  ASSERT_EQ(next(client.get(), feed, message, gap), FP_PULL_MESSAGE);
  EXPECT_TRUE(log_is_mapped());
  EXPECT_EQ(fp_close(client.get(), feed), FP_OK);
  EXPECT_FALSE(log_is_mapped());
}

TEST_F(CInterface, ABatchStopsAtAGap) {
  ScriptedVenue venue;
  const auto client = create();
  const fp_feed feed = open(client.get(), venue);
  venue.publish_numbered(3, 10);
  eventually([&] { return fp_lag(client.get(), feed) == 3; });
  venue.drop_all();
  fp_notice said;
  ASSERT_TRUE(notice(client.get(), FP_NOTICE_UPSTREAM_LOST, said));
  EXPECT_NE(std::strlen(said.text), 0u);
  ASSERT_TRUE(notice(client.get(), FP_NOTICE_UPSTREAM_READY, said));
  venue.publish_numbered(3, 10);
  eventually([&] { return fp_lag(client.get(), feed) == 6; });
  std::array<fp_message, 10> messages;
  std::size_t count = 0;
  fp_gap gap;
  EXPECT_EQ(fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap),
            FP_PULL_GAP);
  EXPECT_EQ(count, 3u);
  EXPECT_EQ(gap.reason, static_cast<unsigned>(FP_GAP_UPSTREAM_LOST));
  EXPECT_EQ(gap.missed_messages, FP_UNKNOWN);
  EXPECT_EQ(fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap),
            FP_PULL_NONE);
  EXPECT_EQ(count, 3u);
}

TEST_F(CInterface, TheBatchBeforeALostProxyCanBeReadWhileItsSuccessorIsAlreadyThere) {
  ScriptedVenue venue;
  given_.reconnect = 1;
  const auto client = create();
  const fp_feed feed = open(client.get(), venue);
  venue.publish_numbered(3, 10);
  eventually([&] { return fp_lag(client.get(), feed) == 3; });
  kill_proxy(SIGKILL);
  fp_notice said;
  ASSERT_TRUE(notice(client.get(), FP_NOTICE_PROXY_BACK, said));
  proxy_pid_ = static_cast<int>(fp_server_pid(client.get()));
  eventually([&] {
    fp_next_notice(client.get(), &said);
    return venue.connections() == 1;
  });
  std::array<fp_message, 10> messages;
  std::size_t count = 0;
  fp_gap gap{};
  std::string texts;
  fp_pull pulled = FP_PULL_NONE;
  eventually([&] {
    pulled = fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap);
    for (std::size_t i = 0; i < count; ++i) texts += text_of(messages[i]).substr(0, 6);
    return pulled == FP_PULL_GAP;
  });
  EXPECT_EQ(texts, "{\"n\":1{\"n\":2{\"n\":3");
  EXPECT_EQ(gap.reason, static_cast<unsigned>(FP_GAP_PROXY_LOST));
  venue.publish_numbered(1, 10);
  ASSERT_EQ(next(client.get(), feed, messages[0], gap), FP_PULL_MESSAGE);
  EXPECT_TRUE(text_of(messages[0]).starts_with("{\"n\":4"));
  EXPECT_EQ(fp_message_intact(&messages[0]), 1);
}

TEST_F(CInterface, AnAssembledMessageEndsItsBatch) {
  ScriptedVenue venue;
  const auto client = create();
  const fp_feed feed = open(client.get(), venue);
  const std::string text(5000, 'y');
  venue.publish("before");
  venue.publish_fragmented(text, 1000);
  venue.publish("behind");
  eventually([&] { return fp_lag(client.get(), feed) == 3; });
  std::array<fp_message, 10> messages;
  std::size_t count = 0;
  fp_gap gap;
  EXPECT_EQ(fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap),
            FP_PULL_MESSAGE);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(messages[1].assembled, 1);
  EXPECT_EQ(messages[1].log, nullptr);
  EXPECT_EQ(text_of(messages[1]), text);
  EXPECT_EQ(fp_message_intact(&messages[1]), 1);
  EXPECT_EQ(fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap),
            FP_PULL_NONE);
  ASSERT_EQ(count, 1u);
  EXPECT_EQ(text_of(messages[0]), "behind");
}

TEST_F(CInterface, WhoJoinsMayBeginWithTheNewestOfEachTopic) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  const auto early = create("early");
  const fp_feed feed = open(early.get(), venue, "binance");
  const auto text = [](const std::string& stream, int n) {
    return R"({"stream":")" + stream + R"(","data":{"n":)" + std::to_string(n) + "}}";
  };
  for (int n = 1; n <= 300; ++n) venue.publish(text(n % 2 == 0 ? "a@trade" : "b@trade", n));
  eventually([&] { return fp_lag(early.get(), feed) == 300; });

  const auto late = create("late");
  const std::string url = venue.url();
  fp_open_options what{};
  what.size = sizeof what;
  what.url = url.c_str();
  what.venue = "binance";
  what.last_values = 1;
  fp_feed joined = 0;
  ASSERT_EQ(fp_open(late.get(), &what, &joined, nullptr), FP_OK) << fp_error_text(late.get());
  fp_message message;
  fp_gap gap;
  for (const int n : {299, 300}) {
    ASSERT_EQ(next(late.get(), joined, message, gap), FP_PULL_MESSAGE);
    EXPECT_EQ(text_of(message), text(n % 2 == 0 ? "a@trade" : "b@trade", n));
    EXPECT_EQ(message.sequence, static_cast<std::uint64_t>(n));
    EXPECT_EQ(message.last_value, 1);
    EXPECT_EQ(message.assembled, 1);
    EXPECT_EQ(message.log, nullptr);
    EXPECT_EQ(message.stamps[FP_STAMP_HANDLER], 0u);
    EXPECT_EQ(fp_message_intact(&message), 1);
    EXPECT_EQ(message.feed, joined);
  }
  venue.publish(text("a@trade", 301));
  ASSERT_EQ(next(late.get(), joined, message, gap), FP_PULL_MESSAGE);
  EXPECT_EQ(text_of(message), text("a@trade", 301));
  EXPECT_EQ(message.sequence, 301u);
  EXPECT_EQ(message.last_value, 0);
  EXPECT_EQ(message.assembled, 0);
  // Who did not ask has had nothing of the kind.
  ASSERT_EQ(next(early.get(), feed, message, gap), FP_PULL_MESSAGE);
  EXPECT_EQ(message.sequence, 1u);
  EXPECT_EQ(message.last_value, 0);
}

TEST_F(CInterface, ABatchHasOneLastValueAtItsEndAndTheLogGoesOnBehindThem) {
  ScriptedVenue venue({.venue = venues::Venue::binance});
  const auto early = create("early");
  const fp_feed feed = open(early.get(), venue, "binance");
  for (const char* stream : {"a@trade", "b@trade", "c@trade"})
    venue.publish(R"({"stream":")" + std::string(stream) + R"(","data":{}})");
  eventually([&] { return fp_lag(early.get(), feed) == 3; });
  const auto late = create("late");
  const std::string url = venue.url();
  fp_open_options what{};
  what.size = sizeof what;
  what.url = url.c_str();
  what.venue = "binance";
  what.last_values = 1;
  fp_feed joined = 0;
  ASSERT_EQ(fp_open(late.get(), &what, &joined, nullptr), FP_OK) << fp_error_text(late.get());
  venue.publish_numbered(2, 10);
  eventually([&] { return fp_lag(late.get(), joined) == 2; });
  std::array<fp_message, 10> messages;
  fp_gap gap;
  std::size_t count = 0;
  for (std::uint64_t sequence = 1; sequence <= 3; ++sequence) {
    EXPECT_EQ(fp_read(late.get(), joined, messages.data(), messages.size(), &count, &gap),
              FP_PULL_MESSAGE);
    ASSERT_EQ(count, 1u);
    EXPECT_EQ(messages[0].sequence, sequence);
    EXPECT_EQ(messages[0].last_value, 1);
  }
  EXPECT_EQ(fp_read(late.get(), joined, messages.data(), messages.size(), &count, &gap),
            FP_PULL_NONE);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(messages[0].sequence, 4u);
  EXPECT_EQ(messages[1].last_value, 0);
}

TEST_F(CInterface, SubscribesSendsAndAnswersWithTheVenuesWords) {
  ScriptedVenue venue({.venue = venues::Venue::alpaca});
  const auto client = create();
  const std::string url = venue.url();
  fp_open_options what{};
  what.size = sizeof what;
  what.url = url.c_str();
  what.venue = "alpaca";
  what.credentials = "TESTRIGHT";
  fp_feed feed = 0;
  int flag = 0;
  ASSERT_EQ(fp_open(client.get(), &what, &feed, &flag), FP_OK) << fp_error_text(client.get());
  EXPECT_EQ(flag, 1);
  EXPECT_EQ(fp_subscribe(client.get(), feed, "AAPL", "trades", nullptr, nullptr, &flag), FP_OK);
  EXPECT_EQ(flag, 0);
  EXPECT_EQ(venue.subscriptions(), std::vector<std::string>{"trades:AAPL"});
  EXPECT_EQ(fp_subscribe(client.get(), feed, "AAPL", "orderbooks", nullptr, nullptr, nullptr),
            FP_ERROR_VENUE_REFUSED);
  EXPECT_NE(std::string(fp_error_text(client.get())).find("410"), std::string::npos);
  EXPECT_EQ(fp_error_code(client.get()), FP_ERROR_VENUE_REFUSED);
  EXPECT_EQ(fp_unsubscribe(client.get(), feed, "AAPL", "trades"), FP_OK);
  EXPECT_EQ(venue.subscriptions(), std::vector<std::string>{});
  EXPECT_EQ(fp_send(client.get(), feed, "hello", 5, FP_TEXT), FP_OK);
  eventually([&] { return !venue.heard().empty() && venue.heard().back() == "hello"; });
  const std::string large(FP_SEND_BYTES_MAX + 1, 'x');
  EXPECT_EQ(fp_send(client.get(), feed, large.data(), large.size(), FP_TEXT), FP_ERROR_TOO_LARGE);
  const char* const status = fp_status(client.get());
  ASSERT_NE(status, nullptr);
  EXPECT_NE(std::string(status).find("c-test"), std::string::npos);
}

TEST_F(CInterface, AsksWithoutWaitingAndTakesTheAnswerByItsNumber) {
  ScriptedVenue venue;
  const auto client = create();
  const std::string url = venue.url();
  fp_open_options what{};
  what.size = sizeof what;
  what.url = url.c_str();
  std::uint32_t first = 0;
  std::uint32_t second = 0;
  ASSERT_EQ(fp_open_async(client.get(), &what, &first), FP_OK);
  ASSERT_EQ(fp_close_async(client.get(), 99, &second), FP_ERROR_NO_SUCH_FEED);
  ASSERT_EQ(fp_open_async(client.get(), &what, &second), FP_OK);
  fp_notice answer{};
  eventually([&] { return fp_answer(client.get(), second, 100, &answer) == 1; });
  EXPECT_EQ(answer.kind, static_cast<unsigned>(FP_NOTICE_OPENED));
  const fp_feed feed = answer.feed;
  eventually([&] { return fp_answer(client.get(), first, 100, &answer) == 1; });
  EXPECT_NE(answer.feed, feed);
  ASSERT_EQ(fp_send_async(client.get(), feed, "a", 1, FP_TEXT, &first), FP_OK);
  eventually([&] { return fp_answer(client.get(), first, 100, &answer) == 1; });
  EXPECT_EQ(answer.kind, static_cast<unsigned>(FP_NOTICE_DONE));
  ASSERT_EQ(fp_close_async(client.get(), feed, &first), FP_OK);
  eventually([&] { return fp_answer(client.get(), first, 100, &answer) == 1; });
  fp_message message;
  fp_gap gap;
  EXPECT_EQ(fp_next(client.get(), feed, &message, &gap), FP_PULL_CLOSED);
}

TEST_F(CInterface, ALoopOfTheUsersOwnIsWokenForOneFeedWhateverAnotherHas) {
  ScriptedVenue venue;
  ScriptedVenue noise;
  const auto client = create();
  const fp_feed feed = open(client.get(), venue);
  const fp_feed other = open(client.get(), noise);
  noise.publish("never read");
  eventually([&] { return fp_lag(client.get(), other) == 1; });
  EXPECT_EQ(fp_arm(client.get(), 0), 0);
  EXPECT_EQ(fp_wait(client.get(), other, 0), 1);
  rings::Descriptor loop(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_EQ(::epoll_ctl(loop.get(), EPOLL_CTL_ADD, fp_fd(client.get()), &event), 0);
  std::thread publisher([&] {
    for (int i = 0; i < 50; ++i) {
      venue.publish_numbered(1, 10);
      std::this_thread::sleep_for(500us);
    }
  });
  fp_message message;
  fp_gap gap;
  int sleeps = 0;
  for (int messages = 0; messages < 50;) {
    while (fp_next(client.get(), feed, &message, &gap) == FP_PULL_MESSAGE) ++messages;
    fp_notice said;
    while (fp_next_notice(client.get(), &said) == 1) {
    }
    if (messages == 50 || fp_arm(client.get(), feed) == 0) continue;
    ASSERT_EQ(::epoll_wait(loop.get(), &event, 1, 10'000), 1) << "nothing woke the loop";
    ++sleeps;
  }
  publisher.join();
  EXPECT_GE(sleeps, 1);
}

TEST_F(CInterface, SaysWhyAClientCouldNotBeMade) {
  given_.spawn = nullptr;
  EXPECT_EQ(fp_client_create("c-test", &given_), nullptr);
  EXPECT_EQ(fp_error_code(nullptr), FP_ERROR_NO_PROXY);
  EXPECT_NE(std::string(fp_error_text(nullptr)).find(options_.path), std::string::npos);
  given_.size = 0;
  EXPECT_EQ(fp_client_create("c-test", &given_), nullptr);
  EXPECT_EQ(fp_error_code(nullptr), FP_ERROR_BAD_REQUEST);
  given_.size = sizeof given_;
  given_.timeout_ms = -1;
  EXPECT_EQ(fp_client_create("c-test", &given_), nullptr);
  EXPECT_EQ(fp_error_code(nullptr), FP_ERROR_BAD_REQUEST);
  std::thread([] { EXPECT_STREQ(fp_error_text(nullptr), ""); }).join();  // each thread has its own
}

TEST_F(CInterface, TakesOptionsOfANewerProgramUnlessTheySetWhatItDoesNotKnow) {
  struct Newer {
    fp_client_options known;
    std::uint64_t more;
  } newer{given_, 0};
  newer.known.size = sizeof newer;
  const Handle taken(fp_client_create("newer", &newer.known));
  ASSERT_NE(taken, nullptr) << fp_error_text(nullptr);
  proxy_pid_ = static_cast<int>(fp_server_pid(taken.get()));
  newer.more = 1;
  EXPECT_EQ(fp_client_create("newer", &newer.known), nullptr);
  EXPECT_EQ(fp_error_code(nullptr), FP_ERROR_BAD_REQUEST);
}

TEST_F(CInterface, SurvivesNullAndNonsense) {
  ScriptedVenue venue;
  const auto client = create();
  fp_message message;
  fp_gap gap;
  std::size_t count = 7;
  fp_client_destroy(nullptr);
  fp_log_release(fp_log_retain(nullptr));
  EXPECT_EQ(fp_message_intact(nullptr), 0);
  EXPECT_EQ(fp_log_intact(nullptr, 0), 0);
  EXPECT_EQ(fp_open(nullptr, nullptr, nullptr, nullptr), FP_ERROR_BAD_REQUEST);
  EXPECT_EQ(fp_open(client.get(), nullptr, nullptr, nullptr), FP_ERROR_BAD_REQUEST);
  EXPECT_EQ(fp_next(client.get(), 77, &message, &gap), FP_PULL_CLOSED);
  EXPECT_EQ(fp_next(client.get(), 0, &message, &gap), FP_PULL_CLOSED);
  EXPECT_EQ(fp_next(client.get(), 1, nullptr, &gap), FP_PULL_ERROR);
  EXPECT_EQ(fp_read(client.get(), 1, &message, 0, &count, &gap), FP_PULL_ERROR);
  EXPECT_EQ(count, 0u);
  EXPECT_EQ(fp_send(client.get(), 1, nullptr, 5, FP_TEXT), FP_ERROR_BAD_REQUEST);
  EXPECT_EQ(fp_send(client.get(), 1, "x", 1, 9), FP_ERROR_BAD_REQUEST);
  EXPECT_EQ(fp_close(client.get(), 77), FP_ERROR_NO_SUCH_FEED);
  EXPECT_EQ(fp_next_notice(client.get(), nullptr), -1);
  EXPECT_NE(fp_wait(client.get(), 77, -5), -1);
  EXPECT_EQ(fp_fd(nullptr), -1);
  EXPECT_EQ(fp_arm(nullptr, 0), -1);
  EXPECT_EQ(fp_status(nullptr), nullptr);
  EXPECT_EQ(fp_abi_version(), static_cast<unsigned>(FP_ABI_VERSION));
  open(client.get(), venue);  // and it is as good as before
}

TEST_F(CInterface, ExportsItsFunctionsAndNothingElse) {
  std::FILE* const symbols =
      ::popen("nm -D --defined-only '" FEEDPROXY_CLIENT_LIBRARY "' | awk '{print $NF}'", "r");
  ASSERT_NE(symbols, nullptr);
  char line[256];
  int functions = 0;
  while (std::fgets(line, sizeof line, symbols) != nullptr) {
    const std::string name(line);
    if (name.starts_with("FEEDPROXY_CLIENT_1")) continue;
    EXPECT_TRUE(name.starts_with("fp_") && name.ends_with("@@FEEDPROXY_CLIENT_1\n")) << name;
    ++functions;
  }
  ::pclose(symbols);
  EXPECT_EQ(functions, 33);
}

TEST_F(CInterface, MessagesAndTheirLogsOutliveReplacementsOfTheProxy) {
  ScriptedVenue venue;
  const Handle client = create();
  const fp_feed feed = open(client.get(), venue);
  std::vector<fp_log*> kept;
  std::vector<std::pair<const std::uint8_t*, std::string>> payloads;
  std::vector<std::uint64_t> offsets;
  std::uint64_t number = 0;
  for (int round = 0; round < 4; ++round) {
    if (round > 0) {
      venue.publish_numbered(10,
                             100);  // some of it is read from the log before, some from the next
      ASSERT_EQ(replace(), 0);
    }
    venue.publish_numbered(10, 100);
    // Room for more than one log has: all messages of one call are of one log all the same.
    while (number < venue.numbered()) {
      std::array<fp_message, 64> messages;
      std::size_t count = 0;
      fp_gap gap;
      const fp_pull pulled =
          fp_read(client.get(), feed, messages.data(), messages.size(), &count, &gap);
      ASSERT_TRUE(pulled == FP_PULL_NONE || pulled == FP_PULL_MESSAGE) << pulled;
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_EQ(messages[i].log, messages[0].log);
        EXPECT_EQ(fp_message_intact(&messages[i]), 1);
        EXPECT_EQ(messages[i].sequence, ++number);
        EXPECT_TRUE(text_of(messages[i]).starts_with("{\"n\":" + std::to_string(number) + ","));
      }
      if (count > 0) {
        kept.push_back(fp_log_retain(messages[0].log));
        payloads.emplace_back(messages[0].payload, text_of(messages[0]));
        offsets.push_back(messages[0].offset);
      } else {
        fp_wait(client.get(), feed, kSecondNs / 10);
      }
    }
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(std::memcmp(payloads[i].first, payloads[i].second.data(), payloads[i].second.size()),
              0);
    EXPECT_EQ(fp_log_intact(kept[i], offsets[i]), 1);
    fp_log_release(kept[i]);
  }
  fp_notice notice{};
  int replaced = 0;
  while (fp_next_notice(client.get(), &notice) == 1)
    replaced += notice.kind == FP_NOTICE_PROXY_REPLACED ? 1 : 0;
  EXPECT_EQ(replaced, 3);
}

}  // namespace
}  // namespace feedbench::local
