#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/client/client_options.hpp"
#include "reference/client/feed_reader.hpp"

/// One feed as a client has it open: what is read of it, one log after another, and what to ask for again when the proxy
/// was lost. Standard library and Linux alone.
namespace feedproxy::detail {

struct Subscription {
  std::string symbol, kind, request, release;
};

struct OpenFeed {
  /// A log to read when the one before is drained.
  struct Successor {
    FeedReader reader;
    bool gap;  ///< What came in between is lost.
  };

  FeedId id = 0;
  std::uint32_t remote = 0;  ///< The proxy's number; 0: not opened (yet, or again).
  std::size_t slot = 0;      ///< Its cursor in the client's page.
  OpenOptions options;
  std::vector<Subscription> subscriptions;
  std::optional<FeedReader> reader;
  std::optional<LastValues> last_values;  ///< To be told before what the reader reads.
  std::deque<Successor> successors;
  bool ended = false;      ///< Nothing more comes into the last log.
  bool proxy_gap = false;  ///< Tell a gap before the next message.

  void forget_subscription(std::string_view symbol, std::string_view kind) {
    for (auto at = subscriptions.begin(); at != subscriptions.end(); ++at)
      if (at->symbol == symbol && at->kind == kind) {
        subscriptions.erase(at);
        return;
      }
  }

  /// next() has something to say. Cost: one shared cache line.
  [[nodiscard]] bool ready() const noexcept {
    return proxy_gap || last_values || !successors.empty() || (reader && reader->ready());
  }

  /// As Pull says; none, too, once where one log ends and the next begins, so that whoever reads several messages together
  /// has them of one log. Cost: FeedReader::next().
  Pull next(Message& message, Gap& gap) {
    if (proxy_gap) [[unlikely]] {
      proxy_gap = false;
      gap = {GapReason::proxy_lost, kUnknown, kUnknown};
      return Pull::gap;
    }
    if (last_values) [[unlikely]] {
      message.feed = id;
      if (last_values->next(message)) return Pull::message;
      last_values.reset();
    }
    if (reader) {
      const Pull pulled = reader->next(message, gap);
      if (pulled != Pull::none) [[likely]]
        return pulled;
      // A log has a successor when nothing more is published into it: it is drained now.
      if (!successors.empty()) return go_to_successor();
    }
    return ended ? Pull::closed : Pull::none;
  }

 private:
  [[gnu::cold]] Pull go_to_successor() {
    Successor& following = successors.front();
    if (!following.gap) following.reader.continue_after(*reader);
    proxy_gap = following.gap;
    reader.emplace(std::move(following.reader));
    successors.pop_front();
    return Pull::none;
  }
};

}  // namespace feedproxy::detail
