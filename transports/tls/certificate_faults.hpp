#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

/// What a peer's certificate says and what is wrong with it, in the same words with every TLS provider. It knows
/// certificates by their DER alone.
namespace feedbench::tls {

enum class CertificateFault : std::uint8_t {
  self_signed,
  unknown_authority,
  expired,
  not_yet_valid,
  wrong_name,
  other,
};

/// Whether the certificate is for this host (RFC 6125): a numeric IP address must be one of its IP addresses; a DNS name
/// one of its DNS names, where "*" stands for one whole label. Its subject counts for nothing.
/// der: one certificate; what is none is for nobody.
bool certificate_is_for(std::span<const std::byte> der, const std::string& host);

/// PEM files: the key is that of the file's first certificate. false also if one of them cannot be read.
bool key_belongs_to(const std::string& certificate_file, const std::string& key_file);

/// A sentence's second half: "its certificate expired on Nov 21 10:00:00 2026 GMT (...)".
/// of_server: a client looks at it, which wanted `host`. reason: in the provider's words, for `other`.
std::string describe_certificate_fault(CertificateFault fault, std::span<const std::byte> der,
                                       bool of_server, const std::string& host,
                                       const std::string& reason);

}  // namespace feedbench::tls
