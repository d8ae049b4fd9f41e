#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
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

/// The reason of the first queued error, in OpenSSL's words, or "unknown reason". Clears the queue.
std::string take_openssl_reason();

/// "DNS:localhost, IP:127.0.0.1": whom a certificate is for. "nobody (it carries no names)" if
/// none.
std::string names_of(X509* certificate);
/// "Nov 21 10:00:00 2026 GMT".
std::string text_of(const ASN1_TIME* time);

}  // namespace feedbench::tls
