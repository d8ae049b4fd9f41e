#pragma once

#include <openssl/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "transports/transport.hpp"

/// Non-blocking input and output of one accepted socket, plain or TLS, without an event loop: a
/// write goes to the kernel inside the call, at once.
namespace feedbench::mock_exchange {

/// The server's certificate and key, loaded once.
class TlsServer {
 public:
  /// TLS 1.2 or later. errors: a file that is missing or is no PEM, a key that does not belong to
  /// the certificate.
  static transports::Expected<TlsServer> load(const std::string& certificate_file,
                                              const std::string& key_file);
  [[nodiscard]] SSL_CTX* context() const noexcept { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const noexcept;
  };
  std::unique_ptr<SSL_CTX, Free> context_;
};

enum class IoStatus : std::uint8_t {
  done,         ///< `bytes` were moved (handshake: it is complete).
  would_block,  ///< Nothing more now: wait until the socket is readable (read, handshake) or
                ///< writable (write).
  end,          ///< The peer finished its side.
  failed,       ///< The connection is broken.
};

struct IoResult {
  IoStatus status = IoStatus::done;
  std::size_t bytes = 0;
};

/// thread: one. The descriptor stays the caller's and must be non-blocking.
class ByteStream {
 public:
  /// tls: null for plain TCP; must outlive this.
  ByteStream(int descriptor, const TlsServer* tls);
  ~ByteStream();
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  /// TLS: goes on with the handshake; call again when the socket is readable (or, with unwritten(),
  /// writable). Plain: done at once.
  IoResult handshake();

  /// At most out.size() bytes. done always has bytes > 0.
  IoResult read(std::span<std::byte> out);

  /// As much of the ranges as goes at once; `bytes` may be less than their sum or 0, and then
  /// status is would_block. TLS: bytes of a record that the kernel did not take whole count as
  /// written and are kept (at most 16 KiB); they go first at the next write() or flush().
  IoResult write(std::span<const iovec> ranges);

  /// TLS: tries to get rid of kept bytes. done: there are none (any more).
  IoResult flush();
  [[nodiscard]] bool unwritten() const noexcept { return !kept_.empty() || wants_write_; }

  /// TLS: says close_notify if that does not block. Then ends our side (FIN).
  void finish_writing();

  /// Why the handshake or the last call failed; one sentence or empty.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  struct Free {
    void operator()(SSL* session) const noexcept;
  };
  IoResult read_tls(std::span<std::byte> out);
  IoResult write_tls(std::span<const iovec> ranges);
  IoResult write_record(std::span<const std::byte> record);
  IoResult fail(int result, const char* what);

  int descriptor_;
  std::unique_ptr<SSL, Free> session_;
  /// A record OpenSSL has begun to write: it must be offered again unchanged.
  std::vector<std::byte> kept_;
  std::vector<std::byte> record_;  ///< Small ranges are gathered here into one record.
  bool wants_write_ = false;
  std::string error_;
};

}  // namespace feedbench::mock_exchange
