// `feedproxy top` against the real proxy (the binary), on a venue that does what the test says.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "reference/local/testing/proxy_fixture.hpp"
#include "transports/rings/descriptor.hpp"

extern char** environ;  // NOLINT

namespace feedbench::monitor {
namespace {

using namespace std::chrono_literals;
using local::testing::eventually;
using local::testing::Process;
using local::testing::Reading;
using local::testing::ScriptedVenue;
using nlohmann::json;

class Top : public local::testing::ProxyFixture {
 protected:
  std::unique_ptr<Process> top(std::vector<std::string> words) {
    words.insert(words.begin(), {program(), "top", "--local-socket", options_.path});
    return std::make_unique<Process>(words);
  }
  json once(const std::string& interval = "100ms") {
    const auto process = top({"--once", "--json", "--interval", interval});
    const std::string line = process->read_line();
    EXPECT_EQ(process->read_line(), "") << "one object";
    EXPECT_EQ(process->wait(), 0);
    return json::parse(line);
  }
};

TEST_F(Top, ShowsTheFeedAndTheClientsWithTheirCounts) {
  ScriptedVenue venue;
  auto first = client("first");
  auto second = client("second");
  const auto one = first->open({.url = venue.url("/path?token=secret")}).feed;
  const auto two = second->open({.url = venue.url("/path?token=secret")}).feed;
  venue.publish_numbered(300, 100);
  Reading(*first, one).until_number(300);
  Reading(*second, two).until_number(300);
  // Both have told where they stand once they found nothing more.
  feedproxy::Message message;
  feedproxy::Gap gap;
  while (first->next(one, message, gap) != feedproxy::Pull::none) {
  }
  while (second->next(two, message, gap) != feedproxy::Pull::none) {
  }
  venue.publish_numbered(50, 100);
  Reading(*first, one).until_number(350);
  while (first->next(one, message, gap) != feedproxy::Pull::none) {
  }

  const json all = once();
  EXPECT_EQ(all.at("pid"), proxy_pid_);
  EXPECT_GT(all.at("uptime_ns"), 0);
  EXPECT_GT(all.at("interval_ns"), 0);
  EXPECT_EQ(all.at("local_clients"), 2);
  EXPECT_EQ(all.at("monitors"), 1);
  ASSERT_EQ(all.at("feeds").size(), 1u);
  const json& feed = all.at("feeds")[0];
  EXPECT_EQ(feed.at("url"), venue.url("/path"));
  EXPECT_EQ(feed.at("state"), "live");
  EXPECT_EQ(feed.at("local_clients"), 2) << "the monitor is no user of it";
  EXPECT_EQ(feed.at("messages"), 350);
  EXPECT_EQ(feed.at("messages_per_s"), 0.0);
  EXPECT_EQ(feed.at("connects"), 1);
  EXPECT_EQ(feed.at("losses"), 0);
  EXPECT_EQ(feed.at("stages").at("sampled"), 0);
  std::map<std::string, json> clients;
  for (const json& each : all.at("clients")) clients[each.at("name")] = each;
  ASSERT_EQ(clients.size(), 2u) << all;
  EXPECT_EQ(clients["first"].at("sequence"), 350);
  EXPECT_EQ(clients["first"].at("lag_messages"), 0);
  EXPECT_EQ(clients["second"].at("sequence"), 300);
  EXPECT_EQ(clients["second"].at("lag_messages"), 50);
  EXPECT_EQ(clients["second"].at("messages"), 300);
  EXPECT_EQ(clients["second"].at("missed"), 0);
  EXPECT_EQ(clients["second"].at("pid"), ::getpid());
  EXPECT_EQ(clients["second"].at("waiting"), "no");
}

TEST_F(Top, AFeedThatWasJoinedLateIsNotBehind) {
  ScriptedVenue venue;
  auto first = client("first");
  const auto feed = first->open({.url = venue.url()}).feed;
  venue.publish_numbered(300, 100);
  Reading(*first, feed).until_number(300);
  auto late = client("late");
  late->open({.url = venue.url()});
  const json all = once();
  for (const json& each : all.at("clients"))
    if (each.at("name") == "late") {
      EXPECT_EQ(each.at("sequence"), 300);
      EXPECT_EQ(each.at("lag_messages"), 0);
      EXPECT_EQ(each.at("messages"), 0);
    }
}

TEST_F(Top, SamplesTheStagesOfMessagesAsTheyCome) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  std::atomic<bool> done{false};
  std::thread publisher([&] {
    while (!done) {
      venue.publish_numbered(20, 100);
      std::this_thread::sleep_for(1ms);
    }
  });
  json stages;
  eventually([&] {
    const json all = once();
    Reading(*reader, feed).some();
    stages = all.at("feeds")[0].at("stages");
    return stages.at("sampled") >= 20 && all.at("feeds")[0].at("messages_per_s") > 0.0;
  });
  done = true;
  publisher.join();
  EXPECT_LE(stages.at("sampled"), stages.at("published"));
  EXPECT_EQ(stages.at("parsed_handler").at("count"), stages.at("sampled"));
  EXPECT_GE(stages.at("wake_handler").at("p50_ns"), stages.at("read_plain").at("p50_ns"));
}

TEST_F(Top, KeepsNoFeedOpenAndSeesTheOnesThatAreOpenedLater) {
  ScriptedVenue venue;
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  const auto process = top({"--json", "--interval", "100ms"});
  EXPECT_EQ(json::parse(process->read_line()).at("feeds").size(), 1u);
  reader->close(feed);
  eventually([&] { return venue.connections() == 0; });
  eventually([&] { return json::parse(process->read_line()).at("feeds").empty(); });
  reader->open({.url = venue.url()});
  eventually([&] {
    const json all = json::parse(process->read_line());
    return all.at("feeds").size() == 1 && all.at("feeds")[0].at("stages").is_object();
  });
  process->kill(SIGINT);
  EXPECT_EQ(process->wait(), 0);
}

TEST_F(Top, KeepsNoProxyRunningAndSaysThatItIsGone) {
  options_.spawn = {program(), "--linger-ms", "50"};
  auto reader = client("reader");
  const auto process = top({"--json", "--interval", "100ms"});
  EXPECT_EQ(json::parse(process->read_line()).at("local_clients"), 1);
  reader.reset();
  while (!process->read_line().empty()) {
  }
  const int status = process->wait();
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 3);
}

TEST_F(Top, WithoutAProxyItEndsWithThree) {
  const auto process = top({"--once"});
  EXPECT_EQ(process->read_line(), "");
  EXPECT_EQ(WEXITSTATUS(process->wait()), 3);
}

TEST_F(Top, AMonitorMayNotOpenWhatNobodyHasOpen) {
  ScriptedVenue venue;
  auto reader = client("reader");
  options_.monitor = true;
  auto monitor = client("monitor");
  const auto code_of = [&](const feedproxy::OpenOptions& what) {
    return local::testing::code_of([&] { monitor->open(what); });
  };
  EXPECT_EQ(code_of({.url = venue.url()}), feedproxy::Errc::no_such_feed);
  EXPECT_EQ(code_of({.feed = 77}), feedproxy::Errc::no_such_feed);
  const auto feed = reader->open({.url = venue.url()}).feed;
  const auto watched = monitor->open({.url = venue.url()}).feed;
  venue.publish_numbered(10, 10);
  Reading(*reader, feed).until_number(10);
  Reading(*monitor, watched).until_number(10);
  EXPECT_NE(local::testing::code_of([&] { monitor->send(watched, "x"); }), feedproxy::Errc::ok);
  EXPECT_NE(local::testing::code_of([&] { monitor->subscribe(watched, "x", "y", "z"); }),
            feedproxy::Errc::ok);
  monitor->close(watched);
  EXPECT_EQ(venue.connections(), 1u);
}

TEST_F(Top, GivesTheTerminalBackAsItWas) {
  auto reader = client("reader");
  for (const char* const how : {"q", "\x03"}) {
    const rings::Descriptor terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    ASSERT_TRUE(terminal.valid());
    ASSERT_EQ(::grantpt(terminal.get()) | ::unlockpt(terminal.get()), 0);
    const winsize size{24, 80, 0, 0};
    ASSERT_EQ(::ioctl(terminal.get(), TIOCSWINSZ, &size), 0);
    // Opened by a session of its own, it becomes that session's terminal: Ctrl-C is a signal.
    const std::string name = ::ptsname(terminal.get());
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, name.c_str(), O_RDWR, 0);
    ::posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    std::vector<std::string> words = {program(),     "top",        "--local-socket",
                                      options_.path, "--interval", "100ms"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    termios before{};
    ASSERT_EQ(::tcgetattr(terminal.get(), &before), 0);
    pid_t pid = -1;
    ASSERT_EQ(::posix_spawn(&pid, arguments[0], &actions, &attributes, arguments.data(), environ),
              0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    std::string said;
    bool asked = false;
    char part[4096];
    for (ssize_t got = 0; (got = ::read(terminal.get(), part, sizeof part)) > 0;) {
      said.append(part, static_cast<std::size_t>(got));
      if (asked || said.find("msg/s") == std::string::npos) continue;
      asked = ::write(terminal.get(), how, 1) == 1;
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(said.rfind("\x1b[?25h") > said.rfind("\x1b[?25l"), true) << "the cursor is back";
    EXPECT_EQ(said.rfind("\x1b[?1049l") > said.rfind("\x1b[?1049h"), true);
    termios after{};
    ASSERT_EQ(::tcgetattr(terminal.get(), &after), 0);
    EXPECT_EQ(after.c_lflag, before.c_lflag);
    EXPECT_NE(said.find("reader"), std::string::npos);
  }
}

}  // namespace
}  // namespace feedbench::monitor
