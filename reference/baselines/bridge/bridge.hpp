#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>

#include "reference/program/status_lines.hpp"
#include "reference/program/stop_signals.hpp"
#include "reference/websocket/build_frame.hpp"
#include "reference/websocket/frame_scanner.hpp"
#include "reference/websocket/handshake.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/rings/ring_concept.hpp"
#include "transports/transport.hpp"

namespace feedbench::baselines {

struct BridgeOptions {
  transports::Endpoint upstream;  ///< Where the exchange listens, numeric.
  std::string host;               ///< The URL's authority, for the handshake.
  std::string target = "/";       ///< Its path and query.
};

struct BridgeCounters {
  std::uint64_t bytes_received = 0;  ///< From upstream, without the response head.
  std::uint64_t messages_published = 0;
  std::uint64_t bytes_published = 0;  ///< Frames, headers included.
  std::uint64_t ring_full = 0;        ///< How often the ring refused; it is asked again.
};

/// One upstream WebSocket into one ring: the same program for every ring, so that a difference is
/// the ring's. Each data frame is copied into the ring whole, header included, one message a frame;
/// Ping and Close are answered. A ring that is full is asked again: meanwhile nothing is received
/// from upstream once `buffer` is full, which is backpressure up to the exchange. The end of the
/// upstream is the end of the bridge.
/// thread: one, the caller of run(). No allocation or lock a message once it is upgraded.
template <transports::Transport T, class Outlet>
class Bridge {
 public:
  /// buffer: mapped twice; what was received and is not yet published.
  Bridge(T& transport, Outlet& outlet, const BridgeOptions& options,
         const rings::MirroredMapping& buffer, const program::StatusLines& status)
      : transport_(transport),
        outlet_(outlet),
        options_(options),
        buffer_(buffer),
        status_(status),
        scanner_({.message_bytes_max = std::min<std::uint64_t>(outlet.largest_message_bytes(),
                                                               buffer.ring_bytes() / 2) -
                                       websocket::kHeaderBytesMax}) {}

  /// Connects. Errors: no such host here.
  transports::Expected<void> start() {
    auto handshake =
        websocket::ClientHandshake::create({.host = options_.host, .target = options_.target});
    if (!handshake) return tl::make_unexpected(handshake.error());
    handshake_ = std::make_unique<websocket::ClientHandshake>(std::move(*handshake));
    auto upstream = transport_.connect(options_.upstream, {.lend_memory = true, .late_ack = true});
    if (!upstream) return tl::make_unexpected(upstream.error());
    upstream_ = *upstream;
    upstream_open_ = true;
    return {};
  }

  /// Publishes until the upstream ends or a stop is requested. Errors: the upstream could not be
  /// reached, did not upgrade, or broke the protocol.
  transports::Expected<void> run() {
    static constexpr transports::MonotonicInstant kNever{std::numeric_limits<std::int64_t>::max()};
    while (!ending_) {
      transport_.poll(*this, waiting_ ? transport_.now() + kRetryNs : kNever);
      if (waiting_) publish();
      if (program::StopSignals::requested()) end();
    }
    const auto deadline = transport_.now() + kCloseNs;
    while (upstream_open_ && transport_.now() < deadline) transport_.poll(*this, deadline);
    if (!failure_.empty()) return tl::make_unexpected(transports::Error{failure_, failure_errno_});
    return {};
  }

  [[nodiscard]] const BridgeCounters& counters() const noexcept { return counters_; }
  /// True when the upstream answered the upgrade with something else than 101.
  [[nodiscard]] bool upstream_refused() const noexcept { return upstream_refused_; }

  // What the transport calls.

  void on_open(transports::Conn, bool) {
    status_.event("upstream_open");
    send(websocket::as_bytes(handshake_->request()));
  }

  std::span<std::byte> receive_space(transports::Conn) {
    const std::uint64_t space = buffer_.ring_bytes() - (received_ - done_);
    if (space < kReceiveBytesMin) {
      paused_ = true;
      return {};
    }
    return {at(received_), static_cast<std::size_t>(std::min(space, kReceiveBytesMax))};
  }

  void on_receive(transports::Conn, std::span<std::byte> bytes, const transports::RxStamps&) {
    received_ += bytes.size();
    if (handshake_ && !finish_handshake(bytes)) return;
    counters_.bytes_received = received_ - begin_;
    if (!ending_) publish();
  }

  void on_sent(transports::Conn, std::size_t) { sending_ = false; }

  void on_close(transports::Conn, transports::CloseInfo info) {
    upstream_open_ = false;
    if (ending_) return;
    const std::string reason(to_string(info.reason));
    if (handshake_) {
      fail("upstream " + to_string(options_.upstream) + " cannot be reached: " + reason +
               " (is the exchange running there?)",
           info.os_error);
    } else {
      status_.event("upstream_lost", {{"reason", reason}});
      end();
    }
  }

  void on_wake() {}

 private:
  static constexpr std::int64_t kRetryNs = 20'000;  // blocking: how soon a full ring is asked again
  static constexpr std::int64_t kCloseNs = 500'000'000;
  static constexpr std::uint64_t kReceiveBytesMax = 256 << 10;
  static constexpr std::uint64_t kReceiveBytesMin = 16 << 10;

  std::byte* at(std::uint64_t offset) const noexcept {
    return buffer_.ring() + (offset & (buffer_.ring_bytes() - 1));
  }

  // Returns true once the head is dropped; the frames begin behind it.
  bool finish_handshake(std::span<const std::byte> bytes) {
    const websocket::HandshakeStep step = handshake_->feed(bytes);
    begin_ += step.consumed_bytes;
    done_ = begin_;
    if (step.status == websocket::HandshakeStatus::need_more) return false;
    if (step.status == websocket::HandshakeStatus::failed) {
      upstream_refused_ = true;
      fail("upstream " + to_string(options_.upstream) +
               " did not upgrade to WebSocket: " + handshake_->error(),
           0);
      return false;
    }
    handshake_.reset();
    status_.event("upstream_ready");
    return true;
  }

  // Everything that is whole, until the ring has no room.
  void publish() {
    while (next_frame()) {
      const std::span<const std::byte> frame(at(done_),
                                             static_cast<std::size_t>(frame_.frame_bytes()));
      if (websocket::is_control(frame_.opcode)) {
        answer(frame.subspan(frame_.header_bytes));
        if (ending_) return;
      } else if (!put(frame)) {
        return;
      }
      done_ += frame.size();
      have_frame_ = false;
    }
    if (ending_) return;
    waiting_ = outlet_.serve();
    if (paused_ && buffer_.ring_bytes() - (received_ - done_) >= kReceiveBytesMin) {
      paused_ = false;
      transport_.resume_receive(upstream_);
    }
  }

  // Each frame is scanned once, however often the ring refuses it: the scanner remembers fragments.
  bool next_frame() {
    if (have_frame_) return true;
    frame_ = scanner_.scan({at(done_), static_cast<std::size_t>(received_ - done_)});
    if (frame_.status == websocket::ScanStatus::error) {
      const std::string who = "upstream " + to_string(options_.upstream);
      fail(frame_.fault == websocket::Fault::message_too_big
               ? who + " sent a message that is too large for the ring (raise --ring-bytes)"
               : who + " broke the protocol: " + std::string(frame_.text()),
           0);
    }
    return have_frame_ = frame_.status == websocket::ScanStatus::frame;
  }

  bool put(std::span<const std::byte> frame) {
    switch (outlet_.publish(frame, transports::TscInstant::now())) {
      case rings::PublishStatus::published:
        ++counters_.messages_published;
        counters_.bytes_published += frame.size();
        return true;
      case rings::PublishStatus::full:
        ++counters_.ring_full;
        waiting_ = true;
        return false;
      case rings::PublishStatus::too_large:
        fail("a frame of " + std::to_string(frame.size()) + " bytes does not fit the ring", 0);
        return false;
      case rings::PublishStatus::corrupt:
        break;
    }
    fail("the reader's part of the ring makes no sense", 0);
    return false;
  }

  void answer(std::span<const std::byte> payload) {
    if (frame_.opcode == websocket::Opcode::pong) return;
    const bool close = frame_.opcode == websocket::Opcode::close;
    if (!sending_) {  // a Ping that comes while the last Pong has not left goes without its own
      const std::size_t bytes = websocket::build_client_frame(
          control_, close ? websocket::Opcode::close : websocket::Opcode::pong, payload,
          mask_keys_.next());
      send({control_.data(), bytes});
    }
    if (!close) return;
    status_.event("upstream_lost", {{"reason", "the venue closed"}});
    end();
  }

  void send(std::span<const std::byte> bytes) {
    const std::array range{transports::ConstRange{bytes.data(), bytes.size()}};
    sending_ = transport_.send(upstream_, range) == transports::SendStatus::pending;
  }

  void fail(std::string message, int os_error) {
    failure_ = std::move(message);
    failure_errno_ = os_error;
    end();
  }

  void end() {
    if (ending_) return;
    ending_ = true;
    if (upstream_open_) transport_.close(upstream_);
  }

  T& transport_;
  Outlet& outlet_;
  const BridgeOptions& options_;
  const rings::MirroredMapping& buffer_;
  const program::StatusLines& status_;
  BridgeCounters counters_;

  transports::Conn upstream_;
  std::unique_ptr<websocket::ClientHandshake> handshake_;  // until it is done
  websocket::FrameScanner scanner_;
  websocket::MaskKeys mask_keys_;
  std::array<std::byte, websocket::kControlFrameBytesMax> control_{};
  bool sending_ = false;
  bool upstream_open_ = false;
  bool ending_ = false;
  bool upstream_refused_ = false;
  bool paused_ = false;   // receive_space() had none to give
  bool waiting_ = false;  // the ring refused, or the outlet has something left to do
  std::string failure_;
  int failure_errno_ = 0;

  std::uint64_t begin_ = 0;      // stream offset of the first byte behind the response head
  std::uint64_t received_ = 0;   // behind the last byte received
  std::uint64_t done_ = 0;       // behind the last frame published or answered
  websocket::ScanResult frame_;  // the frame at done_, while have_frame_
  bool have_frame_ = false;
};

}  // namespace feedbench::baselines
