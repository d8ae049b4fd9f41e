#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "mock_exchange/exchange.hpp"
#include "mock_exchange/testing/beast_client.hpp"

namespace feedbench::mock_exchange::testing {

/// An exchange and its clients on one event loop in one thread. Time stands still unless a test moves it: a tick of this
/// clock is a nanosecond.
class ExchangeTest : public ::testing::Test {
 protected:
  static transports::TscInstant now() noexcept { return {now_ns_}; }
  static void pass_ns(std::uint64_t ns) { now_ns_ += ns; }
  static constexpr std::uint64_t kSecond_ns = 1'000'000'000;

  ExchangeTest() { now_ns_ = 1'000 * kSecond_ns; }
  ~ExchangeTest() override { clients_.clear(); }

  /// Options with this clock and any free port.
  static ExchangeOptions options_for(venues::Venue venue,
                                     std::shared_ptr<const PreparedSession> session,
                                     Pace::Kind pace = Pace::Kind::max) {
    ExchangeOptions options;
    options.venue = venue;
    options.session = std::move(session);
    options.pace.kind = pace;
    options.start = Start::on_subscribe;
    options.tsc_hz = 1e9;
    options.now = &ExchangeTest::now;
    return options;
  }

  Exchange& serve(ExchangeOptions options) {
    auto exchange = Exchange::create(io_, std::move(options));
    if (!exchange) throw std::runtime_error(exchange.error().message);
    exchange_ = std::move(*exchange);
    return *exchange_;
  }

  BeastClient& connect(BeastClientOptions options) {
    clients_.push_back(
        std::make_unique<BeastClient>(io_, exchange_->endpoint(), std::move(options)));
    return *clients_.back();
  }
  BeastClient& connect(const std::string& target) {
    BeastClientOptions options;
    options.target = target;
    return connect(std::move(options));
  }

  /// Turns the loop until it holds; a test that waits for ever is ended by ctest.
  template <class Condition>
  void run_until(Condition&& condition) {
    while (!condition()) turn();
  }
  void turn() {
    io_.poll();
    if (exchange_) exchange_->pump();
  }
  /// Long enough for whatever would happen now to have happened.
  void settle() {
    for (int i = 0; i < 2000; ++i) turn();
  }
  void run_until_messages(const BeastClient& client, std::size_t count) {
    run_until([&] { return client.messages().size() >= count || client.ended(); });
    ASSERT_GE(client.messages().size(), count) << client.error();
  }
  void run_until_open(const BeastClient& client) {
    run_until([&] { return client.open() || client.ended(); });
    ASSERT_TRUE(client.open()) << client.error();
  }
  void run_until_ended(const BeastClient& client) {
    run_until([&] { return client.ended(); });
  }

  boost::asio::io_context io_;
  std::unique_ptr<Exchange> exchange_;
  std::deque<std::unique_ptr<BeastClient>> clients_;

 private:
  inline static std::uint64_t now_ns_ = 0;
};

/// The texts of frames [first, last) of a session.
inline std::vector<std::string> texts_of(const PreparedSession& session, std::size_t first = 0,
                                         std::size_t last = SIZE_MAX) {
  std::vector<std::string> texts;
  for (std::size_t i = first; i < session.frame_count() && i < last; ++i)
    texts.emplace_back(session.text(i));
  return texts;
}

}  // namespace feedbench::mock_exchange::testing
