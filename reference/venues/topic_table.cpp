#include "reference/venues/topic_table.hpp"

#include <algorithm>
#include <cstring>

namespace feedbench::venues {
namespace {

constexpr std::size_t kSlotsAtFirst = 256;

/// Eight bytes at a time; the multipliers are odd constants of high entropy, the last shift folds
/// the good high bits down.
std::uint32_t hash_of(std::string_view name) noexcept {
  std::uint64_t hash = 0x9e3779b97f4a7c15ULL ^ name.size();
  const char* bytes = name.data();
  std::size_t left = name.size();
  while (left > 0) {
    std::uint64_t word = 0;
    const std::size_t step = std::min<std::size_t>(left, sizeof word);
    std::memcpy(&word, bytes, step);
    hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
    hash ^= hash >> 32;
    bytes += step;
    left -= step;
  }
  hash *= 0xc4ceb9fe1a85ec53ULL;
  return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace

TopicTable::TopicTable(std::uint32_t topics_max) : topics_max_(topics_max), slots_(kSlotsAtFirst) {}

std::size_t TopicTable::slot_of(std::string_view name, std::uint32_t hash) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t index = hash & mask;
  while (slots_[index].topic != 0 &&
         (slots_[index].hash != hash || names_[slots_[index].topic - 1] != name)) {
    index = (index + 1) & mask;  // at most half of the slots are taken, so a free one ends the walk
  }
  return index;
}

std::uint32_t TopicTable::find(std::string_view name) const noexcept {
  if (name.empty()) return 0;
  return slots_[slot_of(name, hash_of(name))].topic;
}

std::uint32_t TopicTable::intern(std::string_view name) {
  if (name.empty()) return 0;
  const std::uint32_t hash = hash_of(name);
  std::size_t index = slot_of(name, hash);
  if (slots_[index].topic != 0) return slots_[index].topic;
  if (names_.size() >= topics_max_) {
    ++refused_;
    return 0;
  }
  if ((names_.size() + 1) * 2 > slots_.size()) {
    grow();
    index = slot_of(name, hash);
  }
  names_.emplace_back(name);
  slots_[index] = Slot{hash, size()};
  return size();
}

void TopicTable::grow() {
  std::vector<Slot> old(slots_.size() * 2);
  old.swap(slots_);
  const std::size_t mask = slots_.size() - 1;
  for (const Slot& slot : old) {
    if (slot.topic == 0) continue;
    std::size_t index = slot.hash & mask;
    while (slots_[index].topic != 0) index = (index + 1) & mask;
    slots_[index] = slot;
  }
}

std::string_view TopicTable::name(std::uint32_t topic) const noexcept {
  return topic == 0 || topic > names_.size() ? std::string_view{}
                                             : std::string_view{names_[topic - 1]};
}

}  // namespace feedbench::venues
