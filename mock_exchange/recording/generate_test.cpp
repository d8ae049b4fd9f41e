#include "mock_exchange/recording/generate.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "mock_exchange/recording/inspect.hpp"
#include "mock_exchange/recording/order_book.hpp"
#include "mock_exchange/recording/recording_reader.hpp"
#include "mock_exchange/recording/seeded_random.hpp"
#include "mock_exchange/recording/test_files.hpp"
#include "reference/venues/binance_frame.hpp"

namespace feedbench::recording {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using namespace testing_support;

std::string text_of(const GeneratorOptions& options) {
  std::string text;
  const auto done = generate(options, [&](const Frame& frame) -> Expected<void> {
    append_line(frame, text);
    return {};
  });
  EXPECT_TRUE(done);
  return text;
}

std::vector<Frame> frames_of(const GeneratorOptions& options) {
  std::vector<Frame> frames;
  const auto done = generate(options, [&](const Frame& frame) -> Expected<void> {
    frames.push_back(frame);
    return {};
  });
  EXPECT_TRUE(done);
  return frames;
}

Inspection figures_of(const GeneratorOptions& options) {
  Inspector inspector;
  const auto done = generate(options, [&](const Frame& frame) -> Expected<void> {
    inspector.add(frame);
    return {};
  });
  EXPECT_TRUE(done);
  return inspector.finish();
}

const TypeFigures& type_of(const Inspection& in, std::string_view name) {
  static const TypeFigures kNone;
  for (const TypeFigures& type : in.types) {
    if (type.type == name) return type;
  }
  ADD_FAILURE() << "no " << name;
  return kNone;
}

TEST(SeededRandom, ComputesLogarithmAndExponentialToThePrecisionOfDoubles) {
  for (double x = 1e-12; x < 1e12; x *= 1.37)
    EXPECT_NEAR(portable_log(x), std::log(x), 1e-14 * (1 + std::abs(std::log(x))));
  for (double x = -600; x < 600; x += 0.713) EXPECT_NEAR(portable_exp(x) / std::exp(x), 1, 1e-13);
}

TEST(SeededRandom, GivesTheNumbersThatItGaveOnTheFirstMachine) {
  SeededRandom random(42);
  EXPECT_EQ(random.bits(), 13679457532755275413ULL);
  EXPECT_EQ(random.bits(), 2949826092126892291ULL);
  double sum = 0, squares = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.01);
  EXPECT_NEAR(squares / 1e5, 1, 0.02);
}

TEST(OrderBook, IsNeverCrossedAndNeverEmptyWhateverHappens) {
  SeededRandom random(7);
  OrderBook book(100'000, 50, 1, random);
  for (int i = 0; i < 200'000; ++i) {
    const std::uint64_t choice = random.below(4);
    if (choice == 0) book.change_top(random);
    if (choice == 1) book.take(Side::bid, random);
    if (choice == 2) book.take(Side::ask, random);
    if (choice == 3) book.change_deep(random);
    if (i % 997 == 0) static_cast<void>(book.take_changes());
    ASSERT_LT(book.best(Side::bid).price, book.best(Side::ask).price);
    ASSERT_GT(book.best(Side::bid).quantity, 0);
    ASSERT_GT(book.best(Side::ask).quantity, 0);
  }
}

class Generator : public testing::TestWithParam<venues::Venue> {
 protected:
  static GeneratorOptions options() {
    GeneratorOptions chosen;
    chosen.venue = GetParam();
    chosen.seconds = 20;
    chosen.symbols = 4;
    return chosen;
  }
};

TEST_P(Generator, GivesTheSameBytesForTheSameSeedAndOthersForAnother) {
  GeneratorOptions chosen = options();
  const std::string first = text_of(chosen);
  EXPECT_EQ(text_of(chosen), first);
  chosen.seed = 99;
  EXPECT_NE(text_of(chosen), first);
}

TEST_P(Generator, KeepsToTheLengthAndTheOrderOfTime) {
  const GeneratorOptions chosen = options();
  std::int64_t last_ns = chosen.start_ns;
  for (const Frame& frame : frames_of(chosen)) {
    ASSERT_GT(frame.t_ns, last_ns);
    ASSERT_LT(frame.t_ns, chosen.start_ns + 20'000'000'000);
    ASSERT_EQ(frame.dir, Direction::rx);
    ASSERT_TRUE(json::accept(frame.data));
    last_ns = frame.t_ns;
  }
}

TEST_P(Generator, ComesNearTheRateAskedForWhateverItIs) {
  for (const double rate_hz : {50.0, 275.0, 5000.0}) {
    GeneratorOptions chosen = options();
    chosen.rate_hz = rate_hz;
    chosen.seconds = 150'000 / rate_hz;
    if (rate_hz > 1000) chosen.seconds = 30;
    const Inspection in = figures_of(chosen);
    EXPECT_NEAR(static_cast<double>(in.frames) / chosen.seconds, rate_hz, 0.35 * rate_hz);
  }
}

TEST_P(Generator, FollowsTheSkewOfSymbolsAskedFor) {
  GeneratorOptions chosen = options();
  chosen.symbols = 10;
  chosen.zipf_exponent = 1.0;
  chosen.seconds = 120;
  const Inspection in = figures_of(chosen);
  EXPECT_EQ(in.symbols.size(), 10U);
  EXPECT_NEAR(in.zipf_exponent, GetParam() == venues::Venue::binance ? 0.8 : 1.0, 0.3);
}

/// The figures of real spot sessions of two symbols, and how far from them a generated one may be.
TEST_P(Generator, ClumpsAsRealSessionsDo) {
  GeneratorOptions chosen = options();
  chosen.seconds = 650;
  chosen.symbols = 2;
  chosen.zipf_exponent = 0.35;
  const Inspection in = figures_of(chosen);
  EXPECT_NEAR(in.gap_us.mean, 3600, 1400);
  EXPECT_GT(in.gap_us.p50(), 20);  // 157 spot, 5 USD-M, 1,566 COIN-M
  EXPECT_LT(in.gap_us.p50(), 1600);
  EXPECT_LT(in.gap_us.values[3], 5);  // p25: 1.0
  EXPECT_NEAR(in.gap_us.p99(), 57'000, 20'000);
  EXPECT_NEAR(in.gap_us.deviation / in.gap_us.mean, 2.9, 0.8);
  EXPECT_NEAR(in.gaps_below_10us, 0.45, 0.1);
  EXPECT_NEAR(in.gaps_below_100us, 0.49, 0.1);
  EXPECT_NEAR(in.gaps_below_1ms, 0.64, 0.12);
  // The index of dispersion grows with the window, as nothing Poisson does: 6, 21, 64, 161.
  const double ms = in.windows[3].dispersion, ms10 = in.windows[2].dispersion;
  const double ms100 = in.windows[1].dispersion, second = in.windows[0].dispersion;
  EXPECT_GT(ms, 2.5);
  EXPECT_LT(ms, 13);
  EXPECT_GT(ms10, 1.5 * ms);
  EXPECT_GT(ms100, 1.8 * ms10);
  EXPECT_GT(second, 1.8 * ms100);
  EXPECT_LT(second, 330);
  EXPECT_NEAR(in.windows[1].autocorrelation, 0.35, 0.2);
  EXPECT_NEAR(in.frames_in_clusters_over_10, GetParam() == venues::Venue::binance ? 0.32 : 0.15,
              0.12);
  const double mean_hz = static_cast<double>(in.frames) / in.seconds();
  EXPECT_NEAR(static_cast<double>(in.windows[0].frames_peak) / mean_hz, 6, 3);         // 7
  EXPECT_NEAR(static_cast<double>(in.windows[1].frames_peak) / mean_hz * 10, 22, 14);  // 33
  EXPECT_NEAR(static_cast<double>(in.symbols[0].second) /
                  static_cast<double>(in.symbols[0].second + in.symbols[1].second),
              0.56, 0.05);
}

INSTANTIATE_TEST_SUITE_P(Venues, Generator,
                         testing::Values(venues::Venue::binance, venues::Venue::alpaca),
                         [](const auto& suite) {
                           return std::string(venues::to_string(suite.param));
                         });

TEST(GeneratorOfBinance, HasTheSizesAndSharesOfARealSpotSession) {
  GeneratorOptions chosen;
  chosen.seconds = 650;
  chosen.symbols = 2;
  chosen.zipf_exponent = 0.35;
  const Inspection in = figures_of(chosen);
  EXPECT_NEAR(in.size_bytes.p50(), 146, 2);
  EXPECT_NEAR(in.size_bytes.mean, 250, 40);
  EXPECT_NEAR(in.size_bytes.p99(), 2591, 900);
  EXPECT_NEAR(in.size_bytes.p999(), 10'113, 5'000);
  // The real session has no aggTrade: shares are those of the other three.
  const double others = static_cast<double>(in.messages - type_of(in, "aggTrade").count);
  const auto share = [&](std::string_view type) {
    return static_cast<double>(type_of(in, type).count) / others;
  };
  EXPECT_NEAR(share("bookTicker"), 0.736, 0.06);
  EXPECT_NEAR(share("trade"), 0.192, 0.05);
  EXPECT_NEAR(share("depth@100ms"), 0.072, 0.025);
  EXPECT_NEAR(type_of(in, "bookTicker").size_bytes.mean, 145, 3);
  EXPECT_NEAR(type_of(in, "trade").size_bytes.mean, 168, 3);
  EXPECT_NEAR(type_of(in, "depth@100ms").size_bytes.mean, 1525, 500);
  EXPECT_NEAR(type_of(in, "depth@100ms").size_bytes.p50(), 775, 250);
  EXPECT_NEAR(type_of(in, "depth@100ms").size_bytes.p99(), 11'363, 6'000);
  EXPECT_GT(type_of(in, "depth@100ms").size_bytes.max(),
            10 * type_of(in, "depth@100ms").size_bytes.p50());
}

/// What a strategy does with the streams of one symbol: chain the depth updates, keep the book, compare with bookTicker.
class BinanceFollower {
 public:
  void trade(const json& data) {
    const auto id = data["t"].get<std::uint64_t>();
    if (last_trade_ != 0) {
      ASSERT_EQ(id, last_trade_ + 1);
    }
    last_trade_ = id;
    open_trades_ += 1;
  }
  void aggregate(const json& data) {
    const auto id = data["a"].get<std::uint64_t>();
    if (last_aggregate_ != 0) {
      ASSERT_EQ(id, last_aggregate_ + 1);
    }
    last_aggregate_ = id;
    ASSERT_LE(data["f"], data["l"]);
    open_trades_ -= data["l"].get<std::int64_t>() - data["f"].get<std::int64_t>() + 1;
    ASSERT_GE(open_trades_, 0) << "an aggTrade tells of trades that were not";
  }
  void book_ticker(const json& data) {
    ASSERT_EQ(open_trades_, 0) << "all trades of an order are in its aggTrades";
    const auto id = data["u"].get<std::uint64_t>();
    ASSERT_GT(id, last_ticker_);
    ASSERT_GT(id, last_depth_) << "a bookTicker is never older than the depth update before it";
    last_ticker_ = id;
    bid_ = std::stod(data["b"].get<std::string>());
    ask_ = std::stod(data["a"].get<std::string>());
    ASSERT_LT(bid_, ask_);
  }
  void depth(const json& data) {
    const auto first = data["U"].get<std::uint64_t>();
    const auto last = data["u"].get<std::uint64_t>();
    if (last_depth_ != 0) {
      ASSERT_EQ(first, last_depth_ + 1);
    }
    ASSERT_LE(first, last);
    ASSERT_GE(last, last_ticker_);
    last_depth_ = last;
    apply(data["b"], bids_);
    apply(data["a"], asks_);
    if (!bids_.empty() && !asks_.empty()) {
      ASSERT_LT(bids_.rbegin()->first, asks_.begin()->first);
    }
    // Known levels are never better than the best that bookTicker told (no change of the top comes without one).
    if (last_ticker_ != 0 && !bids_.empty()) {
      ASSERT_LE(bids_.rbegin()->first, bid_);
    }
    if (last_ticker_ != 0 && !asks_.empty()) {
      ASSERT_GE(asks_.begin()->first, ask_);
    }
  }

 private:
  static void apply(const json& levels, std::map<double, std::string>& side) {
    for (const auto& level : levels) {
      const double price = std::stod(level[0].get<std::string>());
      ASSERT_GT(price, 0);
      const auto quantity = level[1].get<std::string>();
      if (std::stod(quantity) == 0) {
        side.erase(price);
      } else {
        side[price] = quantity;
      }
    }
  }
  std::uint64_t last_trade_ = 0, last_aggregate_ = 0, last_ticker_ = 0, last_depth_ = 0;
  std::int64_t open_trades_ = 0;
  double bid_ = 0, ask_ = 0;
  std::map<double, std::string> bids_, asks_;
};

TEST(GeneratorOfBinance, MakesChainsAndABookThatAFollowerCanTrust) {
  GeneratorOptions chosen;
  chosen.seconds = 60;
  chosen.symbols = 5;
  std::map<std::string, BinanceFollower> followers;
  for (const Frame& frame : frames_of(chosen)) {
    const json root = json::parse(frame.data);
    const std::string stream = root["stream"];
    const json& data = root["data"];
    BinanceFollower& follower = followers[data["s"]];
    const std::string_view type = venues::binance::type_of_stream(stream);
    if (type == "trade") follower.trade(data);
    if (type == "aggTrade") follower.aggregate(data);
    if (type == "bookTicker") follower.book_ticker(data);
    if (type == "depth@100ms") follower.depth(data);
    ASSERT_FALSE(testing::Test::HasFatalFailure()) << frame.data;
  }
  EXPECT_EQ(followers.size(), 5U);
}

TEST(GeneratorOfBinance, WritesTheShapesOfTheVenueKeyByKey) {
  GeneratorOptions chosen;
  chosen.seconds = 5;
  const std::map<std::string_view, std::string> keys = {{"trade", "e,E,s,t,p,q,T,m,M,"},
                                                        {"aggTrade", "e,E,s,a,p,q,f,l,T,m,M,"},
                                                        {"bookTicker", "u,s,b,B,a,A,"},
                                                        {"depth@100ms", "e,E,s,U,u,b,a,"}};
  for (const Frame& frame : frames_of(chosen)) {
    const auto root = nlohmann::ordered_json::parse(frame.data);
    ASSERT_EQ(root.size(), 2U);
    std::string found;
    for (const auto& [key, value] : root["data"].items()) found += key + ",";
    const std::string stream = root["stream"];
    ASSERT_EQ(found, keys.at(venues::binance::type_of_stream(stream))) << frame.data;
    ASSERT_EQ(venues::binance::stream_of_combined(frame.data), stream);
    if (root["data"].contains("p")) {
      ASSERT_EQ(root["data"]["p"].get<std::string>().find('.') + 9,
                root["data"]["p"].get<std::string>().size());
    }
  }
}

TEST(GeneratorOfBinance, SendsTheLargestDepthUpdatesRightAfterBursts) {
  GeneratorOptions chosen;
  chosen.seconds = 200;
  chosen.symbols = 1;
  double busy = 0, quiet = 0;
  int busy_ticks = 0, quiet_ticks = 0, frames = 0;
  for (const Frame& frame : frames_of(chosen)) {
    if (venues::binance::type_of_stream(venues::binance::stream_of_combined(frame.data)) !=
        "depth@100ms") {
      ++frames;
      continue;
    }
    if (frames >= 100) busy += static_cast<double>(frame.data.size()), ++busy_ticks;
    if (frames <= 5) quiet += static_cast<double>(frame.data.size()), ++quiet_ticks;
    frames = 0;
  }
  ASSERT_GT(busy_ticks, 10);
  ASSERT_GT(quiet_ticks, 100);
  EXPECT_GT(busy / busy_ticks, 10 * quiet / quiet_ticks);
}

TEST(GeneratorOfAlpaca, WritesTheShapesOfTheVenueKeyByKeyAndMixesThemInOneFrame) {
  GeneratorOptions chosen;
  chosen.venue = venues::Venue::alpaca;
  chosen.seconds = 60;
  chosen.symbols = 6;
  const std::map<std::string, std::string> keys = {{"t", "T,S,i,x,p,s,c,z,t,"},
                                                   {"q", "T,S,bx,bp,bs,ax,ap,as,c,z,t,"},
                                                   {"b", "T,S,o,h,l,c,v,n,vw,t,"},
                                                   {"u", "T,S,o,h,l,c,v,n,vw,t,"},
                                                   {"d", "T,S,o,h,l,c,v,n,vw,t,"}};
  std::map<std::string, std::uint64_t> last_trade;
  std::set<std::string> types;
  int mixed_types = 0, mixed_symbols = 0, back_steps = 0;
  std::string last_time;
  for (const Frame& frame : frames_of(chosen)) {
    const auto root = nlohmann::ordered_json::parse(frame.data);
    ASSERT_TRUE(root.is_array() && !root.empty());
    std::set<std::string> frame_types, frame_symbols;
    for (const auto& message : root) {
      std::string found;
      for (const auto& [key, value] : message.items()) found += key + ",";
      const std::string type = message["T"];
      ASSERT_EQ(found, keys.at(type));
      const std::string symbol = message["S"], time = message["t"];
      ASSERT_THAT(time, testing::MatchesRegex("2026-01-02T[0-9:]{8}(\\.[0-9]{0,8}[1-9])?Z"));
      if (type == "t") {
        ASSERT_GT(message["i"].get<std::uint64_t>(), last_trade[symbol]);
        last_trade[symbol] = message["i"].get<std::uint64_t>();
        ASSERT_TRUE(message["s"].is_number_integer());
      }
      if (type == "q") {
        ASSERT_LT(message["bp"].get<double>(), message["ap"].get<double>());
      }
      if (type == "b") {
        ASSERT_LE(message["l"].get<double>(), message["vw"].get<double>());
        ASSERT_GE(message["h"].get<double>(), message["vw"].get<double>());
      }
      back_steps += time < last_time;
      last_time = time;
      frame_types.insert(type);
      frame_symbols.insert(symbol);
      types.insert(type);
    }
    mixed_types += frame_types.size() > 1;
    mixed_symbols += frame_symbols.size() > 1;
    ASSERT_EQ(frame.data.find(".0,"), std::string::npos) << "no trailing zeros in prices";
  }
  EXPECT_EQ(types, (std::set<std::string>{"t", "q", "b", "u", "d"}));
  EXPECT_GT(mixed_types, 50);
  EXPECT_GT(mixed_symbols, 50);
  EXPECT_GT(back_steps, 50);
}

TEST(GeneratorOptionsCheck, NamesAllFaultsAtOnce) {
  GeneratorOptions wrong;
  wrong.venue = venues::Venue::raw;
  wrong.seconds = -1;
  wrong.symbols = 33;
  wrong.rate_hz = std::nan("");
  wrong.zipf_exponent = 5;
  wrong.start_ns = -1;
  const auto done = generate(wrong, [](const Frame&) -> Expected<void> { return {}; });
  ASSERT_FALSE(done);
  for (const auto* what : {"venue", "seconds", "symbols", "rate", "zipf", "start-ns"}) {
    EXPECT_THAT(done.error().message, HasSubstr(what));
  }
}

TEST(GeneratorSink, EndsTheGenerationWithItsError) {
  int calls = 0;
  const auto done = generate(GeneratorOptions{}, [&](const Frame&) -> Expected<void> {
    if (++calls == 10) return tl::unexpected(Error{"enough", 0});
    return {};
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "enough");
  EXPECT_EQ(calls, 10);
}

/// The options that scenarios/sessions/README.md gives for each session of the repository.
TEST(RepositorySessions, AreWhatTheGeneratorGivesFromTheirSeeds) {
  const std::pair<venues::Venue, std::uint64_t> sessions[] = {{venues::Venue::binance, 2},
                                                              {venues::Venue::alpaca, 3}};
  for (const auto& [venue, seed] : sessions) {
    GeneratorOptions chosen;
    chosen.venue = venue;
    chosen.seconds = 25;
    chosen.symbols = venue == venues::Venue::binance ? 4 : 8;
    chosen.seed = seed;
    const std::string name = fmt::format("{}-small.jsonl.zst", venues::to_string(venue));
    auto reader = RecordingReader::open(source_folder() / "scenarios" / "sessions" / name);
    ASSERT_TRUE(reader) << reader.error().message;
    std::string kept;
    for (Frame frame; reader->next(frame).value();) append_line(frame, kept);
    EXPECT_TRUE(kept == text_of(chosen))
        << name
        << " is not what the generator gives; if the generator was meant to "
           "change, make it anew as the README beside it says";
  }
}

}  // namespace
}  // namespace feedbench::recording
