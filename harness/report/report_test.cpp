#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "harness/report/commands.hpp"
#include "harness/report/metrics.hpp"
#include "harness/report/result.hpp"
#include "harness/report/table.hpp"
#include "harness/report/testing/synthetic_result.hpp"

namespace feedbench::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::synthetic_result;
using testing::SyntheticKind;

/// A folder of this test's own, gone when it ends.
class Folder {
 public:
  Folder()
      : path_(std::filesystem::temp_directory_path() /
              ("feedbench-report-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path_ / name; }
  [[nodiscard]] std::string put(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name) << text;
    return file(name);
  }

 private:
  std::filesystem::path path_;
};

std::string error_of_reading(const std::string& file) {
  try {
    static_cast<void>(read_result(file));
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

Repetition repetition_of(int repeat, double frames_per_second, bool valid = true) {
  Repetition repetition;
  repetition.repeat = repeat;
  repetition.frames_per_second = frames_per_second;
  repetition.verdict.valid = valid;
  return repetition;
}

Case case_of(const std::string& name, const std::vector<double>& rates) {
  Case one;
  one.name = name;
  for (std::size_t i = 0; i < rates.size(); ++i)
    one.repetitions.push_back(repetition_of(static_cast<int>(i), rates[i]));
  return one;
}

TEST(Result, SurvivesItsJsonUnchanged) {
  for (const auto kind : {SyntheticKind::full, SyntheticKind::all_skipped}) {
    const Json json = to_json(synthetic_result(kind));
    EXPECT_EQ(to_json(result_from_json(json)), json);
  }
}

TEST(Result, WritesNullForWhatIsAbsentAndNeverZero) {
  Result result = synthetic_result(SyntheticKind::one_count);
  Repetition& repetition = result.groups[0].cases[0].repetitions[0];
  repetition = Repetition{};
  repetition.latency.emplace();
  const Json json = to_json(result)["groups"][0]["cases"][0]["repetitions"][0];
  for (const char* key :
       {"frames_per_second", "bytes_per_second", "service_time", "send_lag", "stages",
        "proxy_cpu_seconds", "proxy_cpu_seconds_per_million", "rss_bytes_base",
        "rss_bytes_per_client", "swarm_occupancy", "evictions"}) {
    EXPECT_TRUE(json[key].is_null()) << key;
  }
  for (const char* key : {"min", "max", "mean", "stddev"})
    EXPECT_TRUE(json["latency"][key].is_null()) << key;
  for (const auto& [name, value] : json["latency"]["percentiles"].items())
    EXPECT_TRUE(value.is_null()) << name;
}

TEST(Result, KeepsOverflowNegativesAndExactExtremesOfAHistogram) {
  Result result = synthetic_result(SyntheticKind::one_count);
  measure::Histogram histogram({1, 100'000, 2});
  for (const int value : {12'345, 77'777, 200'000, 300'001, -4}) histogram.record(value);
  result.groups[0].cases[0].repetitions[0].latency = histogram;
  const Result back = result_from_json(to_json(result));
  const measure::Histogram& read = *back.groups[0].cases[0].repetitions[0].latency;
  EXPECT_EQ(read, histogram);
  EXPECT_EQ(read.min(), 12'345);
  EXPECT_EQ(read.max(), 300'001);
}

TEST(Result, IsWrittenWholeAndReadBack) {
  const Folder folder;
  const Result result = synthetic_result(SyntheticKind::one_count);
  write_result(result, folder.file("result.json"));
  EXPECT_EQ(to_json(read_result(folder.file("result.json"))), to_json(result));
  EXPECT_FALSE(std::filesystem::exists(folder.file("result.json.part")));
  EXPECT_THROW(write_result(result, folder.file("no/such/folder.json")), std::runtime_error);
}

TEST(Result, RefusesWhatItCannotReadWithOneSentenceThatSaysWhere) {
  const Folder folder;
  EXPECT_EQ(
      error_of_reading(folder.file("none.json")),
      "cannot open the result file " + folder.file("none.json") + ": No such file or directory");
  EXPECT_THAT(error_of_reading(folder.put("text.json", "hello")),
              HasSubstr("not JSON from byte 1 on"));
  EXPECT_THAT(error_of_reading(folder.put("list.json", "[1]")),
              HasSubstr("the whole is not an object"));
  EXPECT_THAT(error_of_reading(folder.put("empty.json", "{}")), HasSubstr("schema is missing"));
  EXPECT_THAT(error_of_reading(folder.put("old.json", R"({"schema":"feedbench.result/0"})")),
              HasSubstr("it says schema \"feedbench.result/0\", and this feedbench reads "
                        "\"feedbench.result/1\""));

  Json json = to_json(synthetic_result(SyntheticKind::one_count));
  json["groups"][1]["cases"][2]["parameters"]["clients"] = "many";
  EXPECT_THAT(error_of_reading(folder.put("type.json", json.dump())),
              HasSubstr("groups[1].cases[2].parameters.clients is not of the expected type"));
  json = to_json(synthetic_result(SyntheticKind::one_count));
  json["groups"][0]["cases"][0]["repetitions"][1]["latency"]["v2"] = "HISTgarbage!";
  EXPECT_THAT(
      error_of_reading(folder.put("histogram.json", json.dump())),
      HasSubstr(
          "groups[0].cases[0].repetitions[1].latency.v2: histogram: its encoding is not base64"));
  json = to_json(synthetic_result(SyntheticKind::one_count));
  json["environment"].erase("kernel");
  EXPECT_THAT(error_of_reading(folder.put("missing.json", json.dump())),
              HasSubstr("environment.kernel is missing"));
}

TEST(CaseName, SaysWhatTellsCasesApart) {
  Parameters parameters;
  parameters.system = "feedproxy";
  parameters.transport = "io_uring";
  parameters.clients = 1;
  parameters.wait = "spin";
  parameters.pace = "1000/s";
  EXPECT_EQ(case_name(parameters), "feedproxy io_uring spin ws 1 client 1000/s");
  parameters.clients = 128;
  parameters.tls = true;
  parameters.payload_bytes = 1024;
  parameters.stamps = false;
  parameters.others["ring"] = "big";
  EXPECT_EQ(case_name(parameters),
            "feedproxy io_uring spin wss 128 clients 1000/s 1024 B stamps off ring=big");
}

TEST(Metrics, NeedEnoughSamplesForAPercentile) {
  Repetition repetition;
  EXPECT_EQ(metric_value(repetition, "latency_p50_ns"), std::nullopt);
  repetition.latency.emplace();
  repetition.latency->record(5'000, 999);
  EXPECT_NEAR(metric_value(repetition, "latency_p50_ns").value(), 5'000, 5);
  EXPECT_EQ(metric_value(repetition, "latency_p99_ns"), std::nullopt);
  repetition.latency->record(5'000);
  EXPECT_NEAR(metric_value(repetition, "latency_p99_ns").value(), 5'000, 5);
  EXPECT_EQ(metric_value(repetition, "no_such_metric"), std::nullopt);
  for (const Metric& metric : metrics()) EXPECT_EQ(find_metric(metric.name), &metric);
  EXPECT_EQ(find_metric("no_such_metric"), nullptr);
}

TEST(Metrics, TakeTheMedianAndTheExtremesOfValidRepetitions) {
  Case one = case_of("a", {10, 40, 20});
  one.repetitions.push_back(repetition_of(3, 1000, false));
  const Band found = band(one, "frames_per_second").value();
  EXPECT_EQ(found.median, 20);
  EXPECT_EQ(found.low, 10);
  EXPECT_EQ(found.high, 40);
  EXPECT_EQ(found.repetitions, 3U);
  EXPECT_EQ(band(one, "cpu_seconds_per_million").has_value(), false);
}

TEST(Compare, PairsRepeatsOfEqualNumber) {
  // The machine halves its speed from repeat to repeat; only pairing shows the steady ratio of 2.
  const Case fast = case_of("fast", {6400, 3200, 1600, 800, 400, 200});
  const Case slow = case_of("slow", {3200, 1600, 800, 400, 200, 100});
  const Comparison found = compare({"f", "g", "frames_per_second", 1.9, false}, fast, slow, 1);
  EXPECT_EQ(found.ratio, 2.0);
  EXPECT_EQ(found.low, 2.0);
  EXPECT_EQ(found.high, 2.0);
  EXPECT_EQ(found.pairs, 6U);
  EXPECT_EQ(found.words, "faster");
  EXPECT_EQ(found.met, true);
  EXPECT_EQ(compare({"f", "g", "frames_per_second", 2.1, false}, fast, slow, 1).met, false);
  EXPECT_EQ(compare({"f", "g", "frames_per_second", std::nullopt, false}, fast, slow, 1).met,
            std::nullopt);
}

TEST(Compare, LetsNoInvalidRepetitionIn) {
  Case spoiled = case_of("spoiled", {2, 2, 2, 2, 2, 500});
  spoiled.repetitions[5].verdict.valid = false;
  const Comparison found = compare({"f", "g", "frames_per_second", {}, true}, spoiled,
                                   case_of("b", {1, 1, 1, 1, 1, 1}), 1);
  EXPECT_EQ(found.pairs, 5U);
  EXPECT_EQ(found.high, 2.0);
}

TEST(Compare, ClaimsNothingOnFewPairsAndGivesNoIntervalOnOneOrTwo) {
  const auto of = [](std::size_t pairs) {
    return compare({"f", "g", "frames_per_second", 1.5, false},
                   case_of("a", std::vector<double>(pairs, 2.0)),
                   case_of("b", std::vector<double>(pairs, 1.0)), 1);
  };
  EXPECT_EQ(of(1).ratio, 2.0);
  EXPECT_EQ(of(2).low, std::nullopt);
  EXPECT_EQ(of(3).low, 2.0);
  EXPECT_EQ(of(4).words, "too few pairs to tell");
  EXPECT_EQ(of(5).words, "faster");
  EXPECT_EQ(of(1).met, true);
}

TEST(Compare, SaysWhyThereIsNoRatio) {
  const Case fine = case_of("fine", {1, 2, 3});
  Case skipped = case_of("skipped", {});
  skipped.skipped = "no such kernel";
  Case invalid = case_of("invalid", {1});
  invalid.repetitions[0].verdict.valid = false;
  const auto words = [&](const Case& other, const char* metric) {
    const Comparison found = compare({"f", "g", metric, 1.0, true}, fine, other, 1);
    EXPECT_EQ(found.ratio, std::nullopt);
    EXPECT_EQ(found.met, std::nullopt);
    return found.words;
  };
  EXPECT_EQ(words(skipped, "frames_per_second"), "not compared: skipped was skipped");
  EXPECT_EQ(words(invalid, "frames_per_second"), "not compared: invalid has no valid repetition");
  EXPECT_EQ(words(case_of("empty", {}), "frames_per_second"),
            "not compared: empty has no repetition");
  EXPECT_THAT(words(fine, "latency_p50_ns"), HasSubstr("lacks the metric"));
  EXPECT_THROW(static_cast<void>(compare({"f", "g", "speed", 1.0, true}, fine, fine, 1)),
               std::invalid_argument);
}

TEST(Table, ShowsEveryGroupCaseReasonAndComparison) {
  const Result result = synthetic_result(SyntheticKind::full);
  const std::string table = format_table(result);
  for (const Group& group : result.groups) EXPECT_THAT(table, HasSubstr(group.title));
  EXPECT_THAT(
      table,
      HasSubstr(
          "skipped: feedproxy io_uring block ws 128 clients 1000/s: synthetic: io_uring_setup"));
  EXPECT_THAT(table, HasSubstr("the generator was late"));
  EXPECT_THAT(table, HasSubstr("valid 5/6"));
  for (const Comparison& comparison : result.comparisons)
    EXPECT_THAT(table, HasSubstr(comparison.name));
  EXPECT_THAT(table, HasSubstr("NOT MET"));
  EXPECT_THAT(table, HasSubstr("floors before the run"));
  EXPECT_THAT(table, Not(HasSubstr("\x1b")));
  EXPECT_THAT(format_table(result, {.colour = true}), HasSubstr("\x1b[31mNOT MET"));
}

TEST(Table, NotesThatDifferInTheirFiguresAloneAreOneLine) {
  Result result = synthetic_result(SyntheticKind::one_count);
  int lag_us = 100;
  for (Case& measured : result.groups.at(0).cases)
    for (Repetition& repetition : measured.repetitions)
      repetition.verdict.reasons = {fmt::format("its send lag has p99 {}.5 us", ++lag_us)};
  const std::string table = format_table(result);
  EXPECT_THAT(table, HasSubstr("its send lag has p99 101.5 us (so in "));
  EXPECT_THAT(table, Not(HasSubstr("102.5 us")));
}

TEST(Table, ShowsNothingWhereNothingIsValid) {
  const std::string invalid = format_table(synthetic_result(SyntheticKind::invalid_only));
  EXPECT_THAT(invalid, HasSubstr("INVALID 0/6"));
  EXPECT_THAT(format_table(synthetic_result(SyntheticKind::all_skipped)),
              HasSubstr("skipped: relay epoll"));
  EXPECT_THAT(format_table(Result{}), HasSubstr("Latency: from intended send"));
}

TEST(Csv, HasOneLineARepetitionOfEqualWidth) {
  const Result result = synthetic_result(SyntheticKind::full);
  std::istringstream csv(format_csv(result));
  std::size_t lines = 0;
  std::size_t commas = 0;
  for (std::string line; std::getline(csv, line);) {
    std::size_t here = 0;
    bool quoted = false;
    for (const char letter : line) {
      if (letter == '"') quoted = !quoted;
      if (letter == ',' && !quoted) ++here;
    }
    if (lines++ == 0) commas = here;
    EXPECT_EQ(here, commas) << line;
    EXPECT_EQ(line.back(), '\r');
  }
  std::size_t expected = 1;
  for (const Group& group : result.groups) {
    for (const Case& one : group.cases)
      expected += std::max<std::size_t>(1, one.repetitions.size());
  }
  EXPECT_EQ(lines, expected);
}

TEST(Csv, QuotesWhatWouldBreakALine) {
  Result result;
  result.groups.push_back({"g,1", "", {}});
  Case& one = result.groups[0].cases.emplace_back();
  one.name = "say \"hi\"";
  one.skipped = "two\nlines";
  const std::string csv = format_csv(result);
  EXPECT_THAT(csv, HasSubstr("\"g,1\",\"say \"\"hi\"\"\""));
  EXPECT_THAT(csv, HasSubstr("\"two\nlines\""));
}

TEST(ReportCommand, PrintsTheTableAndWritesTheCsv) {
  const Folder folder;
  write_result(synthetic_result(SyntheticKind::one_count), folder.file("result.json"));
  CLI::App app;
  add_report_command(app);
  ::testing::internal::CaptureStdout();
  app.parse("report " + folder.file("result.json") + " --csv " + folder.file("out.csv"));
  EXPECT_EQ(::testing::internal::GetCapturedStdout(),
            format_table(read_result(folder.file("result.json"))));
  EXPECT_GT(std::filesystem::file_size(folder.file("out.csv")), 1000U);
}

TEST(ReportCommand, RefusesAMissingFileAndAnUnwritableCsv) {
  const Folder folder;
  write_result(synthetic_result(SyntheticKind::all_skipped), folder.file("result.json"));
  CLI::App app;
  add_report_command(app);
  EXPECT_THROW(app.parse("report " + folder.file("none.json")), std::runtime_error);
  ::testing::internal::CaptureStdout();
  EXPECT_THROW(
      app.parse("report " + folder.file("result.json") + " --csv " + folder.file("no/out.csv")),
      std::runtime_error);
  static_cast<void>(::testing::internal::GetCapturedStdout());
}

}  // namespace
}  // namespace feedbench::report
