#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "mock_exchange/prepared_session.hpp"

/// Where one connection stands in the replay, and which bytes it is to be sent next. No I/O, no
/// clock.
namespace feedbench::mock_exchange {

/// Which frames of a session a connection gets.
struct Selection {
  std::shared_ptr<const PreparedSession> session;
  std::vector<std::uint8_t> wanted;  ///< Per topic: not 0 if wanted. kNoTopic ([0]) always is.
  bool everything = false;           ///< All topics that have frames are wanted.
  bool nothing = false;              ///< No topic that has frames is wanted.

  /// All frames of the session.
  static Selection all(std::shared_ptr<const PreparedSession> session);
  /// Computes `everything` and `nothing` from `wanted`.
  static Selection some(std::shared_ptr<const PreparedSession> session,
                        std::vector<std::uint8_t> wanted);
};

/// One frame whose last byte was accepted by the socket.
struct SentFrame {
  std::uint64_t sequence = 0;  ///< Over all loops, from 0.
  std::uint32_t index = 0;     ///< In the session.
  std::uint32_t loop = 0;
  std::uint32_t length = 0;  ///< Wire bytes sent for it: fewer if elements were left out.
};

/// A frame that was begun is always finished with the bytes it was begun with, whatever is selected
/// meanwhile. thread: one. Memory: bounded, independent of how far the reader lags.
class FeedCursor {
 public:
  static constexpr std::size_t kRangesMax = 64;    ///< Ranges of one gather().
  static constexpr std::size_t kPiecesMax = 4096;  ///< Frames of one gather() that picks.
  static constexpr std::size_t kScanMax = 65536;   ///< Frames one gather() that picks looks at.

  /// Starts at frame `sequence`.
  explicit FeedCursor(Selection selection, std::uint64_t sequence = 0);

  /// From the next frame on. A session of other bytes must have the same frames and topics, index
  /// by index, and the old one must outlive this cursor.
  void select(Selection selection);

  /// Goes on at `sequence`, forwards or backwards; a begun frame is still finished first.
  void move_to(std::uint64_t sequence) noexcept;

  /// What is left of a frame that was begun: to be sent before anything else.
  [[nodiscard]] std::span<const std::byte> remainder() const noexcept { return remainder_; }

  /// What follows the remainder: ranges of frames with sequence < due, adjacent ones merged; at
  /// most frames_max frames (of those wanted) and about bytes_max bytes. Empty when nothing is due
  /// (or, while picking, when none of the next kScanMax frames is wanted: look at next()). Valid
  /// until the next call of anything here. May end inside a frame. Cost: O(ranges) for everything,
  /// else O(frames looked at).
  std::span<const iovec> gather(
      std::uint64_t due, std::size_t bytes_max,
      std::uint64_t frames_max = std::numeric_limits<std::uint64_t>::max());

  /// Of the remainder, `bytes` were accepted. on_frame(const SentFrame&) for the frame if that was
  /// its end.
  template <class OnFrame>
  void sent_remainder(std::size_t bytes, OnFrame&& on_frame) {
    remainder_ = remainder_.subspan(bytes);
    if (bytes > 0 && remainder_.empty()) on_frame(static_cast<const SentFrame&>(begun_));
  }

  /// Of what gather() gave last, `bytes` were accepted (the remainder must be empty unless bytes is
  /// 0). on_frame(const SentFrame&) for each frame whose end that includes, in order.
  template <class OnFrame>
  void sent(std::size_t bytes, OnFrame&& on_frame) {
    if (picking_) {
      sent_pieces(bytes, on_frame);
    } else {
      sent_contiguous(bytes, on_frame);
    }
  }

  /// The same without naming the frames. Returns how many frames ended. Cost: O(log frames) for
  /// everything.
  std::uint64_t sent_uncounted(std::size_t bytes);

  /// Sequence of the next frame that was not begun.
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
  [[nodiscard]] const Selection& selection() const noexcept { return selection_; }

 private:
  struct Piece {
    const std::byte* data = nullptr;
    std::uint64_t sequence = 0;
    std::uint32_t index = 0;
    std::uint32_t length = 0;
    bool in_scratch = false;
  };

  void gather_everything(std::uint64_t due, std::size_t bytes_max, std::uint64_t frames_max);
  void gather_wanted(std::uint64_t due, std::size_t bytes_max, std::uint64_t frames_max);
  bool pick(std::uint32_t index, Piece& piece);
  bool encode_wanted_elements(const PreparedFrame& frame, Piece& piece);
  bool add_range(const std::byte* data, std::size_t bytes);
  void begin(const std::byte* rest, std::size_t rest_bytes, const SentFrame& frame,
             bool in_scratch);
  [[nodiscard]] SentFrame frame_of(std::uint64_t sequence, std::uint32_t index,
                                   std::uint32_t length) const noexcept {
    const auto loop = static_cast<std::uint32_t>(sequence / selection_.session->frame_count());
    return {sequence, index, loop, length};
  }

  template <class OnFrame>
  void sent_contiguous(std::size_t bytes, OnFrame& on_frame) {
    const PreparedSession& session = *selection_.session;
    const auto frames = session.frames();
    while (bytes > 0) {
      const PreparedFrame& frame = frames[index_];
      const SentFrame sent{next_, static_cast<std::uint32_t>(index_), loop_, frame.length};
      if (bytes >= frame.length) {
        on_frame(sent);
        bytes -= frame.length;
      } else {
        begin(session.arena().data() + frame.offset + bytes, frame.length - bytes, sent, false);
        bytes = 0;
      }
      ++next_;
      if (++index_ == frames.size()) {
        index_ = 0;
        ++loop_;
      }
    }
  }

  template <class OnFrame>
  void sent_pieces(std::size_t bytes, OnFrame& on_frame) {
    if (bytes == 0) return;
    std::size_t at = 0;
    for (; at < pieces_.size() && bytes > 0; ++at) {
      const Piece& piece = pieces_[at];
      const SentFrame sent = frame_of(piece.sequence, piece.index, piece.length);
      if (bytes >= piece.length) {
        on_frame(sent);
        bytes -= piece.length;
      } else {
        begin(piece.data + bytes, piece.length - bytes, sent, piece.in_scratch);
        bytes = 0;
      }
    }
    // What follows the last piece was looked at and is not wanted.
    move_to(at == pieces_.size() ? scanned_to_ : pieces_[at - 1].sequence + 1);
    pieces_.clear();
  }

  Selection selection_;
  std::uint64_t next_ = 0;  ///< = loop_ * frame_count + index_
  std::size_t index_ = 0;
  std::uint32_t loop_ = 0;

  std::array<iovec, kRangesMax> ranges_{};
  std::size_t range_count_ = 0;
  std::size_t range_bytes_ = 0;

  bool picking_ = false;  ///< The last gather() picked frames: pieces_ tells which.
  std::vector<Piece> pieces_;
  std::uint64_t scanned_to_ = 0;
  std::vector<std::byte> scratch_;  ///< Frames of which some elements were left out.

  std::span<const std::byte> remainder_;
  SentFrame begun_;
  std::vector<std::byte> tail_;  ///< Holds the remainder of a frame that stood in scratch_.
};

}  // namespace feedbench::mock_exchange
