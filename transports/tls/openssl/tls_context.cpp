#include <openssl/err.h>

#include <cerrno>
#include <utility>

#include "transports/tls/openssl/provider_context.hpp"
#include "transports/tls/openssl_handles.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls {
namespace {

// OpenSSL would ask on the terminal for the password of an encrypted key; a program must not.
int refuse_password(char*, int, int, void*) { return 0; }

std::shared_ptr<ProviderContext> new_context(const SSL_METHOD* method) {
  ERR_clear_error();
  auto made = std::make_shared<ProviderContext>();
  made->ssl_context.reset(SSL_CTX_new(method));
  SSL_CTX* const context = made->ssl_context.get();
  if (context == nullptr) return made;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // All three are strong; the first is the cheapest where the processor has AES.
  SSL_CTX_set_ciphersuites(
      context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  // TLS 1.2: only what 1.3 would allow too, ephemeral keys and authenticated encryption.
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context, refuse_password);
  return made;
}

transports::Error setup_error(const std::string& what, const std::string& advice) {
  return {"set up TLS: " + what + ": " + take_openssl_reason() + " (" + advice + ")", EINVAL};
}

/// What `context` shows of itself. errors: a file missing or unreadable, a key that does not belong to the certificate.
transports::Expected<void> use_certificate(SSL_CTX* context, const std::string& certificate_file,
                                           const std::string& key_file) {
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return tl::unexpected(setup_error("read the certificate from " + certificate_file,
                                      "a PEM file is wanted; scripts/make-ca makes one"));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    return tl::unexpected(
        setup_error("read the private key from " + key_file,
                    "a PEM file is wanted, not encrypted, of the same certificate"));
  }
  return {};
}

}  // namespace

TlsProvider tls_provider() noexcept { return {"OpenSSL", true}; }

transports::Expected<TlsContext> TlsContext::client(const TlsClientOptions& options) {
  if (options.verify && options.server_name.empty()) {
    return tl::unexpected(
        transports::Error{"set up TLS: no server name to check the certificate against", EINVAL});
  }
  auto made = new_context(TLS_client_method());
  made->is_client = made->tells_keys = true;
  made->verify = options.verify;
  made->server_name = options.server_name;
  if (made->server_name.size() > 1 && made->server_name.back() == '.') made->server_name.pop_back();
  SSL_CTX* const context = made->ssl_context.get();
  if (context == nullptr)
    return tl::unexpected(setup_error("new client context", "is OpenSSL installed whole?"));
  made->kept.collect(context);
  if (!options.certificate_file.empty() || !options.key_file.empty()) {
    if (auto used = use_certificate(context, options.certificate_file, options.key_file); !used)
      return tl::unexpected(used.error());
  }
  if (!options.ca_file.empty()) {
    if (SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1) {
      return tl::unexpected(setup_error("read authorities from " + options.ca_file,
                                        "--ca wants a PEM file with at least one certificate"));
    }
  } else if (options.verify && SSL_CTX_set_default_verify_paths(context) != 1) {
    return tl::unexpected(
        setup_error("read the system's authorities", "install ca-certificates, or give --ca FILE"));
  }
  return TlsContext(std::move(made));
}

transports::Expected<TlsContext> TlsContext::server(const TlsServerOptions& options) {
  auto made = new_context(TLS_server_method());
  made->tells_keys = options.tells_keys;
  SSL_CTX* const context = made->ssl_context.get();
  if (context == nullptr)
    return tl::unexpected(setup_error("new server context", "is OpenSSL installed whole?"));
  if (auto used = use_certificate(context, options.certificate_file, options.key_file); !used)
    return tl::unexpected(used.error());
  if (!options.client_ca_file.empty()) {
    STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(options.client_ca_file.c_str());
    if (names == nullptr ||
        SSL_CTX_load_verify_file(context, options.client_ca_file.c_str()) != 1) {
      sk_X509_NAME_pop_free(names, X509_NAME_free);
      return tl::unexpected(
          setup_error("read the clients' authorities from " + options.client_ca_file,
                      "a PEM file with at least one certificate is wanted"));
    }
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    // Tickets of this context are good for it alone: a client that showed no certificate elsewhere cannot resume here.
    static constexpr unsigned char kName[] = "feedbench-mutual";
    SSL_CTX_set_session_id_context(context, kName, sizeof(kName) - 1);
  }
  return TlsContext(std::move(made));
}

}  // namespace feedbench::tls
