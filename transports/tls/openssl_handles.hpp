#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

/// OpenSSL's objects as owned values, and its error queue as text. For .cpp files and tests: its cryptography and its
/// certificates are used whoever the TLS provider is.
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

/// The reason of the first queued error, in OpenSSL's words, or "unknown reason". Clears the queue.
std::string take_openssl_reason();

}  // namespace feedbench::tls
