#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "transports/transport.hpp"

namespace feedbench::downstream {

/// The bytes of a client that are its own: the handshake response, pongs, the Close frame, the rest of a frame that was
/// cut by an eviction. Two buffers: the one in flight, which must not move, and the one that waits.
/// Bound: a waiting pong is replaced by the next (RFC 6455 section 5.5.3 allows to answer only the latest ping), and
/// nothing is queued behind a Close frame; so one response or one pong, and one Close, wait at most.
class ControlQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  [[nodiscard]] bool in_flight() const noexcept { return !sending_.empty(); }

  void append(std::string_view bytes) {
    if (!ends_in_close_) waiting_.append(bytes);
    ends_in_pong_ = false;
  }
  /// Puts bytes in front of all that waits: the rest of a frame that is already half on the wire.
  void prepend(std::string_view bytes) {
    waiting_.insert(0, bytes);
    ends_in_pong_ = false;
  }
  void append_pong(std::string_view frame) {
    if (ends_in_close_) return;
    if (ends_in_pong_) waiting_.resize(pong_at_);
    pong_at_ = waiting_.size();
    waiting_.append(frame);
    ends_in_pong_ = true;
  }
  void append_close(std::string_view frame) {
    if (ends_in_close_) return;
    waiting_.append(frame);
    ends_in_close_ = true;
  }

  /// Moves what waits into flight and returns it. Precondition: nothing is in flight, something waits.
  transports::ConstRange take() {
    sending_ = std::exchange(waiting_, {});
    ends_in_pong_ = false;
    return {reinterpret_cast<const std::byte*>(sending_.data()), sending_.size()};
  }

  /// The send of what take() returned ended after `bytes`; what was left of it (a cancelled send) waits again, first.
  void sent(std::size_t bytes) {
    if (bytes < sending_.size()) {
      waiting_.insert(0, sending_, bytes);
      ends_in_pong_ = false;
    }
    std::string().swap(sending_);  // gives the memory back: an idle client holds none
  }

 private:
  std::string waiting_;
  std::string sending_;
  std::size_t pong_at_ = 0;
  bool ends_in_pong_ = false;
  bool ends_in_close_ = false;
};

}  // namespace feedbench::downstream
