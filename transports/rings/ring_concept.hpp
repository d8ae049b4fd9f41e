#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/clock.hpp"
#include "transports/rings/shared_bytes.hpp"

/// What all rings of messages have in common, whatever they are made of. ring_adapters.hpp makes
/// mirrored, spsc_ring, feed_log and hft_shm satisfy it; ring_conformance_test.cpp proves each.
namespace feedbench::rings {

enum class Delivery : std::uint8_t {
  lossless,   ///< A full ring refuses; nothing is ever lost.
  broadcast,  ///< The producer never waits; who lags too far is lapped and told so.
};

/// What travels beside the bytes, as far as the ring carries it (kCarriesTopic, kCarriesTicks).
struct MessageMeta {
  std::uint32_t topic = 0;         ///< 0: none.
  transports::TscInstant ticks{};  ///< When it was handed over; absent is 0.
};

enum class PublishStatus : std::uint8_t {
  published,  ///< Consumers can see it.
  full,       ///< No room now (lossless rings alone): nothing was done.
  too_large,  ///< Empty, or more than largest_message_bytes(): nothing was done.
  corrupt,    ///< The other side's part of the shared memory makes no sense; it stays so.
};

enum class PollStatus : std::uint8_t {
  message,  ///< The next message is in `out`.
  none,     ///< Nothing is there now.
  gap,      ///< Lapped (broadcast rings alone): out.missed_*; read on.
  corrupt,  ///< As above; nothing will come any more.
};

inline constexpr std::uint64_t kMissedUnknown = UINT64_MAX;

struct RingMessage {
  /// [1..] contiguous, in the ring, until the next call of next(). Of a broadcast ring they may be
  /// overwritten at any moment: believe them after keep().
  std::span<const std::byte> bytes;
  MessageMeta meta;
  std::uint64_t missed_messages = 0;  ///< With gap alone, or kMissedUnknown.
  std::uint64_t missed_bytes = 0;     ///< Likewise.
};

/// The producing end. thread: one. try_publish copies the bytes; no allocation, lock or system call.
template <class P>
concept MessageProducer = requires(P producer, const P same, std::span<const std::byte> bytes,
                                   const MessageMeta& meta) {
  { producer.try_publish(bytes, meta) }
  noexcept->std::same_as<PublishStatus>;
  { same.largest_message_bytes() }
  noexcept->std::convertible_to<std::size_t>;
};

/// The consuming end. thread: one.
/// keep(message): true if everything read of message.bytes up to now was the message. Always, in a
/// lossless ring.
template <class C>
concept MessageConsumer = requires(C consumer, RingMessage& out, const RingMessage& message) {
  { consumer.next(out) }
  noexcept->std::same_as<PollStatus>;
  { consumer.keep(message) }
  noexcept->std::same_as<bool>;
};

/// A kind of ring: its ends, and what it promises.
template <class R>
concept MessageRing = requires(R ring) {
  { R::kDelivery } -> std::convertible_to<Delivery>;
  { R::kCarriesTopic } -> std::convertible_to<bool>;
  { R::kCarriesTicks } -> std::convertible_to<bool>;
  { R::kAcrossThreads } -> std::convertible_to<bool>;  // and processes
  { R::kCountsMissed } -> std::convertible_to<bool>;   // messages, not only bytes
  requires MessageProducer<typename R::Producer>;
  requires MessageConsumer<typename R::template Consumer<>>;
};

/// Copies a message to the front of `to`. False, with `to` undefined, if it was overwritten
/// meanwhile, or if `to` is shorter than it.
template <MessageConsumer C>
[[nodiscard]] bool copy_message(C& consumer, const RingMessage& message,
                                std::span<std::byte> to) noexcept {
  if (to.size() < message.bytes.size()) return false;
  load_shared_bytes(to.data(), message.bytes.data(), message.bytes.size());
  return consumer.keep(message);
}

struct PollResult {
  std::size_t messages = 0;   ///< That fn was called with.
  std::size_t discarded = 0;  ///< Overwritten while they were copied, or larger than the space.
  PollStatus status = PollStatus::none;  ///< Why it stopped; message: `max` were handled.
  std::uint64_t missed_messages = 0;     ///< With gap.
};

/// Hands up to `max` messages to fn(bytes, meta), each copied to `space` first: whole, every one.
/// Stops at a gap, which it reports.
template <MessageConsumer C, class Fn>
PollResult poll(C& consumer, std::span<std::byte> space, Fn&& fn, std::size_t max) {
  PollResult result;
  RingMessage message;
  for (std::size_t i = 0; i < max; ++i) {
    result.status = consumer.next(message);
    if (result.status == PollStatus::gap) result.missed_messages = message.missed_messages;
    if (result.status != PollStatus::message) break;
    if (copy_message(consumer, message, space)) {
      ++result.messages;
      fn(std::span<const std::byte>(space.first(message.bytes.size())), message.meta);
    } else {
      ++result.discarded;
    }
  }
  return result;
}

}  // namespace feedbench::rings
