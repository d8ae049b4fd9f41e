#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "transports/clock.hpp"
#include "transports/rings/ring_concept.hpp"
#include "transports/rings/spsc_ring.hpp"

/// What the reader of a private ring leaves to a checker in another process: each message with the
/// instant at which the reader had it. A receipt is {u64 TSC ticks} and the message's bytes, in an
/// spsc ring.
namespace feedbench::baselines {

inline constexpr std::size_t kReceiptHeaderBytes = sizeof(std::uint64_t);

/// The reader's end. thread: one. No allocation, lock or system call.
class ReceiptProducer {
 public:
  explicit ReceiptProducer(rings::SpscProducer producer) noexcept : producer_(producer) {}

  /// bytes: [1..largest_message_bytes()], copied. had_at: when the reader had them.
  rings::PublishStatus try_put(std::span<const std::byte> bytes,
                               transports::TscInstant had_at) noexcept {
    if (bytes.empty() || bytes.size() > largest_message_bytes())
      return rings::PublishStatus::too_large;
    const auto space = producer_.try_reserve(kReceiptHeaderBytes + bytes.size());
    if (space.empty()) {
      return producer_.corrupt() ? rings::PublishStatus::corrupt : rings::PublishStatus::full;
    }
    std::memcpy(space.data(), &had_at.ticks, kReceiptHeaderBytes);
    std::memcpy(space.data() + kReceiptHeaderBytes, bytes.data(), bytes.size());
    producer_.commit(space.size());
    return rings::PublishStatus::published;
  }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return producer_.largest_message_bytes() - kReceiptHeaderBytes;
  }

 private:
  rings::SpscProducer producer_;
};

/// The checker's end, a MessageConsumer: meta.ticks is when the reader had the message.
/// thread: one. No allocation, lock or system call.
class ReceiptConsumer {
 public:
  explicit ReceiptConsumer(rings::SpscConsumer consumer) noexcept : consumer_(consumer) {}

  rings::PollStatus next(rings::RingMessage& out) noexcept {
    rings::SpscMessage receipt;
    switch (consumer_.next(receipt)) {
      case rings::SpscStatus::none:
        return rings::PollStatus::none;
      case rings::SpscStatus::corrupt:
        return rings::PollStatus::corrupt;
      case rings::SpscStatus::message:
        break;
    }
    if (receipt.bytes.size() <= kReceiptHeaderBytes) return rings::PollStatus::corrupt;
    std::memcpy(&out.meta.ticks.ticks, receipt.bytes.data(), kReceiptHeaderBytes);
    out.meta.topic = 0;
    out.bytes = receipt.bytes.subspan(kReceiptHeaderBytes);
    return rings::PollStatus::message;
  }
  static bool keep(const rings::RingMessage&) noexcept { return true; }

 private:
  rings::SpscConsumer consumer_;
};
static_assert(rings::MessageConsumer<ReceiptConsumer>);

}  // namespace feedbench::baselines
