// What a connection sends, and when: the part that runs for every frame.

#include <algorithm>
#include <array>
#include <cstring>

#include "mock_exchange/connection.hpp"

namespace feedbench::mock_exchange {

using transports::TscInstant;
using websocket::CloseCode;
using websocket::Opcode;

namespace {

/// A client that asks much and reads nothing is dropped when this much is waiting for it.
constexpr std::size_t kControlBytesMax = 1U << 20U;
/// gather() calls of one pump that may find nothing wanted, before others get their turn.
constexpr int kScansAtOnce = 8;

}  // namespace

void Connection::queue(std::span<const std::byte> bytes) {
  control_.insert(control_.end(), bytes.begin(), bytes.end());
}

void Connection::queue_frame(Opcode opcode, std::span<const std::byte> payload) {
  const std::size_t at = control_.size();
  control_.resize(at + websocket::header_bytes_for(payload.size(), false) + payload.size());
  websocket::build_server_frame(std::span(control_).subspan(at), opcode, payload);
  ++server_->counters().control_frames_sent;
}

const Timeline* Connection::timeline() const noexcept {
  return own_timeline_ ? &*own_timeline_ : server_->shared_timeline();
}

std::uint64_t Connection::due() const noexcept {
  const Timeline* line = timeline();
  return line == nullptr ? 0 : line->due();
}

void Connection::write(TscInstant now) {
  if (blocked_ || dead() || phase_ == Phase::tls || phase_ == Phase::draining) return;
  if (control_.size() > kControlBytesMax)
    return drop("the client asks but does not read the answers");
  if (stalled_until_.present() && now >= stalled_until_) stalled_until_ = {};
  if (phase_ == Phase::open && cursor_ && !faults_done_.empty() && inject_fault(now)) return;
  if (!write_once() || dead()) return;
  after_flush();
}

/// The due frames, after skipping those that are not wanted. Empty if there are none now.
std::span<const iovec> Connection::gather_due() {
  if (phase_ != Phase::open || !cursor_ || stalled_until_.present()) return {};
  const std::uint64_t due_frames = due();
  if (cursor_->selection().nothing) {
    if (due_frames != kLoopForever) cursor_->move_to(std::max(due_frames, cursor_->next()));
    return {};
  }
  for (int i = 0; i < kScansAtOnce; ++i) {
    if (cursor_->next() >= due_frames) return {};
    const auto ranges =
        cursor_->gather(due_frames, server_->options().write_bytes_max, frames_before_fault());
    if (!ranges.empty()) return ranges;
    if (frames_before_fault() == 0) return {};
  }
  return {};
}

/// One write call for the frame that was begun, the control frames, and what is due. Returns false
/// if something is left that waits for the socket, or the connection is gone.
bool Connection::write_once() {
  std::array<iovec, FeedCursor::kRangesMax + 2> ranges;
  std::size_t count = 0;
  std::size_t asked = 0;
  const auto add = [&](const void* data, std::size_t bytes) {
    ranges[count++] = {const_cast<void*>(data), bytes};  // only read
    asked += bytes;
  };
  const auto rest = cursor_ ? cursor_->remainder() : std::span<const std::byte>{};
  const std::size_t rest_bytes = stalled_until_.present() ? 0 : rest.size();
  const std::size_t control_bytes = rest_bytes == rest.size() ? control_.size() : 0;
  const auto feed = gather_due();
  if (rest_bytes > 0) add(rest.data(), rest_bytes);
  if (control_bytes > 0) add(control_.data(), control_bytes);
  for (const iovec& range : feed) add(range.iov_base, range.iov_len);
  if (count == 0) {
    if (!stream_.unwritten()) return true;
    const IoResult flushed = stream_.flush();
    if (flushed.status == IoStatus::would_block) wait_writable();
    if (flushed.status == IoStatus::failed) drop(stream_.error());
    return flushed.status == IoStatus::done;
  }
  const TscInstant stamp = server_->now();
  const IoResult result = stream_.write(std::span(ranges).first(count));
  if (result.status == IoStatus::failed) {
    drop(stream_.error());
    return false;
  }
  account(result.bytes, rest_bytes, control_bytes, stamp);
  if (!feed.empty() || rest_bytes > 0) check_lag();
  if (result.bytes == asked && !stream_.unwritten()) return true;
  if (!dead()) wait_writable();
  return false;
}

void Connection::account(std::size_t bytes, std::size_t rest_bytes, std::size_t control_bytes,
                         TscInstant stamp) {
  const std::size_t of_rest = std::min(bytes, rest_bytes);
  const std::size_t of_control = std::min(bytes - of_rest, control_bytes);
  const std::size_t of_feed = bytes - of_rest - of_control;
  // The cursor's ranges are valid until its next call: the control bytes go last.
  if (cursor_) account_frames(of_rest, of_feed, stamp);
  if (of_control == control_.size()) {
    control_.clear();
  } else {
    control_.erase(control_.begin(), control_.begin() + static_cast<std::ptrdiff_t>(of_control));
  }
}

void Connection::account_frames(std::size_t rest_bytes, std::size_t feed_bytes, TscInstant stamp) {
  if (rest_bytes + feed_bytes == 0) return;
  ExchangeCounters& counters = server_->counters();
  ++counters.writes;
  counters.bytes_sent += rest_bytes + feed_bytes;
  const std::uint64_t first = cursor_->next();
  std::uint64_t ended = 0;
  if (SendLogWriter* log = server_->log_for(*this)) {
    const Timeline& line = *timeline();
    const auto on_frame = [&](const SentFrame& frame) {
      ++ended;
      log->append({line.intended(frame.sequence).ticks, stamp.ticks, frame.index, frame.length, id_,
                   frame.loop});
    };
    cursor_->sent_remainder(rest_bytes, on_frame);
    cursor_->sent(feed_bytes, on_frame);
    log->publish();
  } else {
    cursor_->sent_remainder(rest_bytes, [&](const SentFrame&) { ++ended; });
    ended += cursor_->sent_uncounted(feed_bytes);
  }
  frames_sent_ += ended;
  counters.frames_sent += ended;
  server_->note_position(cursor_->next());
  if (feed_bytes == 0 || timeline()->schedule().pace().kind == Pace::Kind::max) return;
  const std::int64_t lag_ticks = (stamp - timeline()->intended(first)).ticks;
  if (lag_ticks > 0)
    counters.lag_ticks_max =
        std::max(counters.lag_ticks_max, static_cast<std::uint64_t>(lag_ticks));
}

void Connection::check_lag() {
  const Timeline* line = timeline();
  if (line == nullptr || line->schedule().pace().kind == Pace::Kind::max) return;
  const std::uint64_t behind = line->due() - std::min(line->due(), cursor_->next());
  ExchangeCounters& counters = server_->counters();
  counters.lag_frames_max = std::max(counters.lag_frames_max, behind);
  if (behind <= server_->options().lag_frames_max || phase_ != Phase::open) return;
  ++counters.policy_closes;
  counters.last_fault = "a client did not read fast enough";
  if (const std::string text = port_->slow_reader_text(); !text.empty()) {
    queue_frame(Opcode::text, websocket::as_bytes(text));
  }
  blocked_ = true;  // this write is still being accounted for: close_with must not begin another
  close_with(CloseCode::policy_violation, "slow client");
  blocked_ = false;
}

/// Everything that was asked for is with the kernel.
void Connection::after_flush() {
  if (phase_ == Phase::open) {
    if (!served_counted_ && served()) {
      served_counted_ = true;
      if (server_->options().start == Start::on_subscribe) {
        server_->note(Note::Level::info, "client {} has had the whole replay: {} frames", id_,
                      frames_sent_);
      }
      if (server_->options().when_done == WhenDone::close)
        close_with(CloseCode::normal, "end of the replay");
    }
    return;
  }
  const bool flushed = control_.empty() && !(cursor_ && !cursor_->remainder().empty());
  if (phase_ == Phase::closing && flushed && (peer_closed_ || broken_)) finish();
}

void Connection::wait_writable() {
  if (blocked_) return;
  blocked_ = true;
  if (phase_ == Phase::open) ++server_->counters().writes_partial;
  socket_.async_wait(boost::asio::ip::tcp::socket::wait_write,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (error || self->server_ == nullptr || self->dead()) return;
                       self->blocked_ = false;
                       if (self->phase_ == Phase::tls) return self->advance_tls();
                       self->server_->wake();
                       self->write(self->server_->now());
                     });
}

}  // namespace feedbench::mock_exchange
