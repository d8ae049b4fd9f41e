#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "reference/baselines/bridge/receipts.hpp"
#include "transports/clock.hpp"
#include "transports/rings/ring_adapters.hpp"

/// Where the bridge publishes: one type a ring, all with the same calls.
///
///   create(ring_bytes)      makes the ring; errors: size, memory, name. Set-up.
///   file()                  what the reader's process opens: a descriptor's path, or a segment's.
///   publish(bytes, now)     copies one message in. No allocation, lock or system call.
///   serve()                 does what is left to do on this side; true: call again soon.
///   largest_message_bytes()
///
/// thread: one, the bridge's.
namespace feedbench::baselines {

/// "/proc/PID/fd/N": how another process of this user opens a descriptor of this one.
std::string path_of_descriptor(int descriptor);

/// A ring that readers of other processes map: feed_log and spsc.
template <class Ring>
class SharedOutlet {
 public:
  static transports::Expected<SharedOutlet> create(std::size_t ring_bytes) {
    auto ring = Ring::create(ring_bytes);
    if (!ring) return tl::unexpected(ring.error());
    return SharedOutlet(std::move(*ring));
  }

  [[nodiscard]] std::string file() const { return path_of_descriptor(descriptor()); }
  rings::PublishStatus publish(std::span<const std::byte> bytes,
                               transports::TscInstant now) noexcept {
    return producer_.try_publish(bytes, {.topic = 0, .ticks = now});
  }
  static bool serve() noexcept { return false; }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return producer_.largest_message_bytes();
  }

 private:
  explicit SharedOutlet(Ring ring) : ring_(std::move(ring)), producer_(ring_.producer()) {}
  [[nodiscard]] int descriptor() const noexcept {
    if constexpr (requires { ring_.writer; })
      return ring_.writer->share_descriptor();
    else
      return ring_.ring.share_descriptor();
  }

  Ring ring_;
  typename Ring::Producer producer_;
};
using FeedLogOutlet = SharedOutlet<rings::FeedLogRing>;
using SpscOutlet = SharedOutlet<rings::SpscMessageRing>;

/// The ring with names: /dev/shm/feedbench-ring-PID.hdr and .dat, there until the outlet goes, or
/// until the reader, who has mapped them, removes them.
class HftShmOutlet {
 public:
  static transports::Expected<HftShmOutlet> create(std::size_t ring_bytes);

  [[nodiscard]] std::string file() const { return names_.path.base(); }
  rings::PublishStatus publish(std::span<const std::byte> bytes,
                               transports::TscInstant now) noexcept {
    return producer_.try_publish(bytes, {.topic = 0, .ticks = now});
  }
  static bool serve() noexcept { return false; }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return producer_.largest_message_bytes();
  }

 private:
  /// Removes the names when it goes.
  struct Names {
    rings::HftShmPath path;
    bool mine = true;
    explicit Names(rings::HftShmPath at) : path(std::move(at)) {}
    Names(Names&& other) noexcept
        : path(std::move(other.path)), mine(std::exchange(other.mine, false)) {}
    Names& operator=(Names&&) = delete;
    ~Names() {
      if (mine) rings::remove_hft_shm(path);
    }
  };
  HftShmOutlet(Names names, rings::HftShmRing ring)
      : names_(std::move(names)), ring_(std::move(ring)), producer_(ring_.producer()) {}

  Names names_;
  rings::HftShmRing ring_;
  rings::HftShmProducer producer_;
};

/// The private ring: its reader is this very thread, which has each message as soon as it is
/// published. What it had, and when, goes to the checker as receipts; that is after the instant
/// that is measured, and alike for all messages. Receipts that find no room are kept: then the ring
/// fills, and publish() says so.
class MirroredOutlet {
 public:
  static transports::Expected<MirroredOutlet> create(std::size_t ring_bytes);

  [[nodiscard]] std::string file() const {
    return path_of_descriptor(receipts_ring_->share_descriptor());
  }
  rings::PublishStatus publish(std::span<const std::byte> bytes,
                               transports::TscInstant now) noexcept {
    const auto status = producer_.try_publish(bytes, {.topic = 0, .ticks = now});
    serve();
    return corrupt_ ? rings::PublishStatus::corrupt : status;
  }
  /// Reads until the ring is empty or a receipt finds no room.
  bool serve() noexcept {
    while (held_ || take()) {
      const auto status = receipts_.try_put(message_.bytes, had_at_);
      if (status == rings::PublishStatus::corrupt) corrupt_ = true;
      if (status != rings::PublishStatus::published) return !corrupt_;
      held_ = false;
    }
    return false;
  }
  [[nodiscard]] std::size_t largest_message_bytes() const noexcept {
    return std::min(producer_.largest_message_bytes(), receipts_.largest_message_bytes());
  }

 private:
  MirroredOutlet(rings::MirroredRing ring, rings::SpscRing receipts)
      : ring_(std::move(ring)),
        receipts_ring_(std::make_unique<rings::SpscRing>(std::move(receipts))),
        producer_(ring_.producer()),
        consumer_(ring_.consumer()),
        receipts_(receipts_ring_->producer()) {}
  bool take() noexcept {
    if (consumer_.next(message_) != rings::PollStatus::message) return false;
    had_at_ = transports::TscInstant::now();
    held_ = true;
    return true;
  }

  rings::MirroredRing ring_;
  std::unique_ptr<rings::SpscRing> receipts_ring_;
  rings::MirroredProducer producer_;
  rings::MirroredConsumer consumer_;
  ReceiptProducer receipts_;
  rings::RingMessage message_;
  transports::TscInstant had_at_;
  bool held_ = false;     // message_ has been read and has no receipt yet
  bool corrupt_ = false;  // the checker's part of the receipts made no sense
};

}  // namespace feedbench::baselines
