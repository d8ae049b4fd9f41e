#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "transports/rings/feed_log_reader.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/rings/shared_bytes.hpp"
#include "transports/split_mix.hpp"

/// A log whose every byte and every index field can be told from its position alone, so that a
/// reader proves each frame whole without knowing what else was written.
namespace feedbench::rings::testing {

/// What a race test divides its rounds by.
#ifdef FEEDBENCH_RINGS_WORDWISE
inline constexpr std::uint64_t kLoadDivisor = 8;  // ThreadSanitizer is that much slower
#else
inline constexpr std::uint64_t kLoadDivisor = 1;
#endif

constexpr std::uint64_t mix(std::uint64_t value) noexcept { return split_mix(value); }

/// The byte that stands at a stream offset. Laps differ, since the offset never comes again.
constexpr std::byte byte_at(std::uint64_t offset) noexcept {
  return static_cast<std::byte>(mix(offset / 8) >> (offset % 8 * 8));
}

/// Fills `to` with the bytes that stand from `offset` on.
inline void fill(std::uint64_t offset, std::span<std::byte> to) noexcept {
  std::size_t i = 0;
  while (i < to.size()) {
    const std::uint64_t word = mix((offset + i) / 8) >> ((offset + i) % 8 * 8);
    const std::size_t bytes = std::min<std::size_t>(8 - (offset + i) % 8, to.size() - i);
    std::memcpy(to.data() + i, &word, bytes);
    i += bytes;
  }
}

inline bool matches(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
  std::array<std::byte, 512> expected;
  for (std::size_t i = 0; i < bytes.size(); i += expected.size()) {
    const std::size_t piece = std::min(expected.size(), bytes.size() - i);
    fill(offset + i, std::span(expected).first(piece));
    if (std::memcmp(expected.data(), bytes.data() + i, piece) != 0) return false;
  }
  return true;
}

/// What the index says of frame `sequence` at [offset, offset + length).
inline FrameEntry entry_of(std::uint64_t sequence, std::uint64_t offset,
                           std::uint32_t length) noexcept {
  const std::uint64_t word = mix(sequence ^ mix(offset ^ mix(length)));
  const std::uint64_t handler = 10'000'000'000 + word % 1'000'000'000'000;
  FrameEntry entry;
  entry.offset = offset;
  entry.length = length;
  entry.topic = static_cast<std::uint32_t>(word);
  entry.header_bytes = static_cast<std::uint8_t>(word >> 7);
  entry.opcode = static_cast<std::uint8_t>(word >> 13);
  entry.flags = static_cast<std::uint16_t>(word >> 17);
  entry.upstream_generation = static_cast<std::uint32_t>(word >> 23);
  entry.stamps.handler = {handler};
  entry.stamps.nic = {handler - 50'000 - (word & 0xffff)};
  entry.stamps.wake = {handler - 4000};
  entry.stamps.read = {handler - 3000 - (word & 0xff)};
  entry.stamps.plain = {word % 3 == 0 ? 0 : handler - 2000};
  entry.stamps.parsed = {handler - 1};
  return entry;
}

inline bool same_stamps(const FrameStamps& a, const FrameStamps& b) noexcept {
  return a.nic == b.nic && a.wake == b.wake && a.read == b.read && a.plain == b.plain &&
         a.parsed == b.parsed && a.handler == b.handler;
}

/// True if the frame's index fields are those entry_of() gives it.
inline bool line_matches(const Frame& frame) noexcept {
  const FrameEntry entry = entry_of(frame.sequence, frame.offset, frame.length);
  return frame.topic == entry.topic && frame.header_bytes == entry.header_bytes &&
         frame.opcode == entry.opcode && frame.flags == entry.flags &&
         frame.upstream_generation == entry.upstream_generation &&
         same_stamps(frame.stamps(), entry.stamps);
}

/// Writes the pattern into the next `bytes` of the log. False if the ring does not give them.
inline bool write_pattern(FeedLogWriter& writer, std::size_t bytes) {
  const std::uint64_t offset = writer.write_position();
  const auto space = writer.reserve(bytes);
  if (space.size() < bytes) return false;
  std::array<std::byte, 512> made;
  for (std::size_t i = 0; i < bytes; i += made.size()) {
    const std::size_t piece = std::min(made.size(), bytes - i);
    fill(offset + i, std::span(made).first(piece));
    store_shared_bytes(space.data() + i, made.data(), piece);
  }
  writer.written(bytes);
  return true;
}

/// Writes and stages one frame; the caller publishes. Returns its sequence, 0 if it did not fit.
inline std::uint64_t stage_frame(FeedLogWriter& writer, std::uint32_t length) {
  const std::uint64_t offset = writer.write_position();
  if (!write_pattern(writer, length)) return 0;
  return writer.stage(entry_of(writer.next_sequence(), offset, length));
}

inline bool publish_frame(FeedLogWriter& writer, std::uint32_t length) {
  const bool staged = stage_frame(writer, length) != 0;
  writer.publish();
  return staged;
}

}  // namespace feedbench::rings::testing
