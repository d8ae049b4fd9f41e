#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/load/stream_checker.hpp"
#include "reference/client/client.hpp"
#include "transports/clock.hpp"
#include "transports/transport.hpp"

namespace feedbench::load {

/// Many local clients of one proxy (shared memory) in one thread, each with a connection, a page and a cursor of its own.
/// Every message is checked as it comes, headers and all; who listens is told which frames became whole.
/// thread: one.
class LocalSwarm {
 public:
  LocalSwarm(std::shared_ptr<const mock_exchange::PreparedSession> session,
             std::uint32_t clients_max)
      : checker_(std::move(session), clients_max), clients_max_(clients_max) {}

  /// Connects clients until there are `total`; they are ready when this returns.
  /// errors: what the proxy said.
  transports::Expected<void> connect(const std::string& socket_path, std::uint32_t total);

  [[nodiscard]] std::uint32_t ready() const noexcept {
    return static_cast<std::uint32_t>(clients_.size()) - closed_;
  }
  /// Clients that were lapped or whose proxy is gone; the reason of the first.
  [[nodiscard]] std::uint32_t closed() const noexcept { return closed_; }
  [[nodiscard]] const std::string& first_failure() const noexcept { return first_failure_; }
  [[nodiscard]] const StreamChecker& checker() const noexcept { return checker_; }

  /// Looks at every client once. delivered(client, first, last, now): sequences [first, last) became whole.
  /// returns how much was done; 0: nothing.
  template <class Delivered>
  std::size_t poll(Delivered&& delivered) {
    std::size_t done = 0;
    for (std::uint32_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i].ended) [[unlikely]]
        continue;
      feedproxy::Message message;
      feedproxy::Gap gap;
      for (int n = 0; n < kMessagesPerTurn; ++n, ++done) {
        const feedproxy::Pull pulled = clients_[i].client->next(clients_[i].feed, message, gap);
        if (pulled == feedproxy::Pull::none) break;
        if (pulled != feedproxy::Pull::message) [[unlikely]] {
          end(i, pulled, gap);
          break;
        }
        const transports::TscInstant now = transports::TscInstant::now();
        const auto advance = checker_.on_bytes(i, message.frame->bytes());
        if (!message.intact()) [[unlikely]] {
          end(i, feedproxy::Pull::gap, {feedproxy::GapReason::lapped, 1, message.frame->length});
          break;
        }
        delivered(i, advance.first, advance.last, now);
      }
    }
    return done;
  }

  void close_all();

 private:
  static constexpr int kMessagesPerTurn = 64;

  struct Member {
    std::unique_ptr<feedproxy::Client> client;
    feedproxy::FeedId feed = 0;
    bool ended = false;
  };
  void end(std::uint32_t client, feedproxy::Pull how, const feedproxy::Gap& gap);

  StreamChecker checker_;
  std::uint32_t clients_max_;
  std::vector<Member> clients_;
  std::uint32_t closed_ = 0;
  std::string first_failure_;
};

}  // namespace feedbench::load
