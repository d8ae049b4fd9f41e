#pragma once

#include <cstdint>

#include "reference/websocket/close.hpp"
#include "reference/websocket/frame_header.hpp"

/// Who has said Close, who may still send, and who ends the TCP connection: RFC 6455 §5.5.1, §7.1.
namespace feedbench::websocket {

/// One end's view of the closing handshake. Decides, sends nothing: `true` means "send one Close
/// frame now". The caller keeps two deadlines of its own: for the peer's Close (awaits_peer) and
/// for its FIN (awaits_fin). thread: one at a time.
class CloseHandshake {
 public:
  explicit CloseHandshake(Role role) noexcept : role_(role) {}

  /// We want to end the connection. returns false when our Close is out already. After it, nothing
  /// more may be sent.
  bool begin() noexcept {
    if (sent_) return false;
    sent_ = true;
    return true;
  }

  /// The peer's Close has arrived. returns true: answer it, with reply_code(). When both ends began
  /// at once, each has sent its own and neither answers.
  bool peer_closed(const CloseStatus& status) noexcept {
    received_ = true;
    reply_code_ = static_cast<CloseCode>(status.code);
    return begin();
  }

  /// The peer broke the protocol, or we cannot go on. returns as begin(). Whatever still comes is
  /// not read.
  bool fail() noexcept {
    failed_ = true;
    return begin();
  }

  /// The code that answers the peer's Close: the same one; no_status answers an empty Close with an
  /// empty one.
  [[nodiscard]] CloseCode reply_code() const noexcept { return reply_code_; }
  /// Data and control frames may be sent: no Close of ours is out.
  [[nodiscard]] bool may_send() const noexcept { return !sent_; }
  /// Our Close is out and the peer's has not come: drop the connection when its deadline passes.
  [[nodiscard]] bool awaits_peer() const noexcept { return sent_ && !received_ && !failed_; }
  /// End TCP as soon as what was sent has left: the server after both Closes, either end after a
  /// failure.
  [[nodiscard]] bool drop_now() const noexcept {
    return failed_ || (sent_ && received_ && role_ == Role::server);
  }
  /// A client that has exchanged Closes lets the server end TCP first (it keeps the TIME_WAIT), and
  /// drops at a deadline.
  [[nodiscard]] bool awaits_fin() const noexcept {
    return sent_ && received_ && !failed_ && role_ == Role::client;
  }
  /// Both Closes were exchanged and nothing failed: RFC 6455 §7.1.4 "cleanly".
  [[nodiscard]] bool clean() const noexcept { return sent_ && received_ && !failed_; }

 private:
  Role role_;
  bool sent_ = false;
  bool received_ = false;
  bool failed_ = false;
  CloseCode reply_code_ = CloseCode::no_status;
};

}  // namespace feedbench::websocket
