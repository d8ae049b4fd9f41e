#pragma once

#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

namespace feedbench::transports::sim {

/// A queue in a ring that grows to the most it ever held, and allocates for nothing else (std::deque takes and gives back
/// blocks as it moves along).
template <class T>
class Fifo {
 public:
  void push(T value) {
    if (size_ == ring_.size()) grow();
    ring_[(begin_ + size_++) & (ring_.size() - 1)] = std::move(value);
  }
  T& front() noexcept { return ring_[begin_]; }
  T& back() noexcept { return ring_[(begin_ + size_ - 1) & (ring_.size() - 1)]; }
  void pop() noexcept {
    begin_ = (begin_ + 1) & (ring_.size() - 1);
    --size_;
  }
  void clear() noexcept { size_ = 0; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

 private:
  void grow() {
    std::vector<T> larger(ring_.empty() ? 4 : ring_.size() * 2);
    for (std::size_t i = 0; i < size_; ++i)
      larger[i] = std::move(ring_[(begin_ + i) & (ring_.size() - 1)]);
    ring_ = std::move(larger);
    begin_ = 0;
  }

  std::vector<T> ring_;  // a power of two of places
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
};

}  // namespace feedbench::transports::sim
