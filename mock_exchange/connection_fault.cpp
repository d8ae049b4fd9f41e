// Faults on request.

#include <sys/socket.h>

#include <algorithm>
#include <limits>

#include "mock_exchange/connection.hpp"

namespace feedbench::mock_exchange {

using transports::TscInstant;

/// The fault that this connection meets first, if any is left for it.
std::optional<std::size_t> Connection::next_fault() const {
  const auto& faults = server_->options().faults;
  std::optional<std::size_t> first;
  for (std::size_t i = 0; i < faults.size(); ++i) {
    if (faults[i].kind == Fault::Kind::refuse_auth || faults_done_[i] || !server_->fault_open(i))
      continue;
    if (!first || faults[i].after_frames < faults[*first].after_frames) first = i;
  }
  return first;
}

std::uint64_t Connection::frames_before_fault() const {
  if (faults_done_.empty()) return std::numeric_limits<std::uint64_t>::max();
  const auto index = next_fault();
  if (!index) return std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t after = server_->options().faults[*index].after_frames;
  const std::uint64_t begun = cursor_->remainder().empty() ? 0 : 1;
  return after - std::min(after, frames_sent_ + begun);
}

/// Something is to be done wrong at once, without waiting for the next frame.
bool Connection::fault_is_due() const {
  const auto index = faults_done_.empty() ? std::nullopt : next_fault();
  if (!index) return false;
  const Fault& fault = server_->options().faults[*index];
  return fault.kind != Fault::Kind::close_mid_frame && frames_sent_ >= fault.after_frames &&
         cursor_->remainder().empty();
}

/// Does what is due to be done wrong. Returns true if the connection must not write any further
/// now.
bool Connection::inject_fault(TscInstant now) {
  while (const auto index = next_fault()) {
    const Fault& fault = server_->options().faults[*index];
    if (frames_sent_ < fault.after_frames || !cursor_->remainder().empty()) return false;
    if (fault.kind == Fault::Kind::stall) {
      stalled_until_ = server_->after(now, fault.duration_ns);
    } else if (fault.kind == Fault::Kind::close_mid_frame && !close_mid_frame()) {
      return blocked_;
    }
    faults_done_[*index] = true;
    server_->use_fault(*index);
    if (fault.kind == Fault::Kind::reset) reset();
    if (fault.kind != Fault::Kind::stall) return true;
  }
  return false;
}

/// Sends half of the next due frame and ends. Returns false if it could not be done yet.
bool Connection::close_mid_frame() {
  if (stalled_until_.present()) return false;
  const auto ranges = cursor_->gather(due(), 1U << 30U, 1);
  if (ranges.empty()) return false;
  std::vector<iovec> parts;
  if (!control_.empty()) parts.push_back({control_.data(), control_.size()});
  parts.push_back({ranges[0].iov_base, std::max<std::size_t>(1, ranges[0].iov_len / 2)});
  const IoResult result = stream_.write(parts);
  if (result.status == IoStatus::would_block || result.bytes <= control_.size()) {
    control_.erase(control_.begin(), control_.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                            result.bytes, control_.size())));
    wait_writable();
    return false;
  }
  // No close_notify and no Close frame: the venue's machine simply went away.
  ::shutdown(socket_.native_handle(), SHUT_WR);
  server_->counters().last_fault = "closed in the middle of a frame, as asked";
  finish();
  return true;
}

void Connection::reset() {
  boost::system::error_code ignored;
  socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  drop("reset, as asked");
}

}  // namespace feedbench::mock_exchange
