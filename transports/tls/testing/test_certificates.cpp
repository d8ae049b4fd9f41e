#include "transports/tls/testing/test_certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include "transports/tls/openssl_handles.hpp"

namespace feedbench::tls::testing {
namespace {

using FileHandle = std::unique_ptr<std::FILE, Freed<std::fclose>>;

void require(bool good, const char* what) {
  if (!good)
    throw std::runtime_error(std::string("make test certificates: ") + what + ": " +
                             take_openssl_reason());
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  require(extension != nullptr, value.c_str());
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  require(added == 1, value.c_str());
}

// An unsigned version 3 certificate of `key` with the name `common_name`.
X509Handle new_certificate(EVP_PKEY* key, const std::string& common_name, long serial, long from_s,
                           long to_s) {
  X509Handle made(X509_new());
  X509* const certificate = made.get();
  require(certificate != nullptr, "new");
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), from_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), to_s);
  X509_set_pubkey(certificate, key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                             0);
  return made;
}

void sign(X509* certificate, X509* issuer, EVP_PKEY* issuer_key) {
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  require(X509_sign(certificate, issuer_key, EVP_sha256()) > 0, "sign");
}

void write_certificate(const std::string& path, X509* certificate) {
  const FileHandle file(std::fopen(path.c_str(), "w"));
  require(file != nullptr && PEM_write_X509(file.get(), certificate) == 1, path.c_str());
}

void write_key(const std::string& path, EVP_PKEY* key) {
  const FileHandle file(std::fopen(path.c_str(), "w"));
  require(file != nullptr && ::chmod(path.c_str(), 0600) == 0, path.c_str());
  require(PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          path.c_str());
}

std::string alternative_names(const CertificateWishes& wishes) {
  std::string text;
  for (const std::string& name : wishes.dns_names) text += (text.empty() ? "DNS:" : ",DNS:") + name;
  for (const std::string& address : wishes.ip_addresses)
    text += (text.empty() ? "IP:" : ",IP:") + address;
  return text;
}

}  // namespace

TestCertificates::TestCertificates(const CertificateWishes& wishes) {
  std::string pattern =
      (std::filesystem::temp_directory_path() / "test_certificates_XXXXXX").string();
  require(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
  directory_ = pattern;
  const KeyHandle ca_key(EVP_EC_gen("P-256"));
  const KeyHandle key(EVP_EC_gen("P-256"));
  require(ca_key != nullptr && key != nullptr, "key");
  const X509Handle ca =
      new_certificate(ca_key.get(), "feedbench test CA", 1, -48 * 3600, 48 * 3600);
  add_extension(ca.get(), ca.get(), NID_basic_constraints, "critical,CA:TRUE");
  add_extension(ca.get(), ca.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(ca.get(), ca.get(), NID_subject_key_identifier, "hash");
  sign(ca.get(), ca.get(), ca_key.get());

  const X509Handle server = new_certificate(key.get(), "feedbench test server", 2,
                                            wishes.valid_from_s, wishes.valid_to_s);
  X509* const issuer = wishes.self_signed ? server.get() : ca.get();
  add_extension(server.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(server.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  if (const std::string names = alternative_names(wishes); !names.empty()) {
    add_extension(server.get(), issuer, NID_subject_alt_name, names);
  }
  sign(server.get(), issuer, wishes.self_signed ? key.get() : ca_key.get());

  write_certificate(ca_file(), ca.get());
  write_certificate(certificate_file(), server.get());
  write_key(key_file(), key.get());
}

TestCertificates::~TestCertificates() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

}  // namespace feedbench::tls::testing
