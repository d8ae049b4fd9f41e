#include "harness/runner/throw_away_certificate.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>

namespace feedbench::runner {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

bool add_extension(X509* certificate, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool fill(X509* certificate, EVP_PKEY* key, const std::string& names) {
  constexpr long kDaySeconds = 86'400;
  X509_NAME* name = X509_get_subject_name(certificate);
  const auto* text = reinterpret_cast<const unsigned char*>("feedbench throw-away exchange");
  return X509_set_version(certificate, X509_VERSION_3) == 1 &&
         ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), -kDaySeconds) != nullptr &&
         X509_gmtime_adj(X509_getm_notAfter(certificate), kDaySeconds) != nullptr &&
         X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
         X509_set_issuer_name(certificate, name) == 1 && X509_set_pubkey(certificate, key) == 1 &&
         add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE") &&
         add_extension(certificate, NID_subject_key_identifier, "hash") &&
         add_extension(certificate, NID_subject_alt_name, names.c_str()) &&
         X509_sign(certificate, key, EVP_sha256()) != 0;
}

}  // namespace

transports::Expected<void> write_throw_away_certificate(
    const std::filesystem::path& certificate_file, const std::filesystem::path& key_file,
    const std::vector<std::string>& addresses) {
  std::string names = "DNS:localhost";
  for (const std::string& address : addresses) names += ",IP:" + address;
  const Key key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
  const Certificate certificate(X509_new(), &X509_free);
  if (!key || !certificate || !fill(certificate.get(), key.get(), names)) {
    return tl::unexpected(transports::Error{"certificate: OpenSSL could not make one"});
  }
  const File certificate_out(std::fopen(certificate_file.c_str(), "we"), &std::fclose);
  const File key_out(std::fopen(key_file.c_str(), "we"), &std::fclose);
  if (!certificate_out || !key_out ||
      PEM_write_X509(certificate_out.get(), certificate.get()) != 1 ||
      PEM_write_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return tl::unexpected(
        transports::Error{"certificate: cannot write " + certificate_file.string()});
  }
  return {};
}

}  // namespace feedbench::runner
