#include "mock_exchange/feed_cursor.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace feedbench::mock_exchange {

namespace {

constexpr std::size_t kScratchBytes = 64 * 1024;
constexpr std::size_t kHeaderBytesMax = 10;

/// Calls visit(topic) for each topic that a frame of the session has.
template <class Visit>
void for_each_used_topic(const PreparedSession& session, Visit&& visit) {
  for (const PreparedFrame& frame : session.frames()) {
    if (frame.topic != kManyTopics) {
      visit(frame.topic);
      continue;
    }
    for (const PreparedElement& element : session.elements(frame)) visit(element.topic);
  }
}

}  // namespace

Selection Selection::all(std::shared_ptr<const PreparedSession> session) {
  Selection selection;
  selection.wanted.assign(session->topics().size(), 1);
  selection.session = std::move(session);
  selection.everything = true;
  return selection;
}

Selection Selection::some(std::shared_ptr<const PreparedSession> session,
                          std::vector<std::uint8_t> wanted) {
  Selection selection;
  wanted.resize(session->topics().size(), 0);
  wanted[kNoTopic] = 1;
  selection.everything = true;
  selection.nothing = true;
  for_each_used_topic(*session, [&](std::uint32_t topic) {
    (wanted[topic] == 0 ? selection.everything : selection.nothing) = false;
  });
  selection.session = std::move(session);
  selection.wanted = std::move(wanted);
  return selection;
}

FeedCursor::FeedCursor(Selection selection, std::uint64_t sequence)
    : selection_(std::move(selection)) {
  move_to(sequence);
}

void FeedCursor::select(Selection selection) {
  assert(selection.session->frame_count() == selection_.session->frame_count());
  selection_ = std::move(selection);
}

void FeedCursor::move_to(std::uint64_t sequence) noexcept {
  const std::uint64_t count = selection_.session->frame_count();
  next_ = sequence;
  if (count == 0) return;
  loop_ = static_cast<std::uint32_t>(sequence / count);
  index_ = sequence % count;
}

std::span<const iovec> FeedCursor::gather(std::uint64_t due, std::size_t bytes_max,
                                          std::uint64_t frames_max) {
  range_count_ = 0;
  range_bytes_ = 0;
  pieces_.clear();
  picking_ = !selection_.everything;
  if (next_ < due && selection_.session->frame_count() > 0) {
    if (picking_) {
      gather_wanted(due, bytes_max, frames_max);
    } else {
      gather_everything(due, bytes_max, frames_max);
    }
  }
  return std::span<const iovec>(ranges_).first(range_count_);
}

bool FeedCursor::add_range(const std::byte* data, std::size_t bytes) {
  if (range_count_ > 0) {
    iovec& last = ranges_[range_count_ - 1];
    if (static_cast<const std::byte*>(last.iov_base) + last.iov_len == data) {
      last.iov_len += bytes;
      range_bytes_ += bytes;
      return true;
    }
  }
  if (range_count_ == kRangesMax) return false;
  // sendmsg() takes what it only reads through a pointer to non-const.
  ranges_[range_count_++] = {const_cast<std::byte*>(data), bytes};
  range_bytes_ += bytes;
  return true;
}

void FeedCursor::gather_everything(std::uint64_t due, std::size_t bytes_max,
                                   std::uint64_t frames_max) {
  const PreparedSession& session = *selection_.session;
  const auto frames = session.frames();
  std::uint64_t frames_left = std::min(due - next_, frames_max);
  std::size_t index = index_;
  while (frames_left > 0 && range_bytes_ < bytes_max && range_count_ < kRangesMax) {
    const std::uint64_t in_loop = std::min<std::uint64_t>(frames.size() - index, frames_left);
    const std::uint64_t begin = frames[index].offset;
    const PreparedFrame& last = frames[index + in_loop - 1];
    const std::uint64_t bytes =
        std::min<std::uint64_t>(last.offset + last.length - begin, bytes_max - range_bytes_);
    if (!add_range(session.arena().data() + begin, bytes)) return;
    frames_left -= in_loop;
    index = 0;
  }
}

void FeedCursor::gather_wanted(std::uint64_t due, std::size_t bytes_max, std::uint64_t frames_max) {
  scratch_.clear();
  const std::size_t count = selection_.session->frame_count();
  const std::uint64_t scan_end = due - next_ > kScanMax ? next_ + kScanMax : due;
  std::uint64_t sequence = next_;
  std::size_t index = index_;
  while (sequence < scan_end && pieces_.size() < kPiecesMax && pieces_.size() < frames_max &&
         range_bytes_ < bytes_max) {
    Piece piece{.sequence = sequence, .index = static_cast<std::uint32_t>(index)};
    if (!pick(piece.index, piece)) break;
    if (piece.length > 0) {
      if (!add_range(piece.data, piece.length)) break;
      pieces_.push_back(piece);
    }
    ++sequence;
    if (++index == count) index = 0;
  }
  scanned_to_ = sequence;
  if (pieces_.empty()) move_to(sequence);
}

/// Fills in what of frame `index` is wanted; length 0 if nothing is. Returns false when the scratch
/// memory is full.
bool FeedCursor::pick(std::uint32_t index, Piece& piece) {
  const PreparedSession& session = *selection_.session;
  const PreparedFrame& frame = session.frames()[index];
  if (frame.topic == kManyTopics) {
    const auto elements = session.elements(frame);
    const auto wanted = std::count_if(
        elements.begin(), elements.end(),
        [&](const PreparedElement& element) { return selection_.wanted[element.topic] != 0; });
    if (wanted == 0) return true;
    if (static_cast<std::size_t>(wanted) < elements.size())
      return encode_wanted_elements(frame, piece);
  } else if (selection_.wanted[frame.topic] == 0) {
    return true;
  }
  piece.data = session.arena().data() + frame.offset;
  piece.length = frame.length;
  return true;
}

/// Writes "[a,b]" of the wanted elements a and b, their text unchanged, as a frame into the scratch
/// memory.
bool FeedCursor::encode_wanted_elements(const PreparedFrame& frame, Piece& piece) {
  if (scratch_.capacity() < kScratchBytes) scratch_.reserve(kScratchBytes);
  if (scratch_.size() + frame.length > scratch_.capacity()) {
    // Earlier pieces point into this memory: it may grow only while there is none.
    if (!scratch_.empty()) return false;
    scratch_.reserve(frame.length);
  }
  const PreparedSession& session = *selection_.session;
  const std::byte* payload = session.arena().data() + frame.offset + frame.header_bytes;
  std::size_t payload_bytes = 1;  // one bracket; each element brings a comma or the other bracket
  for (const PreparedElement& element : session.elements(frame)) {
    if (selection_.wanted[element.topic] != 0) payload_bytes += element.length + 1;
  }
  std::array<std::byte, kHeaderBytesMax> header;
  const std::size_t header_bytes = write_server_header(header, payload_bytes, frame.binary ? 2 : 1);
  const std::size_t begin = scratch_.size();
  scratch_.insert(scratch_.end(), header.data(), header.data() + header_bytes);
  std::byte separator{'['};
  for (const PreparedElement& element : session.elements(frame)) {
    if (selection_.wanted[element.topic] == 0) continue;
    scratch_.push_back(separator);
    scratch_.insert(scratch_.end(), payload + element.offset,
                    payload + element.offset + element.length);
    separator = std::byte{','};
  }
  scratch_.push_back(std::byte{']'});
  piece.data = scratch_.data() + begin;
  piece.length = static_cast<std::uint32_t>(scratch_.size() - begin);
  piece.in_scratch = true;
  return true;
}

void FeedCursor::begin(const std::byte* rest, std::size_t rest_bytes, const SentFrame& frame,
                       bool in_scratch) {
  begun_ = frame;
  if (in_scratch) {
    tail_.assign(rest, rest + rest_bytes);
    rest = tail_.data();
  }
  remainder_ = {rest, rest_bytes};
}

std::uint64_t FeedCursor::sent_uncounted(std::size_t bytes) {
  std::uint64_t ended = 0;
  if (picking_) {
    auto count = [&](const SentFrame&) { ++ended; };
    sent_pieces(bytes, count);
    return ended;
  }
  const PreparedSession& session = *selection_.session;
  const auto frames = session.frames();
  while (bytes > 0) {
    const std::uint64_t from = frames[index_].offset;
    const std::uint64_t left_in_loop = session.loop_bytes() - from;
    if (bytes >= left_in_loop) {
      ended += frames.size() - index_;
      bytes -= left_in_loop;
      next_ += frames.size() - index_;
      index_ = 0;
      ++loop_;
      continue;
    }
    const std::size_t reached = session.frame_at(from + bytes);
    ended += reached - index_;
    next_ += reached - index_;
    index_ = reached;
    bytes = from + bytes - frames[reached].offset;
    if (bytes == 0) break;
    const SentFrame sent{next_, static_cast<std::uint32_t>(index_), loop_, frames[reached].length};
    begin(session.arena().data() + frames[reached].offset + bytes, frames[reached].length - bytes,
          sent, false);
    move_to(next_ + 1);
    break;
  }
  return ended;
}

}  // namespace feedbench::mock_exchange
