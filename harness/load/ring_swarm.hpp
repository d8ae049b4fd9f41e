#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "harness/load/stream_checker.hpp"
#include "reference/baselines/bridge/receipts.hpp"
#include "transports/clock.hpp"
#include "transports/rings/ring_adapters.hpp"
#include "transports/transport.hpp"

namespace feedbench::load {

/// The readers of one ring that a bridge publishes into, in one thread, each with a cursor of its
/// own. Of a private ring (mirrored) what its reader had, and when, comes here as receipts.
/// Every message is checked as it comes, headers and all; who listens is told which frames became
/// whole. thread: one.
class RingSwarm {
 public:
  RingSwarm(std::shared_ptr<const mock_exchange::PreparedSession> session,
            std::uint32_t clients_max)
      : checker_(std::move(session), clients_max), clients_max_(clients_max) {}

  /// Attaches readers until there are `total`; they are ready when this returns. Of hft_shm the
  /// names are removed then: both sides have the memory mapped, and a run that is killed leaves
  /// nothing in /dev/shm. ring: "feed_log", "spsc", "hft_shm", "mirrored". file: as the bridge
  /// says.
  /// errors: not such a ring, or a ring of one reader and total > 1.
  transports::Expected<void> connect(const std::string& ring, const std::string& file,
                                     std::uint32_t total);

  [[nodiscard]] std::uint32_t ready() const noexcept {
    return static_cast<std::uint32_t>(readers_.size()) - closed_;
  }
  /// Readers that were lapped or found nonsense in the ring; the reason of the first.
  [[nodiscard]] std::uint32_t closed() const noexcept { return closed_; }
  [[nodiscard]] const std::string& first_failure() const noexcept { return first_failure_; }
  [[nodiscard]] const StreamChecker& checker() const noexcept { return checker_; }

  /// Looks at every reader once. delivered(client, first, last, had_at): sequences [first, last)
  /// became whole at that instant. returns how much was done; 0: nothing.
  template <class Delivered>
  std::size_t poll(Delivered&& delivered) {
    std::size_t done = 0;
    for (std::uint32_t i = 0; i < readers_.size(); ++i) {
      if (readers_[i].ended) [[unlikely]]
        continue;
      done += std::visit([&](auto& consumer) { return read(i, consumer, delivered); },
                         readers_[i].consumer);
    }
    return done;
  }

  /// Lets go of the ring and concludes open questions of the checker.
  void close_all();

 private:
  static constexpr int kMessagesPerTurn = 64;

  using FeedLogReader = rings::FeedLogConsumer<rings::NoReadHooks>;
  using HftShmReader = rings::HftShmConsumer<rings::NoHftShmHooks>;
  using Consumer = std::variant<FeedLogReader, rings::SpscMessageConsumer, HftShmReader,
                                baselines::ReceiptConsumer>;
  struct Reader {
    Consumer consumer;
    bool ended = false;
  };

  template <class C, class Delivered>
  std::size_t read(std::uint32_t client, C& consumer, Delivered& delivered) {
    rings::RingMessage message;
    for (int n = 0; n < kMessagesPerTurn; ++n) {
      const rings::PollStatus status = consumer.next(message);
      if (status == rings::PollStatus::none) return static_cast<std::size_t>(n);
      if (status != rings::PollStatus::message) [[unlikely]] {
        end(client, status, message.missed_messages);
        return static_cast<std::size_t>(n) + 1;
      }
      constexpr bool kReceipt = std::is_same_v<C, baselines::ReceiptConsumer>;
      const transports::TscInstant had_at =
          kReceipt ? message.meta.ticks : transports::TscInstant::now();
      const auto advance = checker_.on_bytes(client, message.bytes);
      if (!consumer.keep(message)) [[unlikely]] {
        end(client, rings::PollStatus::gap, 1);
        return static_cast<std::size_t>(n) + 1;
      }
      delivered(client, advance.first, advance.last, had_at);
    }
    return kMessagesPerTurn;
  }
  transports::Expected<Consumer> attach(const std::string& ring, const std::string& file);
  void end(std::uint32_t client, rings::PollStatus how, std::uint64_t missed);

  StreamChecker checker_;
  std::uint32_t clients_max_;
  std::optional<rings::SpscRing>
      shared_;  // the memory of an SpscMessageConsumer or ReceiptConsumer
  std::vector<Reader> readers_;
  std::uint32_t closed_ = 0;
  std::string first_failure_;
};

}  // namespace feedbench::load
