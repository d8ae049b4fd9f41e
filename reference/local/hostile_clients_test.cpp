// Local clients that are killed, stopped, mad or malicious: the others never notice, and nothing is left behind.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "reference/client/packet_socket.hpp"
#include "reference/local/testing/proxy_fixture.hpp"

namespace feedbench::local {
namespace {

using namespace std::chrono_literals;
using feedproxy::Errc;
using feedproxy::control::Head;
using feedproxy::control::Kind;
using testing::Reading;
using testing::ScriptedVenue;

/// A proxy, a venue, and a client that reads all the while; at the end it must have had every message.
class HostileClients : public testing::ProxyFixture {
 protected:
  HostileClients() {
    witness_ = client("witness");
    feed_ = witness_->open({.url = venue_.url()}).feed;
    reading_.emplace(*witness_, feed_);
    descriptors_ = proxy_descriptors();
  }

  /// The witness gets `count` more messages, without a gap.
  void serve(std::uint64_t count) {
    venue_.publish_numbered(count, 50);
    reading_->until_number(venue_.numbered());
  }

  void expect_unharmed() {
    serve(100);
    EXPECT_EQ(reading_->messages, venue_.numbered());
    EXPECT_EQ(reading_->gaps, 0u);
    EXPECT_EQ(reading_->wrong, 0u);
    EXPECT_EQ(venue_.connections_ever(), connections_wanted_);
    testing::eventually([&] { return proxy_descriptors() == descriptors_; });
  }

  /// A raw connection to the proxy's socket.
  feedproxy::control::Descriptor knock() {
    int os_error = 0;
    return feedproxy::detail::connect_to(options_.path, os_error);
  }
  static bool is_closed(int socket) {
    std::byte bytes[256];
    std::size_t got = 0;
    for (int i = 0; i < 100; ++i) {
      feedproxy::control::Descriptors descriptors;
      if (!feedproxy::control::wait_for(socket, POLLIN, 60'000)) return false;
      const auto outcome =
          feedproxy::control::receive_packet(socket, std::span(bytes), got, descriptors);
      if (outcome == feedproxy::control::Transfer::ended) return true;
    }
    return false;
  }
  static std::string hello(std::string_view name = "raw",
                           std::uint64_t version = feedproxy::control::kVersion) {
    Head head;
    head.kind = static_cast<std::uint32_t>(Kind::hello);
    head.request = 1;
    head.values = {feedproxy::control::kMagic, version, 0};
    return feedproxy::control::encode(head, name, std::string_view());
  }

  ScriptedVenue venue_;
  std::unique_ptr<feedproxy::Client> witness_;
  feedproxy::FeedId feed_ = 0;
  std::optional<Reading> reading_;
  std::size_t descriptors_ = 0;
  std::uint64_t connections_wanted_ = 1;
};

TEST_F(HostileClients, KilledAtAnyMoment) {
  const int kills = 1000 / testing::load_divisor();
  std::mt19937 random(7);
  std::unique_ptr<testing::Process> victims[2];
  for (int i = 0; i < kills; ++i) {
    auto& victim = victims[i % 2];
    victim = consumer({"kill-me", venue_.url()});
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 20'000));
    victim->kill(SIGKILL);
    serve(20);
  }
  for (auto& victim : victims) victim.reset();
  // The last ones' subscriptions were let go of; what the venue heard is for others to test.
  expect_unharmed();
}

TEST_F(HostileClients, StoppedUnderLoadAndThenContinued) {
  auto stopped = consumer({"count", venue_.url()});
  ASSERT_EQ(stopped->read_line(), "ready");
  serve(1000);
  stopped->kill(SIGSTOP);
  const auto until = std::chrono::steady_clock::now() + 10s;
  while (std::chrono::steady_clock::now() < until) serve(2000);
  const std::uint64_t before = venue_.numbered();
  stopped->kill(SIGCONT);
  serve(1000);
  stopped->kill(SIGTERM);
  unsigned long messages = 0;
  unsigned long missed = 0;
  unsigned long wrong = 0;
  ASSERT_EQ(std::sscanf(stopped->read_line().c_str(), "%lu %lu %lu", &messages, &missed, &wrong),
            3);
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(messages + missed, venue_.numbered()) << before;
  stopped.reset();
  expect_unharmed();
}

TEST_F(HostileClients, ScribblingOverTheirOwnPage) {
  auto mad = consumer({"scribble", venue_.url()});
  auto madder = consumer({"scribble", venue_.url()});
  ASSERT_EQ(mad->read_line(), "ready");
  ASSERT_EQ(madder->read_line(), "ready");
  for (int i = 0; i < 200; ++i) {
    serve(200);
    if (i % 50 == 0) {
      EXPECT_NE(witness_->status().find("consumer"), std::string::npos);
    }
  }
  mad->kill(SIGKILL);
  madder->kill(SIGTERM);
  mad.reset();
  madder.reset();
  expect_unharmed();
}

TEST_F(HostileClients, OpeningTenThousandUrls) {
  auto greedy = consumer({"urls", venue_.url("/")});
  const int refused = std::stoi(greedy->read_line());
  EXPECT_EQ(refused, 10'000 - static_cast<int>(feedproxy::control::kFeedsPerClientMax));
  greedy.reset();
  testing::eventually([&] { return venue_.connections() == 1; });
  connections_wanted_ = venue_.connections_ever();
  EXPECT_LE(connections_wanted_, 1 + feedproxy::control::kFeedsPerClientMax);
  expect_unharmed();
}

TEST_F(HostileClients, SendingAHundredMegabytes) {
  auto big = consumer({"big", venue_.url()});
  EXPECT_EQ(big->read_line(), "4");  // 100 kB, 1 MB, 10 MB, 100 MB
  big.reset();
  expect_unharmed();
}

TEST_F(HostileClients, ThatSayNothingOrGarbage) {
  std::mt19937_64 random(3);
  auto silent = knock();
  for (int i = 0; i < 500; ++i) {
    auto socket = knock();
    ASSERT_TRUE(socket.valid());
    if (i % 2 == 0) feedproxy::control::send_packet(socket.get(), hello());
    std::string garbage(random() % 4096 + 1, '\0');
    for (char& byte : garbage) byte = static_cast<char>(random());
    if (i % 3 == 0) {  // a good head, with texts that contradict it
      Head head;
      head.kind = static_cast<std::uint32_t>(random() % 40);
      head.text_bytes = {static_cast<std::uint32_t>(random()), 3, 5, 0, 1};
      std::memcpy(garbage.data(), &head, std::min(sizeof head, garbage.size()));
    }
    feedproxy::control::send_packet(socket.get(), garbage);
    EXPECT_TRUE(is_closed(socket.get())) << i;
  }
  // More than any packet holds.
  auto socket = knock();
  const int room = 1 << 20;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  feedproxy::control::send_packet(socket.get(), std::string(200'000, 'x'));
  EXPECT_TRUE(is_closed(socket.get()));
  socket.reset();
  EXPECT_TRUE(is_closed(silent.get()));  // its hello never came
  silent.reset();
  expect_unharmed();
}

TEST_F(HostileClients, OfAnotherVersionAreToldSo) {
  auto socket = knock();
  feedproxy::control::send_packet(socket.get(), hello("raw", 99));
  ASSERT_TRUE(feedproxy::control::wait_for(socket.get(), POLLIN, 60'000));
  std::vector<std::byte> bytes(feedproxy::control::kPacketBytesMax);
  std::size_t got = 0;
  feedproxy::control::Descriptors descriptors;
  ASSERT_EQ(feedproxy::control::receive_packet(socket.get(), bytes, got, descriptors),
            feedproxy::control::Transfer::done);
  const auto packet = feedproxy::control::decode(std::span(bytes).first(got));
  ASSERT_TRUE(packet);
  EXPECT_EQ(packet->kind(), Kind::failed);
  EXPECT_EQ(static_cast<Errc>(packet->head.code), Errc::wrong_version);
  EXPECT_NE(packet->texts[0].find("99"), std::string_view::npos) << packet->texts[0];
  socket.reset();
  expect_unharmed();
}

TEST_F(HostileClients, ThatAskAndNeverReadTheAnswers) {
  auto socket = knock();
  feedproxy::control::send_packet(socket.get(), hello());
  Head head;
  head.kind = static_cast<std::uint32_t>(Kind::set_log_level);
  const std::string request = feedproxy::control::encode(head);
  // Until its answers fill the socket, and then the proxy's list of what waits, and it is let go of.
  for (int i = 0; i < 100'000; ++i) {
    const auto outcome = feedproxy::control::send_packet(socket.get(), request);
    if (outcome == feedproxy::control::Transfer::ended) break;
    if (outcome == feedproxy::control::Transfer::would_block) std::this_thread::sleep_for(1ms);
  }
  testing::eventually([&] {
    return feedproxy::control::send_packet(socket.get(), request) ==
           feedproxy::control::Transfer::ended;
  });
  socket.reset();
  expect_unharmed();
}

TEST_F(HostileClients, MoreThanTheProxyTakesAreToldSo) {
  std::vector<std::unique_ptr<feedproxy::Client>> crowd;
  feedproxy::ClientOptions options = options_;
  Errc refused = Errc::ok;
  std::string why;
  for (int i = 0; i < 300 && refused == Errc::ok; ++i) {
    try {
      crowd.push_back(std::make_unique<feedproxy::Client>("c" + std::to_string(i), options));
    } catch (const feedproxy::Error& error) {
      refused = error.code();
      why = error.what();
    }
  }
  EXPECT_EQ(refused, Errc::too_many) << why;
  EXPECT_EQ(crowd.size(), 255u);  // and the witness
  crowd.clear();
  expect_unharmed();
}

TEST_F(HostileClients, AProxyKilledUnderLoadIsAnEventForAll) {
  auto other = consumer({"count", venue_.url()});
  ASSERT_EQ(other->read_line(), "ready");
  std::thread publisher([&] { venue_.publish_numbered(200'000, 50); });
  reading_->until_number(50'000);
  kill_proxy(SIGKILL);
  publisher.join();
  reading_->until_closed();
  EXPECT_EQ(reading_->wrong, 0u);
  unsigned long messages = 0;
  unsigned long missed = 0;
  unsigned long wrong = 1;
  ASSERT_EQ(std::sscanf(other->read_line().c_str(), "%lu %lu %lu", &messages, &missed, &wrong), 3);
  EXPECT_EQ(wrong, 0u);
  EXPECT_GE(messages + missed, 1u);
  // A new one takes the path over.
  auto next = client("next");
  EXPECT_TRUE(next->open({.url = venue_.url()}).is_new);
}

/// What runs out, runs out for who asked: the others go on.
class ScarceMemory : public testing::ProxyFixture {};

TEST_F(ScarceMemory, AMessageLargerThanTheLogTakesEndsItsUpstreamAndNoOther) {
  options_.spawn.insert(options_.spawn.end(),
                        {"--ring-bytes", "65536", "--index-lines", "1024", "--message-max-bytes",
                         "8192", "--client-lag-max-bytes", "16384"});
  ScriptedVenue venue;
  ScriptedVenue other;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  const auto quiet = reader->open({.url = other.url()}).feed;
  Reading reading(*reader, quiet);
  venue.publish(std::string(100'000, 'x'));
  feedproxy::Notice notice;
  ASSERT_TRUE(testing::next_notice(*reader, feedproxy::Notice::Kind::upstream_lost, notice));
  EXPECT_EQ(notice.feed, feed);
  EXPECT_NE(notice.text.find("exceeds the size limit"), std::string::npos) << notice.text;
  ASSERT_TRUE(testing::next_notice(*reader, feedproxy::Notice::Kind::upstream_ready, notice));
  venue.publish(R"({"n":1})");
  feedproxy::Message message;
  ASSERT_EQ(testing::next_message(*reader, feed, message), feedproxy::Pull::message);
  EXPECT_EQ(message.text(), R"({"n":1})");
  other.publish_numbered(10, 100);
  reading.until_number(10);
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(other.connections_ever(), 1u);
}

// The sanitizers reserve address space without bounds.
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
TEST_F(ScarceMemory, AnUpstreamForWhichThereIsNoMemoryIsRefusedInWords) {
  // 256 MiB a log, and address space for one of them (each is mapped twice).
  options_.spawn = {"/bin/sh",      "-c",          "ulimit -v 1200000; exec \"$0\" \"$@\"",
                    program(),      "--linger-ms", "30000",
                    "--ring-bytes", "268435456",   "--pre-fault",
                    "off"};
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  std::optional<feedproxy::Error> refusal;
  try {
    reader->open({.url = venue.url("/2")});
    reader->open({.url = venue.url("/3")});
  } catch (const feedproxy::Error& error) {
    refusal = error;
  }
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->code(), Errc::system);
  EXPECT_NE(std::string(refusal->what()).find("Cannot allocate memory"), std::string::npos)
      << refusal->what();
  venue.publish_numbered(10, 100);
  Reading reading(*reader, feed);
  reading.until_number(10);
  EXPECT_EQ(reading.gaps, 0u);
}
#endif

}  // namespace
}  // namespace feedbench::local
