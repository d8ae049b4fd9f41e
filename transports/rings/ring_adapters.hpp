#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/rings/hft_shm.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/rings/ring_concept.hpp"
#include "transports/rings/spsc_ring.hpp"

/// The four rings as MessageRing. create(ring_bytes) makes one; producer() and consumer() give its
/// ends, which the ring must outlive. In a forked child they go on working: the memory is shared.
namespace feedbench::rings {

/// Where any consumer may be held up, for tests.
struct NoRingHooks : NoReadHooks, NoHftShmHooks {};

// --- mirrored: private, one thread ---------------------------------------------------------------

class MirroredProducer {
 public:
  explicit MirroredProducer(MirroredBuffer* buffer) noexcept : buffer_(buffer) {}

  PublishStatus try_publish(std::span<const std::byte> bytes, const MessageMeta& meta) noexcept {
    if (bytes.empty() || bytes.size() > largest_message_bytes()) return PublishStatus::too_large;
    const auto space = buffer_->writable();
    if (space.size() < spsc_record_bytes(bytes.size())) return PublishStatus::full;
    const std::uint64_t header = bytes.size() | std::uint64_t{meta.topic} << 32;
    std::memcpy(space.data(), &header, sizeof(header));
    std::memcpy(space.data() + sizeof(header), bytes.data(), bytes.size());
    buffer_->written(spsc_record_bytes(bytes.size()));
    return PublishStatus::published;
  }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return buffer_->capacity() - kSpscHeaderBytes;
  }

 private:
  MirroredBuffer* buffer_;
};

class MirroredConsumer {
 public:
  explicit MirroredConsumer(MirroredBuffer* buffer) noexcept : buffer_(buffer) {}

  PollStatus next(RingMessage& out) noexcept {
    buffer_->consume(std::exchange(given_bytes_, 0));
    if (buffer_->empty()) return PollStatus::none;
    const auto data = buffer_->readable();
    std::uint64_t header = 0;
    std::memcpy(&header, data.data(), sizeof(header));
    out.bytes = data.subspan(sizeof(header), static_cast<std::uint32_t>(header));
    out.meta = {.topic = static_cast<std::uint32_t>(header >> 32)};
    given_bytes_ = spsc_record_bytes(out.bytes.size());
    return PollStatus::message;
  }
  static bool keep(const RingMessage&) noexcept { return true; }

 private:
  MirroredBuffer* buffer_;
  std::size_t given_bytes_ = 0;
};

struct MirroredRing {
  static constexpr Delivery kDelivery = Delivery::lossless;
  static constexpr bool kCarriesTopic = true;
  static constexpr bool kCarriesTicks = false;
  static constexpr bool kAcrossThreads = false;
  static constexpr bool kCountsMissed = true;
  using Producer = MirroredProducer;
  template <class Hooks = NoRingHooks>
  using Consumer = MirroredConsumer;

  std::unique_ptr<MirroredBuffer> buffer;

  static transports::Expected<MirroredRing> create(std::size_t ring_bytes) {
    auto made = MirroredBuffer::create(ring_bytes);
    if (!made) return tl::unexpected(made.error());
    return MirroredRing{std::make_unique<MirroredBuffer>(std::move(*made))};
  }
  Producer producer() { return Producer(buffer.get()); }
  template <class Hooks = NoRingHooks>
  Consumer<Hooks> consumer(const Hooks& = {}) {
    return Consumer<Hooks>(buffer.get());
  }
};

// --- spsc_ring -----------------------------------------------------------------------------------

class SpscMessageProducer {
 public:
  explicit SpscMessageProducer(SpscProducer producer) noexcept : producer_(producer) {}

  PublishStatus try_publish(std::span<const std::byte> bytes, const MessageMeta& meta) noexcept {
    if (bytes.empty() || bytes.size() > largest_message_bytes()) return PublishStatus::too_large;
    const auto space = producer_.try_reserve(bytes.size());
    if (space.empty()) return producer_.corrupt() ? PublishStatus::corrupt : PublishStatus::full;
    std::memcpy(space.data(), bytes.data(), bytes.size());
    producer_.commit(bytes.size(), meta.topic);
    return PublishStatus::published;
  }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return producer_.largest_message_bytes();
  }

 private:
  SpscProducer producer_;
};

class SpscMessageConsumer {
 public:
  explicit SpscMessageConsumer(SpscConsumer consumer) noexcept : consumer_(consumer) {}

  PollStatus next(RingMessage& out) noexcept {
    SpscMessage message;
    switch (consumer_.next(message)) {
      case SpscStatus::none:
        return PollStatus::none;
      case SpscStatus::corrupt:
        return PollStatus::corrupt;
      case SpscStatus::message:
        break;
    }
    out.bytes = message.bytes;
    out.meta = {.topic = message.tag};
    return PollStatus::message;
  }
  static bool keep(const RingMessage&) noexcept { return true; }

 private:
  SpscConsumer consumer_;
};

struct SpscMessageRing {
  static constexpr Delivery kDelivery = Delivery::lossless;
  static constexpr bool kCarriesTopic = true;
  static constexpr bool kCarriesTicks = false;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kCountsMissed = true;
  using Producer = SpscMessageProducer;
  template <class Hooks = NoRingHooks>
  using Consumer = SpscMessageConsumer;

  SpscRing ring;

  static transports::Expected<SpscMessageRing> create(std::size_t ring_bytes) {
    auto made = SpscRing::create({.ring_bytes = ring_bytes});
    if (!made) return tl::unexpected(made.error());
    return SpscMessageRing{std::move(*made)};
  }
  Producer producer() { return Producer(ring.producer()); }
  template <class Hooks = NoRingHooks>
  Consumer<Hooks> consumer(const Hooks& = {}) {
    return Consumer<Hooks>(ring.consumer());
  }
};

// --- feed_log ------------------------------------------------------------------------------------

class FeedLogProducer {
 public:
  explicit FeedLogProducer(FeedLogWriter* writer) noexcept : writer_(writer) {}

  PublishStatus try_publish(std::span<const std::byte> bytes, const MessageMeta& meta) noexcept {
    if (bytes.empty() || bytes.size() > largest_message_bytes()) return PublishStatus::too_large;
    const std::uint64_t offset = writer_->write_position();
    const auto space = writer_->reserve(bytes.size());
    store_shared_bytes(space.data(), bytes.data(), bytes.size());
    writer_->written(bytes.size());
    FrameEntry entry;
    entry.offset = offset;
    entry.length = static_cast<std::uint32_t>(bytes.size());
    entry.topic = meta.topic;
    entry.stamps.handler = meta.ticks;
    writer_->stage(entry);
    writer_->publish();
    return PublishStatus::published;
  }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return writer_->largest_frame_bytes();
  }

 private:
  FeedLogWriter* writer_;
};

template <class Hooks>
class FeedLogConsumer {
 public:
  FeedLogConsumer(const FeedLogWriter& writer, const Hooks& hooks) noexcept
      : FeedLogConsumer(BasicMappedFeedLogReader<Hooks>::attach(writer, hooks)) {}
  /// Begins at the oldest message that is still whole. Any process: FeedLogReader::map() maps it.
  explicit FeedLogConsumer(BasicMappedFeedLogReader<Hooks> reader) noexcept
      : reader_(std::move(reader)) {
    reader_.seek_oldest();
  }

  PollStatus next(RingMessage& out) noexcept {
    switch (reader_.next(frame_)) {
      case ReadStatus::none:
        return PollStatus::none;
      case ReadStatus::gap:
        out.missed_messages = frame_.missed_frames;
        out.missed_bytes = frame_.missed_bytes;
        return PollStatus::gap;
      case ReadStatus::frame:
        break;
    }
    out.bytes = frame_.bytes();
    out.meta = {.topic = frame_.topic, .ticks = {frame_.packed_stamps.handler_ticks}};
    return PollStatus::message;
  }
  bool keep(const RingMessage&) const noexcept { return reader_.confirm(frame_); }

 private:
  BasicMappedFeedLogReader<Hooks> reader_;
  Frame frame_;
};

struct FeedLogRing {
  static constexpr Delivery kDelivery = Delivery::broadcast;
  static constexpr bool kCarriesTopic = true;
  static constexpr bool kCarriesTicks = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kCountsMissed = true;
  using Producer = FeedLogProducer;
  template <class Hooks = NoRingHooks>
  using Consumer = FeedLogConsumer<Hooks>;

  std::unique_ptr<FeedLogWriter> writer;

  static transports::Expected<FeedLogRing> create(std::size_t ring_bytes) {
    auto made = FeedLogWriter::create(
        {.ring_bytes = ring_bytes, .index_lines = ring_bytes / kIndexLineBytes});
    if (!made) return tl::unexpected(made.error());
    return FeedLogRing{std::make_unique<FeedLogWriter>(std::move(*made))};
  }
  Producer producer() { return Producer(writer.get()); }
  template <class Hooks = NoRingHooks>
  Consumer<Hooks> consumer(const Hooks& hooks = {}) {
    return Consumer<Hooks>(*writer, hooks);
  }
};

// --- hft_shm -------------------------------------------------------------------------------------

/// One message, one batch of one frame.
class HftShmProducer {
 public:
  explicit HftShmProducer(HftShmWriter* writer) noexcept : writer_(writer) {}

  PublishStatus try_publish(std::span<const std::byte> bytes, const MessageMeta& meta) noexcept {
    const auto space = writer_->reserve(bytes.size(), 1);
    if (space.empty()) return PublishStatus::too_large;
    store_shared_bytes(space.data(), bytes.data(), bytes.size());
    const HftShmFrame frame{0, static_cast<std::uint32_t>(bytes.size())};
    writer_->commit(bytes.size(), {&frame, 1}, 0, meta.ticks);
    return PublishStatus::published;
  }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return writer_->largest_data_bytes();
  }

 private:
  HftShmWriter* writer_;
};

/// Gives a batch's frames one by one and passes over status events. A lap in the midst of a batch
/// is a gap that counts all of the batch.
template <class Hooks>
class HftShmConsumer {
 public:
  HftShmConsumer(const HftShmWriter& writer, const Hooks& hooks) noexcept
      : HftShmConsumer(BasicHftShmReader<Hooks>::attach(writer, hooks)) {}
  /// Begins where that reader stands. Any process: HftShmReader::open() maps it.
  explicit HftShmConsumer(BasicHftShmReader<Hooks> reader) noexcept : reader_(std::move(reader)) {}

  PollStatus next(RingMessage& out) noexcept {
    // A batch that nobody asked to keep is confirmed here; one that was overwritten becomes a gap.
    // Bounded by the batches without a frame that the ring holds.
    while (frame_index_ == batch_.frame_count) {
      if (std::exchange(batch_open_, false)) (void)reader_.confirm(batch_);
      batch_.frame_count = frame_index_ = 0;
      switch (reader_.next(batch_)) {
        case HftShmStatus::none:
          return PollStatus::none;
        case HftShmStatus::corrupt:
          return PollStatus::corrupt;
        case HftShmStatus::gap:
          out.missed_messages = kMissedUnknown;
          out.missed_bytes = batch_.missed_bytes;
          return PollStatus::gap;
        case HftShmStatus::batch:
          batch_open_ = true;
          break;
      }
    }
    HftShmFrame frame;
    if (!reader_.frame(batch_, frame_index_, frame)) {
      // Torn, which the next call tells; or a producer that writes nonsense.
      const bool nonsense = reader_.still_whole(batch_);
      frame_index_ = batch_.frame_count;
      return nonsense ? PollStatus::corrupt : next(out);
    }
    ++frame_index_;
    out.bytes = reader_.payload(batch_, frame);
    out.meta = {.topic = 0, .ticks = batch_.committed};
    return PollStatus::message;
  }
  bool keep(const RingMessage&) noexcept {
    if (!reader_.still_whole(batch_)) {
      frame_index_ = batch_.frame_count;  // the rest of it is gone too
      return false;
    }
    // After the last frame nothing of the batch is needed any more.
    if (frame_index_ == batch_.frame_count && batch_open_) batch_open_ = !reader_.confirm(batch_);
    return true;
  }

 private:
  BasicHftShmReader<Hooks> reader_;
  HftShmBatch batch_;
  std::uint32_t frame_index_ = 0;
  bool batch_open_ = false;
};

struct HftShmRing {
  static constexpr Delivery kDelivery = Delivery::broadcast;
  static constexpr bool kCarriesTopic = false;
  static constexpr bool kCarriesTicks = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kCountsMissed = false;
  using Producer = HftShmProducer;
  template <class Hooks = NoRingHooks>
  using Consumer = HftShmConsumer<Hooks>;

  std::unique_ptr<HftShmWriter> writer;

  /// The files are removed at once: the mapping is what the ring lives in.
  static transports::Expected<HftShmRing> create(std::size_t ring_bytes);
  Producer producer() { return Producer(writer.get()); }
  template <class Hooks = NoRingHooks>
  Consumer<Hooks> consumer(const Hooks& hooks = {}) {
    return Consumer<Hooks>(*writer, hooks);
  }
};

static_assert(MessageRing<MirroredRing> && MessageRing<SpscMessageRing> &&
              MessageRing<FeedLogRing> && MessageRing<HftShmRing>);

}  // namespace feedbench::rings
