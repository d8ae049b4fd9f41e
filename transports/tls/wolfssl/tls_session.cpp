// TlsSession with wolfSSL 5.5. Its headers come first, and OpenSSL's never beside them.
// clang-format off
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
#include <wolfssl/error-ssl.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
// clang-format on

#include "transports/tls/tls_session.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "transports/tls/certificate_faults.hpp"
#include "transports/tls/session_state.hpp"
#include "transports/tls/wolfssl/provider_context.hpp"

namespace feedbench::tls {
namespace {

struct SslFreed {
  void operator()(WOLFSSL* ssl) const noexcept { wolfSSL_free(ssl); }
};

/// Debian's wolfSSL tells nobody a connection's secrets (HAVE_SECRET_CALLBACK is not in it): the connection cannot be given
/// away, and the kernel cannot seal for it.
class WolfsslSession final : public SessionState {
 public:
  explicit WolfsslSession(std::shared_ptr<ProviderContext> context)
      : context_(std::move(context)), ssl_(wolfSSL_new(context_->wolfssl_context.get())) {
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
    return wolfSSL_session_reused(ssl_.get()) == 1;
  }
  [[nodiscard]] std::string protocol() const override;

 private:
  /// What a peer can make this end say without being asked (answers to key updates, alerts) beside what write() may make.
  static constexpr std::size_t kAnswerBytesMax = std::size_t{64} << 10;

  TlsStatus fail_from_wolfssl(int result) noexcept;

  static int on_receive(WOLFSSL*, char* into, int bytes, void* session) noexcept {
    auto& self = *static_cast<WolfsslSession*>(session);
    if (self.input_bytes == 0) return WOLFSSL_CBIO_ERR_WANT_READ;
    return static_cast<int>(self.take_input(into, static_cast<std::size_t>(bytes)));
  }
  static int on_send(WOLFSSL*, char* from, int bytes, void* session) noexcept {
    auto& self = *static_cast<WolfsslSession*>(session);
    if (self.output_bytes() > TlsSession::kOutputBytesMax + kRecordBytes + kAnswerBytesMax) {
      self.fail("the peer has much to ask and reads no answer");
      return WOLFSSL_CBIO_ERR_GENERAL;
    }
    self.put_output(from, static_cast<std::size_t>(bytes));
    return bytes;
  }
  static int on_verify(int accepted, WOLFSSL_X509_STORE_CTX* store) noexcept;

  std::shared_ptr<ProviderContext> context_;
  std::unique_ptr<WOLFSSL, SslFreed> ssl_;
  bool name_checked_ = false;
};

// The store has OpenSSL's numbers for some faults and wolfSSL's for others.
CertificateFault fault_of(int code, bool self_signed) {
  switch (code) {
    case ASN_SELF_SIGNED_E:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return CertificateFault::self_signed;
    case ASN_NO_SIGNER_E:
    case ASN_SIG_CONFIRM_E:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:  // an authority of the same name that is another
      return self_signed ? CertificateFault::self_signed : CertificateFault::unknown_authority;
    case ASN_AFTER_DATE_E:
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
      return CertificateFault::expired;
    case ASN_BEFORE_DATE_E:
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
      return CertificateFault::not_yet_valid;
    case DOMAIN_NAME_MISMATCH:
    case IPADDR_MISMATCH:
      return CertificateFault::wrong_name;
    default:
      return CertificateFault::other;
  }
}

bool is_self_signed(const WOLFSSL_BUFFER_INFO& der) {
  WOLFSSL_X509* const certificate = wolfSSL_X509_load_certificate_buffer(
      der.buffer, static_cast<int>(der.length), WOLFSSL_FILETYPE_ASN1);
  if (certificate == nullptr) return false;
  const bool same = wolfSSL_X509_NAME_cmp(wolfSSL_X509_get_subject_name(certificate),
                                          wolfSSL_X509_get_issuer_name(certificate)) == 0;
  wolfSSL_X509_free(certificate);
  return same;
}

// Called for every certificate of the peer's chain, the fault or not; notes the first fault in words, never overrules
// wolfSSL, and looks at the name itself: wolfSSL 5.5 compares a host with names of any kind, and the subject.
int WolfsslSession::on_verify(int accepted, WOLFSSL_X509_STORE_CTX* store) noexcept {
  auto& self = *static_cast<WolfsslSession*>(store->userCtx);
  const int depth = store->error_depth;
  WOLFSSL_BUFFER_INFO shown{};
  if (store->certs != nullptr && depth >= 0 && depth < store->totalCerts)
    shown = store->certs[depth];
  const std::span der(reinterpret_cast<const std::byte*>(shown.buffer), shown.length);
  bool good = accepted == 1;
  int code = store->error;
  if (good && depth == 0 && self.is_client) {
    self.name_checked_ = good = certificate_is_for(der, self.server_name);
    if (!good) code = DOMAIN_NAME_MISMATCH;
  }
  if (!good && self.certificate_fault.empty()) {
    self.certificate_fault = describe_certificate_fault(
        fault_of(code, shown.buffer != nullptr && is_self_signed(shown)), der, self.is_client,
        self.server_name,
        code > 0 ? wolfSSL_X509_verify_cert_error_string(code) : wolfssl_reason(code));
  }
  return good ? 1 : 0;
}

SessionFault session_fault_of(int code, int alert, bool established) {
  switch (code) {
    case UNKNOWN_RECORD_TYPE:
    case LENGTH_ERROR:
    case PARSE_ERROR:
      return established ? SessionFault::other : SessionFault::no_tls;
    case VERSION_ERROR:
    case UNSUPPORTED_PROTO_VERSION:
      return established ? SessionFault::other : SessionFault::no_version;
    case NO_PEER_CERT:
      return SessionFault::no_certificate;
    case VERIFY_MAC_ERROR:
    case DECRYPT_ERROR:
    case AES_GCM_AUTH_E:
    case MAC_CMP_FAILED_E:
      return SessionFault::altered_record;
    case FATAL_ERROR:
      break;  // an alert
    default:
      return SessionFault::other;
  }
  switch (alert) {
    case protocol_version:
      return SessionFault::no_version;
    case certificate_required:
      return SessionFault::certificate_wanted;
    case bad_certificate:
    case unsupported_certificate:
    case certificate_revoked:
    case certificate_expired:
    case certificate_unknown:
    case unknown_ca:
    case decrypt_error:  // an authority of the same name that is another
      return SessionFault::certificate_rejected;
    default:
      return SessionFault::other;
  }
}

TlsStatus WolfsslSession::fail_from_wolfssl(int result) noexcept {
  const int code = wolfSSL_get_error(ssl_.get(), result);
  std::string reason = wolfssl_reason(code);
  int alert = -1;
  if (code == FATAL_ERROR) {
    WOLFSSL_ALERT_HISTORY history{};
    wolfSSL_get_alert_history(ssl_.get(), &history);
    alert = history.last_rx.code;
    const char* const words = wolfSSL_alert_desc_string_long(alert);
    reason = std::string("alert ") + (words != nullptr ? words : "of a kind that is not known");
    std::replace(reason.begin(), reason.end(), '_', ' ');
  }
  return fail(session_fault_of(code, alert, established), reason);
}

TlsStatus WolfsslSession::handshake() noexcept {
  const int result = wolfSSL_negotiate(ssl_.get());
  if (result != WOLFSSL_SUCCESS) {
    const int code = wolfSSL_get_error(ssl_.get(), result);
    if (code == WOLFSSL_ERROR_WANT_READ) return TlsStatus::want_input;
    if (code != WOLFSSL_ERROR_ZERO_RETURN) return fail_from_wolfssl(result);
    peer_closed = true;
    return fail("the peer closed during the handshake");
  }
  // Whatever libwolfssl was built with: nobody is taken for the server whose name was not looked at.
  if (is_client && context_->verify && !name_checked_ && !resumed())
    return fail("its certificate was not looked at: this wolfSSL cannot be used");
  established = true;
  return TlsStatus::ok;
}

TlsRead WolfsslSession::read(std::span<std::byte> into) noexcept {
  std::size_t done = 0;
  while (done < into.size()) {
    const int room = static_cast<int>(std::min(into.size() - done, kRecordBytes));
    const int got = wolfSSL_read(ssl_.get(), into.data() + done, room);
    if (got > 0) {
      done += static_cast<std::size_t>(got);
      continue;
    }
    const int code = wolfSSL_get_error(ssl_.get(), got);
    if (code == WOLFSSL_ERROR_WANT_READ) return {done, TlsStatus::want_input};
    if (code == WOLFSSL_ERROR_ZERO_RETURN) return heard_the_end(done);
    return {done, fail_from_wolfssl(got)};
  }
  return {done, TlsStatus::ok};
}

TlsStatus WolfsslSession::write(std::span<const std::byte> plain) noexcept {
  const int put = wolfSSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
  return put == static_cast<int>(plain.size()) ? TlsStatus::ok : fail_from_wolfssl(put);
}

TlsStatus WolfsslSession::say_close() noexcept {
  const int result = wolfSSL_shutdown(ssl_.get());
  return result == WOLFSSL_SUCCESS || result == WOLFSSL_SHUTDOWN_NOT_DONE
             ? TlsStatus::ok
             : fail_from_wolfssl(result);
}

TlsStatus WolfsslSession::update_keys() noexcept {
  if (wolfSSL_version(ssl_.get()) != TLS1_3_VERSION) return TlsStatus::failed;
  return wolfSSL_update_keys(ssl_.get()) == WOLFSSL_SUCCESS ? TlsStatus::ok : TlsStatus::failed;
}

std::string WolfsslSession::protocol() const {
  const auto suite = static_cast<unsigned>(wolfSSL_get_current_cipher_suite(ssl_.get()));
  const char* const name =
      wolfSSL_version(ssl_.get()) == TLS1_3_VERSION
          ? wolfSSL_get_cipher_name_iana_from_suite(static_cast<unsigned char>(suite >> 8),
                                                    static_cast<unsigned char>(suite & 0xff))
          : wolfSSL_get_cipher_name(ssl_.get());
  return std::string(wolfSSL_get_version(ssl_.get())) + " " + (name != nullptr ? name : "?");
}

std::string WolfsslSession::set_up() {
  WOLFSSL* const ssl = ssl_.get();
  if (ssl == nullptr) return "wolfSSL makes none";
  wolfSSL_SSLSetIORecv(ssl, on_receive);
  wolfSSL_SSLSetIOSend(ssl, on_send);
  wolfSSL_SetIOReadCtx(ssl, this);
  wolfSSL_SetIOWriteCtx(ssl, this);
  wolfSSL_set_app_data(ssl, context_.get());  // for keep_ticket()
  wolfSSL_SetCertCbCtx(ssl, this);
  const int wanted =
      is_client ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  wolfSSL_set_verify(ssl, context_->verify ? wanted : WOLFSSL_VERIFY_NONE,
                     context_->verify ? on_verify : nullptr);
  if (!is_client) return {};
  std::array<unsigned char, 16> address{};
  const bool is_address = ::inet_pton(AF_INET, server_name.c_str(), address.data()) == 1 ||
                          ::inet_pton(AF_INET6, server_name.c_str(), address.data()) == 1;
  constexpr std::size_t kNameBytesMax = 255;
  if (server_name.size() > kNameBytesMax || server_name.starts_with('.') ||
      (!is_address && !server_name.empty() &&
       wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, server_name.data(),
                      static_cast<unsigned short>(server_name.size())) != WOLFSSL_SUCCESS))
    return server_name + " is not a host name";
  if (const auto ticket = context_->take_kept()) wolfSSL_set_session(ssl, ticket.get());
  return {};
}

}  // namespace

transports::Expected<TlsSession> TlsContext::new_session() const {
  auto made = std::make_unique<WolfsslSession>(context_);
  if (const std::string why_not = made->set_up(); !why_not.empty())
    return tl::unexpected(transports::Error{"new TLS session: " + why_not, EINVAL});
  return TlsSession(std::move(made));
}

}  // namespace feedbench::tls
