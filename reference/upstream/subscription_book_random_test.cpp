// The book against a venue, at random.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <iterator>
#include <limits>
#include <memory>
#include <random>

#include "reference/upstream/subscription_book.hpp"
#include "reference/upstream/testing/subscription_desk.hpp"
#include "reference/venues/alpaca_session.hpp"
#include "reference/venues/binance_session.hpp"
#include "reference/venues/upstream_login.hpp"

namespace feedbench::upstream {
namespace {

using namespace book_testing;
using ::testing::IsEmpty;

/// One side of a connection: what the venue has, and what it says.
class ScriptedVenue {
 public:
  virtual ~ScriptedVenue() = default;
  /// A new connection, logged in with the pinned subscriptions by the real login.
  virtual void connect(const std::vector<std::string>& pinned, Instant now) = 0;
  virtual std::vector<std::string> answer(const std::string& request, Instant now) = 0;
  /// key_label() of all that is subscribed.
  [[nodiscard]] virtual std::set<std::string> subscribed() const = 0;
};

class BinanceVenue : public ScriptedVenue {
 public:
  void connect(const std::vector<std::string>& pinned, Instant now) override {
    session_ = venues::binance::Session({});
    auto login = venues::UpstreamLogin::create({Venue::binance, {}, pinned}).value();
    for (const std::string& text : login.on_open().send)
      (void)login.on_message(session_.on_text(text, now.ns).text);
    ASSERT_EQ(login.status(), venues::LoginStatus::ready);
  }
  std::vector<std::string> answer(const std::string& request, Instant now) override {
    // The session takes all that is well-formed, so badness is played here.
    const std::size_t bad = request.find("\"bad");
    const bool subscribes = request.find("\"SUBSCRIBE") != std::string::npos;
    const std::string id = request.substr(request.rfind(':') + 1);
    const venues::binance::Reply reply = session_.on_text(
        bad != std::string::npos && subscribes ? "{\"id\":" + id : request, now.ns);
    EXPECT_EQ(reply.close_code, 0) << reply.close_reason;
    if (bad != std::string::npos && subscribes)
      return {R"({"error":{"code":2,"msg":"Invalid request: invalid stream"},"id":)" + id};
    return {reply.text};
  }
  [[nodiscard]] std::set<std::string> subscribed() const override {
    return {session_.subscriptions().begin(), session_.subscriptions().end()};
  }

 private:
  venues::binance::Session session_{{}};
};

class AlpacaVenue : public ScriptedVenue {
 public:
  void connect(const std::vector<std::string>& pinned, Instant now) override {
    venues::alpaca::SessionOptions options;
    options.symbols_max = 14;  // error 405 now and then
    session_ = venues::alpaca::Session(options);
    auto login = venues::UpstreamLogin::create({Venue::alpaca, {"k", "s"}, pinned}).value();
    (void)login.on_open();
    std::deque<std::string> said;
    const auto hear = [&](const venues::alpaca::Reply& reply) {
      said.insert(said.end(), reply.texts.begin(), reply.texts.end());
    };
    hear(session_.on_open({}, now.ns));
    for (; !said.empty(); said.pop_front()) {
      for (const std::string& text : login.on_message(said.front()).send)
        hear(session_.on_message(text, now.ns));
    }
    ASSERT_EQ(login.status(), venues::LoginStatus::ready);
  }
  std::vector<std::string> answer(const std::string& request, Instant now) override {
    return session_.on_message(request, now.ns).texts;
  }
  [[nodiscard]] std::set<std::string> subscribed() const override {
    using venues::alpaca::Channel;
    std::set<std::string> all;
    for (std::size_t i = 0; i < venues::alpaca::kChannels; ++i) {
      const auto channel = static_cast<Channel>(i);
      if (channel == Channel::corrections || channel == Channel::cancel_errors) continue;
      for (const std::string& symbol : session_.symbols(channel))
        all.insert(fmt::format("{}:{}", venues::alpaca::to_string(channel), symbol));
    }
    return all;
  }

 private:
  venues::alpaca::Session session_{{}};
};

/// Takes "+name" and "-name" and answers nothing.
class RawVenue : public ScriptedVenue {
 public:
  void connect(const std::vector<std::string>& pinned, Instant) override {
    names_ = {pinned.begin(), pinned.end()};
  }
  std::vector<std::string> answer(const std::string& request, Instant) override {
    if (request[0] == '+')
      EXPECT_TRUE(names_.insert(request.substr(1)).second) << request << " twice";
    else
      EXPECT_EQ(names_.erase(request.substr(1)), 1u) << request << " without its subscribe";
    return {};
  }
  [[nodiscard]] std::set<std::string> subscribed() const override { return names_; }

 private:
  std::set<std::string> names_;
};

/// Users that do as they like, a venue that may be slow, deaf or gone, and what must come of it.
class Simulation {
 public:
  Simulation(Venue venue, std::uint64_t seed) : venue_name_(venue), random_(seed) {
    if (venue == Venue::binance) {
      pinned_ = {"pin1@trade", "pin2@trade"};
      venue_ = std::make_unique<BinanceVenue>();
    } else if (venue == Venue::alpaca) {
      pinned_ = {"bars:*", "PIN"};
      venue_ = std::make_unique<AlpacaVenue>();
    } else {
      pinned_ = {"pin1"};
      venue_ = std::make_unique<RawVenue>();
    }
    desk_ = std::make_unique<Desk>(of(venue, pinned_), false);
  }

  void run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      step();
      look();
      if (i % 500 == 499) {
        come_to_rest();
        check();
      }
    }
  }

 private:
  struct Request {
    bool subscribes = false;
    std::pair<std::string, std::string> key;
  };
  using Counts = std::map<std::pair<std::string, std::string>, int>;

  std::uint64_t pick(std::uint64_t below) { return random_() % below; }

  std::pair<std::string, std::string> any_key() {
    const std::uint64_t n = pick(30);
    if (venue_name_ == Venue::raw) return {n == 0 ? "pin1" : fmt::format("s{}", n), ""};
    if (venue_name_ == Venue::binance) {
      if (n < 2) return {fmt::format("pin{}", n + 1), "trade"};
      return {fmt::format("{}{}", n < 5 ? "bad" : "s", n), n % 2 == 0 ? "trade" : "depth@100ms"};
    }
    if (n < 2) return {"PIN", n == 0 ? "trades" : "quotes"};
    if (n < 4) return {"ANY", "bars"};
    if (n < 6) return {fmt::format("S{}", n), "orderbooks"};  // stocks have none: error 410
    return {fmt::format("{}{}", n < 8 ? "bad" : "S", n), n % 3 == 0 ? "quotes" : "trades"};
  }

  void step() {
    const std::uint64_t action = pick(100);
    if (action < 40) {
      subscribe(1 + pick(12), any_key());
    } else if (action < 70) {
      unsubscribe();
    } else if (action < 73) {
      const Book::UserId user = 1 + pick(12);
      desk_->book.user_gone(user, desk_->now);
      counts_.erase(user);
      std::erase_if(waiting_, [&](const auto& item) { return item.first.first == user; });
    } else if (action < 74) {
      lose();
    } else if (action < 77) {
      desk_->answer(pick(2) == 0 ? R"({"result":null,"id":5})" : "garbage");
    } else if (action < 95) {
      pass(static_cast<std::int64_t>(pick(pick(20) == 0 ? 12'000 : 400)));
    } else if (action < 96) {
      deaf_ = pick(3) != 0;
    } else if (!up_) {
      connect();
    } else {
      deliver();
    }
  }

  void subscribe(Book::UserId user, const std::pair<std::string, std::string>& key) {
    waiting_[{user, ++last_request_}] = {true, key};
    const bool raw = venue_name_ == Venue::raw;
    desk_->subscribe(user, last_request_, key.first, key.second, raw ? "+" + key.first : "",
                     raw ? "-" + key.first : "");
  }

  void unsubscribe() {
    // Mostly something that the user has.
    const Book::UserId user = 1 + pick(12);
    std::pair<std::string, std::string> key = any_key();
    const auto has = counts_.find(user);
    if (has != counts_.end() && !has->second.empty() && pick(5) != 0)
      key = std::next(has->second.begin(), static_cast<std::ptrdiff_t>(pick(has->second.size())))
                ->first;
    waiting_[{user, ++last_request_}] = {false, key};
    desk_->unsubscribe(user, last_request_, key.first, key.second);
  }

  void lose() {
    up_ = false;
    said_.clear();
    desk_->book.upstream_lost(desk_->now);
  }
  void connect() {
    up_ = true;
    doubt_ = false;
    venue_->connect(pinned_, desk_->now);
    desk_->book.upstream_ready(desk_->now);
  }
  void pass(std::int64_t ms) {
    const Instant end = desk_->now + ms * kMs;
    while (desk_->now < end) {  // requests reach the venue when they are sent, not later
      const Instant due = std::clamp(desk_->book.next_deadline(), desk_->now, end);
      desk_->now = due;
      desk_->book.on_time(due);
      look();
      ASSERT_TRUE(due == end || desk_->book.next_deadline() > due) << "nothing was done";
    }
  }
  void deliver() {
    if (said_.empty()) return;
    desk_->answer(said_.front());
    said_.pop_front();
  }

  /// Takes what the book has to say.
  void look() {
    const std::uint64_t unanswered = desk_->book.numbers().requests_unanswered;
    doubt_ = doubt_ || (unanswered != unanswered_ && !said_.empty());
    unanswered_ = unanswered;
    for (const std::string& text : desk_->requests()) {
      ASSERT_TRUE(up_) << text;
      // A deaf venue loses subscribes or their answers; of an unsubscribe only the answer, since a
      // book that is told nothing may forget the key.
      const bool release =
          text.find("UNSUB") != std::string::npos || text.find("unsub") != std::string::npos;
      if (deaf_ && !release && venue_name_ != Venue::raw && pick(2) == 0) continue;
      for (std::string& answer : venue_->answer(text, desk_->now))
        if (!deaf_)
          said_.push_back(std::move(answer));
        else if (release && answer.find("error") != std::string::npos)
          doubt_ = true;  // not done, and the book takes it for done
    }
    for (const Book::Result& result : desk_->book.take_results()) {
      const auto asked = waiting_.find({result.user, result.request_id});
      ASSERT_NE(asked, waiting_.end())
          << "a second result, or one for nobody: " << result.request_id << result.error;
      int& count = counts_[result.user][asked->second.key];
      if (asked->second.subscribes) {
        count += result.error.empty() ? 1 : 0;
      } else {
        count -= result.error.find("not subscribed") == std::string::npos ? 1 : 0;
      }
      ASSERT_GE(count, 0);
      if (count == 0) counts_[result.user].erase(asked->second.key);
      waiting_.erase(asked);
    }
  }

  void come_to_rest() {
    deaf_ = false;
    if (!up_) connect();
    for (int turn = 0; turn < 500; ++turn) {
      pass(300);
      while (!said_.empty()) deliver();
      look();
      if (desk_->book.next_deadline() == Book::kNever) break;
    }
    // A key that its users had and the venue refuses since (a symbol limit) is tried for ever.
    EXPECT_EQ(desk_->book.numbers().keys_queued, 0u);
    EXPECT_THAT(waiting_, IsEmpty());
  }

  void check() {
    std::set<std::string> expected, missing;
    for (const Book::KeyNumbers& key : desk_->book.keys()) {
      EXPECT_EQ(key.waiting, 0u);
      EXPECT_GT(key.users, 0u) << key.symbol;
      if (!key.active) missing.insert(key_label(venue_name_, key.symbol, key.kind));
    }
    EXPECT_EQ(missing.size(), desk_->book.numbers().keys_missing);
    if (venue_name_ != Venue::alpaca) {
      EXPECT_THAT(missing, IsEmpty());
    }
    std::set<std::pair<std::string, std::string>> keys;
    PinnedKeys covered(venue_name_, pinned_);
    for (const auto& [user, counts] : counts_) {
      for (const auto& [key, count] : counts) {
        keys.insert(key);
        if (!covered.cover(key.first, key.second))
          expected.insert(key_label(venue_name_, key.first, key.second));
      }
    }
    for (const auto& [symbol, kind] : keys) {
      const auto has = [&](const auto& user) { return user.second.contains({symbol, kind}); };
      EXPECT_EQ(desk_->book.users_of(symbol, kind),
                static_cast<std::size_t>(std::count_if(counts_.begin(), counts_.end(), has)));
    }
    EXPECT_EQ(desk_->book.numbers().keys, keys.size());
    for (const std::string& item : pinned_) {
      if (item == "PIN")
        expected.insert({"trades:PIN", "quotes:PIN"});
      else
        expected.insert(item);
    }
    for (const std::string& key : missing) expected.erase(key);
    const std::set<std::string> has = venue_->subscribed();
    if (venue_name_ == Venue::alpaca && doubt_) {
      // Its late answers cannot be told from others: it may send what nobody wants.
      EXPECT_TRUE(std::includes(has.begin(), has.end(), expected.begin(), expected.end()));
    } else {
      EXPECT_EQ(has, expected);
    }
  }

  Venue venue_name_;
  std::mt19937_64 random_;
  std::vector<std::string> pinned_;
  std::unique_ptr<ScriptedVenue> venue_;
  std::unique_ptr<Desk> desk_;
  bool up_ = false;
  bool deaf_ = false;
  bool doubt_ = false;  // answers came after the book had given them up
  std::uint64_t unanswered_ = 0;
  std::deque<std::string> said_;  // answers on their way
  std::uint32_t last_request_ = 0;
  std::map<std::pair<Book::UserId, std::uint32_t>, Request> waiting_;
  std::map<Book::UserId, Counts> counts_;
};

constexpr std::uint64_t kSeeds = 40;

class SubscriptionBookAtRandom : public ::testing::TestWithParam<Venue> {};

TEST_P(SubscriptionBookAtRandom, TheVenueHasWhatTheUsersHaveOnceAllIsAnswered) {
  for (std::uint64_t seed = 1; seed <= kSeeds && !HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Simulation(GetParam(), seed).run(2'000);
  }
}
INSTANTIATE_TEST_SUITE_P(Venues, SubscriptionBookAtRandom,
                         ::testing::Values(Venue::raw, Venue::binance, Venue::alpaca),
                         [](const auto& parameter) {
                           return std::string(venues::to_string(parameter.param));
                         });

}  // namespace
}  // namespace feedbench::upstream