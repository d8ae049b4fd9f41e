#pragma once

#include <linux/tls.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/tls/tls_traffic.hpp"
#include "transports/transport.hpp"

namespace feedbench::tls {

/// One direction's keys as the kernel's TLS takes them: struct tls12_crypto_info_* of linux/tls.h. Wiped when it goes.
class KernelTlsKeys {
 public:
  /// Of the records that go on under `keys` (RFC 8446, 7.3). cipher_suite: one of TLS 1.3's, as in TlsTraffic.
  /// errors: another cipher suite, a secret of another size.
  static transports::Expected<KernelTlsKeys> derive(std::uint16_t cipher_suite,
                                                    const TrafficKeys& keys);
  KernelTlsKeys(const KernelTlsKeys&) = default;
  KernelTlsKeys& operator=(const KernelTlsKeys&) = default;
  ~KernelTlsKeys();

  /// For setsockopt(SOL_TLS, TLS_TX).
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return std::span(bytes_).first(size_);
  }

 private:
  KernelTlsKeys() = default;
  template <class Info>
  void take(const Info& info);

  std::array<std::byte, 64> bytes_{};
  std::size_t size_ = 0;
};

}  // namespace feedbench::tls
