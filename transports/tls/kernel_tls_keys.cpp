#include "transports/tls/kernel_tls_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "transports/tls/record_layer.hpp"

namespace feedbench::tls {

namespace {

/// Salt and iv of the structure are the record's iv, in this order: of ChaCha20 the salt is empty.
template <class Info>
bool fill(Info& info, std::uint16_t cipher_type, const EVP_MD* hash, const TrafficKeys& keys) {
  constexpr std::size_t kIvBytes = 12;
  std::array<unsigned char, kIvBytes> iv{};
  info.info.version = TLS_1_3_VERSION;
  info.info.cipher_type = cipher_type;
  if (!derive_record_keys(hash, keys.secret, info.key, iv)) return false;
  constexpr std::size_t kSaltBytes = kIvBytes - sizeof(info.iv);
  if constexpr (kSaltBytes != 0) std::memcpy(info.salt, iv.data(), kSaltBytes);
  std::memcpy(info.iv, iv.data() + kSaltBytes, sizeof(info.iv));
  for (std::size_t i = 0; i < sizeof(info.rec_seq); ++i)
    info.rec_seq[i] =
        static_cast<unsigned char>(keys.sequence >> (8 * (sizeof(info.rec_seq) - 1 - i)));
  OPENSSL_cleanse(iv.data(), iv.size());
  return true;
}

}  // namespace

template <class Info>
void KernelTlsKeys::take(const Info& info) {
  static_assert(sizeof(Info) <= sizeof(bytes_));
  std::memcpy(bytes_.data(), &info, sizeof(info));
  size_ = sizeof(info);
}

transports::Expected<KernelTlsKeys> KernelTlsKeys::derive(std::uint16_t cipher_suite,
                                                          const TrafficKeys& keys) {
  const EVP_MD* const hash = cipher_suite == 0x1302 ? EVP_sha384() : EVP_sha256();
  const auto refused = [](const char* why) {
    return tl::make_unexpected(
        transports::Error{std::string("keys for the kernel's TLS: ") + why, EINVAL});
  };
  if (keys.secret.size() != static_cast<std::size_t>(EVP_MD_get_size(hash)))
    return refused("the secret does not fit the cipher suite");
  KernelTlsKeys made;
  const auto with = [&](auto info, std::uint16_t cipher_type) {
    const bool good = fill(info, cipher_type, hash, keys);
    if (good) made.take(info);
    OPENSSL_cleanse(&info, sizeof(info));
    return good;
  };
  bool good = false;
  switch (cipher_suite) {
    case 0x1301:
      good = with(tls12_crypto_info_aes_gcm_128{}, TLS_CIPHER_AES_GCM_128);
      break;
    case 0x1302:
      good = with(tls12_crypto_info_aes_gcm_256{}, TLS_CIPHER_AES_GCM_256);
      break;
    case 0x1303:
      good = with(tls12_crypto_info_chacha20_poly1305{}, TLS_CIPHER_CHACHA20_POLY1305);
      break;
    default:
      return refused("the cipher suite is none of TLS 1.3's");
  }
  if (!good) return refused("they cannot be derived");
  return made;
}

KernelTlsKeys::~KernelTlsKeys() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

}  // namespace feedbench::tls
