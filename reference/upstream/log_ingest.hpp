#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "reference/websocket/frame_scanner.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/transport.hpp"

namespace feedbench::upstream {

struct IngestOptions {
  std::uint64_t message_max_bytes = 1u << 20;  ///< A larger message fails the connection with 1009.
  bool validate_utf8 = true;                   ///< Fail text that is not UTF-8 with 1007.
  bool stamps = true;                          ///< Stamp stages 4 to 6 and keep 1 to 3.
  /// What space() offers at most: small enough that a chunk stays in the cache while it is sent to every client, large
  /// enough that sends are few. Measured with 1,024 B frames to 128 clients: 64 KiB 3.9, 128 KiB 5.2, 256 KiB 3.7 GB/s.
  std::size_t chunk_bytes = 192 * 1024;
};

/// What one chunk came to. fault is none unless the venue broke the protocol; the connection has then failed.
struct IngestResult {
  websocket::Fault fault = websocket::Fault::none;
  std::uint32_t messages = 0;  ///< Published now.
};

/// Turns the byte stream of one venue, which lies in the feed log where the transport or the decryption put it, into
/// published messages. The log's published bytes are exactly what a downstream client may be sent: control frames, and
/// messages the sink keeps, are closed up before publishing (the bytes behind them in the same chunk move down; nothing
/// else is ever copied). A fragmented message is published when it is whole, as one index line.
///
/// Sink:
///   on_control(opcode, payload)            a ping, pong or Close of the venue; valid for the call.
///   keep(opcode, payload) -> bool          asked for each message while filtering(true): true takes it out of the stream.
/// thread: the polling thread. Allocation: none.
class LogIngest {
 public:
  LogIngest(rings::FeedLogWriter& log, const IngestOptions& options)
      : log_(log),
        options_(options),
        fragments_max_(static_cast<std::uint32_t>(log.ring_bytes() / 64)) {
    // A sixteenth of the ring a chunk, an eighth a message and a sixth for the headers of its fragments: with clients
    // evicted at half a ring behind, no byte that a send in flight may still read is ever offered to the venue.
    options_.chunk_bytes =
        std::min<std::size_t>(options.chunk_bytes, static_cast<std::size_t>(log.ring_bytes() / 16));
    scanner_ = new_scanner();
  }

  /// Where the next bytes of the venue go; never empty. Cost: a few stores.
  std::span<std::byte> space() noexcept { return log_.reserve(options_.chunk_bytes); }

  /// Ask the sink about each message, or publish all of them unasked (the default).
  void filtering(bool on) noexcept { filtering_ = on; }
  /// Which upstream connection the frames came by; stands in their index lines.
  void generation(std::uint32_t generation) noexcept { generation_ = generation; }

  /// `bytes` new bytes stand at the start of the last space(). Publishes every message they complete.
  template <class Sink>
  IngestResult received(std::size_t bytes, const transports::RxStamps& rx, Sink& sink) {
    rings::FrameStamps stamps;
    if (options_.stamps) stamps = {{}, rx.wake, rx.read, transports::TscInstant::now(), {}, {}};
    log_.written(bytes);
    const std::uint64_t end = log_.write_position();
    IngestResult result;
    while (parsed_ < end) {
      const std::byte* at = log_.data(parsed_);
      const websocket::ScanResult frame =
          scanner_.scan({at, static_cast<std::size_t>(end - parsed_)});
      if (frame.status == websocket::ScanStatus::need_more) break;
      if (frame.status == websocket::ScanStatus::error) {
        result.fault = frame.fault;
        break;
      }
      if (options_.stamps) stamps.parsed = transports::TscInstant::now();
      const std::uint64_t frame_bytes = frame.frame_bytes();
      const std::span<const std::byte> payload{at + frame.header_bytes,
                                               static_cast<std::size_t>(frame.payload_bytes)};
      parsed_ += frame_bytes;
      if (websocket::is_control(frame.opcode)) [[unlikely]] {
        log_.stats().control_frames.add();
        sink.on_control(frame.opcode, payload);
        continue;
      }
      if (filtering_ && frame.fin && frame.opcode != websocket::Opcode::continuation &&
          sink.keep(frame.opcode, payload))
        continue;
      if (placed_ + frame_bytes != parsed_) [[unlikely]]
        log_.move_down(placed_, parsed_ - frame_bytes, static_cast<std::size_t>(frame_bytes));
      placed_ += frame_bytes;
      if (frame.opcode != websocket::Opcode::continuation) {
        opcode_ = frame.opcode;
        fragmented_ = !frame.fin;
        header_bytes_ = frame.header_bytes;
      }
      if (!frame.fin) continue;
      // Stage 1 is the stamp of the last byte received, so it is the stamp of the message that ends there and no other.
      stamps.nic = parsed_ == end ? rx.nic : transports::TscInstant{};
      publish_message(stamps);
      ++result.messages;
    }
    if (placed_ != parsed_) [[unlikely]]
      close_up(end);
    if (result.messages != 0) log_.publish();
    return result;
  }

  /// What came and is not published: the beginning of a message, without control frames. Whoever goes on with this stream
  /// is to be given it first. Valid until the next call.
  [[nodiscard]] std::span<const std::byte> unfinished() const noexcept {
    const std::uint64_t begin = log_.committed_offset();
    return {log_.data(begin), static_cast<std::size_t>(log_.write_position() - begin)};
  }

  /// The connection is gone: forgets what was not published. The next bytes belong to a new stream.
  void reset() noexcept {
    log_.stats().bytes_rewound.add(log_.write_position() - log_.committed_offset());
    log_.rewind(log_.committed_offset());
    parsed_ = placed_ = log_.committed_offset();
    scanner_ = new_scanner();
  }

 private:
  [[nodiscard]] websocket::FrameScanner new_scanner() const noexcept {
    websocket::FrameScannerOptions scanner;
    scanner.message_bytes_max = options_.message_max_bytes;
    scanner.fragments_max = fragments_max_;
    scanner.validate_utf8 = options_.validate_utf8;
    return websocket::FrameScanner(scanner);
  }

  void publish_message(rings::FrameStamps& stamps) noexcept {
    rings::FrameEntry entry;
    entry.offset = log_.committed_offset();
    entry.length = static_cast<std::uint32_t>(placed_ - entry.offset);
    entry.header_bytes = header_bytes_;
    entry.opcode = static_cast<std::uint8_t>(opcode_);
    entry.flags = fragmented_ ? rings::kMessageFragmented : std::uint16_t{0};
    entry.upstream_generation = generation_;
    if (options_.stamps) {
      stamps.handler = transports::TscInstant::now();
      entry.stamps = stamps;
      if (!stamps.nic.present()) log_.stats().nic_stamps_absent.add();
    }
    log_.stage(entry);
    log_.stats().frames.add();
    log_.stats().bytes.add(entry.length);
  }

  /// Moves the unparsed rest down behind the last byte kept. Rare: a control frame came in this chunk.
  void close_up(std::uint64_t end) noexcept {
    const std::uint64_t rest = end - parsed_;
    if (rest != 0) log_.move_down(placed_, parsed_, static_cast<std::size_t>(rest));
    log_.stats().bytes_rewound.add(parsed_ - placed_);
    log_.rewind(placed_ + rest);
    parsed_ = placed_;
  }

  rings::FeedLogWriter& log_;
  IngestOptions options_;
  std::uint32_t fragments_max_;
  websocket::FrameScanner scanner_;
  std::uint64_t parsed_ = 0;  // stream offset of the first byte not yet scanned
  std::uint64_t placed_ =
      0;  // stream offset right behind the last frame kept: parsed_, unless something was taken out
  std::uint32_t generation_ = 0;
  websocket::Opcode opcode_ = websocket::Opcode::text;  // of the message being placed
  std::uint8_t header_bytes_ = 0;
  bool fragmented_ = false;
  bool filtering_ = false;
};

}  // namespace feedbench::upstream
