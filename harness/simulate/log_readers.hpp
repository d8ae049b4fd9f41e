#pragma once

#include <algorithm>
#include <vector>

#include "harness/simulate/world.hpp"
#include "reference/websocket/message_parser.hpp"
#include "transports/rings/feed_log_mapping.hpp"

namespace feedbench::simulate {

/// The payload of one message in the log, which may be several frames.
class LogMessage {
 public:
  /// Nothing when it is not exactly one whole message.
  std::optional<std::uint32_t> recognise(const Tape& tape, const rings::Frame& frame) {
    websocket::MessageParser<websocket::Role::client> parser;
    number_.reset();
    messages_ = 0;
    tape_ = &tape;
    const auto result = parser.feed(frame.bytes(), *this);
    const bool whole =
        result.status == websocket::ParseStatus::open && parser.at_boundary() && messages_ == 1;
    return whole ? number_ : std::nullopt;
  }
  void on_ping(std::span<const std::byte>) { ++messages_; }
  void on_pong(std::span<const std::byte>) { ++messages_; }
  void on_close(const websocket::CloseStatus&) { ++messages_; }
  void on_message(websocket::Opcode, std::span<const std::byte> payload) {
    ++messages_;
    number_ = tape_->recognise(payload);
  }

 private:
  const Tape* tape_ = nullptr;
  std::optional<std::uint32_t> number_;
  int messages_ = 0;
};

/// Reads everything that is published, at once, and puts it on the tape.
class LogWatcher {
 public:
  LogWatcher(World& world, const rings::FeedLogWriter& log)
      : world_(world), reader_(rings::FeedLogReader::attach(log)) {}

  void read() {
    rings::Frame frame;
    for (;;) {
      switch (reader_.next(frame)) {
        case rings::ReadStatus::none:
          return;
        case rings::ReadStatus::gap:
          world_.fault("one turn of the proxy went round its whole ring");
          continue;
        case rings::ReadStatus::frame:
          break;
      }
      const auto number = message_.recognise(world_.tape, frame);
      if (!number) {
        world_.fault("log sequence {} is no message of the venue's", frame.sequence);
        continue;
      }
      if (std::string wrong = world_.tape.publish(*number, frame.length); !wrong.empty())
        world_.fault("{}", wrong);
    }
  }

 private:
  World& world_;
  rings::FeedLogReader reader_;
  LogMessage message_;
};

/// A local client that reads when it likes, and is lapped: what it is told it missed must be what it missed.
class LazyReader {
 public:
  LazyReader(World& world, const rings::FeedLogWriter& log)
      : world_(world), reader_(rings::FeedLogReader::attach(log)) {}

  /// Reads up to `frames` messages.
  void read(std::uint64_t frames) {
    rings::Frame frame;
    const auto& published = world_.tape.published();
    for (; frames > 0; --frames) {
      const rings::ReadStatus status = reader_.next(frame);
      if (status == rings::ReadStatus::none) return;
      if (status == rings::ReadStatus::gap) {
        take_gap(frame);
        continue;
      }
      if (frame.sequence != next_ + 1)
        world_.fault("a lazy reader gets sequence {} where {} was due", frame.sequence, next_ + 1);
      next_ = frame.sequence;
      const auto number = message_.recognise(world_.tape, frame);
      if (!reader_.confirm(frame)) world_.fault("a frame is torn though nobody wrote");
      if (next_ > published.size() || number != published[next_ - 1])
        world_.fault("a lazy reader gets something else at sequence {}", next_);
    }
  }
  [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }

 private:
  void take_gap(const rings::Frame& gap) {
    const auto& bytes = world_.tape.published_bytes();
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < gap.missed_frames && next_ + i < bytes.size(); ++i)
      sum += bytes[next_ + i];
    if (gap.missed_bytes != sum)
      world_.fault("a lazy reader is told it missed {} bytes, and missed {}", gap.missed_bytes,
                   sum);
    next_ += gap.missed_frames;
    missed_ += gap.missed_frames;
  }

  World& world_;
  rings::FeedLogReader reader_;
  LogMessage message_;
  std::uint64_t next_ = 0;  // sequence of the last frame handed out or missed
  std::uint64_t missed_ = 0;
};

}  // namespace feedbench::simulate
