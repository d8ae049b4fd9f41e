#include "mock_exchange/connection.hpp"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <charconv>
#include <utility>

namespace feedbench::mock_exchange {

using transports::TscInstant;
using websocket::CloseCode;
using websocket::Opcode;

namespace {

constexpr std::int64_t kGoodbyeNs = 1'000'000'000;
constexpr int kReadsAtOnce = 16;  // then others get their turn
/// Clients of venues send little: a larger message is refused with 1009.
constexpr websocket::ParserLimits kLimits{.message_bytes_max = 1U << 20U, .fragments_max = 4096};

bool earlier(TscInstant a, TscInstant b) { return a.present() && (!b.present() || a < b); }

}  // namespace

Connection::Connection(Server& server, boost::asio::ip::tcp::socket socket, std::uint32_t id)
    : server_(&server),
      socket_(std::move(socket)),
      id_(id),
      stream_(socket_.native_handle(), server.tls_server()),
      parser_(kLimits),
      faults_done_(server.options().faults.size(), false) {}

void Connection::begin() {
  phase_ = server_->tls() ? Phase::tls : Phase::http;
  deadline_ = server_->after(server_->now(), server_->options().handshake_timeout_ns);
  server_->wake();
  wait_readable();
}

void Connection::detach() {
  server_ = nullptr;
  phase_ = Phase::dead;
  boost::system::error_code ignored;
  socket_.close(ignored);
}

// ---- reading

void Connection::wait_readable() {
  socket_.async_wait(boost::asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       if (!error && self->server_ != nullptr && !self->dead()) self->on_readable();
                     });
}

void Connection::on_readable() {
  for (int i = 0; i < kReadsAtOnce; ++i) {
    const bool more = read_some();
    if (dead()) return;
    if (!more) return wait_readable();
  }
  // TLS may hold bytes back that the socket will never announce, so this does not wait for it.
  boost::asio::post(server_->io(), [self = shared_from_this()] {
    if (self->server_ != nullptr && !self->dead()) self->on_readable();
  });
}

/// Returns false when there is nothing more to read now.
bool Connection::read_some() {
  if (phase_ == Phase::tls) {
    advance_tls();
    return phase_ == Phase::http;
  }
  const auto buffer = server_->receive_buffer();
  const IoResult result = stream_.read(buffer);
  switch (result.status) {
    case IoStatus::done:
      feed(buffer.first(result.bytes));
      return true;
    case IoStatus::would_block:
      return false;
    case IoStatus::end:
      drop(phase_ == Phase::open ? "the client went away without a Close frame" : "");
      return false;
    case IoStatus::failed:
      drop(stream_.error());
      return false;
  }
  return false;
}

void Connection::advance_tls() {
  const IoResult result = stream_.handshake();
  if (result.status == IoStatus::done) {
    phase_ = Phase::http;
  } else if (result.status != IoStatus::would_block) {
    ++server_->counters().handshakes_failed;
    drop(result.status == IoStatus::end ? "the client went away during the TLS handshake"
                                        : stream_.error());
  } else if (stream_.unwritten()) {
    wait_writable();
  }
}

void Connection::feed(std::span<std::byte> bytes) {
  if (phase_ == Phase::http) {
    const auto step = handshake_.feed(bytes);
    if (step.status == websocket::HandshakeStatus::need_more) return;
    if (step.status == websocket::HandshakeStatus::failed) {
      return refuse(handshake_.status(), handshake_.rejection());
    }
    upgrade();
    bytes = bytes.subspan(step.consumed_bytes);
  }
  if ((phase_ != Phase::open && phase_ != Phase::closing) || broken_ || bytes.empty()) return;
  const auto result = parser_.feed(bytes, *this);
  if (result.status != websocket::ParseStatus::failed || dead()) return;
  broken_ = true;
  ++server_->counters().protocol_errors;
  close_with(result.close_code(), result.text());
}

void Connection::upgrade() {
  auto port = open_port(server_->venue(), handshake_.request());
  if (!port) {
    const auto& [status, text] = port.error();
    return refuse(status, websocket::http_refusal(status, text));
  }
  port_ = std::move(*port);
  phase_ = Phase::open;
  deadline_ = {};
  const TscInstant now = server_->now();
  const std::int64_t interval_ns = server_->options().ping_interval_ns;
  if (interval_ns > 0) next_ping_ = server_->after(now, interval_ns);
  boost::system::error_code ignored;
  const auto peer = socket_.remote_endpoint(ignored);
  server_->note(
      Note::Level::info, "client {} connected from {}: {}", id_,
      transports::to_string(transports::Endpoint{peer.address().to_string(), peer.port()}),
      handshake_.request().target);
  queue(websocket::as_bytes(handshake_.accept()));
  apply(port_->on_open(server_->ns_of(now)));
}

void Connection::refuse(unsigned status, const std::string& response) {
  ++server_->counters().handshakes_failed;
  std::string_view why = response;  // its body is one sentence and a line feed
  why.remove_prefix(why.find("\r\n\r\n") + 4);
  why.remove_suffix(why.ends_with('\n') ? 1 : 0);
  server_->note(Note::Level::warning, "client {} refused with HTTP {}: {}", id_, status, why);
  queue(websocket::as_bytes(response));
  phase_ = Phase::closing;
  broken_ = true;
  deadline_ = server_->after(server_->now(), kGoodbyeNs);
  server_->wake();
  write(server_->now());
}

void Connection::on_message(Opcode, std::span<const std::byte> payload) {
  ++server_->counters().messages_received;
  if (phase_ == Phase::open)
    apply(port_->on_message(websocket::as_text(payload), server_->ns_of(server_->now())));
}

void Connection::on_ping(std::span<const std::byte> payload) {
  if (phase_ != Phase::open) return;
  queue_frame(Opcode::pong, payload);
  apply(port_->on_control(server_->ns_of(server_->now())));
}

void Connection::on_pong(std::span<const std::byte> payload) {
  if (phase_ != Phase::open) return;
  note_pong(websocket::as_text(payload));
  apply(port_->on_control(server_->ns_of(server_->now())));
}

/// A pong must copy the payload of a ping; any other is unsolicited and says nothing.
void Connection::note_pong(std::string_view payload) {
  std::uint64_t number = 0;
  const char* end = payload.data() + payload.size();
  const auto [stopped, error] = std::from_chars(payload.data(), end, number);
  if (error != std::errc() || stopped != end || number <= pongs_ || number > pings_) return;
  pongs_ = number;
  pong_deadline_ = {};
  if (pongs_ < pings_) {
    pong_deadline_ = server_->after(server_->now(), server_->options().pong_timeout_ns);
  }
}

void Connection::on_close(const websocket::CloseStatus& status) {
  peer_closed_ = true;
  if (phase_ == Phase::open) return close_with(static_cast<CloseCode>(status.code), {});
  write(server_->now());
}

/// Does what the venue's logic says, and takes over what it changed.
void Connection::apply(Replies replies) {
  server_->wake();  // deadlines may have changed
  for (const std::string& text : replies.texts)
    queue_frame(Opcode::text, websocket::as_bytes(text));
  if (replies.close_code != 0) {
    if (replies.close_code == 1008) ++server_->counters().policy_closes;
    return close_with(static_cast<CloseCode>(replies.close_code), replies.close_reason);
  }
  if (port_->ready() || cursor_) select();
  write(server_->now());
}

void Connection::select() {
  if (cursor_ && port_->revision() == port_revision_) return;
  port_revision_ = port_->revision();
  if (cursor_) return cursor_->select(port_->selection());
  if (server_->options().start == Start::on_subscribe) {
    own_timeline_ = server_->own_timeline(server_->now());
    cursor_.emplace(port_->selection());
  } else {
    cursor_.emplace(port_->selection(), server_->join_position());
  }
  server_->on_ready();
}

// ---- time

void Connection::pump(TscInstant now) {
  if (dead()) return;
  if (own_timeline_) own_timeline_->advance(now);
  write(now);
  if (!dead()) check_time(now);
}

void Connection::check_time(TscInstant now) {
  if (deadline_.present() && now >= deadline_) {
    const bool handshake = phase_ == Phase::tls || phase_ == Phase::http;
    if (handshake) ++server_->counters().handshakes_failed;
    return drop(handshake ? "the client did not finish its handshake in time" : "");
  }
  if (phase_ != Phase::open) return;
  if (pong_deadline_.present() && now >= pong_deadline_) {
    ++server_->counters().pong_timeouts;
    broken_ = true;
    return close_with(CloseCode::policy_violation, "Pong timeout");
  }
  if (next_ping_.present() && now >= next_ping_) {
    queue_frame(Opcode::ping, websocket::as_bytes(std::to_string(++pings_)));
    if (!pong_deadline_.present())
      pong_deadline_ = server_->after(now, server_->options().pong_timeout_ns);
    next_ping_ = server_->after(now, server_->options().ping_interval_ns);
    write(now);
  }
  if (phase_ == Phase::open && port_->deadline_ns() <= server_->ns_of(now)) {
    apply(port_->on_time(server_->ns_of(now)));
  }
}

TscInstant Connection::next_due() const {
  TscInstant due = deadline_;
  if (phase_ != Phase::open) return due;
  if (earlier(next_ping_, due)) due = next_ping_;
  if (earlier(pong_deadline_, due)) due = pong_deadline_;
  if (port_->deadline_ns() != VenuePort::kNever &&
      earlier(server_->instant_of(port_->deadline_ns()), due)) {
    due = server_->instant_of(port_->deadline_ns());
  }
  if (!cursor_ || blocked_) return due;
  if (fault_is_due()) return TscInstant{1};
  if (stalled_until_.present()) return earlier(stalled_until_, due) ? stalled_until_ : due;
  if (!cursor_->remainder().empty()) return TscInstant{1};  // longer than one write call
  const Timeline* line = timeline();
  if (line == nullptr) return due;
  if (cursor_->selection().nothing && line->due() == kLoopForever) return due;
  if (cursor_->next() < line->due()) return TscInstant{1};
  return earlier(line->next_due(), due) ? line->next_due() : due;
}

bool Connection::served() const noexcept {
  if (!cursor_ || !cursor_->remainder().empty()) return false;
  const Timeline* line = timeline();
  return line != nullptr && cursor_->next() >= line->schedule().total_frames();
}

// ---- the end

void Connection::close_with(CloseCode code, std::string_view reason) {
  if (phase_ == Phase::tls || phase_ == Phase::http) return drop("");
  if (phase_ != Phase::open) return;
  // The end of a replay, and that everything stops, are told once elsewhere.
  if (!peer_closed_ && code != CloseCode::normal && code != CloseCode::going_away) {
    server_->note(Note::Level::warning, "client {} closed with {}{}{}", id_,
                  static_cast<unsigned>(code), reason.empty() ? "" : ": ", reason);
  }
  queue_frame(Opcode::close, websocket::make_close_payload(code, reason).span());
  phase_ = Phase::closing;
  deadline_ = server_->after(server_->now(), kGoodbyeNs);
  server_->wake();
  write(server_->now());
}

/// All is sent: our side ends. Closing at once could make the kernel discard what the peer has not
/// read.
void Connection::finish() {
  stream_.finish_writing();
  phase_ = Phase::draining;
  deadline_ = server_->after(server_->now(), kGoodbyeNs);
  server_->wake();
}

void Connection::drop(std::string why) {
  if (dead()) return;
  const bool was_served = served();
  if (port_) {
    server_->note(Note::Level::info, "client {} gone after {} frames{}{}", id_, frames_sent_,
                  why.empty() ? "" : ": ", why);
  } else if (!why.empty()) {
    server_->note(Note::Level::warning, "client {} gone before its upgrade: {}", id_, why);
  }
  if (!why.empty()) server_->counters().last_fault = std::move(why);
  phase_ = Phase::dead;
  boost::system::error_code ignored;
  socket_.close(ignored);
  server_->on_gone(*this, was_served);
}

}  // namespace feedbench::mock_exchange
