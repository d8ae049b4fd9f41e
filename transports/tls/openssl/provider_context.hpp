#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <mutex>
#include <string>

#include "transports/tls/openssl_handles.hpp"

namespace feedbench::tls {

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

/// What a TlsContext is with OpenSSL. Sessions hold it.
class ProviderContext {
 public:
  KeptSession kept;  // a client's
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> ssl_context;
  std::string server_name;
  bool is_client = false;
  bool verify = true;
  bool tells_keys = false;
};

}  // namespace feedbench::tls
