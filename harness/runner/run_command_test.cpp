#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "harness/report/result.hpp"
#include "harness/runner/child_process.hpp"
#include "harness/runner/scratch_folder.hpp"
#include "transports/veth_site.hpp"

// `feedbench run` from outside, as a user calls it.
namespace feedbench::runner {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr double kPatienceSeconds = 240.0;

const std::string kSmall = R"(name: small
session: {synthetic: {payload_bytes: 128}}
pace: {rate_hz: 500}
allow_oversubscribed: true
generator_lag_max: 1
occupancy_max: 1
warm_up_s: 0.02
measure_s: 0.4
drain_s: 60
repeats: 1
matrix: {system: [feedproxy], wait: block, clients: 2}
)";

class RunCommand : public ::testing::Test {
 protected:
  fs::path write(const std::string& text) {
    const fs::path path = folder_.path() / "scenario.yaml";
    std::ofstream(path) << text;
    return path;
  }

  std::unique_ptr<Child> start(std::vector<std::string> arguments) {
    fs::create_directories(temporary_);
    ChildOptions options;
    const char* programs = std::getenv("FEEDBENCH_BIN");
    options.program = fs::path(programs != nullptr ? programs : "build/dev/bin") / "feedbench";
    options.arguments = std::move(arguments);
    options.environment = {"TMPDIR=" + temporary_.string()};
    options.commands = true;
    return std::move(*Child::start(options));
  }

  // Runs it to its end; returns the exit code, and what it wrote to stderr in `errors_`.
  int run(std::vector<std::string> arguments) {
    const auto child = start(std::move(arguments));
    (void)child->wait_for("no such event", kPatienceSeconds);
    const int code = child->stop(kPatienceSeconds).code;
    errors_ = child->errors();
    return code;
  }

  // Waits until `found` says yes, bounded.
  template <class Found>
  static bool wait_until(Found found) {
    for (int i = 0; i < 20'000; ++i) {
      if (found()) return true;
      ::poll(nullptr, 0, 5);
    }
    return false;
  }

  static std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> out;
    std::ifstream children("/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                           "/children");
    for (pid_t pid = 0; children >> pid;) out.push_back(pid);
    return out;
  }

  ScratchFolder folder_;
  fs::path temporary_ = folder_.path() / "tmp";
  std::string errors_;
};

TEST_F(RunCommand, WritesAResultAndLeavesNothingElse) {
  const fs::path out = folder_.path() / "out";
  EXPECT_EQ(run({"run", write(kSmall).string(), "--out", out.string(), "--csv"}), 0) << errors_;
  const report::Result result = report::read_result((out / "result.json").string());
  ASSERT_EQ(result.groups.size(), 1U);
  ASSERT_EQ(result.groups[0].cases.size(), 1U);
  ASSERT_EQ(result.groups[0].cases[0].repetitions.size(), 1U);
  EXPECT_TRUE(result.groups[0].cases[0].repetitions[0].verdict.valid);
  EXPECT_EQ(result.scenario_text, kSmall);
  EXPECT_EQ(result.floors.size(), 2U);
  EXPECT_TRUE(fs::exists(out / "result.csv"));
  EXPECT_TRUE(fs::is_empty(temporary_));
}

TEST_F(RunCommand, AFaultyScenarioListsItsFaultsAndExitsWithTwo) {
  EXPECT_EQ(run({"run", write(kSmall + "repeets: 2\n").string()}), 2);
  EXPECT_THAT(
      errors_,
      HasSubstr(
          "scenario.yaml:12:1: the scenario has no key \"repeets\" (did you mean \"repeats\"?)"));
}

TEST_F(RunCommand, ZeroClientsIsOneSentence) {
  std::string text = kSmall;
  text.replace(text.find("clients: 2"), 10, "clients: 0");
  EXPECT_EQ(run({"run", write(text).string()}), 2);
  EXPECT_THAT(errors_, HasSubstr("clients is 0; a case needs at least one client"));
}

TEST_F(RunCommand, AScenarioThatIsNotThereExitsWithTwo) {
  EXPECT_EQ(run({"run", "/nonexistent.yaml"}), 2);
  EXPECT_THAT(errors_, HasSubstr("/nonexistent.yaml: the scenario file cannot be opened"));
}

TEST_F(RunCommand, AFolderThatCannotBeMadeIsToldBeforeTheFirstRun) {
  const fs::path file = folder_.path() / "file";
  std::ofstream(file) << "precious";
  EXPECT_EQ(run({"run", write(kSmall).string(), "--out", (file / "out").string()}), 3);
  EXPECT_THAT(errors_, HasSubstr("--out: cannot make " + (file / "out").string()));
  EXPECT_THAT(errors_, Not(HasSubstr("1/1")));
}

TEST_F(RunCommand, AnUnknownOnlyKeyIsSuggestedARightOneAndToldAll) {
  EXPECT_EQ(run({"run", write(kSmall).string(), "--only", "client=2"}), 2);
  EXPECT_THAT(errors_, HasSubstr("--only: unknown key 'client', did you mean clients? (the keys "
                                 "are group, system, transport,"));
  EXPECT_EQ(run({"run", write(kSmall).string(), "--only", "feedproxy"}), 2);
  EXPECT_THAT(errors_, HasSubstr("\"feedproxy\" is not KEY=VALUE (the keys are group, system,"));
}

TEST_F(RunCommand, AnUnknownOnlyValueIsToldTheValuesThereAreBeforeAnythingIsMade) {
  const fs::path out = folder_.path() / "out";
  EXPECT_EQ(run({"run", write(kSmall).string(), "--only", "system=beats", "--out", out.string()}),
            2);
  EXPECT_THAT(errors_, HasSubstr("--only: no case of the scenario has system=beats (the values of "
                                 "system are feedproxy)"));
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(RunCommand, ACorruptRecordingMakesTheRunInvalidAndExitsWithOne) {
  std::ofstream(folder_.path() / "broken.jsonl.zst") << "this is no zstd";
  std::string text = kSmall;
  const std::string synthetic = "{synthetic: {payload_bytes: 128}}";
  text.replace(text.find(synthetic), synthetic.size(), "{file: broken.jsonl.zst}");
  EXPECT_EQ(run({"run", write(text).string()}), 1);
  EXPECT_THAT(errors_, HasSubstr("broken.jsonl.zst"));
  EXPECT_TRUE(fs::is_empty(temporary_));
}

TEST_F(RunCommand, AnAbsentRealRecordingIsSkippedWithItsReasonAndExitsWithZero) {
  std::string text = kSmall;
  const std::string synthetic = "{synthetic: {payload_bytes: 128}}";
  text.replace(text.find(synthetic), synthetic.size(), "{recording: nowhere.jsonl.zst}");
  EXPECT_EQ(run({"run", write(text).string()}), 0);
  EXPECT_THAT(errors_, HasSubstr("skipped: small feedproxy epoll block 2 clients"));
  EXPECT_THAT(errors_, HasSubstr("nowhere.jsonl.zst is not here"));
}

TEST_F(RunCommand, AVethNetworkWithoutPrivilegesIsSkippedWithItsReasonAndExitsWithZero) {
  const fs::path out = folder_.path() / "out";
  std::string text = kSmall;
  text.replace(text.find("clients: 2"), 10, "clients: 2, network: [loopback, veth]");
  int code = -1;
  std::thread([&] {
    // Of this thread and what it starts; who may not drop it does not have it.
    ::prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN);
    code = run({"run", write(text).string(), "--out", out.string()});
  }).join();
  EXPECT_EQ(code, 0) << errors_;
  const std::string reason =
      "network veth is not available here: make a test network: a network namespace: Operation "
      "not permitted (needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN)";
  EXPECT_THAT(errors_, HasSubstr("500/s veth: " + reason));
  const report::Result result = report::read_result((out / "result.json").string());
  ASSERT_EQ(result.groups[0].cases.size(), 2U);
  EXPECT_FALSE(result.groups[0].cases[0].skipped);
  EXPECT_EQ(result.groups[0].cases[1].parameters.network, "veth");
  EXPECT_EQ(result.groups[0].cases[1].skipped, reason);
  EXPECT_TRUE(result.groups[0].cases[1].repetitions.empty());
}

TEST_F(RunCommand, XdpOverLoopbackIsOneSentenceAndExitsWithTwo) {
  std::string text = kSmall;
  text.replace(text.find("wait: block"), 11, "wait: block, transport: xdp");
  EXPECT_EQ(run({"run", write(text).string()}), 2);
  EXPECT_THAT(errors_, HasSubstr("transport xdp does not run over loopback"));
}

TEST_F(RunCommand, AStopSignalEndsEverythingAndLeavesNothing) {
  std::string text = kSmall;
  text.replace(text.find("measure_s: 0.4"), 14, "measure_s: 600");
  const auto child = start({"run", write(text).string()});
  std::vector<pid_t> programs;
  // Exchange + swarm, and the proxy.
  ASSERT_TRUE(wait_until([&] { return (programs = children_of(child->pid())).size() == 2; }))
      << child->errors();
  ASSERT_EQ(::kill(child->pid(), SIGTERM), 0);
  (void)child->wait_for("no such event", kPatienceSeconds);
  EXPECT_EQ(child->stop(kPatienceSeconds).code, 1);
  EXPECT_THAT(child->errors(), HasSubstr("interrupted"));
  for (const pid_t pid : programs) {
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
  }
  EXPECT_TRUE(fs::is_empty(temporary_));
}

TEST_F(RunCommand, ARunThatIsKilledLeavesNoSegmentWithANameBehind) {
  std::string text = kSmall;
  text.replace(text.find("measure_s: 0.4"), 14, "measure_s: 600");
  text.replace(text.find("system: [feedproxy], wait: block, clients: 2"), 44,
               "ring: hft_shm, wait: block");
  const auto child = start({"run", write(text).string()});
  std::vector<pid_t> programs;
  ASSERT_TRUE(wait_until([&] { return (programs = children_of(child->pid())).size() == 2; }))
      << child->errors();
  // Mapped by the bridge: the names have been made.
  ASSERT_TRUE(wait_until([&] {
    return std::any_of(programs.begin(), programs.end(), [](pid_t pid) {
      std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
      const std::string mapped{std::istreambuf_iterator<char>(maps),
                               std::istreambuf_iterator<char>()};
      return mapped.find("/dev/shm/feedbench-ring-" + std::to_string(pid) + ".dat") !=
             std::string::npos;
    });
  })) << child->errors();
  ASSERT_EQ(::kill(child->pid(), SIGKILL), 0);
  for (const pid_t pid : programs) {
    EXPECT_TRUE(wait_until([&] { return ::kill(pid, 0) != 0; })) << pid;
    for (const char* part : {".hdr", ".dat"})
      EXPECT_FALSE(fs::exists("/dev/shm/feedbench-ring-" + std::to_string(pid) + part));
  }
}

TEST_F(RunCommand, AnInterruptedRunKeepsWhatItHasMeasuredAndSaysHowFarItCame) {
  const fs::path out = folder_.path() / "out";
  std::string text = kSmall;
  text.replace(text.find("repeats: 1"), 10, "repeats: 1000");
  const auto child = start({"run", write(text).string(), "--out", out.string()});
  ASSERT_TRUE(wait_until([&] {
    (void)child->wait_for("no such event", 0.05);  // takes in what it says meanwhile
    return child->errors().find("/1000]") != std::string::npos;
  })) << child->errors();
  ASSERT_EQ(::kill(child->pid(), SIGTERM), 0);
  (void)child->wait_for("no such event", kPatienceSeconds);
  EXPECT_EQ(child->stop(kPatienceSeconds).code, 1);
  const report::Result result = report::read_result((out / "result.json").string());
  EXPECT_GE(report::repetitions_of(result), 1U);
  EXPECT_LT(report::repetitions_of(result), 1000U);
  EXPECT_EQ(result.repetitions_planned, 1000U);
  EXPECT_THAT(child->errors(), HasSubstr(report::interruption_of(result)));
  EXPECT_TRUE(fs::is_empty(temporary_));
}

// Orphans are reaped by init at some later time: a zombie is gone enough.
bool is_gone(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string word;
  if (!(stat >> word)) return true;
  std::string rest;
  std::getline(stat, rest);
  return rest.find(") Z") != std::string::npos;
}

TEST_F(RunCommand, WhenTheRunnerIsKilledItsProgramsEndByThemselves) {
  std::string text = kSmall;
  text.replace(text.find("measure_s: 0.4"), 14, "measure_s: 600");
  const auto child = start({"run", write(text).string()});
  std::vector<pid_t> programs;
  ASSERT_TRUE(wait_until([&] { return (programs = children_of(child->pid())).size() == 2; }))
      << child->errors();
  ASSERT_EQ(::kill(child->pid(), SIGKILL), 0);
  child->stop(kPatienceSeconds);
  EXPECT_TRUE(wait_until([&] { return std::all_of(programs.begin(), programs.end(), is_gone); }));
}

// The namespaces have no names: what nobody runs in, and nobody has open, is gone.
TEST_F(RunCommand, WhenTheRunnerIsKilledNobodyIsLeftInItsTestNetwork) {
  if (const auto site = transports::VethSite::create(transports::VethSite::Near::kernel); !site)
    GTEST_SKIP() << "veth: no test network here: " << site.error().message;
  std::string text = kSmall;
  text.replace(text.find("measure_s: 0.4"), 14, "measure_s: 600");
  text.replace(text.find("clients: 2"), 10, "clients: 2, network: veth");
  const auto network_of = [](pid_t pid) {
    std::error_code ignored;
    return fs::read_symlink("/proc/" + std::to_string(pid) + "/ns/net", ignored).string();
  };
  const std::string own = network_of(::getpid());
  const auto child = start({"run", write(text).string()});
  std::vector<pid_t> programs;
  ASSERT_TRUE(wait_until([&] {
    programs = children_of(child->pid());
    return programs.size() == 2 && network_of(programs[0]) != own && network_of(programs[1]) != own;
  })) << child->errors();
  EXPECT_NE(network_of(programs[0]), network_of(programs[1]));
  EXPECT_EQ(network_of(child->pid()), own);
  ASSERT_EQ(::kill(child->pid(), SIGKILL), 0);
  child->stop(kPatienceSeconds);
  EXPECT_TRUE(wait_until([&] { return std::all_of(programs.begin(), programs.end(), is_gone); }));
}

}  // namespace
}  // namespace feedbench::runner
