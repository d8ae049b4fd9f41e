#pragma once

#include <sys/mman.h>

#include <cerrno>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "transports/transport.hpp"

namespace feedbench::transports {

/// A zero-filled array of which only the pages that are used take memory: a table can be sized for
/// the most connections allowed and still cost only what the open ones need. T must be valid when
/// all its bytes are zero.
template <class T>
class MappedArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  enum class Pages { on_demand, at_once };

  /// errors: throws Error when the address space or (Pages::at_once) the memory is not to be had.
  explicit MappedArray(std::size_t size, Pages pages = Pages::on_demand) : size_(size) {
    const int populate = pages == Pages::at_once ? MAP_POPULATE : 0;
    void* at = ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | populate, -1, 0);
    if (at == MAP_FAILED) {
      throw Error{"transport: cannot map " + std::to_string(bytes()) +
                      " bytes for its tables (lower connections_max or the buffer sizes)",
                  errno};
    }
    data_ = static_cast<T*>(at);
  }
  ~MappedArray() {
    if (data_ != nullptr) ::munmap(data_, bytes());
  }
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;

  T& operator[](std::size_t index) noexcept { return data_[index]; }
  const T& operator[](std::size_t index) const noexcept { return data_[index]; }
  [[nodiscard]] T* data() noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  [[nodiscard]] std::size_t bytes() const noexcept {
    return size_ == 0 ? sizeof(T) : size_ * sizeof(T);
  }
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace feedbench::transports
