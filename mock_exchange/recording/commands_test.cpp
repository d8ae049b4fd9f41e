#include "mock_exchange/recording/commands.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "mock_exchange/recording/inspect.hpp"
#include "mock_exchange/recording/test_files.hpp"

namespace feedbench::recording {
namespace {

using testing::HasSubstr;
using testing::internal::CaptureStderr;
using testing::internal::CaptureStdout;
using testing::internal::GetCapturedStderr;
using testing::internal::GetCapturedStdout;
using namespace testing_support;

struct Outcome {
  int exit_code = -1;
  std::string out, err;
};

Outcome run(const std::string& command_line) {
  CLI::App app;
  Outcome outcome;
  add_inspect_command(app, outcome.exit_code);
  add_generate_command(app, outcome.exit_code);
  CaptureStdout();
  CaptureStderr();
  try {
    app.parse(command_line);
  } catch (const CLI::ParseError& error) {
    outcome.exit_code = error.get_exit_code();
  }
  outcome.out = GetCapturedStdout();
  outcome.err = GetCapturedStderr();
  return outcome;
}

TEST(RecordingCommands, GenerateASessionThatInspectDescribes) {
  TemporaryFolder folder;
  const std::string path = (folder / "made.jsonl.zst").string();
  const Outcome made = run("generate " + path + " --venue alpaca --seconds 2 --seed 5 --symbols 3");
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("venue alpaca, seed 5"));
  const Outcome text = run("inspect " + path);
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_THAT(text.out, HasSubstr("venue        alpaca"));
  EXPECT_EQ(text.err, "");
  const Outcome json = run("inspect --json " + path);
  EXPECT_EQ(nlohmann::json::parse(json.out)["venue"], "alpaca");
}

TEST(RecordingCommands, CountTheSameBytesByTheSameNames) {
  TemporaryFolder folder;
  for (const char* name : {"made.jsonl.zst", "made.jsonl"}) {
    const std::string path = (folder / name).string();
    const Outcome made = run("generate " + path + " --seconds 2");
    const auto counts = nlohmann::json::parse(run("inspect --json " + path).out);
    EXPECT_EQ(counts["file_bytes"], std::filesystem::file_size(path));
    const std::string payload = grouped(counts["bytes"]) + " bytes";
    const std::string file = grouped(counts["file_bytes"]) + " bytes";
    EXPECT_THAT(made.out, HasSubstr("payload " + payload));
    EXPECT_THAT(made.out, HasSubstr("file " + file));
    const Outcome text = run("inspect " + path);
    EXPECT_THAT(text.out, HasSubstr("payload      " + payload + "\n"));
    EXPECT_THAT(text.out, HasSubstr("file         " + file + "\n"));
  }
}

TEST(RecordingCommands, AnswerAFaultWithOneSentenceAndTheRightExitCode) {
  TemporaryFolder folder;
  const auto expect = [](const Outcome& outcome, int exit_code, const std::string& what) {
    EXPECT_EQ(outcome.exit_code, exit_code);
    EXPECT_THAT(outcome.err, HasSubstr(what));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  expect(run("inspect " + (folder / "none.jsonl").string()), 3, "No such file");
  write_bytes(folder / "bad.jsonl", "[]\n");
  expect(run("inspect " + (folder / "bad.jsonl").string()), 2,
         "bad.jsonl, line 1: must be an object");
  expect(run("generate " + (folder / "x.jsonl").string() + " --venue nasdaq"), 2,
         "choose binance or alpaca");
  expect(run("generate " + (folder / "x.jsonl").string() + " --seconds 0"), 2,
         "seconds must be above 0");
  expect(run("generate " + (folder / "no" / "x.jsonl").string()), 3, "No such file or directory");
  EXPECT_FALSE(std::filesystem::exists(folder / "x.jsonl")) << "a refused command leaves no file";
}

}  // namespace
}  // namespace feedbench::recording
