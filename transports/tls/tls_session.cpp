#include "transports/tls/tls_session.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "transports/tls/record_layer.hpp"
#include "transports/tls/record_watch.hpp"
#include "transports/tls/tls_handles.hpp"

namespace feedbench::tls {

struct TlsSession::State {
  SslHandle ssl;
  std::unique_ptr<RecordLayer> records;  // instead of ssl: see resume()
  RecordWatch watch;
  // What was fed and is not read by OpenSSL yet.
  const std::byte* input = nullptr;
  std::size_t input_bytes = 0;
  // Being sent: never touched but from the front. New records gather in `waiting` meanwhile.
  std::vector<std::byte> sending;
  std::size_t sending_begin = 0;
  std::vector<std::byte> waiting;

  std::string server_name;
  std::string error;
  std::string certificate_fault;  // filled by on_verify
  std::shared_ptr<ssl_ctx_st> context;
  bool is_client = false;
  bool established = false;
  bool failed = false;
  bool peer_closed = false;
  bool close_sent = false;
  bool sends_elsewhere = false;  // see stop_sending()
  bool refused_certificate = false;

  TlsStatus handshake() noexcept;
  TlsStatus fail(const std::string& why) noexcept;
  TlsStatus fail_from_openssl(int code) noexcept;
  [[nodiscard]] std::size_t output_bytes() const noexcept {
    return sending.size() - sending_begin + waiting.size();
  }
};

/// The BIO through which OpenSSL sees the spans. Grants access to the private State.
struct BioAccess {
  using State = TlsSession::State;

  static State& of(BIO* bio) noexcept { return *static_cast<State*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* into, std::size_t bytes, std::size_t* got) noexcept {
    State& state = of(bio);
    BIO_clear_retry_flags(bio);
    if (state.input_bytes == 0) {
      BIO_set_retry_read(bio);
      *got = 0;
      return 0;
    }
    const std::size_t taken = std::min(bytes, state.input_bytes);
    std::memcpy(into, state.input, taken);
    state.watch.received({state.input, taken});
    state.input += taken;
    state.input_bytes -= taken;
    *got = taken;
    return 1;
  }

  static int write(BIO* bio, const char* from, std::size_t bytes, std::size_t* put) noexcept {
    State& state = of(bio);
    BIO_clear_retry_flags(bio);
    const auto* data = reinterpret_cast<const std::byte*>(from);
    state.waiting.insert(state.waiting.end(), data, data + bytes);
    *put = bytes;
    return 1;
  }

  static long control(BIO*, int command, long, void*) noexcept {
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  static int create(BIO* bio) noexcept {
    BIO_set_init(bio, 1);
    return 1;
  }

  static BIO_METHOD* method() noexcept {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* method =
          BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "feedbench spans");
      if (method == nullptr) return method;
      BIO_meth_set_read_ex(method, read);
      BIO_meth_set_write_ex(method, write);
      BIO_meth_set_ctrl(method, control);
      BIO_meth_set_create(method, create);
      return method;
    }();
    return made;
  }

  // Called for each fault of the peer's chain; notes the first in words, and never overrules
  // OpenSSL.
  static int on_verify(int accepted, X509_STORE_CTX* store) {
    if (accepted == 1) return 1;
    auto* ssl =
        static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* state = static_cast<State*>(SSL_get_app_data(ssl));
    if (state != nullptr && state->certificate_fault.empty()) {
      state->certificate_fault =
          describe(X509_STORE_CTX_get_error(store), X509_STORE_CTX_get_current_cert(store), *state);
    }
    return 0;
  }

  static void on_message(int sent, int, int content, const void* bytes, std::size_t size, SSL* ssl,
                         void* watch) {
    static_cast<RecordWatch*>(watch)->message(
        sent != 0, content, {static_cast<const unsigned char*>(bytes), size}, ssl);
  }
  static void on_secret(const SSL* ssl, const char* line) {
    auto* state = static_cast<State*>(SSL_get_app_data(ssl));
    if (state != nullptr) state->watch.secret(line);
  }

  static std::string describe(int code, X509* certificate, const State& state) {
    const std::string advice =
        state.is_client ? " (give its authority's certificate with --ca FILE if you trust it)"
                        : " (clients' authorities are those of --listen-client-ca)";
    switch (code) {
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "its certificate is self-signed and not trusted here" + advice;
      case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      case X509_V_ERR_CERT_SIGNATURE_FAILURE:  // an authority of the same name that is another
        return "its certificate is signed by an authority that is not trusted here" + advice;
      case X509_V_ERR_CERT_HAS_EXPIRED:
        return "its certificate expired on " +
               (certificate != nullptr ? text_of(X509_get0_notAfter(certificate))
                                       : "an unknown date") +
               " (its owner must renew it; or is this machine's clock wrong?)";
      case X509_V_ERR_CERT_NOT_YET_VALID:
        return "its certificate is not valid before " +
               (certificate != nullptr ? text_of(X509_get0_notBefore(certificate))
                                       : "an unknown date") +
               " (is this machine's clock wrong?)";
      case X509_V_ERR_HOSTNAME_MISMATCH:
      case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "its certificate is not for " + state.server_name + " but for " +
               (certificate != nullptr ? names_of(certificate) : "somebody else") +
               " (connect by a name it carries; an authority given with --ca does not change that)";
      default:
        return std::string("its certificate is not accepted: ") +
               X509_verify_cert_error_string(code) + advice;
    }
  }
};

TlsStatus TlsSession::State::fail(const std::string& why) noexcept {
  failed = true;
  if (error.empty())
    error = (is_client ? "TLS to " + server_name : std::string("TLS from a client")) + ": " + why;
  return TlsStatus::failed;
}

TlsStatus TlsSession::State::fail_from_openssl(int code) noexcept {
  if (!certificate_fault.empty()) {
    refused_certificate = true;
    ERR_clear_error();
    return fail(certificate_fault);
  }
  const unsigned long first = code == SSL_ERROR_SSL ? ERR_peek_error() : 0;
  const std::string reason = take_openssl_reason();
  switch (ERR_GET_LIB(first) == ERR_LIB_SSL ? ERR_GET_REASON(first) : 0) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      if (!established)
        return fail("the peer does not speak TLS (" + reason + "; is this a ws:// address?)");
      break;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return fail("the peer speaks no TLS version that is safe (TLS 1.2 or newer is wanted)");
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return fail("it showed no certificate, and only clients with one are wanted here");
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      refused_certificate = is_client;
      return fail(
          "the peer wants to see a certificate (give --client-certificate FILE and --client-key "
          "FILE)");
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:  // an authority of the same name that is another
      refused_certificate = is_client;
      return fail("the peer does not accept the certificate that it was shown (" + reason + ")");
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
      return fail("a record was altered on its way (" + reason + ")");
    default:
      break;
  }
  return fail((established ? "the connection failed: " : "the handshake failed: ") + reason);
}

TlsStatus TlsSession::State::handshake() noexcept {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl.get());
  if (result == 1) {
    established = true;
    return TlsStatus::ok;
  }
  const int code = SSL_get_error(ssl.get(), result);
  if (code == SSL_ERROR_WANT_READ) return TlsStatus::want_input;
  if (code == SSL_ERROR_ZERO_RETURN) {
    peer_closed = true;
    return fail("the peer closed during the handshake");
  }
  return fail_from_openssl(code);
}

transports::Expected<TlsSession> TlsContext::new_session() const {
  const auto out_of_memory = [] {
    return tl::unexpected(transports::Error{"new TLS session: " + take_openssl_reason(), ENOMEM});
  };
  ERR_clear_error();
  auto state = std::make_unique<TlsSession::State>();
  state->ssl.reset(SSL_new(context_.get()));
  SSL* const ssl = state->ssl.get();
  BIO* const bio =
      ssl != nullptr && BioAccess::method() != nullptr ? BIO_new(BioAccess::method()) : nullptr;
  if (bio == nullptr) return out_of_memory();
  BIO_set_data(bio, state.get());
  SSL_set_bio(ssl, bio, bio);  // takes the one reference
  SSL_set_app_data(ssl, state.get());
  state->watch.of_client(is_client_);
  if (tells_keys_) {
    SSL_CTX_set_keylog_callback(context_.get(), BioAccess::on_secret);
    SSL_set_msg_callback(ssl, BioAccess::on_message);
    SSL_set_msg_callback_arg(ssl, &state->watch);
  }
  state->context = context_;
  state->server_name = server_name_;
  state->is_client = is_client_;
  if (!is_client_) {
    SSL_set_verify(ssl, SSL_get_verify_mode(ssl), BioAccess::on_verify);
    SSL_set_accept_state(ssl);
    return TlsSession(std::move(state));
  }
  SSL_set_connect_state(ssl);
  std::array<unsigned char, 16> address{};
  const bool is_address = ::inet_pton(AF_INET, server_name_.c_str(), address.data()) == 1 ||
                          ::inet_pton(AF_INET6, server_name_.c_str(), address.data()) == 1;
  bool named = true;
  if (!is_address && !server_name_.empty())
    named = SSL_set_tlsext_host_name(ssl, server_name_.c_str()) == 1;
  if (verify_) {
    SSL_set_verify(ssl, SSL_VERIFY_PEER, BioAccess::on_verify);
    X509_VERIFY_PARAM* const checks = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(
        checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    named = named && (is_address ? X509_VERIFY_PARAM_set1_ip_asc(checks, server_name_.c_str()) == 1
                                 : SSL_set1_host(ssl, server_name_.c_str()) == 1);
  }
  if (kept_) kept_->offer(ssl);
  if (!named) {
    ERR_clear_error();
    return tl::unexpected(
        transports::Error{"new TLS session: " + server_name_ + " is not a host name", EINVAL});
  }
  return TlsSession(std::move(state));
}

TlsSession::TlsSession(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
TlsSession::TlsSession(TlsSession&&) noexcept = default;
TlsSession& TlsSession::operator=(TlsSession&&) noexcept = default;
TlsSession::~TlsSession() = default;

TlsStatus TlsSession::start() noexcept {
  if (state_->failed) return TlsStatus::failed;
  return state_->established ? TlsStatus::ok : state_->handshake();
}

TlsStatus TlsSession::feed(std::span<const std::byte> ciphertext) noexcept {
  State& state = *state_;
  if (state.failed) return TlsStatus::failed;
  if (state.peer_closed) return TlsStatus::closed;  // nothing counts after close_notify
  assert(state.input_bytes == 0);
  if (state.input_bytes != 0) return state.fail("fed before the bytes fed earlier were read");
  state.input = ciphertext.data();
  state.input_bytes = ciphertext.size();
  return state.established ? TlsStatus::ok : state.handshake();
}

TlsRead TlsSession::read(std::span<std::byte> into) noexcept {
  State& state = *state_;
  if (state.failed) return {0, TlsStatus::failed};
  if (state.peer_closed) return {0, TlsStatus::closed};
  if (!state.established) return {0, TlsStatus::want_input};
  if (state.records) {
    RecordLayer::Input input{state.input, state.input_bytes};
    const TlsRead got = state.records->read(input, into);
    state.input = input.data;
    state.input_bytes = input.bytes;
    if (got.status == TlsStatus::closed) {
      state.peer_closed = true;
      state.input_bytes = 0;
    }
    return got.status == TlsStatus::failed ? TlsRead{got.bytes, state.fail(state.records->fault())}
                                           : got;
  }
  ERR_clear_error();
  std::size_t done = 0;
  while (done < into.size()) {
    std::size_t got = 0;
    const int result = SSL_read_ex(state.ssl.get(), into.data() + done, into.size() - done, &got);
    if (state.sends_elsewhere && state.watch.asked_for_keys())
      return {done, state.fail("the peer asks for new keys, and the kernel is given only one")};
    if (result == 1) {
      done += got;
      continue;
    }
    const int code = SSL_get_error(state.ssl.get(), result);
    if (code == SSL_ERROR_WANT_READ) return {done, TlsStatus::want_input};
    if (code == SSL_ERROR_ZERO_RETURN) {
      state.peer_closed = true;
      state.input_bytes = 0;
      return {done, TlsStatus::closed};
    }
    return {done, state.fail_from_openssl(code)};
  }
  return {done, TlsStatus::ok};
}

TlsWrite TlsSession::write(std::span<const std::byte> plain) noexcept {
  State& state = *state_;
  if (state.failed) return {0, TlsStatus::failed};
  if (state.close_sent || state.sends_elsewhere) return {0, TlsStatus::closed};
  if (!state.established) return {0, TlsStatus::want_input};
  constexpr std::size_t kRecordBytes = std::size_t{16} << 10;
  ERR_clear_error();
  std::size_t done = 0;
  while (done < plain.size() && state.output_bytes() < kOutputBytesMax) {
    const std::size_t piece = std::min(plain.size() - done, kRecordBytes);
    if (state.records) {
      if (!state.records->write(plain.subspan(done, piece), state.waiting))
        return {done, state.fail(state.records->fault())};
      done += piece;
      continue;
    }
    std::size_t put = 0;
    const int result = SSL_write_ex(state.ssl.get(), plain.data() + done, piece, &put);
    if (result != 1) return {done, state.fail_from_openssl(SSL_get_error(state.ssl.get(), result))};
    done += put;
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
  State& state = *state_;
  if (state.failed) return TlsStatus::failed;
  if (state.close_sent || !state.established) return TlsStatus::ok;
  state.close_sent = true;
  if (state.sends_elsewhere) return TlsStatus::ok;
  if (state.records)
    return state.records->write_close_notify(state.waiting) ? TlsStatus::ok
                                                            : state.fail(state.records->fault());
  ERR_clear_error();
  const int result = SSL_shutdown(state.ssl.get());
  if (result >= 0) return TlsStatus::ok;
  return state.fail_from_openssl(SSL_get_error(state.ssl.get(), result));
}

TlsStatus TlsSession::update_keys() noexcept {
  State& state = *state_;
  if (state.failed || !state.established || state.sends_elsewhere) return TlsStatus::failed;
  if (state.records)
    return state.records->update_keys(true, state.waiting) ? TlsStatus::ok
                                                           : state.fail(state.records->fault());
  if (SSL_version(state.ssl.get()) != TLS1_3_VERSION) return TlsStatus::failed;
  ERR_clear_error();
  if (SSL_key_update(state.ssl.get(), SSL_KEY_UPDATE_REQUESTED) != 1) return TlsStatus::failed;
  return state.handshake();  // sends the message; the session stays established
}

std::span<const std::byte> TlsSession::output() noexcept {
  State& state = *state_;
  if (state.sends_elsewhere) state.waiting.clear();  // an alert, under a number that is used
  if (state.records && !state.failed && state.waiting.empty() &&
      !state.records->answer(state.waiting))
    state.fail(state.records->fault());
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

transports::Expected<TlsSession> TlsSession::resume(const TlsTraffic& traffic) {
  auto records = RecordLayer::create(traffic);
  if (!records) return tl::make_unexpected(records.error());
  auto state = std::make_unique<State>();
  state->records = std::move(*records);
  state->server_name = traffic.server_name;
  state->is_client = state->established = true;
  return TlsSession(std::move(state));
}

bool TlsSession::can_give_away() const noexcept {
  const State& state = *state_;
  if (!state.is_client || !state.established || state.failed || state.peer_closed ||
      state.close_sent)
    return false;
  if (state.records) return state.records->can_move();
  return SSL_version(state.ssl.get()) == TLS1_3_VERSION && state.watch.knows_all();
}

TlsTraffic TlsSession::give_away() {
  State& state = *state_;
  assert(can_give_away());
  if (state.records) {
    TlsTraffic traffic = state.records->traffic({state.input, state.input_bytes});
    traffic.server_name = state.server_name;
    return traffic;
  }
  // What OpenSSL has opened and nobody read comes out of it; what it has not seen must not go in.
  const std::string rest(reinterpret_cast<const char*>(state.input), state.input_bytes);
  state.input_bytes = 0;
  std::string plain;
  std::array<std::byte, 4096> space;
  for (TlsRead got{0, TlsStatus::ok}; got.status == TlsStatus::ok;) {
    got = read(space);
    plain.append(reinterpret_cast<const char*>(space.data()), got.bytes);
  }
  TlsTraffic traffic = state.watch.traffic();
  traffic.cipher_suite = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(state.ssl.get()));
  traffic.plain = std::move(plain);
  traffic.unread += rest;
  traffic.server_name = state.server_name;
  return traffic;
}

TlsSession::SendingKeys TlsSession::sending_keys() const {
  const State& state = *state_;
  if (!state.established || state.failed || state.close_sent || state.records ||
      state.output_bytes() != 0 || SSL_version(state.ssl.get()) != TLS1_3_VERSION)
    return {};
  return {SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(state.ssl.get())),
          state.watch.sending()};
}

void TlsSession::stop_sending() noexcept { state_->sends_elsewhere = true; }

bool TlsSession::resumed() const noexcept {
  return state_->ssl && SSL_session_reused(state_->ssl.get()) == 1;
}
bool TlsSession::established() const noexcept { return state_->established; }
const std::string& TlsSession::error() const noexcept { return state_->error; }
bool TlsSession::refused_certificate() const noexcept { return state_->refused_certificate; }

std::string TlsSession::protocol() const {
  if (!state_->established) return {};
  if (state_->records) return std::string("TLSv1.3 ") + state_->records->suite_name();
  return std::string(SSL_get_version(state_->ssl.get())) + " " +
         SSL_get_cipher_name(state_->ssl.get());
}

}  // namespace feedbench::tls
