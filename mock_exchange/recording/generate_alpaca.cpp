#include <fmt/format.h>

#include <array>
#include <chrono>
#include <iterator>
#include <string_view>
#include <utility>

#include "mock_exchange/recording/order_book.hpp"
#include "mock_exchange/recording/session_maker.hpp"

namespace feedbench::recording {
namespace {

constexpr std::int64_t kSecond_ns = 1'000'000'000;
constexpr std::int64_t kMinute_ns = 60 * kSecond_ns;
constexpr std::int64_t kBarDelay_ns = 48'000'000;  // a bar comes that long behind its minute
constexpr double kMoreInFrame = 0.55;              // chance that the next message shares the frame
constexpr std::uint64_t kMessagesMax = 40;

struct Instrument {
  std::string_view name;
  char tape;  // "z"
  std::int64_t price_cents;
};

constexpr std::array<Instrument, kGeneratedSymbolsMax> kInstruments = {{
    {"NVDA", 'C', 18'742}, {"TSLA", 'C', 43'811},  {"AAPL", 'C', 27'155}, {"SPY", 'B', 68'214},
    {"AMD", 'C', 21'466},  {"QQQ", 'C', 61'903},   {"MSFT", 'C', 48'377}, {"AMZN", 'C', 22'608},
    {"META", 'C', 65'091}, {"GOOGL", 'C', 31'340}, {"PLTR", 'C', 17'722}, {"INTC", 'C', 3'812},
    {"BAC", 'A', 5'527},   {"F", 'A', 1'318},      {"AVGO", 'C', 34'609}, {"NFLX", 'C', 9'114},
    {"JPM", 'A', 32'218},  {"XOM", 'A', 12'045},   {"DIS", 'A', 11'372},  {"KO", 'A', 6'991},
    {"T", 'A', 2'481},     {"PFE", 'A', 2'506},    {"WMT", 'C', 11'140},  {"CSCO", 'C', 7'703},
    {"MU", 'C', 28'541},   {"UBER", 'A', 8'174},   {"SOFI", 'C', 2'617},  {"IWM", 'B', 24'613},
    {"GLD", 'B', 39'632},  {"BRK.B", 'A', 50'266}, {"ORCL", 'A', 19'491}, {"BABA", 'A', 14'658},
}};

/// A venue ("x"), how far its stamps lie back, and how fine they are: so `t` goes back from one message to the next.
struct Exchange {
  char code;
  std::int64_t delay_ns;
  std::int64_t step_ns;
};
constexpr std::array<Exchange, 8> kExchanges = {{{'Q', 310'000, 1},
                                                 {'V', 640'000, 1},
                                                 {'P', 420'000, 1'000},
                                                 {'Z', 380'000, 1'000},
                                                 {'K', 350'000, 1'000},
                                                 {'D', 9'200'000, 1},
                                                 {'N', 520'000, 1'000},
                                                 {'U', 470'000, 1'000'000}}};

/// 18740 cents -> "187.4": no trailing zeros.
void append_price(std::int64_t cents, std::string& text) {
  fmt::format_to(std::back_inserter(text), "{}", cents / 100);
  const std::int64_t rest = cents % 100;
  if (rest == 0) return;
  if (rest % 10 == 0) {
    fmt::format_to(std::back_inserter(text), ".{}", rest / 10);
  } else {
    fmt::format_to(std::back_inserter(text), ".{:02}", rest);
  }
}

/// A fraction of up to `digits` digits, trailing zeros trimmed, the point too if none is left.
void append_fraction(std::int64_t value, int digits, std::string& text) {
  if (value == 0) return;
  std::string fraction = fmt::format(".{:0{}}", value, digits);
  fraction.erase(fraction.find_last_not_of('0') + 1);
  text += fraction;
}

/// RFC 3339, fraction trimmed.
void append_time(std::int64_t t_ns, std::string& text) {
  const std::int64_t seconds = t_ns / kSecond_ns;
  const std::int64_t days = seconds / 86'400;
  const std::int64_t of_day = seconds % 86'400;
  const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{days}}};
  fmt::format_to(std::back_inserter(text), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", int{date.year()},
                 unsigned{date.month()}, unsigned{date.day()}, of_day / 3600, of_day / 60 % 60,
                 of_day % 60);
  append_fraction(t_ns % kSecond_ns, 9, text);
  text += 'Z';
}

/// What trades come to in a stretch of time.
struct Bar {
  std::int64_t open = 0, high = 0, low = 0, close = 0;
  std::int64_t volume = 0, trades = 0, turnover_cents = 0;

  void add(std::int64_t cents, std::int64_t shares) {
    if (trades == 0) open = high = low = cents;
    high = std::max(high, cents);
    low = std::min(low, cents);
    close = cents;
    volume += shares;
    ++trades;
    turnover_cents += cents * shares;
  }
};

struct Symbol {
  Symbol(const Instrument& what, SeededRandom& random)
      : instrument(&what),
        book(what.price_cents, 6, 1, random),
        trade_id(50'000'000'000'000 + random.below(3'000'000'000'000)) {}
  const Instrument* instrument;
  OrderBook book;  // ticks are cents, lots are round lots of 100 shares
  std::uint64_t trade_id;
  Bar minute, last_minute, day;
};

class AlpacaSession final : public SessionMaker {
 public:
  AlpacaSession(const GeneratorOptions& options, std::uint64_t seed)
      : random_(seed), mix_(options.symbols, options.zipf_exponent) {
    for (std::uint32_t i = 0; i < options.symbols; ++i)
      symbols_.emplace_back(kInstruments[i], random_);
    minute_ns_ = (options.start_ns / kMinute_ns + 1) * kMinute_ns;
    half_ns_ = minute_ns_ - kMinute_ns / 2;
    if (half_ns_ + kBarDelay_ns <= options.start_ns) half_ns_ += kMinute_ns;
  }

  std::string connection() const override { return "/v2/sip"; }
  double ticks_hz() const override { return 0.05; }

  void event(std::int64_t t_ns, Batch& batch) override {
    text_ = nullptr;
    t_ns_ = t_ns;
    Symbol& symbol = symbols_[mix_.next(random_)];
    if (random_.chance(kOrderShare)) {
      const Side side = random_.chance(0.5) ? Side::bid : Side::ask;
      for (std::uint64_t trades = trades_of_order(random_); trades > 0; --trades)
        trade(symbol, side, batch);
    }
    for (std::uint64_t quotes = quotes_of_event(random_); quotes > 0; --quotes) {
      // What happens in one symbol moves others: a frame mixes symbols.
      Symbol& moved = random_.chance(0.8) ? symbol : symbols_[mix_.next(random_)];
      moved.book.change_top(random_);
      quote(moved, batch);
    }
    finish();
  }

  std::int64_t next_tick_ns() const override {
    return std::min(minute_ns_, half_ns_) + kBarDelay_ns;
  }

  void tick(Batch& batch) override {
    text_ = nullptr;
    t_ns_ = next_tick_ns();
    if (minute_ns_ < half_ns_) {
      bars_of_minute(batch);
      minute_ns_ += kMinute_ns;
    } else {
      updated_bars(batch);
      half_ns_ += kMinute_ns;
    }
    finish();
  }

 private:
  /// Opens the array of a new frame, or goes on in the one at work. returns the text to write the next object to.
  std::string& next_object(Batch& batch, double more) {
    if (text_ != nullptr && in_frame_ < kMessagesMax && random_.chance(more)) {
      *text_ += ',';
    } else {
      const bool first = text_ == nullptr;
      finish();
      text_ = first ? &batch.add(t_ns_, random_) : &batch.follow(random_);
      *text_ += '[';
      in_frame_ = 0;
    }
    ++in_frame_;
    return *text_;
  }

  void finish() {
    if (text_ != nullptr) *text_ += ']';
    text_ = nullptr;
  }

  const Exchange& some_exchange() { return kExchanges[random_.below(kExchanges.size())]; }

  void append_stamp(const Symbol& symbol, const Exchange& exchange, std::string& text) {
    const auto late_ns = static_cast<std::int64_t>(random_.exponential(150'000));
    const std::int64_t t_ns = t_ns_ - exchange.delay_ns - late_ns;
    fmt::format_to(std::back_inserter(text), R"(,"z":"{}","t":")", symbol.instrument->tape);
    append_time(t_ns / exchange.step_ns * exchange.step_ns, text);
    text += R"("})";
  }

  void trade(Symbol& symbol, Side side, Batch& batch) {
    const Level taken = symbol.book.take(side, random_);
    const bool odd_lot = random_.chance(0.45);
    const std::int64_t shares =
        odd_lot ? 1 + static_cast<std::int64_t>(random_.below(99)) : taken.quantity * 100;
    symbol.minute.add(taken.price, shares);
    symbol.day.add(taken.price, shares);
    const Exchange& exchange = some_exchange();
    std::string& text = next_object(batch, kMoreInFrame);
    symbol.trade_id += 1 + random_.below(40);
    fmt::format_to(std::back_inserter(text), R"({{"T":"t","S":"{}","i":{},"x":"{}","p":)",
                   symbol.instrument->name, symbol.trade_id, exchange.code);
    append_price(taken.price, text);
    fmt::format_to(std::back_inserter(text), R"(,"s":{},"c":[{}])", shares,
                   odd_lot               ? R"("@","I")"
                   : random_.chance(0.2) ? R"("@","F")"
                                         : R"("@")");
    append_stamp(symbol, exchange, text);
  }

  void quote(const Symbol& symbol, Batch& batch) {
    const Level bid = symbol.book.best(Side::bid);
    const Level ask = symbol.book.best(Side::ask);
    const Exchange& exchange = some_exchange();
    const Exchange& other = some_exchange();
    std::string& text = next_object(batch, kMoreInFrame);
    fmt::format_to(std::back_inserter(text), R"({{"T":"q","S":"{}","bx":"{}","bp":)",
                   symbol.instrument->name, exchange.code);
    append_price(bid.price, text);
    fmt::format_to(std::back_inserter(text), R"(,"bs":{},"ax":"{}","ap":)", bid.quantity * 100,
                   other.code);
    append_price(ask.price, text);
    fmt::format_to(std::back_inserter(text), R"(,"as":{},"c":["R"])", ask.quantity * 100);
    append_stamp(symbol, exchange, text);
  }

  void bar(std::string_view type, const Symbol& symbol, const Bar& bar, std::int64_t t_ns,
           Batch& batch) {
    if (bar.trades == 0) return;
    std::string& text = next_object(batch, 1);
    fmt::format_to(std::back_inserter(text), R"({{"T":"{}","S":"{}","o":)", type,
                   symbol.instrument->name);
    append_price(bar.open, text);
    text += R"(,"h":)";
    append_price(bar.high, text);
    text += R"(,"l":)";
    append_price(bar.low, text);
    text += R"(,"c":)";
    append_price(bar.close, text);
    // Mean price in millionths of a dollar, rounded down: whole-number arithmetic alone.
    const std::int64_t mean_cents = bar.turnover_cents / bar.volume;
    const std::int64_t rest = bar.turnover_cents % bar.volume;
    const std::int64_t mean = mean_cents * 10'000 + rest * 10'000 / bar.volume;
    fmt::format_to(std::back_inserter(text), R"(,"v":{},"n":{},"vw":{})", bar.volume, bar.trades,
                   mean / 1'000'000);
    append_fraction(mean % 1'000'000, 6, text);
    text += R"(,"t":")";
    append_time(t_ns, text);
    text += R"("})";
  }

  void bars_of_minute(Batch& batch) {
    for (const Symbol& symbol : symbols_)
      bar("b", symbol, symbol.minute, minute_ns_ - kMinute_ns, batch);
    const std::int64_t midnight_ns = minute_ns_ / (86'400 * kSecond_ns) * (86'400 * kSecond_ns);
    for (const Symbol& symbol : symbols_) bar("d", symbol, symbol.day, midnight_ns, batch);
    for (Symbol& symbol : symbols_) symbol.last_minute = std::exchange(symbol.minute, Bar{});
  }

  /// A bar is told again when trades of its minute came in late.
  void updated_bars(Batch& batch) {
    for (Symbol& symbol : symbols_) {
      if (symbol.last_minute.trades == 0 || !random_.chance(0.5)) continue;
      symbol.last_minute.add(symbol.last_minute.close,
                             1 + static_cast<std::int64_t>(random_.below(99)));
      bar("u", symbol, symbol.last_minute, half_ns_ - kMinute_ns / 2 - kMinute_ns, batch);
    }
  }

  SeededRandom random_;
  SymbolMix mix_;
  std::vector<Symbol> symbols_;
  std::int64_t minute_ns_ = 0;   // the next minute mark
  std::int64_t half_ns_ = 0;     // the next half-minute mark
  std::int64_t t_ns_ = 0;        // of the event at work
  std::string* text_ = nullptr;  // the frame at work
  std::uint64_t in_frame_ = 0;   // its objects so far
};

}  // namespace

std::unique_ptr<SessionMaker> make_alpaca_session(const GeneratorOptions& options,
                                                  std::uint64_t seed) {
  return std::make_unique<AlpacaSession>(options, seed);
}

}  // namespace feedbench::recording
