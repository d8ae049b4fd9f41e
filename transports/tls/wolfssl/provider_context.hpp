#pragma once

#include <memory>
#include <mutex>
#include <string>

struct WOLFSSL_CTX;
struct WOLFSSL_SESSION;

namespace feedbench::tls {

struct WolfsslFreed {
  void operator()(WOLFSSL_CTX* context) const noexcept;
  void operator()(WOLFSSL_SESSION* session) const noexcept;
};

/// What a TlsContext is with wolfSSL. Sessions hold it.
class ProviderContext {
 public:
  std::unique_ptr<WOLFSSL_CTX, WolfsslFreed> wolfssl_context;
  std::string server_name;
  bool is_client = false;
  bool verify = true;  ///< The peer shows a certificate, and it is checked.

  /// A client's: the newest session ticket. thread: any.
  void keep(std::unique_ptr<WOLFSSL_SESSION, WolfsslFreed> ticket) noexcept {
    const std::lock_guard lock(mutex_);
    newest_ = std::move(ticket);
  }
  /// It is used once.
  std::unique_ptr<WOLFSSL_SESSION, WolfsslFreed> take_kept() noexcept {
    const std::lock_guard lock(mutex_);
    return std::move(newest_);
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<WOLFSSL_SESSION, WolfsslFreed> newest_;
};

/// wolfSSL's words for one of its error codes.
std::string wolfssl_reason(int code);

}  // namespace feedbench::tls
