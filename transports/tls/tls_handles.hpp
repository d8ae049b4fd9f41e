#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <mutex>
#include <string>

/// OpenSSL's objects as owned values, and its error queue as text. For the .cpp files of this
/// folder.
namespace feedbench::tls {

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    kFree(object);
  }
};

using SslHandle = std::unique_ptr<SSL, Freed<SSL_free>>;
using X509Handle = std::unique_ptr<X509, Freed<X509_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using BioHandle = std::unique_ptr<BIO, Freed<BIO_free_all>>;

/// The newest session ticket of a client's context. thread: any.
class KeptSession {
 public:
  /// Stores what servers of this context's sessions give.
  void collect(SSL_CTX* context) {
    SSL_CTX_set_app_data(context, this);
    SSL_CTX_set_session_cache_mode(context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
    SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
      auto* const kept = static_cast<KeptSession*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
      const std::lock_guard lock(kept->mutex_);
      kept->newest_.reset(session);
      return 1;  // it is ours now
    });
  }
  /// Offers the ticket, once.
  void offer(SSL* ssl) {
    const std::lock_guard lock(mutex_);
    if (newest_ != nullptr) SSL_set_session(ssl, newest_.get());
    newest_.reset();
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<SSL_SESSION, Freed<SSL_SESSION_free>> newest_;
};

/// The reason of the first queued error, in OpenSSL's words, or "unknown reason". Clears the queue.
std::string take_openssl_reason();

/// "DNS:localhost, IP:127.0.0.1": whom a certificate is for. "nobody (it carries no names)" if
/// none.
std::string names_of(X509* certificate);
/// "Nov 21 10:00:00 2026 GMT".
std::string text_of(const ASN1_TIME* time);

}  // namespace feedbench::tls
