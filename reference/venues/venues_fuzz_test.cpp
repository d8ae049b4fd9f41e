#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>

#include "reference/venues/alpaca_frame.hpp"
#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_frame.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/upstream_login.hpp"

/// Seeded: a failure comes again with the same number. Each text lies in memory of exactly its size, so that the address
/// sanitizer sees a read past its end.
namespace feedbench::venues {
namespace {

constexpr std::string_view kSeeds[] = {
    R"({"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]],"a":[]}})",
    R"({"e":"kline","E":1,"s":"BNBBTC","k":{"t":1,"i":"1m"}})",
    R"({"u":400900217,"s":"BNBUSDT","b":"1","B":"2","a":"3","A":"4"})",
    R"([{"e":"24hrTicker","E":1,"s":"BTCUSDT"}])",
    R"({"method":"SUBSCRIBE","params":["a@trade","b@depth"],"id":"x1"})",
    R"({"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":2})",
    R"([{"T":"t","S":"AAPL","i":1,"c":["@","I"],"z":"C"},{"T":"q","S":"BRK.B","bp":1}])",
    R"([{"T":"o","S":"BTC/USD","b":[{"p":1,"s":2}],"a":[],"r":true}])",
    R"([{"T":"error","code":406,"msg":"connection limit exceeded"}])",
    R"([{"T":"s","S":"A","rm":"}],{\"T\":\"t\"} {"}])",
    R"({"action":"subscribe","trades":["AAPL"],"quotes":["*"]})",
    R"(/stream?streams=btcusdt%40trade/ethusdt@depth&timeUnit=MICROSECOND)",
};

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}
  std::size_t below(std::size_t n) { return random_() % n; }

  std::string next() {
    if (below(4) == 0) return random_text(below(80));
    std::string text(kSeeds[below(std::size(kSeeds))]);
    for (std::size_t hits = below(4); hits > 0 && !text.empty(); --hits) {
      const std::size_t at = below(text.size());
      switch (below(5)) {
        case 0:
          text[at] = static_cast<char>(below(256));
          break;
        case 1:
          text.erase(at, below(16));
          break;
        case 2:
          text.insert(at, 1, "\"\\{}[]:,@/%"[below(11)]);
          break;
        case 3:
          text.resize(at);
          break;
        default:
          text.insert(at, text.substr(below(text.size()), below(30)));
          break;
      }
    }
    return text;
  }

 private:
  std::string random_text(std::size_t size) {
    std::string text;
    while (text.size() < size) {
      text += below(2) == 0 ? static_cast<char>(below(256)) : "\"\\{}[]:,TSe"[below(11)];
    }
    return text;
  }
  std::mt19937_64 random_;
};

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

TEST(VenuesFuzz, ScannersReadNothingOutsideAnyText) {
  Mutator mutator(11);
  for (int i = 0; i < 60'000; ++i) {
    const std::string text = mutator.next();
    const std::vector<char> exact(text.begin(), text.end());
    const std::string_view frame(exact.data(), exact.size());
    binance::NameBuffer buffer;
    const std::string_view stream = binance::stream_of(frame, buffer);
    ASSERT_TRUE(lies_in(stream, frame) || lies_in(stream, {buffer.data(), buffer.size()}));
    ASSERT_TRUE(lies_in(binance::data_of_combined(frame), frame));
    static_cast<void>(binance::is_answer(frame));
    static_cast<void>(binance::is_server_shutdown(frame));
    std::size_t messages = 0;
    alpaca::for_each_message(frame, [&](const alpaca::Message& message) {
      ASSERT_TRUE(lies_in(message.type, frame));
      ASSERT_TRUE(lies_in(message.symbol, frame));
      ++messages;
    });
    ASSERT_LE(messages, frame.size());
    static_cast<void>(alpaca::control_of(frame));
  }
}

TEST(VenuesFuzz, SessionsAnswerAnythingAndStayWithinTheirLimits) {
  Mutator mutator(12);
  binance::Session binance_session{binance::Target{}};
  alpaca::Session alpaca_session{alpaca::SessionOptions{}};
  static_cast<void>(alpaca_session.on_open({}, 0));
  static_cast<void>(alpaca_session.on_message(R"({"action":"auth","key":"K","secret":"S"})", 0));
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = mutator.next();
    const auto reply = binance_session.on_text(text, i * 1'000'000'000LL);
    ASSERT_FALSE(reply.text.empty());
    ASSERT_LE(binance_session.subscriptions().size(), binance::kStreamsMax);
    ASSERT_EQ(alpaca_session.on_message(text, 0).texts.size(), 1U);
    static_cast<void>(binance::parse_target(text));
    static_cast<void>(alpaca::feed_of_target(text));
  }
}

TEST(VenuesFuzz, ALoginSurvivesAnyServer) {
  Mutator mutator(13);
  for (int i = 0; i < 3'000; ++i) {
    for (const Venue venue : {Venue::binance, Venue::alpaca}) {
      auto login = UpstreamLogin::create(
          {venue, {"K", "S"}, {venue == Venue::binance ? "a@trade" : "trades:A"}});
      ASSERT_TRUE(login);
      static_cast<void>(login->on_open());
      for (int k = 0; k < 5; ++k) {
        const LoginStep step = login->on_message(mutator.next());
        const bool over = step.status == LoginStatus::refused || step.status == LoginStatus::retry;
        ASSERT_EQ(step.error.empty(), !over) << "a refusal says why";
        if (over) break;
      }
    }
  }
}

}  // namespace
}  // namespace feedbench::venues
