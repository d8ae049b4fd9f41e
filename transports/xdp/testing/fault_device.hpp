#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "transports/xdp/frame_device.hpp"

namespace feedbench::transports::xdp::testing {

/// How often what goes wrong, as probabilities of each frame.
struct FaultRates {
  double lost = 0;
  double duplicated = 0;
  double reordered = 0;  ///< delivered after 1 to 8 later frames
};

/// A device in front of a device that loses, duplicates and reorders frames in both directions. The
/// choices follow from the seed; what they meet follows from time, as long as the device behind is
/// real.
class FaultDevice final : public FrameDevice {
 public:
  FaultDevice(std::unique_ptr<FrameDevice> inner, const FaultRates& in, const FaultRates& out,
              std::uint64_t seed)
      : inner_(std::move(inner)), facts_(inner_->facts()), in_(in), out_(out), random_(seed) {
    first_copy_ = facts_.frames;
    facts_.frames += kCopies;
    for (std::uint32_t i = 0; i < kCopies; ++i) free_copies_.push_back(i);
  }

  [[nodiscard]] const DeviceFacts& facts() const noexcept override { return facts_; }
  [[nodiscard]] int loss() noexcept override { return inner_->loss(); }
  [[nodiscard]] bool readable() noexcept override {
    return inner_->readable() || !due_.empty() || !late_in_.empty();
  }
  std::size_t receive(std::span<ReceivedFrame> into) noexcept override {
    std::vector<ReceivedFrame> got(into.size());
    got.resize(inner_->receive(got));
    for (const ReceivedFrame& frame : got) arrived(frame);
    // Nothing waits for ever for later frames that do not come.
    if (got.empty()) age(late_in_, [&](const Held& held) { due_.push_back(copy_of(held)); });
    std::size_t filled = 0;
    while (filled < into.size() && filled < due_.size()) {
      into[filled] = due_[filled];
      ++filled;
    }
    due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(filled));
    std::erase_if(due_, [](const ReceivedFrame& frame) { return frame.data == nullptr; });
    return filled;
  }
  void release(std::uint32_t token) noexcept override {
    if (token < first_copy_) {
      inner_->release(token);
    } else {
      free_copies_.push_back(token - first_copy_);
    }
  }
  [[nodiscard]] bool may_hold() const noexcept override {
    return inner_->may_hold() && free_copies_.size() > kCopies / 2;
  }
  std::span<std::byte> transmit_space() noexcept override { return outgoing_; }
  void transmit(std::size_t bytes) noexcept override {
    const std::span<const std::byte> frame(outgoing_.data(), bytes);
    age(late_out_, [&](const Held& held) { pass_on(held.bytes); });
    if (happens(out_.lost)) {
      ++lost;
    } else if (happens(out_.reordered)) {
      ++reordered;
      late_out_.push_back({{frame.begin(), frame.end()}, 0, frames_to_wait()});
    } else {
      pass_on(frame);
      if (happens(out_.duplicated)) {
        ++duplicated;
        pass_on(frame);
      }
    }
  }
  unsigned kick() noexcept override {
    age(late_out_, [&](const Held& held) { pass_on(held.bytes); });
    return inner_->kick();
  }
  [[nodiscard]] int descriptor() const noexcept override { return inner_->descriptor(); }
  [[nodiscard]] MonotonicInstant now() const noexcept override { return inner_->now(); }
  [[nodiscard]] std::uint64_t other_calls() const noexcept override {
    return inner_->other_calls();
  }

  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t reordered = 0;

 private:
  static constexpr std::uint32_t kCopies = 1024;
  struct Held {
    std::vector<std::byte> bytes;
    std::int64_t tai_ns = 0;
    int frames_left = 0;
  };

  bool happens(double probability) {
    return probability > 0 && std::uniform_real_distribution<>(0, 1)(random_) < probability;
  }
  int frames_to_wait() { return std::uniform_int_distribution<>(1, 8)(random_); }
  template <class F>
  void age(std::vector<Held>& late, F give) {
    for (std::size_t i = 0; i < late.size();) {
      if (--late[i].frames_left > 0) {
        ++i;
        continue;
      }
      const Held held = std::move(late[i]);
      late.erase(late.begin() + static_cast<std::ptrdiff_t>(i));
      give(held);
    }
  }
  void arrived(const ReceivedFrame& frame) {
    age(late_in_, [&](const Held& held) { due_.push_back(copy_of(held)); });
    const Held held{{frame.data, frame.data + frame.bytes}, frame.tai_ns, frames_to_wait()};
    if (happens(in_.lost)) {
      ++lost;
      inner_->release(frame.token);
    } else if (happens(in_.reordered)) {
      ++reordered;
      late_in_.push_back(held);
      inner_->release(frame.token);
    } else {
      due_.push_back(frame);
      if (happens(in_.duplicated)) {
        ++duplicated;
        due_.push_back(copy_of(held));
      }
    }
  }
  /// A frame of our own; one without data when all are in use: lost.
  ReceivedFrame copy_of(const Held& held) {
    if (free_copies_.empty()) return {};
    const std::uint32_t index = free_copies_.back();
    free_copies_.pop_back();
    std::memcpy(copies_[index].data(), held.bytes.data(), held.bytes.size());
    return {copies_[index].data(), static_cast<std::uint32_t>(held.bytes.size()),
            first_copy_ + index, held.tai_ns};
  }
  void pass_on(std::span<const std::byte> frame) {
    const std::span<std::byte> space = inner_->transmit_space();
    if (space.size() < frame.size()) return;
    std::memcpy(space.data(), frame.data(), frame.size());
    inner_->transmit(frame.size());
  }

  std::unique_ptr<FrameDevice> inner_;
  DeviceFacts facts_;
  FaultRates in_;
  FaultRates out_;
  std::mt19937_64 random_;
  std::uint32_t first_copy_ = 0;
  std::vector<std::array<std::byte, 4096>> copies_{kCopies};
  std::vector<std::uint32_t> free_copies_;
  std::array<std::byte, 4096> outgoing_{};
  std::vector<ReceivedFrame> due_;
  std::vector<Held> late_in_;
  std::vector<Held> late_out_;
};

}  // namespace feedbench::transports::xdp::testing
