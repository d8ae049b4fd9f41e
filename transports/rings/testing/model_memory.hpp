#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <unordered_map>
#include <vector>

/// A memory for the feed log's own code (BasicFeedLogAppender, BasicFeedLogReader) in which every
/// load is a choice, so that all of a reader's possible fates can be tried one after the other.
///
/// Why choosing at the loads is all there is to explore: the writer never loads from shared memory
/// (the model aborts if it does), so it does the same stores whatever the reader does. It runs first,
/// and its stores are kept, each location's in order, bytes one by one. Then the reader runs, and
/// each of its loads may return any stored value that the memory allows:
///
///  - interleavings: a load happens at some moment between two of the writer's stores, not before
///    the load before it, and returns what stood there at that moment. (Of the moments that give
///    the same value the earliest is taken: it leaves the most to the loads that follow.)
///  - stale_loads: C++'s memory model, in its operational form with views, without the speculation
///    that a reader who stores nothing cannot have. A load may return any value not older than what
///    the reader is bound to know; an acquire load of a release store, or fences around relaxed
///    ones, bind it. Every interleaving is among these, and so is all that hardware may reorder.
namespace feedbench::rings::testing {

enum class Exploration : std::uint8_t { interleavings, stale_loads };

/// One step of the protocol left out, so that the explorer can be seen to find it.
enum class Weakening : std::uint8_t {
  none,
  limit_raised_after_the_bytes,
  bytes_not_checked_after_the_copy,
  line_not_checked_after_its_words,
  line_not_marked_while_filled,
  no_writer_fence,
  no_reader_fence,
  relaxed_publish,
  relaxed_line_stores,
  relaxed_line_loads,
};

/// Goes through all sequences of choices, depth first.
class Choices {
 public:
  /// One of 0 .. count - 1.
  std::size_t pick(std::size_t count) {
    if (at_ == taken_.size()) taken_.push_back({0, count});
    return taken_[at_++].choice;
  }
  /// The next sequence; false when all have been tried.
  bool advance() {
    taken_.resize(at_);
    at_ = 0;
    while (!taken_.empty() && taken_.back().choice + 1 == taken_.back().count) taken_.pop_back();
    if (taken_.empty()) return false;
    ++taken_.back().choice;
    return true;
  }

 private:
  struct Taken {
    std::size_t choice;
    std::size_t count;
  };
  std::vector<Taken> taken_;
  std::size_t at_ = 0;
};

class ModelWorld {
 public:
  ModelWorld(Exploration exploration, Weakening weakening)
      : exploration_(exploration), weakening_(weakening) {
    current_ = this;
  }
  ~ModelWorld() { current_ = nullptr; }
  ModelWorld(const ModelWorld&) = delete;
  ModelWorld& operator=(const ModelWorld&) = delete;

  static ModelWorld& current() { return *current_; }

  void place_ring(const std::byte* ring, std::size_t bytes) {
    ring_ = ring;
    ring_bytes_ = bytes;
  }
  /// These are recognised by what they are for.
  void name_limit(const void* at) { limit_ = location(at); }
  void name_sequence(const void* at) { sequence_[location(at)] = true; }
  void name_line_word(const void* at) { line_word_[location(at)] = true; }

  /// All stores up to here are known to the reader before it begins (it was handed the memory).
  void writer_hands_over() {
    handed_over_ = writer_;
    handed_over_step_ = step_;
  }
  /// The writer is done; `choices` decide the reader's loads from here on.
  void start_reader(Choices& choices) {
    writing_ = false;
    choices_ = &choices;
    reader_ = acquired_ = handed_over_;
    reader_.resize(histories_.size());
    acquired_.resize(histories_.size());
    reader_step_ = handed_over_step_;
    last_loaded_.assign(histories_.size(), 0);
    skip_limit_check_ = false;
  }

  void store(const void* at, std::uint64_t value, std::memory_order order) {
    if (!writing_) std::abort();  // a reader's memory is read-only
    const std::size_t where = location(at);
    if (where == limit_ && weakening_ == Weakening::limit_raised_after_the_bytes) {
      late_limit_ = value;
      return;
    }
    if (late_limit_ != 0) {
      append(limit_, late_limit_, order);
      late_limit_ = 0;
    }
    if (sequence_[where] && weakening_ == Weakening::line_not_marked_while_filled &&
        value >> 63 != 0) {
      return;
    }
    if ((sequence_[where] && value >> 63 == 0 && weakening_ == Weakening::relaxed_publish) ||
        (line_word_[where] && weakening_ == Weakening::relaxed_line_stores)) {
      order = std::memory_order_relaxed;
    }
    append(where, value, order);
  }

  std::uint64_t load(const void* at, std::memory_order order) {
    if (writing_) std::abort();  // the exploration rests on a writer that loads nothing
    const std::size_t where = location(at);
    if (where == limit_ && skip_limit_check_) {
      skip_limit_check_ = false;
      return 0;
    }
    if (sequence_[where] && order == std::memory_order_relaxed &&
        weakening_ == Weakening::line_not_checked_after_its_words) {
      return last_loaded_[where];
    }
    if (line_word_[where] && weakening_ == Weakening::relaxed_line_loads)
      order = std::memory_order_relaxed;
    return choose(where, order);
  }

  void store_byte(const std::byte* at, std::byte value) {
    append(location(ring_cell(at)), static_cast<std::uint64_t>(value), std::memory_order_relaxed);
  }
  std::byte load_byte(const std::byte* at) {
    return static_cast<std::byte>(choose(location(ring_cell(at)), std::memory_order_relaxed));
  }
  void release_fence() {
    if (weakening_ != Weakening::no_writer_fence) fenced_ = writer_;
  }
  void acquire_fence() {
    if (weakening_ != Weakening::no_reader_fence) reader_ = acquired_;
    skip_limit_check_ = weakening_ == Weakening::bytes_not_checked_after_the_copy;
  }

 private:
  // For each location the oldest of its values that may still be seen.
  using View = std::vector<std::uint32_t>;
  struct Stored {
    std::uint64_t value = 0;
    std::uint64_t step = 0;  // place among all the writer's stores
    View view;               // what whoever acquires it is bound to know
  };

  std::size_t location(const void* at) {
    const auto [found, is_new] = locations_.try_emplace(at, histories_.size());
    if (is_new) {
      histories_.emplace_back(1);
      writer_.push_back(0);
      fenced_.push_back(0);
      sequence_.push_back(false);
      line_word_.push_back(false);
    }
    return found->second;
  }
  // Both images of the ring are the same memory.
  const std::byte* ring_cell(const std::byte* at) const {
    return ring_ + static_cast<std::size_t>(at - ring_) % ring_bytes_;
  }

  void append(std::size_t where, std::uint64_t value, std::memory_order order) {
    auto& history = histories_[where];
    writer_[where] = static_cast<std::uint32_t>(history.size());
    history.push_back({value, ++step_, order == std::memory_order_relaxed ? fenced_ : writer_});
  }

  std::uint64_t choose(std::size_t where, std::memory_order order) {
    const auto& history = histories_[where];
    std::size_t oldest = 0;
    if (exploration_ == Exploration::interleavings) {
      while (oldest + 1 < history.size() && history[oldest + 1].step <= reader_step_) ++oldest;
    } else {
      oldest = reader_[where];
    }
    const std::size_t which = oldest + choices_->pick(history.size() - oldest);
    const Stored& stored = history[which];
    reader_step_ = std::max(reader_step_, stored.step);
    reader_[where] = std::max(reader_[where], static_cast<std::uint32_t>(which));
    join(acquired_, stored.view);
    acquired_[where] = std::max(acquired_[where], reader_[where]);
    if (order != std::memory_order_relaxed) join(reader_, stored.view);
    last_loaded_[where] = stored.value;
    return stored.value;
  }
  static void join(View& into, const View& other) {
    for (std::size_t i = 0; i < other.size(); ++i) into[i] = std::max(into[i], other[i]);
  }

  inline static ModelWorld* current_ = nullptr;

  Exploration exploration_;
  Weakening weakening_;
  Choices* choices_ = nullptr;
  std::unordered_map<const void*, std::size_t> locations_;
  std::vector<std::vector<Stored>> histories_;  // by location; the first value is 0
  std::vector<bool> sequence_;
  std::vector<bool> line_word_;
  std::size_t limit_ = SIZE_MAX;
  const std::byte* ring_ = nullptr;
  std::size_t ring_bytes_ = 1;
  bool writing_ = true;
  std::uint64_t late_limit_ = 0;

  View writer_;  // the writer's own stores so far
  View fenced_;  // ... when it last passed a release fence
  std::uint64_t step_ = 0;
  View handed_over_;
  std::uint64_t handed_over_step_ = 0;

  View reader_;    // what the reader is bound to know
  View acquired_;  // ... once it passes an acquire fence
  std::uint64_t reader_step_ = 0;
  std::vector<std::uint64_t> last_loaded_;
  bool skip_limit_check_ = false;
};

/// What std::atomic is in the product. Its address is its identity; the values are in the world.
template <class T>
class ModelAtomic {
 public:
  [[nodiscard]] T load(std::memory_order order) const {
    return static_cast<T>(ModelWorld::current().load(this, order));
  }
  void store(T value, std::memory_order order) { ModelWorld::current().store(this, value, order); }

 private:
  T unused_{};
};

/// Takes the place of SharedMemory.
struct ModelMemory {
  template <class T>
  using Atomic = ModelAtomic<T>;

  static void load_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) to[i] = ModelWorld::current().load_byte(from + i);
  }
  static void store_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) ModelWorld::current().store_byte(to + i, from[i]);
  }
  static void order_limit_before_bytes() { ModelWorld::current().release_fence(); }
  static void order_bytes_before_limit() { ModelWorld::current().acquire_fence(); }
};

}  // namespace feedbench::rings::testing
