#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace feedbench::transports::sim {

/// Bytes of a stream by their position in it: appended at the end, taken from the front. Grows to the most that was ever
/// in it at once, and allocates for nothing else.
class ByteQueue {
 public:
  void append(std::span<const std::byte> bytes) {
    if (size() + bytes.size() > ring_.size()) grow(size() + bytes.size());
    const std::size_t at = place(end_);
    const std::size_t first = std::min(bytes.size(), ring_.size() - at);
    std::memcpy(ring_.data() + at, bytes.data(), first);
    if (first != bytes.size())
      std::memcpy(ring_.data(), bytes.data() + first, bytes.size() - first);
    end_ += bytes.size();
  }
  /// Copies the first to.size() bytes, at most size().
  void peek(std::span<std::byte> to) const noexcept {
    const std::size_t at = place(begin_);
    const std::size_t first = std::min(to.size(), ring_.size() - at);
    std::memcpy(to.data(), ring_.data() + at, first);
    if (first != to.size()) std::memcpy(to.data() + first, ring_.data(), to.size() - first);
  }
  void drop(std::size_t bytes) noexcept { begin_ += bytes; }
  /// Empties it and begins a new stream; the memory stays.
  void clear() noexcept { begin_ = end_ = 0; }
  [[nodiscard]] std::size_t size() const noexcept {
    return static_cast<std::size_t>(end_ - begin_);
  }

 private:
  [[nodiscard]] std::size_t place(std::uint64_t position) const noexcept {
    return static_cast<std::size_t>(position) & (ring_.size() - 1);
  }
  void grow(std::size_t bytes) {
    ByteQueue larger;
    larger.ring_.resize(std::bit_ceil(std::max<std::size_t>(bytes, 1024)));
    larger.begin_ = larger.end_ = begin_;
    if (size() != 0) {
      const std::size_t at = place(begin_);
      const std::size_t first = std::min(size(), ring_.size() - at);
      larger.append({ring_.data() + at, first});
      larger.append({ring_.data(), size() - first});
    }
    *this = std::move(larger);
  }

  std::vector<std::byte> ring_;  // a power of two of bytes, or none
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace feedbench::transports::sim
