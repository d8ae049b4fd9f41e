#pragma once

#include <cstdint>
#include <span>
#include <utility>

#include "transports/transport.hpp"

namespace feedbench::load {

/// When frame n was delivered to client n mod clients: one TSC value a sequence, 0 where there is none (yet). Lives in a
/// memfd, so that the runner can join it with the stages after the run.
/// thread: one writer; readers when it is still.
class DeliveryLog {
 public:
  /// capacity: sequences, >= 1; all pages touched. errors: no memory.
  static transports::Expected<DeliveryLog> create(std::uint64_t capacity);
  /// Maps a log read-only; the descriptor stays the caller's. errors: not mappable.
  static transports::Expected<DeliveryLog> map(int descriptor);

  DeliveryLog(DeliveryLog&& other) noexcept { swap(other); }
  DeliveryLog& operator=(DeliveryLog&& other) noexcept {
    swap(other);
    return *this;
  }
  ~DeliveryLog();

  void set(std::uint64_t sequence, transports::TscInstant at) noexcept {
    if (sequence < capacity_) entries_[sequence] = at.ticks;
  }
  /// 0: not delivered, or beyond the log.
  [[nodiscard]] std::uint64_t at(std::uint64_t sequence) const noexcept {
    return sequence < capacity_ ? entries_[sequence] : 0;
  }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  DeliveryLog() = default;
  void swap(DeliveryLog& other) noexcept {
    std::swap(entries_, other.entries_);
    std::swap(capacity_, other.capacity_);
    std::swap(descriptor_, other.descriptor_);
  }
  std::uint64_t* entries_ = nullptr;
  std::uint64_t capacity_ = 0;
  int descriptor_ = -1;
};

}  // namespace feedbench::load
