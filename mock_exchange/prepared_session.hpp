#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// A session made ready before the run: the wire bytes of every frame, one after the other, and a
/// table of where each is.
namespace feedbench::mock_exchange {

/// No topic: the frame goes to everybody who is connected.
inline constexpr std::uint32_t kNoTopic = 0;
/// The frame is an array of elements of several topics (Alpaca): see PreparedSession::elements().
inline constexpr std::uint32_t kManyTopics = UINT32_MAX;

/// One frame of the table.
struct PreparedFrame {
  std::uint64_t offset = 0;  ///< Of the frame's first header byte in the arena.
  /// Recorded time since the first frame of the session, >= 0, never decreasing.
  std::int64_t t_ns = 0;
  std::uint32_t length = 0;         ///< Header and payload, bytes.
  std::uint32_t topic = kNoTopic;   ///< Index into topics(), or kNoTopic, or kManyTopics.
  std::uint32_t first_element = 0;  ///< kManyTopics: index into the element table.
  std::uint16_t element_count = 0;  ///< kManyTopics: how many elements.
  std::uint8_t header_bytes = 0;    ///< 2, 4 or 10.
  bool binary = false;              ///< Binary frame (opcode 2) instead of text (opcode 1).
};
static_assert(sizeof(PreparedFrame) == 32);

/// One element of a frame that is an array: its text, without the commas around it, and what it is
/// about.
struct PreparedElement {
  std::uint32_t offset = 0;  ///< From the start of the payload, bytes.
  std::uint32_t length = 0;
  std::uint32_t topic = kNoTopic;
};

/// Immutable after it was built; shared by the exchange and by whoever verifies what clients
/// receive. thread: any (read only).
class PreparedSession {
 public:
  /// frames() is one pass ("loop") over the session. Offsets rise without gaps from 0 to
  /// loop_bytes().
  [[nodiscard]] std::span<const PreparedFrame> frames() const noexcept { return frames_; }
  [[nodiscard]] std::size_t frame_count() const noexcept { return frames_.size(); }

  /// All wire bytes of one loop, contiguous: what a client that takes everything receives after the
  /// handshake.
  [[nodiscard]] std::span<const std::byte> arena() const noexcept { return arena_; }
  [[nodiscard]] std::uint64_t loop_bytes() const noexcept { return arena_.size(); }

  /// Header and payload of frame `index` (< frame_count()).
  [[nodiscard]] std::span<const std::byte> wire(std::size_t index) const noexcept {
    const PreparedFrame& frame = frames_[index];
    return {arena_.data() + frame.offset, frame.length};
  }
  [[nodiscard]] std::span<const std::byte> payload(std::size_t index) const noexcept {
    return wire(index).subspan(frames_[index].header_bytes);
  }
  [[nodiscard]] std::string_view text(std::size_t index) const noexcept {
    const auto bytes = payload(index);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  /// What stands at `position` of the endless stream arena, arena, arena...: the bytes from there
  /// to the end of that loop (at least one, unless the session is empty). Compare the rest with
  /// bytes_at(position + result.size()). Cost: one division.
  [[nodiscard]] std::span<const std::byte> bytes_at(std::uint64_t position) const noexcept {
    if (arena_.empty()) return {};
    return std::span<const std::byte>(arena_).subspan(position % arena_.size());
  }

  /// Index of the frame that holds byte `offset` (< loop_bytes()) of the arena. O(log frames).
  [[nodiscard]] std::size_t frame_at(std::uint64_t offset) const noexcept;

  /// Position in the endless stream of the first byte of frame `sequence` (counted over all loops
  /// from 0).
  [[nodiscard]] std::uint64_t position_of(std::uint64_t sequence) const noexcept {
    if (frames_.empty()) return 0;
    return sequence / frames_.size() * arena_.size() + frames_[sequence % frames_.size()].offset;
  }

  /// Frames that lie wholly before `position` of the endless stream. O(log frames).
  [[nodiscard]] std::uint64_t frames_before(std::uint64_t position) const noexcept;

  /// Topic names; [0] is the empty name of kNoTopic. Binance: stream names ("btcusdt@trade").
  /// Alpaca: "<channel>:<symbol>" ("trades:AAPL").
  [[nodiscard]] std::span<const std::string> topics() const noexcept { return topics_; }

  /// The elements of a kManyTopics frame.
  [[nodiscard]] std::span<const PreparedElement> elements(
      const PreparedFrame& frame) const noexcept {
    return std::span<const PreparedElement>(elements_).subspan(frame.first_element,
                                                               frame.element_count);
  }

  /// Recorded time from the first frame to the last.
  [[nodiscard]] std::int64_t span_ns() const noexcept {
    return frames_.empty() ? 0 : frames_.back().t_ns;
  }

 private:
  friend class SessionBuilder;
  std::vector<std::byte> arena_;
  std::vector<PreparedFrame> frames_;
  std::vector<PreparedElement> elements_;
  std::vector<std::string> topics_;
};

/// Builds a PreparedSession frame by frame. Set-up only: allocates.
class SessionBuilder {
 public:
  SessionBuilder();

  /// The index of a topic name, new or known. The empty name is kNoTopic.
  std::uint32_t topic(std::string_view name);

  /// Appends one frame. t_ns may be absolute: the first frame's is taken off all. A time that steps
  /// back is raised to that of the frame before.
  void add(std::string_view payload, std::int64_t t_ns, std::uint32_t topic, bool binary = false);

  /// Appends one frame of several elements (offsets within payload; at most 65,535 of them).
  void add(std::string_view payload, std::int64_t t_ns, std::span<const PreparedElement> elements);

  [[nodiscard]] std::size_t frame_count() const noexcept { return session_->frames_.size(); }

  /// Hands over the session; the builder is empty afterwards.
  std::shared_ptr<const PreparedSession> finish();

 private:
  PreparedFrame& append(std::string_view payload, std::int64_t t_ns, bool binary);

  std::shared_ptr<PreparedSession> session_;
  std::unordered_map<std::string, std::uint32_t> topic_index_;
  std::int64_t first_t_ns_ = 0;
};

/// Writes the header of an unmasked, unfragmented server frame. Returns its size: 2, 4 or 10 bytes.
/// source: RFC 6455 §5.2.
std::size_t write_server_header(std::span<std::byte, 10> out, std::uint64_t payload_bytes,
                                std::uint8_t opcode) noexcept;

/// A session of `count` text frames of exactly `payload_bytes` each (>= 40), JSON-looking ASCII
/// that starts with the frame's number and goes on with seeded pseudo-random characters, so no two
/// frames are alike and a lost, repeated or exchanged one shows. Recorded times are 1 ms apart.
/// Equal arguments give equal bytes on every machine.
std::shared_ptr<const PreparedSession> synthetic_session(std::size_t payload_bytes,
                                                         std::size_t count, std::uint64_t seed);

}  // namespace feedbench::mock_exchange
