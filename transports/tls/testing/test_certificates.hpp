#pragma once

#include <string>
#include <vector>

/// Throw-away certificates, made in memory by the OpenSSL library. For tests alone.
namespace feedbench::tls::testing {

/// What one server certificate says. The defaults are a good certificate of this machine.
struct CertificateWishes {
  std::vector<std::string> dns_names = {"localhost"};
  std::vector<std::string> ip_addresses = {"127.0.0.1"};
  long valid_from_s = -3600;  ///< Relative to now.
  long valid_to_s = 24 * 3600;
  bool self_signed = false;  ///< Not signed by the CA.
};

/// A directory of its own under the system's temporary one, removed with the object:
/// a CA (ECDSA P-256) and server certificates signed by it. Throws std::runtime_error.
class TestCertificates {
 public:
  explicit TestCertificates(const CertificateWishes& wishes = {});
  ~TestCertificates();
  TestCertificates(const TestCertificates&) = delete;
  TestCertificates& operator=(const TestCertificates&) = delete;

  [[nodiscard]] std::string ca_file() const { return directory_ + "/ca.pem"; }
  [[nodiscard]] std::string certificate_file() const { return directory_ + "/server.pem"; }
  [[nodiscard]] std::string key_file() const { return directory_ + "/server.key"; }
  [[nodiscard]] const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

}  // namespace feedbench::tls::testing
