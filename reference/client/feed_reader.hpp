#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/client/client_page.hpp"
#include "transports/rings/feed_log_attach.hpp"
#include "transports/rings/feed_log_reader.hpp"

namespace feedproxy {

namespace rings = feedbench::rings;

/// Names one open feed of one client; stays the same when the proxy is restarted. 0: none.
using FeedId = std::uint32_t;
using Stamps = rings::FrameStamps;

enum class Opcode : std::uint8_t { text = 1, binary = 2 };

/// A mapped log. The feed shares it with whoever wants payloads to outlive the feed (the C interface, Python): the
/// mapping goes with its last owner. What it shows does not change any more when the publisher is gone.
class MappedLog {
 public:
  MappedLog(rings::MirroredRange range, const rings::FeedLogView& view)
      : range_(std::move(range)), view_(view), reader_(view) {}

  /// Everything read up to now from the bytes at this offset of the stream (Frame::offset) was what the publisher put
  /// there. thread: any.
  [[nodiscard]] bool intact(std::uint64_t offset) const noexcept {
    rings::Frame frame;
    frame.offset = offset;
    return reader_.confirm(frame);
  }
  [[nodiscard]] const rings::FeedLogView& view() const noexcept { return view_; }

 private:
  rings::MirroredRange range_;
  rings::FeedLogView view_;
  rings::BasicFeedLogReader<> reader_;
};

/// One complete message of the venue, where it lies in the log. Nothing is copied: the bytes stay as they are until the
/// publisher comes round the ring, which intact() tells; what must last longer is to be copied, then asked.
struct Message {
  FeedId feed = 0;
  std::uint64_t sequence = 0;  ///< From 1, without a hole unless a gap was reported.
  Opcode opcode = Opcode::text;
  /// Put together from the fragments of a fragmented message: a copy, valid until the next message is taken.
  bool assembled = false;
  /// It was published before this client joined: the newest of its topic then (OpenOptions::last_values). A copy, too.
  bool last_value = false;
  std::uint32_t topic = 0;  ///< 0: none.
  std::span<const std::byte> payload;

  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(payload.data()), payload.size()};
  }
  /// TSC instants of the six stages; absent ones are absent.
  [[nodiscard]] Stamps stamps() const noexcept { return frame->stamps(); }
  /// Everything read from payload up to now was the message. False: throw it away, the publisher came round.
  [[nodiscard]] bool intact() const noexcept { return assembled || reader->confirm(*frame); }

  /// As it stands in the log, headers included. Both are the feed's, and change with its next message.
  const rings::Frame* frame = nullptr;
  const rings::BasicFeedLogReader<>* reader = nullptr;
};

enum class GapReason : std::uint8_t {
  lapped,         ///< This client was too slow: the publisher came round. The numbers are exact.
  upstream_lost,  ///< The proxy's upstream was gone for a while: how much came then, nobody knows.
  proxy_lost,     ///< The proxy was: likewise.
};

inline constexpr std::uint64_t kUnknown = UINT64_MAX;

struct Gap {
  GapReason reason = GapReason::lapped;
  std::uint64_t missed_messages = 0;  ///< kUnknown where nobody can know.
  std::uint64_t missed_bytes = 0;     ///< Wire bytes, frame headers included; kUnknown likewise.
};

enum class Pull : std::uint8_t {
  message,  ///< `message` is the next one.
  none,     ///< Nothing new.
  gap,      ///< `gap` says what is missing before the next message.
  closed,   ///< Nothing more will come: the feed was closed, or ended.
};

/// The payload of a message of several WebSocket frames, unmasked. wire: [n] its frames, all of them, perhaps being
/// overwritten. false: they are no such frames.
inline bool join_fragments(std::span<const std::byte> wire, std::vector<std::byte>& payload) {
  payload.clear();
  std::size_t at = 0;
  while (at + 2 <= wire.size()) {
    std::uint64_t length = std::to_integer<std::uint64_t>(wire[at + 1]) & 0x7fU;
    std::size_t header = 2;
    if (length >= 126) {
      const std::size_t wide = length == 126 ? 2 : 8;
      if (at + 2 + wide > wire.size()) return false;
      length = 0;
      for (std::size_t i = 0; i < wide; ++i)
        length = length << 8 | std::to_integer<std::uint64_t>(wire[at + 2 + i]);
      header += wide;
    }
    if (at + header > wire.size() || length > wire.size() - at - header) return false;
    const std::size_t old = payload.size();
    payload.resize(old + static_cast<std::size_t>(length));
    rings::load_shared_bytes(payload.data() + old, wire.data() + at + header,
                             static_cast<std::size_t>(length));
    at += header + static_cast<std::size_t>(length);
  }
  return at == wire.size();
}

/// The newest message of each topic, as the proxy hands them to a client that joins: they come before the first message of
/// the log, in the order of their sequences. thread: one.
class LastValues {
 public:
  /// memory: what the proxy gave. false: it cannot be read.
  bool load(int memory) {
    struct stat status {};
    if (::fstat(memory, &status) != 0 || status.st_size < 0) return false;
    bytes_.resize(static_cast<std::size_t>(status.st_size));
    std::size_t have = 0;
    while (have < bytes_.size()) {
      const ssize_t n =
          ::pread(memory, bytes_.data() + have, bytes_.size() - have, static_cast<off_t>(have));
      if (n <= 0) return false;
      have += static_cast<std::size_t>(n);
    }
    return true;
  }

  /// The next one. false: there are no more.
  bool next(Message& out) {
    control::LastValue head;
    if (bytes_.size() - at_ < sizeof head) return false;
    std::memcpy(&head, bytes_.data() + at_, sizeof head);
    const std::size_t begin = at_ + sizeof head;
    if (head.length > bytes_.size() - begin || head.header_bytes > head.length) return false;
    at_ = begin + head.length;
    frame_ = {};
    frame_.sequence = head.sequence;
    frame_.length = head.length;
    frame_.header_bytes = head.header_bytes;
    frame_.opcode = head.opcode;
    frame_.flags = head.flags;
    frame_.upstream_generation = head.generation;
    frame_.data = bytes_.data() + begin;
    out.sequence = head.sequence;
    out.opcode = static_cast<Opcode>(head.opcode);
    out.topic = 0;
    out.last_value = true;
    out.assembled = true;  // a copy, like those that were put together
    out.payload = frame_.payload();
    if ((head.flags & rings::kMessageFragmented) != 0 && join_fragments(frame_.bytes(), joined_))
      out.payload = joined_;
    out.frame = &frame_;
    out.reader = nullptr;
    return true;
  }
  /// Which upstream connection the newest of them came by; 0: there are none, or they are damaged.
  [[nodiscard]] std::uint32_t generation() const noexcept {
    control::LastValue head;
    head.generation = 0;
    for (std::size_t at = 0; bytes_.size() - at >= sizeof head; at += sizeof head + head.length) {
      std::memcpy(&head, bytes_.data() + at, sizeof head);
      if (head.length > bytes_.size() - at - sizeof head) return 0;
    }
    return head.generation;
  }

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::byte> joined_;
  std::size_t at_ = 0;
  rings::Frame frame_;
};

/// A cursor on one mapped log: messages and gaps, in order. Cost of next(): two shared cache lines, no system call, no
/// allocation (but for fragmented messages). thread: one.
class FeedReader {
 public:
  /// Maps the log behind a descriptor, which may be closed afterwards; starts at the live edge.
  /// cursor: where the progress is told. quiet: it tells nothing yet (see continue_after()). The fault says why it is no
  /// log.
  static rings::FeedLogFault open(int log, FeedId feed, std::shared_ptr<PageCursor> cursor,
                                  bool populate, std::optional<FeedReader>& out,
                                  bool quiet = false) {
    rings::MirroredRange mapping;
    rings::FeedLogView view;
    const rings::FeedLogFault fault = rings::attach_feed_log(log, populate, mapping, view);
    if (fault) return fault;
    out.emplace(FeedReader(std::make_shared<const MappedLog>(std::move(mapping), view), feed,
                           std::move(cursor)));
    out->quiet_ = quiet;
    if (!quiet) out->put_progress();  // the slot may show what another feed left there
    return {};
  }

  /// As Pull says; out and gap are written as it says.
  Pull next(Message& out, Gap& gap) noexcept {
    if (held_) [[unlikely]] {
      held_ = false;
      return give(out, gap);
    }
    switch (reader_.next(frame_)) {
      case rings::ReadStatus::none:
        tell_progress();
        return Pull::none;
      case rings::ReadStatus::gap:
        return lost(gap, frame_.missed_frames, frame_.missed_bytes);
      case rings::ReadStatus::frame:
        break;
    }
    if (frame_.upstream_generation != generation_) [[unlikely]] {
      const bool first = generation_ == 0;
      generation_ = frame_.upstream_generation;
      if (!first) {
        held_ = true;
        gap = {GapReason::upstream_lost, kUnknown, kUnknown};
        return Pull::gap;
      }
    }
    return give(out, gap);
  }

  /// The next message is the first one published from now on.
  void seek_live() noexcept {
    held_ = false;
    reader_.seek_live();
  }

  /// The next message is `sequence`, published already or not.
  void seek(std::uint64_t sequence) noexcept {
    reader_.seek(sequence);
    if (!quiet_) put_progress();
  }

  /// The same, for the first one this log ever holds.
  void seek_first(std::uint64_t sequence) noexcept {
    reader_.seek_first(sequence);
    if (!quiet_) put_progress();
  }

  /// The messages before the next one came by this upstream connection: another one will be a gap. 0: not known.
  void came_by(std::uint32_t generation) noexcept { generation_ = generation; }

  /// This log goes on where that reader's ends: so do the numbers told, and a new upstream connection is a gap.
  void continue_after(const FeedReader& before) noexcept {
    generation_ = before.generation_;
    messages_ = before.messages_;
    missed_messages_ = before.missed_messages_;
    missed_bytes_ = before.missed_bytes_;
    quiet_ = false;
    put_progress();
  }
  /// Something is there for next(). Cost: one shared cache line.
  [[nodiscard]] bool ready() const noexcept {
    return held_ || reader_.head_sequence() >= reader_.next_sequence();
  }
  [[nodiscard]] std::uint64_t head_sequence() const noexcept { return reader_.head_sequence(); }
  [[nodiscard]] std::uint64_t next_sequence() const noexcept { return reader_.next_sequence(); }
  [[nodiscard]] const rings::ProxyStats& stats() const noexcept { return reader_.stats(); }
  [[nodiscard]] std::uint64_t ring_bytes() const noexcept { return reader_.ring_bytes(); }
  /// What payloads point into (those that are not assembled).
  [[nodiscard]] const std::shared_ptr<const MappedLog>& log() const noexcept { return log_; }

  /// Puts the numbers of what was read into the client's page, for monitors.
  void tell_progress() noexcept {
    if (told_ == messages_) return;
    put_progress();
  }

 private:
  static constexpr std::uint64_t kTellEvery = 256;

  void put_progress() noexcept {
    constexpr auto kRelaxed = std::memory_order_relaxed;
    told_ = messages_;
    cursor_->sequence.store(reader_.next_sequence() - 1, kRelaxed);
    cursor_->messages.store(messages_, kRelaxed);
    cursor_->missed_messages.store(missed_messages_, kRelaxed);
    cursor_->missed_bytes.store(missed_bytes_, kRelaxed);
  }

  FeedReader(std::shared_ptr<const MappedLog> log, FeedId feed, std::shared_ptr<PageCursor> cursor)
      : log_(std::move(log)), reader_(log_->view()), feed_(feed), cursor_(std::move(cursor)) {}

  Pull give(Message& out, Gap& gap) noexcept {
    out.feed = feed_;
    out.sequence = frame_.sequence;
    out.opcode = static_cast<Opcode>(frame_.opcode);
    out.topic = frame_.topic;
    out.assembled = out.last_value = false;
    out.payload = frame_.payload();
    out.frame = &frame_;
    out.reader = &reader_;
    ++messages_;
    if (messages_ - told_ >= kTellEvery) [[unlikely]]
      tell_progress();
    if ((frame_.flags & rings::kMessageFragmented) != 0) [[unlikely]]
      return assemble(out, gap);
    return Pull::message;
  }

  /// Puts the fragments together. A publisher that comes round meanwhile makes it a gap of this one message.
  [[gnu::cold]] Pull assemble(Message& out, Gap& gap) noexcept {
    if (!join_fragments(frame_.bytes(), assembled_) || !reader_.confirm(frame_)) {
      --messages_;
      return lost(gap, 1, frame_.length);
    }
    out.assembled = true;
    out.payload = assembled_;
    return Pull::message;
  }

  [[gnu::cold]] Pull lost(Gap& gap, std::uint64_t messages, std::uint64_t bytes) noexcept {
    static_assert(rings::kMissedBytesUnknown == kUnknown);
    gap = {GapReason::lapped, messages, bytes};
    missed_messages_ += messages;
    if (bytes != kUnknown) missed_bytes_ += bytes;
    return Pull::gap;
  }

  std::shared_ptr<const MappedLog> log_;
  rings::BasicFeedLogReader<> reader_;
  FeedId feed_;
  std::shared_ptr<PageCursor> cursor_;
  rings::Frame frame_;
  bool held_ = false;   // frame_ was read, and a gap told before it
  bool quiet_ = false;  // it tells nothing: the page still shows the log before
  std::uint32_t generation_ = 0;
  std::uint64_t messages_ = 0;
  std::uint64_t told_ = 0;
  std::uint64_t missed_messages_ = 0;
  std::uint64_t missed_bytes_ = 0;
  std::vector<std::byte> assembled_;
};

}  // namespace feedproxy
