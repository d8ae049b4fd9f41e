#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "reference/local/client_bell.hpp"

namespace feedbench::local {

/// The local clients that read one feed, for its publisher: it wakes those that sleep, and looks past the others.
/// thread: the polling thread. Allocation: in attach() alone.
class WakeList {
 public:
  void attach(std::shared_ptr<ClientBell> bell) { bells_.push_back(std::move(bell)); }
  /// Gives the bell up; the caller lets go of it where that may take time.
  void detach(const std::shared_ptr<ClientBell>& bell) {
    const auto found = std::find(bells_.begin(), bells_.end(), bell);
    if (found == bells_.end()) return;
    std::swap(*found, bells_.back());
    bells_.pop_back();
  }
  [[nodiscard]] std::size_t size() const noexcept { return bells_.size(); }

  /// Something was published (the stores are done). Cost: nothing without clients; else one barrier (3 ns) and one load
  /// a client, and a system call for each that sleeps.
  void ring() noexcept {
    if (bells_.empty()) return;
    feedproxy::order_store_before_look();
    for (const std::shared_ptr<ClientBell>& bell : bells_) bell->ring();
  }

 private:
  std::vector<std::shared_ptr<ClientBell>> bells_;
};

}  // namespace feedbench::local
