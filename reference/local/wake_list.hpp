#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "reference/local/client_bell.hpp"

namespace feedbench::local {

/// The local clients that read one feed, for its publisher: it wakes those that sleep, and looks past the others.
/// thread: the polling thread. Allocation: in attach() alone.
class WakeList {
 public:
  void attach(std::shared_ptr<ClientBell> bell) {
    words_.push_back(&bell->waiting());
    bells_.push_back(std::move(bell));
  }
  /// Gives the bell up; the caller lets go of it where that may take time.
  void detach(const std::shared_ptr<ClientBell>& bell) {
    const auto found = std::find(bells_.begin(), bells_.end(), bell);
    if (found == bells_.end()) return;
    words_[static_cast<std::size_t>(found - bells_.begin())] = words_.back();
    words_.pop_back();
    std::swap(*found, bells_.back());
    bells_.pop_back();
  }
  [[nodiscard]] std::size_t size() const noexcept { return bells_.size(); }

  /// Something was published (the stores are done). Cost: nothing without clients; else one barrier (3 ns) and one load
  /// a client, and a system call for each that sleeps.
  void ring() noexcept {
    if (bells_.empty()) return;
    feedproxy::order_store_before_look();
    // Four at a time: it is the branches that cost, and none of them sleeps as a rule.
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const auto* const* const words = words_.data();
    const std::size_t count = words_.size();
    std::size_t i = 0;
    for (; i + 4 <= count; i += 4)
      if ((words[i]->load(kRelaxed) | words[i + 1]->load(kRelaxed) | words[i + 2]->load(kRelaxed) |
           words[i + 3]->load(kRelaxed)) != 0) [[unlikely]]
        for (std::size_t j = i; j < i + 4; ++j) bells_[j]->ring();
    for (; i < count; ++i) bells_[i]->ring();
  }

 private:
  std::vector<std::shared_ptr<ClientBell>> bells_;
  std::vector<const std::atomic<std::uint32_t>*>
      words_;  // of bells_, in their order: all that ring() touches
};

}  // namespace feedbench::local
