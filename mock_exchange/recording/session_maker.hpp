#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "mock_exchange/recording/frame.hpp"
#include "mock_exchange/recording/generate.hpp"
#include "mock_exchange/recording/market_pulse.hpp"

/// What a venue's generator does; generate() drives it.
namespace feedbench::recording {

/// Frames made but not yet given to the sink, and the time up to which frames exist.
class Batch {
 public:
  explicit Batch(std::int64_t start_ns) : last_ns_(start_ns) {}

  /// A new frame at t_ns, or closely behind the last one if that is later. returns its empty text.
  std::string& add(std::int64_t t_ns, SeededRandom& random) {
    last_ns_ = std::max(t_ns, last_ns_ + gap_in_clump_ns(random));
    if (size_ == frames_.size()) frames_.emplace_back();
    Frame& frame = frames_[size_++];
    frame.t_ns = last_ns_;
    frame.data.clear();
    return frame.data;
  }
  /// A new frame one gap behind the last one: the same clump goes on.
  std::string& follow(SeededRandom& random) { return add(last_ns_, random); }

  [[nodiscard]] std::int64_t last_ns() const noexcept { return last_ns_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] Frame& operator[](std::size_t index) noexcept { return frames_[index]; }
  void clear() noexcept { size_ = 0; }

 private:
  std::int64_t last_ns_;
  std::size_t size_ = 0;
  std::vector<Frame> frames_;  // kept, with the capacity of their strings
};

class SessionMaker {
 public:
  virtual ~SessionMaker() = default;
  /// Part of the URL that every frame carries.
  [[nodiscard]] virtual std::string connection() const = 0;
  /// Frames a second that come by the clock, whatever happens in the market.
  [[nodiscard]] virtual double ticks_hz() const = 0;
  /// One event of the market at t_ns: its frames. Called for calibration too, on an object of its own.
  virtual void event(std::int64_t t_ns, Batch& batch) = 0;
  /// When tick() is due next, and what comes by the clock then.
  [[nodiscard]] virtual std::int64_t next_tick_ns() const = 0;
  virtual void tick(Batch& batch) = 0;
};

std::unique_ptr<SessionMaker> make_binance_session(const GeneratorOptions& options,
                                                   std::uint64_t seed);
std::unique_ptr<SessionMaker> make_alpaca_session(const GeneratorOptions& options,
                                                  std::uint64_t seed);

inline constexpr std::uint32_t kGeneratedSymbolsMax = 32;

}  // namespace feedbench::recording
