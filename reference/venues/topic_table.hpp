#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace feedbench::venues {

/// Numbers names (streams, symbols): 1, 2, 3... in the order first seen; 0 means none.
/// thread: one at a time. Allocates only when a name is new.
class TopicTable {
 public:
  /// topics_max: names beyond this many get 0 and are counted; memory stays bounded whatever the
  /// venue sends.
  explicit TopicTable(std::uint32_t topics_max = 65'536);

  /// The number of `name`, a new one if it has none. 0 for the empty name and when the table is
  /// full.
  std::uint32_t intern(std::string_view name);
  /// The number of `name`, or 0. Cost: about 20 ns.
  [[nodiscard]] std::uint32_t find(std::string_view name) const noexcept;
  /// The name of a number given out; empty for 0 and for others.
  [[nodiscard]] std::string_view name(std::uint32_t topic) const noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(names_.size());
  }
  /// Times that intern() gave 0 because the table was full.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t topic = 0;  // 0: free
  };
  [[nodiscard]] std::size_t slot_of(std::string_view name, std::uint32_t hash) const noexcept;
  void grow();

  std::uint32_t topics_max_;
  std::vector<Slot> slots_;        // power of two, at most half full
  std::deque<std::string> names_;  // names_[topic - 1]; a deque, so that views stay valid
  std::uint64_t refused_ = 0;
};

}  // namespace feedbench::venues
