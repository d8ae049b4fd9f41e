#include "transports/tls/tls_session.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "transports/tls/certificate_faults.hpp"
#include "transports/tls/openssl/provider_context.hpp"
#include "transports/tls/openssl/record_watch.hpp"
#include "transports/tls/openssl_handles.hpp"
#include "transports/tls/session_state.hpp"

namespace feedbench::tls {
namespace {

class OpensslSession final : public SessionState {
 public:
  explicit OpensslSession(std::shared_ptr<ProviderContext> context)
      : context_(std::move(context)), ssl_(SSL_new(context_->ssl_context.get())) {
    server_name = context_->server_name;
    is_client = context_->is_client;
  }

  /// "": it is ready. Else why not.
  std::string set_up();

  TlsStatus handshake() noexcept override;
  TlsRead read(std::span<std::byte> into) noexcept override;
  TlsStatus write(std::span<const std::byte> plain) noexcept override;
  TlsStatus say_close() noexcept override;
  TlsStatus update_keys() noexcept override;
  [[nodiscard]] bool resumed() const noexcept override {
    return SSL_session_reused(ssl_.get()) == 1;
  }
  [[nodiscard]] std::string protocol() const override {
    return std::string(SSL_get_version(ssl_.get())) + " " + SSL_get_cipher_name(ssl_.get());
  }
  [[nodiscard]] bool can_give_away() const noexcept override {
    return is_tls13() && watch_.knows_all();
  }
  [[nodiscard]] TlsTraffic give_away() override;
  [[nodiscard]] TlsSession::SendingKeys sending_keys() const override {
    if (!is_tls13()) return {};
    return {cipher_suite(), watch_.sending()};
  }

 private:
  [[nodiscard]] bool is_tls13() const noexcept { return SSL_version(ssl_.get()) == TLS1_3_VERSION; }
  [[nodiscard]] std::uint16_t cipher_suite() const noexcept {
    return SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl_.get()));
  }
  TlsStatus fail_from_openssl(int result) noexcept;

  // The BIO through which OpenSSL sees the spans.
  static BIO_METHOD* bio_method() noexcept;
  static OpensslSession& of(BIO* bio) noexcept {
    return *static_cast<OpensslSession*>(BIO_get_data(bio));
  }
  static int bio_read(BIO* bio, char* into, std::size_t bytes, std::size_t* got) noexcept;
  static int bio_write(BIO* bio, const char* from, std::size_t bytes, std::size_t* put) noexcept;

  static int on_verify(int accepted, X509_STORE_CTX* store);
  static void on_message(int sent, int, int content, const void* bytes, std::size_t size, SSL* ssl,
                         void* watch) {
    static_cast<RecordWatch*>(watch)->message(
        sent != 0, content, {static_cast<const unsigned char*>(bytes), size}, ssl);
  }
  static void on_secret(const SSL* ssl, const char* line) {
    auto* session = static_cast<OpensslSession*>(SSL_get_app_data(ssl));
    if (session != nullptr) session->watch_.secret(line);
  }

  std::shared_ptr<ProviderContext> context_;
  RecordWatch watch_;
  SslHandle ssl_;
};

int OpensslSession::bio_read(BIO* bio, char* into, std::size_t bytes, std::size_t* got) noexcept {
  OpensslSession& session = of(bio);
  BIO_clear_retry_flags(bio);
  *got = 0;
  if (session.input_bytes == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  const std::byte* const from = session.input;
  *got = session.take_input(into, bytes);
  session.watch_.received({from, *got});
  return 1;
}

int OpensslSession::bio_write(BIO* bio, const char* from, std::size_t bytes,
                              std::size_t* put) noexcept {
  BIO_clear_retry_flags(bio);
  of(bio).put_output(from, bytes);
  *put = bytes;
  return 1;
}

BIO_METHOD* OpensslSession::bio_method() noexcept {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* method =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "feedbench spans");
    if (method == nullptr) return method;
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(
        method, [](BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1L : 0L; });
    BIO_meth_set_create(method, [](BIO* bio) {
      BIO_set_init(bio, 1);
      return 1;
    });
    return method;
  }();
  return made;
}

CertificateFault fault_of(int code) {
  switch (code) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return CertificateFault::self_signed;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:  // an authority of the same name that is another
      return CertificateFault::unknown_authority;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return CertificateFault::expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return CertificateFault::not_yet_valid;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return CertificateFault::wrong_name;
    default:
      return CertificateFault::other;
  }
}

// Called for each fault of the peer's chain; notes the first in words, and never overrules OpenSSL.
int OpensslSession::on_verify(int accepted, X509_STORE_CTX* store) {
  if (accepted == 1) return 1;
  auto* ssl =
      static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  auto* session = static_cast<OpensslSession*>(SSL_get_app_data(ssl));
  if (session == nullptr || !session->certificate_fault.empty()) return 0;
  const int code = X509_STORE_CTX_get_error(store);
  X509* const certificate = X509_STORE_CTX_get_current_cert(store);
  unsigned char* der = nullptr;
  const int bytes = certificate != nullptr ? i2d_X509(certificate, &der) : 0;
  session->certificate_fault = describe_certificate_fault(
      fault_of(code),
      {reinterpret_cast<const std::byte*>(der), static_cast<std::size_t>(std::max(bytes, 0))},
      session->is_client, session->server_name, X509_verify_cert_error_string(code));
  OPENSSL_free(der);
  return 0;
}

SessionFault session_fault_of(int reason, bool established) {
  switch (reason) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return established ? SessionFault::other : SessionFault::no_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return SessionFault::no_version;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return SessionFault::no_certificate;
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return SessionFault::certificate_wanted;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:  // an authority of the same name that is another
      return SessionFault::certificate_rejected;
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
      return SessionFault::altered_record;
    default:
      return SessionFault::other;
  }
}

TlsStatus OpensslSession::fail_from_openssl(int code) noexcept {
  const unsigned long first = code == SSL_ERROR_SSL ? ERR_peek_error() : 0;
  const int reason = ERR_GET_LIB(first) == ERR_LIB_SSL ? ERR_GET_REASON(first) : 0;
  return fail(session_fault_of(reason, established), take_openssl_reason());
}

TlsStatus OpensslSession::handshake() noexcept {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    established = true;
    return TlsStatus::ok;
  }
  const int code = SSL_get_error(ssl_.get(), result);
  if (code == SSL_ERROR_WANT_READ) return TlsStatus::want_input;
  if (code == SSL_ERROR_ZERO_RETURN) {
    peer_closed = true;
    return fail("the peer closed during the handshake");
  }
  return fail_from_openssl(code);
}

TlsRead OpensslSession::read(std::span<std::byte> into) noexcept {
  ERR_clear_error();
  std::size_t done = 0;
  while (done < into.size()) {
    std::size_t got = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + done, into.size() - done, &got);
    if (sends_elsewhere && watch_.asked_for_keys())
      return {done, fail("the peer asks for new keys, and the kernel is given only one")};
    if (result == 1) {
      done += got;
      continue;
    }
    const int code = SSL_get_error(ssl_.get(), result);
    if (code == SSL_ERROR_WANT_READ) return {done, TlsStatus::want_input};
    if (code == SSL_ERROR_ZERO_RETURN) return heard_the_end(done);
    return {done, fail_from_openssl(code)};
  }
  return {done, TlsStatus::ok};
}

TlsStatus OpensslSession::write(std::span<const std::byte> plain) noexcept {
  ERR_clear_error();
  std::size_t put = 0;  // all: no partial writes are asked for
  const int result = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &put);
  return result == 1 ? TlsStatus::ok : fail_from_openssl(SSL_get_error(ssl_.get(), result));
}

TlsStatus OpensslSession::say_close() noexcept {
  ERR_clear_error();
  const int result = SSL_shutdown(ssl_.get());
  return result >= 0 ? TlsStatus::ok : fail_from_openssl(SSL_get_error(ssl_.get(), result));
}

TlsStatus OpensslSession::update_keys() noexcept {
  if (!is_tls13()) return TlsStatus::failed;
  ERR_clear_error();
  if (SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) != 1) return TlsStatus::failed;
  return handshake();  // sends the message; the session stays established
}

TlsTraffic OpensslSession::give_away() {
  // What OpenSSL has opened and nobody read comes out of it; what it has not seen must not go in.
  const std::string rest(reinterpret_cast<const char*>(input), input_bytes);
  input_bytes = 0;
  std::string plain;
  std::array<std::byte, 4096> space;
  for (TlsRead got{0, TlsStatus::ok}; got.status == TlsStatus::ok;) {
    got = read(space);
    plain.append(reinterpret_cast<const char*>(space.data()), got.bytes);
  }
  TlsTraffic traffic = watch_.traffic();
  traffic.cipher_suite = cipher_suite();
  traffic.plain = std::move(plain);
  traffic.unread += rest;
  return traffic;
}

std::string OpensslSession::set_up() {
  SSL* const ssl = ssl_.get();
  BIO* const bio = ssl != nullptr && bio_method() != nullptr ? BIO_new(bio_method()) : nullptr;
  if (bio == nullptr) return take_openssl_reason();
  BIO_set_data(bio, this);
  SSL_set_bio(ssl, bio, bio);  // takes the one reference
  SSL_set_app_data(ssl, this);
  watch_.of_client(is_client);
  if (context_->tells_keys) {
    SSL_CTX_set_keylog_callback(context_->ssl_context.get(), on_secret);
    SSL_set_msg_callback(ssl, on_message);
    SSL_set_msg_callback_arg(ssl, &watch_);
  }
  if (!is_client) {
    SSL_set_verify(ssl, SSL_get_verify_mode(ssl), on_verify);
    SSL_set_accept_state(ssl);
    return {};
  }
  SSL_set_connect_state(ssl);
  std::array<unsigned char, 16> address{};
  const bool is_address = ::inet_pton(AF_INET, server_name.c_str(), address.data()) == 1 ||
                          ::inet_pton(AF_INET6, server_name.c_str(), address.data()) == 1;
  bool named = !server_name.starts_with('.');  // OpenSSL would take any name below it
  if (!is_address && !server_name.empty())
    named = named && SSL_set_tlsext_host_name(ssl, server_name.c_str()) == 1;
  if (context_->verify) {
    SSL_set_verify(ssl, SSL_VERIFY_PEER, on_verify);
    X509_VERIFY_PARAM* const checks = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(
        checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    named = named && (is_address ? X509_VERIFY_PARAM_set1_ip_asc(checks, server_name.c_str()) == 1
                                 : SSL_set1_host(ssl, server_name.c_str()) == 1);
  }
  context_->kept.offer(ssl);
  ERR_clear_error();
  return named ? std::string{} : server_name + " is not a host name";
}

}  // namespace

transports::Expected<TlsSession> TlsContext::new_session() const {
  ERR_clear_error();
  auto made = std::make_unique<OpensslSession>(context_);
  if (const std::string why_not = made->set_up(); !why_not.empty())
    return tl::unexpected(transports::Error{"new TLS session: " + why_not, EINVAL});
  return TlsSession(std::move(made));
}

}  // namespace feedbench::tls
