// TlsContext with wolfSSL 5.5. Its headers come first, and OpenSSL's never beside them.
// clang-format off
#include <wolfssl/options.h>
#include <wolfssl/ssl.h>
// clang-format on

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "transports/tls/certificate_faults.hpp"
#include "transports/tls/tls_session.hpp"
#include "transports/tls/wolfssl/provider_context.hpp"

#if !defined(HAVE_SNI) || !defined(HAVE_SESSION_TICKET) || !defined(WOLFSSL_TLS13) || \
    !defined(WOLFSSL_ALWAYS_VERIFY_CB) || !defined(KEEP_PEER_CERT)
#error "wolfSSL was built without something that feedbench needs: see the options above"
#endif

namespace feedbench::tls {
namespace {

// wolfSSL would ask nobody for the password of an encrypted key, and says so by failing.
int refuse_password(char*, int, int, void*) { return 0; }

int keep_ticket(WOLFSSL* ssl, WOLFSSL_SESSION* session) {
  // A copy: this one goes on changing with its connection.
  static_cast<ProviderContext*>(wolfSSL_get_app_data(ssl))
      ->keep(std::unique_ptr<WOLFSSL_SESSION, WolfsslFreed>(wolfSSL_SESSION_dup(session)));
  return 0;  // it stays wolfSSL's
}

/// "": it can be read. wolfSSL says no more than that a file is not as it should be.
std::string why_unreadable(const std::string& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return std::strerror(errno);
  ::close(descriptor);
  return {};
}

transports::Error setup_error(const std::string& what, const std::string& reason,
                              const std::string& advice) {
  return {"set up TLS: " + what + ": " + reason + " (" + advice + ")", EINVAL};
}

/// A file that must be usable: its own fault first, else wolfSSL's.
transports::Expected<void> used(int result, const std::string& what, const std::string& file,
                                const std::string& advice) {
  if (result == WOLFSSL_SUCCESS) return {};
  const std::string unreadable = why_unreadable(file);
  return tl::unexpected(
      setup_error(what + file, unreadable.empty() ? wolfssl_reason(result) : unreadable, advice));
}

transports::Expected<std::shared_ptr<ProviderContext>> new_context(WOLFSSL_METHOD* method) {
  static const bool ready = wolfSSL_Init() == WOLFSSL_SUCCESS;
  auto made = std::make_shared<ProviderContext>();
  if (ready) made->wolfssl_context.reset(wolfSSL_CTX_new(method));
  WOLFSSL_CTX* const context = made->wolfssl_context.get();
  // TLS 1.2: only what 1.3 would allow too, ephemeral keys and authenticated encryption.
  if (context == nullptr ||
      wolfSSL_CTX_SetMinVersion(context, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_cipher_list(
          context,
          "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
          "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
          "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
          "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305") != WOLFSSL_SUCCESS)
    return tl::unexpected(
        setup_error("new context", "wolfSSL refuses it", "is libwolfssl installed whole?"));
  wolfSSL_CTX_set_default_passwd_cb(context, refuse_password);
  // Sessions say themselves whom they verify; without this an authority that has expired would be taken up.
  wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, nullptr);
  return made;
}

/// What `context` shows of itself. errors: a file missing or unreadable, a key that does not belong to the certificate.
transports::Expected<void> use_certificate(WOLFSSL_CTX* context,
                                           const std::string& certificate_file,
                                           const std::string& key_file) {
  if (auto done = used(wolfSSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()),
                       "read the certificate from ", certificate_file,
                       "a PEM file is wanted; scripts/make-ca makes one");
      !done)
    return done;
  const char* const advice = "a PEM file is wanted, not encrypted, of the same certificate";
  if (auto done =
          used(wolfSSL_CTX_use_PrivateKey_file(context, key_file.c_str(), WOLFSSL_FILETYPE_PEM),
               "read the private key from ", key_file, advice);
      !done)
    return done;
  // wolfSSL 5.5 looks at RSA keys alone.
  if (wolfSSL_CTX_check_private_key(context) == WOLFSSL_SUCCESS &&
      key_belongs_to(certificate_file, key_file))
    return {};
  return tl::unexpected(
      setup_error("read the private key from " + key_file, "key values mismatch", advice));
}

/// The system's, where OpenSSL finds them too.
transports::Expected<void> use_system_authorities(WOLFSSL_CTX* context) {
  const char* const wanted = std::getenv("SSL_CERT_FILE");
  for (const char* const file : {wanted, "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem",
                                 "/etc/pki/tls/certs/ca-bundle.crt"}) {
    if (file == nullptr || !why_unreadable(file).empty()) continue;
    // One that wolfSSL cannot read is left out: it is trusted no more than one that is not there.
    const int loaded =
        wolfSSL_CTX_load_verify_locations_ex(context, file, nullptr, WOLFSSL_LOAD_FLAG_IGNORE_ERR);
    if (loaded == WOLFSSL_SUCCESS) return {};
  }
  return tl::unexpected(setup_error("read the system's authorities", "there are none",
                                    "install ca-certificates, or give --ca FILE"));
}

}  // namespace

void WolfsslFreed::operator()(WOLFSSL_CTX* context) const noexcept { wolfSSL_CTX_free(context); }
void WolfsslFreed::operator()(WOLFSSL_SESSION* session) const noexcept {
  wolfSSL_SESSION_free(session);
}

TlsProvider tls_provider() noexcept { return {"wolfSSL", false}; }

std::string wolfssl_reason(int code) {
  std::array<char, 96> text{};  // WOLFSSL_MAX_ERROR_SZ is 80
  wolfSSL_ERR_error_string_n(static_cast<unsigned long>(code), text.data(), text.size() - 1);
  return text.data();
}

transports::Expected<TlsContext> TlsContext::client(const TlsClientOptions& options) {
  if (options.verify && options.server_name.empty()) {
    return tl::unexpected(
        transports::Error{"set up TLS: no server name to check the certificate against", EINVAL});
  }
  auto made = new_context(wolfTLS_client_method());
  if (!made) return tl::unexpected(made.error());
  ProviderContext& provider = **made;
  provider.is_client = true;
  provider.verify = options.verify;
  provider.server_name = options.server_name;
  if (provider.server_name.size() > 1 && provider.server_name.back() == '.')
    provider.server_name.pop_back();
  WOLFSSL_CTX* const context = provider.wolfssl_context.get();
  wolfSSL_CTX_sess_set_new_cb(context, keep_ticket);
  wolfSSL_CTX_UseSessionTicket(context);  // for TLS 1.2; 1.3 has them anyway
  if (!options.certificate_file.empty() || !options.key_file.empty()) {
    if (auto done = use_certificate(context, options.certificate_file, options.key_file); !done)
      return tl::unexpected(done.error());
  }
  if (!options.ca_file.empty()) {
    if (auto done =
            used(wolfSSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr),
                 "read authorities from ", options.ca_file,
                 "--ca wants a PEM file with at least one certificate");
        !done)
      return tl::unexpected(done.error());
  } else if (options.verify) {
    if (auto done = use_system_authorities(context); !done) return tl::unexpected(done.error());
  }
  return TlsContext(std::move(*made));
}

transports::Expected<TlsContext> TlsContext::server(const TlsServerOptions& options) {
  auto made = new_context(wolfTLS_server_method());
  if (!made) return tl::unexpected(made.error());
  ProviderContext& provider = **made;
  provider.verify = !options.client_ca_file.empty();
  WOLFSSL_CTX* const context = provider.wolfssl_context.get();
  // The cache belongs to the whole process: a session of another context would be resumed here. Tickets do not.
  wolfSSL_CTX_set_session_cache_mode(context, WOLFSSL_SESS_CACHE_OFF);
  if (auto done = use_certificate(context, options.certificate_file, options.key_file); !done)
    return tl::unexpected(done.error());
  if (provider.verify) {
    const std::string& file = options.client_ca_file;
    if (auto done = used(wolfSSL_CTX_load_verify_locations(context, file.c_str(), nullptr),
                         "read the clients' authorities from ", file,
                         "a PEM file with at least one certificate is wanted");
        !done)
      return tl::unexpected(done.error());
    wolfSSL_CTX_set_client_CA_list(context, wolfSSL_load_client_CA_file(file.c_str()));
  }
  return TlsContext(std::move(*made));
}

}  // namespace feedbench::tls
