#pragma once

#include <cstddef>
#include <cstdint>

#include "transports/clock.hpp"

namespace feedbench::rings {

/// The six stages of one frame, TSC instants; ticks = 0 is absent. See docs/feed_log.md.
struct FrameStamps {
  transports::TscInstant nic{};      ///< 1: the kernel or NIC received the frame's last byte.
  transports::TscInstant wake{};     ///< 2: the event loop woke.
  transports::TscInstant read{};     ///< 3: the read / decrypt of this chunk began.
  transports::TscInstant plain{};    ///< 4: the plaintext is in the log.
  transports::TscInstant parsed{};   ///< 5: the frame's boundary is found, its header checked.
  transports::TscInstant handler{};  ///< 6: the message handler is entered.
};

/// Stages 1 to 5 in the order of PackedStamps::back_ticks.
enum class BackStage : std::uint8_t { nic, wake, read, plain, parsed };
inline constexpr std::size_t kBackStages = 5;

/// What the index line holds: the handler's instant whole, the others as ticks before it.
///
/// back_ticks values: below kNegative a distance (up to 1.65 s at 2.6 GHz); kAbsent: not stamped;
/// kOverflow: stamped, further back than fits; kNegative: stamped *after* the handler, which is an
/// error of a clock mapping that the reader counts. Without a handler stamp nothing can be packed:
/// all are absent.
struct PackedStamps {
  static constexpr std::uint32_t kAbsent = UINT32_MAX;
  static constexpr std::uint32_t kOverflow = UINT32_MAX - 1;
  static constexpr std::uint32_t kNegative = UINT32_MAX - 2;

  std::uint64_t handler_ticks = 0;
  std::uint32_t back_ticks[kBackStages] = {kAbsent, kAbsent, kAbsent, kAbsent, kAbsent};

  /// Packs one stage. O(1), no branch misses on the usual path.
  static constexpr std::uint32_t back(transports::TscInstant handler,
                                      transports::TscInstant stage) noexcept {
    if (!handler.present() || !stage.present()) return kAbsent;
    if (stage.ticks > handler.ticks) return kNegative;
    const std::uint64_t distance = handler.ticks - stage.ticks;
    return distance < kNegative ? static_cast<std::uint32_t>(distance) : kOverflow;
  }

  static constexpr PackedStamps pack(const FrameStamps& stamps) noexcept {
    const transports::TscInstant handler = stamps.handler;
    return {handler.ticks,
            {back(handler, stamps.nic), back(handler, stamps.wake), back(handler, stamps.read),
             back(handler, stamps.plain), back(handler, stamps.parsed)}};
  }

  /// One stage, absent also where the distance overflowed or was negative: ask raw() to tell.
  [[nodiscard]] constexpr transports::TscInstant stage(BackStage which) const noexcept {
    const std::uint32_t ticks = raw(which);
    return ticks < kNegative ? transports::TscInstant{handler_ticks - ticks}
                             : transports::TscInstant{};
  }
  [[nodiscard]] constexpr std::uint32_t raw(BackStage which) const noexcept {
    return back_ticks[static_cast<std::size_t>(which)];
  }

  [[nodiscard]] constexpr FrameStamps unpack() const noexcept {
    return {stage(BackStage::nic),   stage(BackStage::wake),   stage(BackStage::read),
            stage(BackStage::plain), stage(BackStage::parsed), {handler_ticks}};
  }
};

}  // namespace feedbench::rings
