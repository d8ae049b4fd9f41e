#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "transports/tls/tls_handles.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls {
namespace {

// OpenSSL would ask on the terminal for the password of an encrypted key; a program must not.
int refuse_password(char*, int, int, void*) { return 0; }

/// kept: lives as long as the context.
std::shared_ptr<SSL_CTX> new_context(const SSL_METHOD* method,
                                     std::shared_ptr<KeptSession> kept = {}) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(
      SSL_CTX_new(method), [held_too = std::move(kept)](SSL_CTX* held) { SSL_CTX_free(held); });
  if (context == nullptr) return context;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  // All three are strong; the first is the cheapest where the processor has AES.
  SSL_CTX_set_ciphersuites(
      context.get(), "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  // TLS 1.2: only what 1.3 would allow too, ephemeral keys and authenticated encryption.
  SSL_CTX_set_cipher_list(context.get(), "ECDHE+AESGCM:ECDHE+CHACHA20");
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(context.get(), refuse_password);
  return context;
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

std::string take_openssl_reason() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown reason";
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "error " + std::to_string(ERR_GET_REASON(code));
}

std::string names_of(X509* certificate) {
  std::string text;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  constexpr int kNamesShown = 8;
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names) && i < kNamesShown; ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    std::string one;
    if (name->type == GEN_DNS) {
      const auto* bytes = reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName));
      one = "DNS:" +
            std::string(bytes, static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      const int length = ASN1_STRING_length(name->d.iPAddress);
      std::array<char, INET6_ADDRSTRLEN> address{};
      if (::inet_ntop(length == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress),
                      address.data(), static_cast<socklen_t>(address.size())) != nullptr) {
        one = "IP:" + std::string(address.data());
      }
    }
    // A certificate is the peer's text: only what can be shown safely is shown.
    for (char& letter : one) {
      if (letter < ' ' || letter > '~') letter = '?';
    }
    if (!one.empty()) text += (text.empty() ? "" : ", ") + one;
  }
  GENERAL_NAMES_free(names);
  return text.empty() ? "nobody (it carries no names)" : text;
}

std::string text_of(const ASN1_TIME* time) {
  const BioHandle memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || ASN1_TIME_print(memory.get(), time) != 1) return "an unreadable date";
  std::array<char, 64> text{};
  const int bytes = BIO_read(memory.get(), text.data(), static_cast<int>(text.size()));
  return {text.data(), static_cast<std::size_t>(bytes > 0 ? bytes : 0)};
}

transports::Expected<TlsContext> TlsContext::client(const TlsClientOptions& options) {
  if (options.verify && options.server_name.empty()) {
    return tl::unexpected(
        transports::Error{"set up TLS: no server name to check the certificate against", EINVAL});
  }
  TlsContext made;
  made.is_client_ = made.tells_keys_ = true;
  made.verify_ = options.verify;
  made.server_name_ = options.server_name;
  if (made.server_name_.size() > 1 && made.server_name_.back() == '.') made.server_name_.pop_back();
  made.kept_ = std::make_shared<KeptSession>();
  made.context_ = new_context(TLS_client_method(), made.kept_);
  SSL_CTX* const context = made.context_.get();
  if (context == nullptr)
    return tl::unexpected(setup_error("new client context", "is OpenSSL installed whole?"));
  made.kept_->collect(context);
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
  return made;
}

transports::Expected<TlsContext> TlsContext::server(const TlsServerOptions& options) {
  TlsContext made;
  made.tells_keys_ = options.tells_keys;
  made.context_ = new_context(TLS_server_method());
  SSL_CTX* const context = made.context_.get();
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
  return made;
}

}  // namespace feedbench::tls
