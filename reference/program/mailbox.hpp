#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace feedbench::program {

/// Values handed from any thread to the one that drains them, in order; for what is rare (commands, events), never for
/// data. Unbounded: whoever posts bounds what it posts (each use says how).
/// The ring wakes the reader: it is called after each post from the posting thread, and must be cheap.
template <class T>
class Mailbox {
 public:
  using Ring = void (*)(void* context);

  /// Sets whom to wake; null: nobody. Returns when no call of the one before is under way any more. What was posted
  /// before waits to be drained. thread: the reader's.
  void on_post(Ring ring, void* context) {
    const std::lock_guard lock(mutex_);
    ring_ = ring;
    context_ = context;
  }

  /// thread: any.
  void post(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    waiting_.store(true, std::memory_order_release);
    if (ring_ != nullptr) ring_(context_);
  }

  /// Something waits. Cost: one load. thread: any.
  [[nodiscard]] bool waiting() const noexcept { return waiting_.load(std::memory_order_acquire); }

  /// Takes everything, oldest first. thread: the reader's.
  std::vector<T> take() {
    const std::lock_guard lock(mutex_);
    waiting_.store(false, std::memory_order_release);
    return std::exchange(values_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<T> values_;
  std::atomic<bool> waiting_{false};
  Ring ring_ = nullptr;
  void* context_ = nullptr;
};

}  // namespace feedbench::program
