#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/upstream/subscription_book.hpp"

/// What the tests of the subscription book share: a book with its clock, and a venue's answers.
namespace feedbench::upstream::book_testing {

using venues::Venue;
using Book = SubscriptionBook;
using Instant = Book::Instant;

inline constexpr std::int64_t kMs = 1'000'000;

/// A book, its clock, and shorter ways to say things. Results read like "1/7 ok",
/// "1/7 ok existing", "1/7 <error>".
struct Desk {
  explicit Desk(SubscriptionBookOptions options, bool ready = true) : book(std::move(options)) {
    if (ready) book.upstream_ready(now);
  }
  void subscribe(Book::UserId user, std::uint32_t id, const std::string& symbol,
                 const std::string& kind, const std::string& request = {},
                 const std::string& release = {}) {
    book.subscribe(user, id, {symbol, kind, request, release}, now);
  }
  void unsubscribe(Book::UserId user, std::uint32_t id, const std::string& symbol,
                   const std::string& kind) {
    book.unsubscribe(user, id, symbol, kind, now);
  }
  void answer(std::string_view text) { book.on_answer(text, now); }
  /// Lets the time go by as an event loop does: from deadline to deadline.
  void pass(std::int64_t ms) {
    const Instant end = now + ms * kMs;
    int turns = 0;
    while (book.next_deadline() <= end) {
      ASSERT_LT(++turns, 100'000) << "deadlines at which nothing is done";
      now = std::max(now, book.next_deadline());
      book.on_time(now);
    }
    now = end;
    book.on_time(now);
  }
  std::vector<std::string> results() {
    std::vector<std::string> texts;
    for (const Book::Result& result : book.take_results()) {
      texts.push_back(fmt::format("{}/{} {}{}", result.user, result.request_id,
                                  result.error.empty() ? "ok" : result.error,
                                  result.existing ? " existing" : ""));
    }
    return texts;
  }
  std::vector<std::string> requests() { return book.take_requests(); }

  Instant now{1'000'000'000};
  Book book;
};

inline SubscriptionBookOptions of(Venue venue, std::vector<std::string> pinned = {}) {
  SubscriptionBookOptions options;
  options.venue = venue;
  options.pinned = std::move(pinned);
  return options;
}

inline std::string binance_ok(std::int64_t id) {
  return fmt::format(R"({{"result":null,"id":{}}})", id);
}
inline std::string binance_error(std::int64_t id) {
  return fmt::format(R"({{"error":{{"code":2,"msg":"Invalid request: invalid stream"}},"id":{}}})",
                     id);
}

}  // namespace feedbench::upstream::book_testing
