#pragma once

#include <array>
#include <deque>
#include <vector>

#include "transports/xdp/frame_device.hpp"
#include "transports/xdp/testing/packet.hpp"

namespace feedbench::transports::xdp::testing {

/// A device in memory: what is put() arrives, what is sent is kept, and time stands still until it
/// is moved. What a test and the stack have in common outlives the device, which the stack owns.
class ScriptedDevice final : public FrameDevice {
 public:
  static constexpr std::uint32_t kFrames = 256;

  struct Wire {
    std::deque<Frame> to_stack;
    std::deque<Frame> from_stack;
    std::int64_t now_ns = MonotonicInstant::now().ns;
    std::uint32_t held = 0;  ///< frames that the stack has not given back
    std::uint32_t held_max = 128;
    bool answers_arp = true;
    std::uint32_t* held_at_end = nullptr;  ///< where the device leaves `held` when it goes

    void put(Frame frame) { to_stack.push_back(std::move(frame)); }
  };

  explicit ScriptedDevice(Wire& wire, bool verify_checksums = true) : wire_(wire) {
    std::copy(std::begin(kStackMac), std::end(kStackMac), facts_.mac.begin());
    facts_.frames = kFrames;
    facts_.verify_checksums = verify_checksums;
    facts_.mode = "scripted";
    for (std::uint32_t i = 0; i < kFrames; ++i) free_.push_back(i);
  }

  ~ScriptedDevice() override {
    if (wire_.held_at_end != nullptr) *wire_.held_at_end = wire_.held;
  }

  [[nodiscard]] const DeviceFacts& facts() const noexcept override { return facts_; }
  [[nodiscard]] bool readable() noexcept override { return !wire_.to_stack.empty(); }
  std::size_t receive(std::span<ReceivedFrame> into) noexcept override {
    std::size_t count = 0;
    while (count < into.size() && !wire_.to_stack.empty() && !free_.empty()) {
      const Frame frame = std::move(wire_.to_stack.front());
      wire_.to_stack.pop_front();
      const std::uint32_t token = free_.back();
      free_.pop_back();
      ++wire_.held;
      const std::size_t bytes = std::min(frame.size(), kFrameBytes);
      // At the end of its memory, so that a sanitizer sees who reads behind it.
      memory_[token].assign(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(bytes));
      into[count++] = {memory_[token].data(), static_cast<std::uint32_t>(bytes), token, 0};
    }
    return count;
  }
  void release(std::uint32_t token) noexcept override {
    memory_[token] = {};
    free_.push_back(token);
    --wire_.held;
  }
  [[nodiscard]] bool may_hold() const noexcept override { return wire_.held <= wire_.held_max; }
  std::span<std::byte> transmit_space() noexcept override { return outgoing_; }
  void transmit(std::size_t bytes) noexcept override {
    Frame frame(outgoing_.begin(), outgoing_.begin() + static_cast<std::ptrdiff_t>(bytes));
    if (wire_.answers_arp && answer_arp(frame)) return;
    wire_.from_stack.push_back(std::move(frame));
  }
  unsigned kick() noexcept override { return 0; }
  [[nodiscard]] int descriptor() const noexcept override { return -1; }
  [[nodiscard]] MonotonicInstant now() const noexcept override { return {wire_.now_ns}; }

 private:
  static constexpr std::size_t kFrameBytes = 2048;

  bool answer_arp(const Frame& frame) {
    ether_arp asked;
    if (frame.size() < ETH_HLEN + sizeof(asked) || frame[12] != std::byte{8} ||
        frame[13] != std::byte{6}) {
      return false;
    }
    std::memcpy(&asked, frame.data() + ETH_HLEN, sizeof(asked));
    if (ntohs(asked.ea_hdr.ar_op) != ARPOP_REQUEST) return false;
    std::uint32_t who = 0;
    std::uint32_t asker = 0;
    std::memcpy(&who, asked.arp_tpa, 4);
    std::memcpy(&asker, asked.arp_spa, 4);
    if (who != asker) wire_.put(arp_frame(ARPOP_REPLY, ntohl(who), ntohl(asker)));
    return true;
  }

  Wire& wire_;
  DeviceFacts facts_;
  std::array<std::vector<std::byte>, kFrames> memory_;
  std::vector<std::uint32_t> free_;
  std::array<std::byte, kFrameBytes> outgoing_{};
};

}  // namespace feedbench::transports::xdp::testing
