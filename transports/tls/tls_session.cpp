#include "transports/tls/tls_session.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "transports/tls/session_state.hpp"

namespace feedbench::tls {

std::size_t SessionState::take_input(void* into, std::size_t bytes) noexcept {
  const std::size_t taken = std::min(bytes, input_bytes);
  if (taken != 0) std::memcpy(into, input, taken);
  input += taken;
  input_bytes -= taken;
  return taken;
}

void SessionState::put_output(const void* from, std::size_t bytes) {
  const auto* data = static_cast<const std::byte*>(from);
  waiting.insert(waiting.end(), data, data + bytes);
}

TlsRead SessionState::heard_the_end(std::size_t bytes_read) noexcept {
  peer_closed = true;
  input_bytes = 0;
  return {bytes_read, TlsStatus::closed};
}

TlsStatus SessionState::fail(const std::string& why) noexcept {
  failed = true;
  if (error.empty())
    error = (is_client ? "TLS to " + server_name : std::string("TLS from a client")) + ": " + why;
  return TlsStatus::failed;
}

TlsStatus SessionState::fail(SessionFault fault, const std::string& reason) noexcept {
  if (!certificate_fault.empty()) {
    refused_certificate = true;
    return fail(certificate_fault);
  }
  switch (fault) {
    case SessionFault::no_tls:
      return fail("the peer does not speak TLS (" + reason + "; is this a ws:// address?)");
    case SessionFault::no_version:
      return fail("the peer speaks no TLS version that is safe (TLS 1.2 or newer is wanted)");
    case SessionFault::no_certificate:
      return fail("it showed no certificate, and only clients with one are wanted here");
    case SessionFault::certificate_wanted:
      refused_certificate = is_client;
      return fail(
          "the peer wants to see a certificate (give --client-certificate FILE and --client-key "
          "FILE)");
    case SessionFault::certificate_rejected:
      refused_certificate = is_client;
      return fail("the peer does not accept the certificate that it was shown (" + reason + ")");
    case SessionFault::altered_record:
      return fail("a record was altered on its way (" + reason + ")");
    case SessionFault::other:
      break;
  }
  return fail((established ? "the connection failed: " : "the handshake failed: ") + reason);
}

TlsSession::TlsSession(std::unique_ptr<SessionState> state) noexcept : state_(std::move(state)) {}
TlsSession::TlsSession(TlsSession&&) noexcept = default;
TlsSession& TlsSession::operator=(TlsSession&&) noexcept = default;
TlsSession::~TlsSession() = default;

TlsStatus TlsSession::start() noexcept {
  if (state_->failed) return TlsStatus::failed;
  return state_->established ? TlsStatus::ok : state_->handshake();
}

TlsStatus TlsSession::feed(std::span<const std::byte> ciphertext) noexcept {
  SessionState& state = *state_;
  if (state.failed) return TlsStatus::failed;
  if (state.peer_closed) return TlsStatus::closed;  // nothing counts after close_notify
  assert(state.input_bytes == 0);
  if (state.input_bytes != 0) return state.fail("fed before the bytes fed earlier were read");
  state.input = ciphertext.data();
  state.input_bytes = ciphertext.size();
  return state.established ? TlsStatus::ok : state.handshake();
}

TlsRead TlsSession::read(std::span<std::byte> into) noexcept {
  SessionState& state = *state_;
  if (state.failed) return {0, TlsStatus::failed};
  if (state.peer_closed) return {0, TlsStatus::closed};
  if (!state.established) return {0, TlsStatus::want_input};
  return state.read(into);
}

TlsWrite TlsSession::write(std::span<const std::byte> plain) noexcept {
  SessionState& state = *state_;
  if (state.failed) return {0, TlsStatus::failed};
  if (state.close_sent || state.sends_elsewhere) return {0, TlsStatus::closed};
  if (!state.established) return {0, TlsStatus::want_input};
  std::size_t done = 0;
  while (done < plain.size() && state.output_bytes() < kOutputBytesMax) {
    const std::size_t piece = std::min(plain.size() - done, SessionState::kRecordBytes);
    if (state.write(plain.subspan(done, piece)) == TlsStatus::failed)
      return {done, TlsStatus::failed};
    done += piece;
  }
  return {done, TlsStatus::ok};
}

TlsStatus TlsSession::end_of_input() noexcept {
  if (state_->failed) return TlsStatus::failed;
  if (state_->peer_closed) return TlsStatus::closed;
  return state_->fail(
      state_->established
          ? "the peer ended the stream without close_notify: it may have been cut short"
          : "the peer closed during the handshake");
}

TlsStatus TlsSession::close() noexcept {
  SessionState& state = *state_;
  if (state.failed) return TlsStatus::failed;
  if (state.close_sent || !state.established) return TlsStatus::ok;
  state.close_sent = true;
  return state.sends_elsewhere ? TlsStatus::ok : state.say_close();
}

TlsStatus TlsSession::update_keys() noexcept {
  SessionState& state = *state_;
  if (state.failed || !state.established || state.sends_elsewhere) return TlsStatus::failed;
  return state.update_keys();
}

std::span<const std::byte> TlsSession::output() noexcept {
  SessionState& state = *state_;
  if (state.sends_elsewhere) state.waiting.clear();  // an alert, under a number that is used
  if (!state.failed && state.waiting.empty()) state.before_output();
  if (state.sending_begin == state.sending.size() && !state.waiting.empty()) {
    state.sending.clear();
    state.sending_begin = 0;
    std::swap(state.sending, state.waiting);
  }
  return std::span(state.sending).subspan(state.sending_begin);
}

void TlsSession::consume_output(std::size_t bytes) noexcept {
  assert(bytes <= state_->sending.size() - state_->sending_begin);
  state_->sending_begin += std::min(bytes, state_->sending.size() - state_->sending_begin);
}

bool TlsSession::can_give_away() const noexcept {
  const SessionState& state = *state_;
  return state.is_client && state.established && !state.failed && !state.peer_closed &&
         !state.close_sent && state.can_give_away();
}

TlsTraffic TlsSession::give_away() {
  assert(can_give_away());
  TlsTraffic traffic = state_->give_away();
  traffic.server_name = state_->server_name;
  return traffic;
}

TlsSession::SendingKeys TlsSession::sending_keys() const {
  const SessionState& state = *state_;
  if (!state.established || state.failed || state.close_sent || state.output_bytes() != 0)
    return {};
  return state.sending_keys();
}

void TlsSession::stop_sending() noexcept { state_->sends_elsewhere = true; }
bool TlsSession::resumed() const noexcept { return state_->resumed(); }
bool TlsSession::established() const noexcept { return state_->established; }
const std::string& TlsSession::error() const noexcept { return state_->error; }
bool TlsSession::refused_certificate() const noexcept { return state_->refused_certificate; }
std::string TlsSession::protocol() const {
  return state_->established ? state_->protocol() : std::string{};
}

}  // namespace feedbench::tls
