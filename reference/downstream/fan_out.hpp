#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "transports/rings/feed_log_writer.hpp"
#include "transports/transport.hpp"

namespace feedbench::downstream {

/// Sends the feed log to every subscriber: a subscriber is a cursor into the log, one send in flight each. While a send
/// is in flight the range behind it grows, so batching adapts to load by itself; no byte is copied in user space.
///
/// Ranges end at message boundaries, because the log's head does. So between two sends of a subscriber the wire is at a
/// frame boundary, and a control frame may be put there.
///
/// thread: the polling thread. Allocation: none after add().
/// T: a Transport. Its send() is called from publish(), resume() and sent().
template <class T>
class FanOut {
 public:
  using Conn = transports::Conn;

  /// lag_max_bytes: a subscriber further behind the head is reported by publish() as too slow; at most half of the ring,
  /// so that no byte of a send in flight can be overwritten before the send is cancelled.
  FanOut(T& transport, const rings::FeedLogWriter& log, std::uint64_t lag_max_bytes,
         std::uint32_t connections_max)
      : transport_(transport),
        log_(log),
        lag_max_bytes_(lag_max_bytes),
        position_(connections_max, kNowhere) {}

  /// Starts to send to conn, from the live edge.
  void add(Conn conn) {
    position_[conn.index] = static_cast<std::uint32_t>(subscribers_.size());
    subscribers_.push_back({conn, log_.head_offset(), 0, false});
  }

  /// Forgets conn. Its send in flight, if any, is the caller's to cancel. O(1).
  void remove(Conn conn) {
    const std::uint32_t at = position_[conn.index];
    if (at == kNowhere) return;
    subscribers_[at] = subscribers_.back();
    position_[subscribers_[at].conn.index] = at;
    subscribers_.pop_back();
    position_[conn.index] = kNowhere;
  }

  [[nodiscard]] bool has(Conn conn) const noexcept { return position_[conn.index] != kNowhere; }
  [[nodiscard]] std::size_t size() const noexcept { return subscribers_.size(); }

  /// Offers what the log has gained to every subscriber that has no send in flight.
  /// too_slow(conn): called for each that is more than lag_max_bytes behind; it may not add or remove subscribers.
  /// Cost: one send() a ready subscriber.
  template <class TooSlow>
  void publish(TooSlow&& too_slow) {
    const std::uint64_t head = log_.head_offset();
    for (Subscriber& subscriber : subscribers_) {
      if (subscriber.in_flight_bytes == 0 && !subscriber.held)
        send(subscriber, head);
      else if (head - subscriber.cursor > lag_max_bytes_)
        too_slow(subscriber.conn);
    }
  }

  /// A send of conn, started here, ended after `bytes`. more: go on with what the log has gained since.
  void sent(Conn conn, std::size_t bytes, bool more) {
    Subscriber& subscriber = subscribers_[position_[conn.index]];
    subscriber.cursor += bytes;
    subscriber.in_flight_bytes = 0;
    if (more && !subscriber.held) send(subscriber, log_.head_offset());
  }

  /// A held subscriber is sent nothing: its wire is at a frame boundary once nothing is in flight.
  void hold(Conn conn) { subscribers_[position_[conn.index]].held = true; }
  void resume(Conn conn) {
    Subscriber& subscriber = subscribers_[position_[conn.index]];
    subscriber.held = false;
    if (subscriber.in_flight_bytes == 0) send(subscriber, log_.head_offset());
  }

  [[nodiscard]] bool in_flight(Conn conn) const noexcept {
    return subscribers_[position_[conn.index]].in_flight_bytes != 0;
  }
  /// Where the next byte for conn stands in the log. It is a frame boundary unless a send was cancelled.
  [[nodiscard]] std::uint64_t cursor(Conn conn) const noexcept {
    return subscribers_[position_[conn.index]].cursor;
  }

 private:
  static constexpr std::uint32_t kNowhere = UINT32_MAX;

  struct Subscriber {
    Conn conn;
    std::uint64_t cursor;           // every byte before it has left
    std::uint64_t in_flight_bytes;  // of the one send outstanding, from cursor on; 0: none
    bool held;
  };

  void send(Subscriber& subscriber, std::uint64_t head) {
    const std::uint64_t bytes = head - subscriber.cursor;
    if (bytes == 0) return;
    const transports::ConstRange range{log_.data(subscriber.cursor),
                                       static_cast<std::size_t>(bytes)};
    switch (transport_.send(subscriber.conn, std::span(&range, 1))) {
      case transports::SendStatus::completed:
        subscriber.cursor = head;
        break;
      case transports::SendStatus::pending:
        subscriber.in_flight_bytes = bytes;
        break;
      // Dead or closing: on_close removes it. busy and invalid cannot be: one send a subscriber, never empty.
      default:
        subscriber.held = true;
        break;
    }
  }

  T& transport_;
  const rings::FeedLogWriter& log_;
  std::uint64_t lag_max_bytes_;
  std::vector<Subscriber> subscribers_;  // dense: publish() walks it
  std::vector<std::uint32_t> position_;  // by Conn::index
};

}  // namespace feedbench::downstream
