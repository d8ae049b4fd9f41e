#include "mock_exchange/recording/inspect.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "mock_exchange/recording/figures.hpp"
#include "mock_exchange/recording/test_files.hpp"

namespace feedbench::recording {
namespace {

using testing::HasSubstr;
using testing::Not;
using namespace testing_support;

constexpr std::int64_t kMillisecond_ns = 1'000'000;

std::vector<Arrival> arrivals_at_ms(std::initializer_list<double> times_ms,
                                    std::uint32_t bytes = 10) {
  std::vector<Arrival> arrivals;
  for (const double t : times_ms) arrivals.push_back({static_cast<std::int64_t>(t * 1e6), bytes});
  return arrivals;
}

TEST(Quantiles, AreLinearBetweenNeighbours) {
  std::vector<double> values = {40, 10, 20, 30};
  const Quantiles q = quantiles_of(values);
  EXPECT_EQ(q.count, 4U);
  EXPECT_DOUBLE_EQ(q.mean, 25);
  EXPECT_DOUBLE_EQ(q.p50(), 25);
  EXPECT_DOUBLE_EQ(q.values[3], 17.5);
  EXPECT_DOUBLE_EQ(q.max(), 40);
  EXPECT_DOUBLE_EQ(q.deviation * q.deviation, 125);
}

TEST(Quantiles, OfCountedValuesEqualThoseOfTheSameValuesInARow) {
  std::vector<double> values = {0, 0, 0, 0, 0, 0, 0, 2, 2, 7};
  const Quantiles row = quantiles_of(values);
  const Quantiles counted =
      quantiles_of(std::map<std::uint64_t, std::uint64_t>{{0, 7}, {2, 2}, {7, 1}});
  EXPECT_EQ(counted.count, row.count);
  EXPECT_DOUBLE_EQ(counted.mean, row.mean);
  EXPECT_DOUBLE_EQ(counted.deviation, row.deviation);
  for (std::size_t i = 0; i < row.values.size(); ++i)
    EXPECT_DOUBLE_EQ(counted.values[i], row.values[i]);
}

TEST(Quantiles, OfNothingAreZero) {
  std::vector<double> none;
  EXPECT_EQ(quantiles_of(none).count, 0U);
  EXPECT_EQ(quantiles_of(std::map<std::uint64_t, std::uint64_t>{}).max(), 0);
}

TEST(Windows, SlideSoThatAPeakAcrossABoundaryIsFound) {
  const auto arrivals = arrivals_at_ms({0, 9, 9.5, 10, 10.5, 30});
  const WindowFigures figures = window_figures(arrivals, 10 * kMillisecond_ns);
  EXPECT_EQ(figures.frames_peak,
            4U);  // 9 to 10.5; the one at 0 is 10 ms before the one at 10: outside
  EXPECT_EQ(figures.bytes_peak, 40U);
}

TEST(Windows, SideBySideStartAtTheFirstFrameAndLeaveOutAnUnfinishedLastOne) {
  const auto arrivals = arrivals_at_ms({100, 101, 102, 125, 134, 135});
  const WindowFigures figures = window_figures(arrivals, 10 * kMillisecond_ns);
  EXPECT_EQ(figures.count.count,
            3U);  // [100, 110) 3, [110, 120) 0, [120, 130) 1; [130, 135] is not whole
  EXPECT_DOUBLE_EQ(figures.count.mean, 4.0 / 3);
  EXPECT_DOUBLE_EQ(figures.count.max(), 3);
  EXPECT_NEAR(figures.dispersion, (10.0 / 3 - 16.0 / 9) / (4.0 / 3), 1e-12);
}

TEST(Windows, OfACenturyWithTwoFramesCostNoTimeAndNoMemory) {
  std::vector<Arrival> arrivals = {{0, 1}, {3'000'000'000'000'000'000, 1}};
  const WindowFigures figures = window_figures(arrivals, kMillisecond_ns);
  EXPECT_EQ(figures.count.count, 3'000'000'000'000U);
  EXPECT_EQ(figures.frames_peak, 1U);
}

TEST(Windows, CorrelateNeighbouringCounts) {
  // Counts 2, 2, 0, 0, 2, 2, 0, 0 deviate from their mean by 1, 1, -1, -1, 1, 1, -1, -1: products sum to 4 - 3, squares to 8.
  const auto arrivals = arrivals_at_ms({0, 1, 10, 11, 40, 41, 50, 51, 80});
  const WindowFigures figures = window_figures(arrivals, 10 * kMillisecond_ns);
  EXPECT_NEAR(figures.autocorrelation, 1.0 / 8, 1e-12);
}

TEST(Clusters, EndAtGapsAboveTheLimit) {
  EXPECT_THAT(cluster_sizes(arrivals_at_ms({0, 1, 2, 3.5, 9, 9.1}), kMillisecond_ns),
              testing::ElementsAre(3, 1, 2));
}

TEST(Zipf, ExponentOfAnExactLawIsFound) {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (int rank = 1; rank <= 6; ++rank)
    counts.emplace_back("s", 3'600'000 / static_cast<std::uint64_t>(rank * rank));
  EXPECT_NEAR(zipf_exponent_of(counts), 2.0, 1e-6);
  counts.resize(2);
  EXPECT_EQ(zipf_exponent_of(counts), 0);
}

Frame received(std::int64_t t_ns, std::string conn, std::string data) {
  return {t_ns, Direction::rx, false, std::move(conn), std::move(data)};
}

TEST(Inspector, CountsStreamsAndSymbolsOfBinanceInEveryForm) {
  Inspector inspector;
  inspector.add(
      received(1, "/stream", R"({"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate"}})"));
  inspector.add(received(2, "/ws", R"({"e":"trade","E":1,"s":"ETHUSDT","t":3})"));
  inspector.add(
      received(3, "host:9443/ws/bnbusdt@depth5", R"({"lastUpdateId":1,"bids":[],"asks":[]})"));
  inspector.add(received(4, "/ws", R"({"result":null,"id":1})"));
  inspector.add({5, Direction::tx, false, "/ws", R"({"method":"SUBSCRIBE"})"});
  const Inspection figures = inspector.finish("x");
  EXPECT_EQ(figures.venue, "binance");
  EXPECT_EQ(figures.frames, 5U);
  EXPECT_EQ(figures.frames_tx, 1U);
  ASSERT_EQ(figures.types.size(), 4U);
  EXPECT_EQ(figures.types[0].type, "depth@100ms");
  EXPECT_EQ(figures.types[1].type, "trade");
  EXPECT_EQ(figures.types[2].type, "depth5");
  EXPECT_EQ(figures.types[3].type, "answer");
  EXPECT_THAT(figures.symbols, testing::UnorderedElementsAre(testing::Pair("BTCUSDT", 1),
                                                             testing::Pair("ETHUSDT", 1),
                                                             testing::Pair("BNBUSDT", 1)));
  EXPECT_EQ(figures.connections.size(), 3U);
}

TEST(Inspector, CountsTheMessagesInsideAlpacasFrames) {
  Inspector inspector;
  inspector.add(received(
      1, "/v2/sip",
      R"([{"T":"q","S":"AAPL","c":["R"]},{"T":"t","S":"AAPL","c":["@","I"]},{"T":"q","S":"F"}])"));
  inspector.add(received(9, "/v2/sip", R"([{"T":"success","msg":"connected"}])"));
  const Inspection figures = inspector.finish();
  EXPECT_EQ(figures.venue, "alpaca");
  EXPECT_EQ(figures.messages, 4U);
  EXPECT_EQ(figures.types[0].type, "q");
  EXPECT_EQ(figures.types[0].count, 2U);
  EXPECT_EQ(figures.types[0].bytes, 30U + 17U);
  EXPECT_EQ(figures.symbols[0].first, "AAPL");
  EXPECT_EQ(figures.symbols[0].second, 2U);
}

TEST(Inspector, SaysThatThereIsNoPaceWhereFramesCarryNoTimes) {
  Inspector inspector;
  inspector.add(received(0, "/", "a"));
  inspector.add(received(1'600'000'000'000'000'000, "/", "b"));
  const Inspection figures = inspector.finish();
  EXPECT_FALSE(figures.timed);
  EXPECT_EQ(figures.venue, "raw");
  EXPECT_THAT(to_text(figures), HasSubstr("carry no usable times"));
  EXPECT_TRUE(nlohmann::json::parse(to_json(figures))["pace"].is_null());
}

TEST(Inspector, CountsBackStepsAndMeasuresGapsInOrderOfTime) {
  Inspector inspector;
  for (const std::int64_t t_ms : {10, 30, 20, 40})
    inspector.add(received(t_ms * kMillisecond_ns, "/", "x"));
  const Inspection figures = inspector.finish();
  EXPECT_EQ(figures.back_steps, 1U);
  EXPECT_DOUBLE_EQ(figures.gap_us.max(), 10'000);
  EXPECT_DOUBLE_EQ(figures.gap_us.values[0], 10'000);
}

TEST(Inspect, PassesOnTheReadersErrorsAndRefusesARecordingWithoutFrames) {
  TemporaryFolder folder;
  EXPECT_THAT(inspect(folder / "none.jsonl").error().message, HasSubstr("No such file"));
  write_bytes(folder / "empty.jsonl", "\n");
  EXPECT_THAT(inspect(folder / "empty.jsonl").error().message, HasSubstr("no frame in it"));
  write_bytes(folder / "bad.jsonl", "{}\n");
  EXPECT_THAT(inspect(folder / "bad.jsonl").error().message,
              HasSubstr("bad.jsonl, line 1: \"t_ns\" is missing"));
}

TEST(Inspect, ReportsProgressOnALongFile) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100'000; ++i)
    text += R"({"t_ns":1,"conn":"/","dir":"rx","data":""})"
            "\n";
  write_bytes(folder / "long.jsonl", text);
  std::vector<std::uint64_t> frames;
  ASSERT_TRUE(
      inspect(folder / "long.jsonl", [&](std::uint64_t taken, std::uint64_t of, std::uint64_t n) {
        EXPECT_LE(taken, of);
        EXPECT_EQ(of, text.size());
        frames.push_back(n);
      }));
  EXPECT_THAT(frames, testing::ElementsAre(32'768, 65'536, 98'304));
}

TEST(Inspect, PrintsTheSameFiguresAsTextAndAsJson) {
  Inspector inspector;
  for (std::int64_t i = 0; i < 1500; ++i) {
    inspector.add(received(1'000'000'000 + i * 2'000'000, "/stream",
                           R"({"stream":"btcusdt@trade","data":{}})"));
  }
  const Inspection figures = inspector.finish("some.jsonl");
  const std::string text = to_text(figures);
  EXPECT_THAT(text, HasSubstr("frames       1,500  (1,500 received, 0 sent, 0 binary)"));
  EXPECT_THAT(text, HasSubstr("symbols      1: BTCUSDT 100.0%"));
  EXPECT_THAT(text, Not(HasSubstr(" nan")));
  const auto json = nlohmann::json::parse(to_json(figures));
  EXPECT_EQ(json["schema"], "feedbench.inspection/1");
  EXPECT_EQ(json["frames"], 1500);
  EXPECT_EQ(json["pace"]["gap_us"]["p50"], 2000);
  EXPECT_EQ(json["pace"]["windows"][0]["frames_peak"], 500);
  EXPECT_EQ(json["types"][0]["type"], "trade");
}

}  // namespace
}  // namespace feedbench::recording
