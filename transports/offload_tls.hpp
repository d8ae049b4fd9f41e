#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "transports/transport.hpp"

/// What a transport over kernel sockets can do besides: let the kernel seal what a connection sends (kTLS, transmit
/// alone). What is received stays ciphertext.
///
/// offload_tls(conn, keys): keys: what setsockopt(SOL_TLS, TLS_TX) takes (tls/kernel_tls_keys.hpp makes them). returns 0:
/// from here on send() takes plaintext, and the kernel makes records of it, beginning with the sequence number of `keys`.
/// Else an errno, and nothing has changed: the kernel has no TLS, or not this cipher; EBUSY: a send is outstanding; ENOTCONN:
/// the handle is dead or not open.
///
/// send_tls_record(conn, type, bytes): one record of another type than data (21: alert). false: it could not leave at once, and
/// never will. Only after offload_tls(), while no send is outstanding.
///
/// thread: the polling one. Cold: two system calls, one. source: Documentation/networking/tls.rst.
namespace feedbench::transports {

template <class T>
concept OffloadsTls = Transport<T> &&
    requires(T t, Conn conn, std::uint8_t type, std::span<const std::byte> bytes) {
  { t.offload_tls(conn, bytes) } -> std::same_as<int>;
  { t.send_tls_record(conn, type, bytes) } -> std::same_as<bool>;
};

}  // namespace feedbench::transports
