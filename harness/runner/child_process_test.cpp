#include "harness/runner/child_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>

namespace feedbench::runner {
namespace {

using ::testing::HasSubstr;

constexpr double kPatienceSeconds = 60.0;

// A shell script in the role of a program; it gets --status-fd 3 as $1 $2.
std::unique_ptr<Child> shell(const std::string& script) {
  ChildOptions options;
  options.program = "/bin/sh";
  options.arguments = {"-c", script, "script"};
  auto child = Child::start(options);
  EXPECT_TRUE(child) << (child ? "" : child.error().message);
  return std::move(*child);
}

TEST(Child, TellsItsEventsInOrder) {
  const auto child = shell(
      R"(echo '{"event":"listening","endpoint":"x:1"}' >&3; echo '{"event":"upstream_ready"}' >&3)");
  const auto listening = child->wait_for("listening", kPatienceSeconds);
  ASSERT_TRUE(listening) << listening.error().message;
  EXPECT_EQ(listening->at("endpoint"), "x:1");
  EXPECT_TRUE(child->wait_for("upstream_ready", kPatienceSeconds));
  EXPECT_FALSE(child->stop(kPatienceSeconds).killed);
  ASSERT_NE(child->last("listening"), nullptr);
  EXPECT_EQ(child->last("stopped"), nullptr);
}

TEST(Child, ThatEndsTooSoonIsAnErrorWithWhatItWrote) {
  const auto child = shell("echo 'bind 127.0.0.1:80: Permission denied' >&2; exit 3");
  const auto listening = child->wait_for("listening", kPatienceSeconds);
  ASSERT_FALSE(listening);
  EXPECT_EQ(
      listening.error().message,
      "sh ended before it said \"listening\"; it wrote: bind 127.0.0.1:80: Permission denied");
  EXPECT_EQ(child->stop(kPatienceSeconds).code, 3);
}

TEST(Child, ThatSaysNothingIsAnErrorAfterTheDeadline) {
  const auto child = shell("exec sleep 1000");
  const auto listening = child->wait_for("listening", 0.05);
  ASSERT_FALSE(listening);
  EXPECT_THAT(listening.error().message, HasSubstr("did not say \"listening\" within"));
  EXPECT_EQ(child->stop(kPatienceSeconds).signal, SIGTERM);
}

TEST(Child, ThatLostItsUpstreamIsAnErrorWithTheReason) {
  const auto child =
      shell(R"(echo '{"event":"upstream_lost","reason":"refused"}' >&3; exec sleep 1000)");
  const auto ready = child->wait_for("upstream_ready", kPatienceSeconds);
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().message, HasSubstr("sh lost its upstream: refused"));
}

TEST(Child, ThatDoesNotStopIsKilledAndReaped) {
  const auto child =
      shell(R"(trap '' TERM; echo '{"event":"listening"}' >&3; while :; do sleep 1000; done)");
  ASSERT_TRUE(child->wait_for("listening", kPatienceSeconds));
  const ChildExit& exit = child->stop(0.05);
  EXPECT_TRUE(exit.killed);
  EXPECT_EQ(exit.signal, SIGKILL);
  EXPECT_EQ(::kill(child->pid(), 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Child, IsKilledWhenNobodyWantsItAnyMore) {
  pid_t pid = -1;
  {
    const auto child = shell("exec sleep 1000");
    pid = child->pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

TEST(Child, TakesCommandsAndEndsWithThem) {
  ChildOptions options;
  options.program = "/bin/sh";
  options.arguments = {"-c",
                       R"(while read line; do echo "{\"event\":\"got\",\"line\":$line}"; done)"};
  options.commands = true;
  const auto child = std::move(*Child::start(options));
  ASSERT_TRUE(child->tell({{"do", "start"}}));
  const auto got = child->wait_for("got", kPatienceSeconds);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->at("line").at("do"), "start");
  EXPECT_EQ(child->stop(kPatienceSeconds).code, 0);
}

TEST(Child, AProgramThatIsNotThereSaysSo) {
  ChildOptions options;
  options.program = "/nonexistent/program";
  const auto child = Child::start(options);
  ASSERT_TRUE(child);
  const auto event = (*child)->wait_for("listening", kPatienceSeconds);
  ASSERT_FALSE(event);
  EXPECT_THAT(event.error().message, HasSubstr("cannot be executed: No such file or directory"));
}

TEST(Child, IsGivenSettingsOfItsEnvironment) {
  ChildOptions options;
  options.program = "/bin/sh";
  options.arguments = {"-c", R"(echo "{\"event\":\"$FEEDBENCH_TEST_SETTING\"}" >&3)"};
  options.environment = {"FEEDBENCH_TEST_SETTING=seen"};
  const auto child = std::move(*Child::start(options));
  EXPECT_TRUE(child->wait_for("seen", kPatienceSeconds));
}

}  // namespace
}  // namespace feedbench::runner
