#pragma once

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "transports/offload_tls.hpp"
#include "transports/tls/kernel_tls_keys.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls {

/// Gives the sending keys of TLS connections to the kernel, and says their end there. For TlsTransport. On a T that cannot
/// (offload_tls.hpp) it does nothing. What the kernel refuses to one connection it is not asked for again.
template <class T>
class KernelSealer {
 public:
  explicit KernelSealer(bool wanted) noexcept : wanted_(wanted && transports::OffloadsTls<T>) {}

  [[nodiscard]] bool wanted() const noexcept { return wanted_; }
  /// true: T's sends on `conn` are plaintext from here on. All that the session has sealed must have left.
  bool take(T& transport, transports::Conn conn, TlsSession& session) {
    if constexpr (transports::OffloadsTls<T>) {
      if (!tls_provider().tells_secrets) {
        wanted_ = false;
        fault_ =
            std::string(tls_provider().name) + " tells no keys that the kernel could seal with";
        return false;
      }
      const TlsSession::SendingKeys sending = session.sending_keys();
      if (sending.keys.secret.empty()) return false;  // TLS 1.2
      const auto keys = KernelTlsKeys::derive(sending.cipher_suite, sending.keys);
      const int os_error = keys ? transport.offload_tls(conn, keys->bytes()) : EINVAL;
      if (os_error == 0) {
        session.stop_sending();
        ++taken_;
        return true;
      }
      wanted_ = false;
      fault_ = keys ? std::string("the kernel's TLS (kTLS): ") + std::strerror(os_error)
                    : keys.error().message;
    }
    return false;
  }
  /// close_notify, or that this end has failed. One that does not leave is missed by the peer.
  void say_the_end(T& transport, transports::Conn conn, bool failed) {
    if constexpr (transports::OffloadsTls<T>) {
      constexpr std::uint8_t kAlert = 21;
      constexpr std::array<std::byte, 2> kCloseNotify = {std::byte{1}, std::byte{0}};
      constexpr std::array<std::byte, 2> kInternalError = {std::byte{2}, std::byte{80}};
      transport.send_tls_record(conn, kAlert, failed ? kInternalError : kCloseNotify);
    }
  }
  [[nodiscard]] std::uint64_t taken() const noexcept { return taken_; }
  [[nodiscard]] const std::string& fault() const noexcept { return fault_; }

 private:
  bool wanted_;
  std::uint64_t taken_ = 0;
  std::string fault_;
};

}  // namespace feedbench::tls
