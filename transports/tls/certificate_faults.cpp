#include "transports/tls/certificate_faults.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>

#include "transports/tls/openssl_handles.hpp"

namespace feedbench::tls {
namespace {

X509Handle certificate_of(std::span<const std::byte> der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  X509Handle made(d2i_X509(nullptr, &bytes, static_cast<long>(der.size())));
  ERR_clear_error();
  return made;
}

/// "DNS:localhost, IP:127.0.0.1": whom a certificate is for. "nobody (it carries no names)" if
/// none.
std::string names_of(const X509* certificate) {
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
      const int family = length == 4 ? AF_INET : length == 16 ? AF_INET6 : AF_UNSPEC;
      std::array<char, INET6_ADDRSTRLEN> address{};
      if (::inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), address.data(),
                      static_cast<socklen_t>(address.size())) != nullptr) {
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

/// "Nov 21 10:00:00 2026 GMT".
std::string text_of(const ASN1_TIME* time) {
  const BioHandle memory(BIO_new(BIO_s_mem()));
  if (memory == nullptr || ASN1_TIME_print(memory.get(), time) != 1) return "an unreadable date";
  std::array<char, 64> text{};
  const int bytes = BIO_read(memory.get(), text.data(), static_cast<int>(text.size()));
  return {text.data(), static_cast<std::size_t>(bytes > 0 ? bytes : 0)};
}

}  // namespace

bool certificate_is_for(std::span<const std::byte> der, const std::string& host) {
  const X509Handle certificate = certificate_of(der);
  if (certificate == nullptr || host.empty() || host.front() == '.') return false;
  std::array<unsigned char, 16> address{};
  for (const auto& [family, bytes] : {std::pair{AF_INET, 4U}, std::pair{AF_INET6, 16U}}) {
    if (::inet_pton(family, host.c_str(), address.data()) == 1)
      return X509_check_ip(certificate.get(), address.data(), bytes, 0) == 1;
  }
  constexpr unsigned kFlags =
      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
  return X509_check_host(certificate.get(), host.data(), host.size(), kFlags, nullptr) == 1;
}

bool key_belongs_to(const std::string& certificate_file, const std::string& key_file) {
  const auto no_password = [](char*, int, int, void*) { return 0; };
  const BioHandle certificate_bytes(BIO_new_file(certificate_file.c_str(), "r"));
  const BioHandle key_bytes(BIO_new_file(key_file.c_str(), "r"));
  const X509Handle certificate(
      certificate_bytes ? PEM_read_bio_X509(certificate_bytes.get(), nullptr, no_password, nullptr)
                        : nullptr);
  const KeyHandle key(key_bytes
                          ? PEM_read_bio_PrivateKey(key_bytes.get(), nullptr, no_password, nullptr)
                          : nullptr);
  const bool belongs =
      certificate && key && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  return belongs;
}

std::string describe_certificate_fault(CertificateFault fault, std::span<const std::byte> der,
                                       bool of_server, const std::string& host,
                                       const std::string& reason) {
  const X509Handle certificate = certificate_of(der);
  const auto date = [&](const ASN1_TIME* (*of)(const X509*)) {
    return certificate != nullptr ? text_of(of(certificate.get())) : "an unknown date";
  };
  const std::string advice =
      of_server ? " (give its authority's certificate with --ca FILE if you trust it)"
                : " (clients' authorities are those of --listen-client-ca)";
  switch (fault) {
    case CertificateFault::self_signed:
      return "its certificate is self-signed and not trusted here" + advice;
    case CertificateFault::unknown_authority:
      return "its certificate is signed by an authority that is not trusted here" + advice;
    case CertificateFault::expired:
      return "its certificate expired on " + date(X509_get0_notAfter) +
             " (its owner must renew it; or is this machine's clock wrong?)";
    case CertificateFault::not_yet_valid:
      return "its certificate is not valid before " + date(X509_get0_notBefore) +
             " (is this machine's clock wrong?)";
    case CertificateFault::wrong_name:
      return "its certificate is not for " + host + " but for " +
             (certificate != nullptr ? names_of(certificate.get()) : "somebody else") +
             " (connect by a name it carries; an authority given with --ca does not change that)";
    case CertificateFault::other:
      break;
  }
  return "its certificate is not accepted: " + reason + advice;
}

}  // namespace feedbench::tls
