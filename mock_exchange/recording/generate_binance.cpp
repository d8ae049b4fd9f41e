#include <fmt/format.h>

#include <array>
#include <iterator>
#include <string_view>
#include <utility>

#include "mock_exchange/recording/order_book.hpp"
#include "mock_exchange/recording/session_maker.hpp"

namespace feedbench::recording {
namespace {

constexpr std::int64_t kMillisecond_ns = 1'000'000;
/// Receive time minus event time, by stream: they differ, so E goes back now and then, as it does on the wire.
constexpr std::int64_t kTradeDelay_ns = 2'400'000;
constexpr std::int64_t kDepthDelay_ns = 5'100'000;
/// The venue's 100 ms clock runs a little slow against the receiver's.
constexpr std::int64_t kTick_ns = 100'040'000;

constexpr double kQuietLevels = 6.5;  // levels of a depth update when nothing happened at the top
constexpr double kLevelsPerFrame = 2.6;  // and how many more each frame since the last one brings
constexpr double kLevelsSigma = 0.9;
constexpr double kLevelsMax = 1100;
constexpr double kPauseAfterTrades =
    0.5;  // chances that what follows comes in a TCP segment of its own
constexpr double kPauseBetweenQuotes = 0.32;
constexpr double kPauseBetweenDepths = 0.6;
constexpr double kBusySymbol_hz =
    120;  // a symbol of this rate has kQuietLevels; a slower one fewer

struct Instrument {
  std::string_view name;  // upper case
  int price_digits;       // of the tick, behind the point
  int lot_digits;
  std::int64_t price_ticks;   // where the session starts
  std::int64_t typical_lots;  // at one level
};

constexpr std::array<Instrument, kGeneratedSymbolsMax> kInstruments = {{
    {"BTCUSDT", 2, 5, 9'425'017, 40'000},  {"ETHUSDT", 2, 4, 318'442, 30'000},
    {"SOLUSDT", 2, 3, 18'731, 40'000},     {"BNBUSDT", 2, 3, 84'206, 9'000},
    {"XRPUSDT", 4, 1, 20'914, 30'000},     {"DOGEUSDT", 5, 0, 14'207, 60'000},
    {"ADAUSDT", 4, 1, 38'114, 20'000},     {"LINKUSDT", 2, 2, 12'644, 9'000},
    {"AVAXUSDT", 2, 2, 13'058, 8'000},     {"LTCUSDT", 2, 3, 77'320, 7'000},
    {"DOTUSDT", 3, 2, 18'480, 30'000},     {"TRXUSDT", 4, 1, 28'651, 90'000},
    {"BCHUSDT", 1, 3, 5'993, 2'000},       {"NEARUSDT", 3, 1, 15'210, 20'000},
    {"UNIUSDT", 3, 2, 58'710, 9'000},      {"ATOMUSDT", 3, 2, 20'330, 9'000},
    {"ETCUSDT", 2, 2, 11'876, 9'000},      {"FILUSDT", 3, 2, 13'405, 9'000},
    {"APTUSDT", 3, 2, 17'220, 9'000},      {"ARBUSDT", 4, 1, 18'844, 60'000},
    {"OPUSDT", 4, 2, 27'613, 60'000},      {"SUIUSDT", 4, 1, 14'337, 60'000},
    {"INJUSDT", 3, 2, 44'710, 3'000},      {"AAVEUSDT", 2, 3, 14'688, 4'000},
    {"XLMUSDT", 4, 0, 21'400, 9'000},      {"ALGOUSDT", 4, 0, 11'190, 9'000},
    {"ICPUSDT", 3, 2, 29'120, 5'000},      {"HBARUSDT", 5, 0, 10'944, 20'000},
    {"SHIBUSDT", 8, 0, 70'412, 9'000'000}, {"VETUSDT", 5, 1, 10'203, 90'000},
    {"GRTUSDT", 5, 0, 37'660, 9'000},      {"SANDUSDT", 4, 0, 11'490, 9'000},
}};

std::int64_t power_of_ten(int digits) {
  std::int64_t power = 1;
  while (digits-- > 0) power *= 10;
  return power;
}

/// 9425017 with 2 digits -> "94250.17000000": the venue pads to 8 digits.
void append_decimal(std::int64_t value, int digits, std::string& text) {
  const std::int64_t unit = power_of_ten(digits);
  fmt::format_to(std::back_inserter(text), "{}.{:08}", value / unit,
                 value % unit * power_of_ten(8 - digits));
}

struct Symbol {
  Symbol(const Instrument& what, double share_of_market, SeededRandom& random)
      : instrument(&what),
        share(share_of_market),
        book(what.price_ticks, what.typical_lots, 20'000'000'000 + random.below(70'000'000'000),
             random),
        trade_id(1'000'000'000 + random.below(4'000'000'000)),
        aggregate_id(500'000'000 + random.below(2'000'000'000)) {
    for (const char byte : what.name) lower += static_cast<char>(byte + 32);
  }
  const Instrument* instrument;
  std::string lower;
  double share;
  OrderBook book;
  std::uint64_t trade_id;
  std::uint64_t aggregate_id;
  std::uint64_t frames_since_depth = 0;
};

/// Trades of one order at one price: what an aggTrade tells.
struct Aggregate {
  std::int64_t price = 0;
  std::int64_t quantity = 0;
  std::uint64_t first_id = 0, last_id = 0;
};

class BinanceSession final : public SessionMaker {
 public:
  BinanceSession(const GeneratorOptions& options, std::uint64_t seed)
      : random_(seed), mix_(options.symbols, options.zipf_exponent) {
    for (std::uint32_t i = 0; i < options.symbols; ++i) {
      symbols_.emplace_back(kInstruments[i], mix_.share(i), random_);
    }
    rate_hz_ = options.rate_hz;
    next_tick_ns_ =
        options.start_ns + 1 + static_cast<std::int64_t>(random_.below(100)) * kMillisecond_ns;
  }

  std::string connection() const override { return "/stream"; }

  double ticks_hz() const override {
    double hz = 0;
    for (const Symbol& symbol : symbols_)
      hz += std::min(1.0, quiet_levels(symbol)) * 1e9 / kTick_ns;
    return hz;
  }

  void event(std::int64_t t_ns, Batch& batch) override {
    Symbol& symbol = symbols_[mix_.next(random_)];
    const std::size_t before = batch.size();
    first_of_event_ = true;
    t_ns_ = t_ns;
    if (random_.chance(kOrderShare)) market_order(symbol, batch);
    quotes(symbol, batch);
    symbol.frames_since_depth += batch.size() - before;
  }

  std::int64_t next_tick_ns() const override { return next_tick_ns_; }

  void tick(Batch& batch) override {
    first_of_event_ = true;
    t_ns_ = next_tick_ns_;
    const std::size_t first = random_.below(symbols_.size());
    for (std::size_t i = 0; i < symbols_.size(); ++i)
      depth(symbols_[(first + i) % symbols_.size()], batch);
    next_tick_ns_ += kTick_ns + static_cast<std::int64_t>(random_.below(2000)) * 100 - 100'000;
  }

 private:
  double quiet_levels(const Symbol& symbol) const {
    return kQuietLevels * std::min(1.0, symbol.share * rate_hz_ / kBusySymbol_hz);
  }

  std::string& next_text(Batch& batch) {
    return std::exchange(first_of_event_, false) ? batch.add(t_ns_, random_)
                                                 : batch.follow(random_);
  }

  void maybe_pause(double probability, const Batch& batch) {
    if (!random_.chance(probability)) return;
    t_ns_ = batch.last_ns() + pause_in_clump_ns(random_);
    first_of_event_ = true;
  }

  /// One order of a taker: all its trades carry one E; then what they come to by price.
  void market_order(Symbol& symbol, Batch& batch) {
    const Side side = random_.chance(0.5) ? Side::bid : Side::ask;  // the side that it hits
    const std::uint64_t trades = trades_of_order(random_);
    const std::int64_t matched_ms = (t_ns_ - kTradeDelay_ns) / kMillisecond_ns;
    const std::int64_t event_ms = matched_ms + (random_.chance(0.3) ? 1 : 0);
    aggregates_.clear();
    for (std::uint64_t i = 0; i < trades; ++i) {
      const Level taken = symbol.book.take(side, random_);
      const std::uint64_t id = ++symbol.trade_id;
      if (aggregates_.empty() || aggregates_.back().price != taken.price) {
        aggregates_.push_back({taken.price, 0, id, id});
      }
      aggregates_.back().quantity += taken.quantity;
      aggregates_.back().last_id = id;
      std::string& text = next_text(batch);
      open(symbol, "trade", event_ms, text);
      fmt::format_to(std::back_inserter(text), R"(,"t":{})", id);
      close_trade(symbol, taken, matched_ms, side, text);
    }
    maybe_pause(kPauseAfterTrades, batch);
    for (const Aggregate& aggregate : aggregates_) {
      std::string& text = next_text(batch);
      open(symbol, "aggTrade", event_ms, text);
      fmt::format_to(std::back_inserter(text), R"(,"a":{})", ++symbol.aggregate_id);
      close_aggregate(symbol, aggregate, matched_ms, side, text);
    }
  }

  void quotes(Symbol& symbol, Batch& batch) {
    const bool after_order = !first_of_event_;
    if (after_order) maybe_pause(kPauseAfterTrades, batch);
    const std::uint64_t changes = quotes_of_event(random_);
    for (std::uint64_t i = 0; i < changes; ++i) {
      if (!(after_order && i == 0)) {  // an order changed the top already
        for (std::uint64_t deep = random_.below(3); deep > 0; --deep)
          symbol.book.change_deep(random_);
        symbol.book.change_top(random_);
      }
      if (i > 0) maybe_pause(kPauseBetweenQuotes, batch);
      book_ticker(symbol, next_text(batch));
    }
  }

  static void open(const Symbol& symbol, std::string_view stream, std::int64_t event_ms,
                   std::string& text) {
    fmt::format_to(std::back_inserter(text),
                   R"({{"stream":"{}@{}","data":{{"e":"{}","E":{},"s":"{}")", symbol.lower, stream,
                   stream, event_ms, symbol.instrument->name);
  }

  static void append_price(const Symbol& symbol, std::int64_t price, std::string& text) {
    append_decimal(price, symbol.instrument->price_digits, text);
  }
  static void append_quantity(const Symbol& symbol, std::int64_t quantity, std::string& text) {
    append_decimal(quantity, symbol.instrument->lot_digits, text);
  }

  static void close_trade(const Symbol& symbol, const Level& taken, std::int64_t matched_ms,
                          Side side, std::string& text) {
    text += R"(,"p":")";
    append_price(symbol, taken.price, text);
    text += R"(","q":")";
    append_quantity(symbol, taken.quantity, text);
    fmt::format_to(std::back_inserter(text), R"(","T":{},"m":{},"M":true}}}})", matched_ms,
                   side == Side::bid);
  }

  static void close_aggregate(const Symbol& symbol, const Aggregate& aggregate,
                              std::int64_t matched_ms, Side side, std::string& text) {
    text += R"(,"p":")";
    append_price(symbol, aggregate.price, text);
    text += R"(","q":")";
    append_quantity(symbol, aggregate.quantity, text);
    fmt::format_to(std::back_inserter(text), R"(","f":{},"l":{},"T":{},"m":{},"M":true}}}})",
                   aggregate.first_id, aggregate.last_id, matched_ms, side == Side::bid);
  }

  static void book_ticker(const Symbol& symbol, std::string& text) {
    const Level bid = symbol.book.best(Side::bid);
    const Level ask = symbol.book.best(Side::ask);
    fmt::format_to(std::back_inserter(text),
                   R"({{"stream":"{}@bookTicker","data":{{"u":{},"s":"{}","b":")", symbol.lower,
                   symbol.book.update_id(), symbol.instrument->name);
    append_price(symbol, bid.price, text);
    text += R"(","B":")";
    append_quantity(symbol, bid.quantity, text);
    text += R"(","a":")";
    append_price(symbol, ask.price, text);
    text += R"(","A":")";
    append_quantity(symbol, ask.quantity, text);
    text += R"("}})";
  }

  /// A depth update holds what changed since the last one; the busier it was, the more levels.
  void depth(Symbol& symbol, Batch& batch) {
    const double activity = static_cast<double>(std::exchange(symbol.frames_since_depth, 0));
    const double wanted =
        random_.lognormal(quiet_levels(symbol) + kLevelsPerFrame * activity, kLevelsSigma);
    const auto levels = static_cast<std::size_t>(std::min(wanted + random_.uniform(), kLevelsMax));
    for (std::size_t tries = 0; symbol.book.changed_levels() < levels && tries < 2 * levels;
         ++tries) {
      symbol.book.change_deep(random_);
    }
    if (symbol.book.changed_levels() == 0) return;
    const OrderBook::Changes changes = symbol.book.take_changes();
    if (!first_of_event_) maybe_pause(kPauseBetweenDepths, batch);
    std::string& text = next_text(batch);
    fmt::format_to(
        std::back_inserter(text),
        R"({{"stream":"{}@depth@100ms","data":{{"e":"depthUpdate","E":{},"s":"{}","U":{},"u":{},"b":[)",
        symbol.lower, (t_ns_ - kDepthDelay_ns) / kMillisecond_ns, symbol.instrument->name,
        changes.first_id, changes.last_id);
    append_levels(symbol, changes.bids, text);
    text += R"(],"a":[)";
    append_levels(symbol, changes.asks, text);
    text += "]}}";
  }

  static void append_levels(const Symbol& symbol, const std::vector<Level>& levels,
                            std::string& text) {
    for (std::size_t i = 0; i < levels.size(); ++i) {
      text += i == 0 ? R"([")" : R"(,[")";
      append_price(symbol, levels[i].price, text);
      text += R"(",")";
      append_quantity(symbol, levels[i].quantity, text);
      text += R"("])";
    }
  }

  SeededRandom random_;
  SymbolMix mix_;
  std::vector<Symbol> symbols_;
  std::vector<Aggregate> aggregates_;
  double rate_hz_ = 0;
  std::int64_t next_tick_ns_ = 0;
  std::int64_t t_ns_ = 0;        // of the event at work
  bool first_of_event_ = false;  // its first frame is still to come
};

}  // namespace

std::unique_ptr<SessionMaker> make_binance_session(const GeneratorOptions& options,
                                                   std::uint64_t seed) {
  return std::make_unique<BinanceSession>(options, seed);
}

}  // namespace feedbench::recording
