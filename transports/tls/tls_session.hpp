#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "transports/tls/tls_traffic.hpp"
#include "transports/transport.hpp"

/// TLS over any transport: bytes in, bytes out, no descriptor, no wait. The ciphertext is read where the transport put it
/// and decrypted into the memory the caller names (the log).
namespace feedbench::tls {

class TlsSession;
class SessionState;
class ProviderContext;

/// Who speaks TLS in this build (FEEDBENCH_TLS).
struct TlsProvider {
  std::string_view name;  ///< "OpenSSL", "wolfSSL".
  /// Sessions can tell their connection's secrets: without that can_give_away() is false and sending_keys() empty, always.
  bool tells_secrets;
};
TlsProvider tls_provider() noexcept;

struct TlsClientOptions {
  /// Whom to speak to: a DNS name (sent as SNI, checked against the certificate's DNS names) or a
  /// numeric IP address (checked against its IP addresses, no SNI).
  std::string server_name;
  /// PEM file of the authorities to trust *instead of* the system's; empty: the system's.
  std::string ca_file;
  /// Check the certificate and the name. false is for tests alone.
  bool verify = true;
  /// For servers that ask who connects (mutual TLS): PEM files as in TlsServerOptions. Empty: none is shown.
  std::string certificate_file = {};
  std::string key_file = {};
};

struct TlsServerOptions {
  std::string certificate_file;  ///< PEM, the server's certificate first, then its chain.
  std::string key_file;          ///< PEM, the private key, not encrypted.
  /// Mutual TLS: PEM file of the authorities that clients' certificates must come from. Empty: nobody is asked.
  std::string client_ca_file = {};
  /// Sessions can tell their sending keys (TlsSession::sending_keys()). Costs two calls a record.
  bool tells_keys = false;
};

/// What many sessions share: authorities or certificate, versions (TLS 1.2 at least), ciphers.
/// A client's context keeps the newest session ticket that its server gave, and the next session offers it: a reconnect
/// then costs the server no signature and the wire no certificate (RFC 8446 section 2.2). A ticket is used once.
/// thread: creation by one; sessions of one context may live in different threads.
class TlsContext {
 public:
  /// errors: no server name to verify, a CA file missing or without certificates.
  static transports::Expected<TlsContext> client(const TlsClientOptions& options);
  /// errors: a file missing or unreadable, a key that does not belong to the certificate.
  static transports::Expected<TlsContext> server(const TlsServerOptions& options);

  /// A new session that has sent and received nothing. errors: out of memory.
  [[nodiscard]] transports::Expected<TlsSession> new_session() const;

 private:
  explicit TlsContext(std::shared_ptr<ProviderContext> context) noexcept
      : context_(std::move(context)) {}

  std::shared_ptr<ProviderContext> context_;
};

enum class TlsStatus : std::uint8_t {
  ok,          ///< Done; for read(): `into` is full, there may be more.
  want_input,  ///< All that was fed is used up: feed() more.
  closed,      ///< The peer sent close_notify: the stream ended where it says it ends.
  failed,      ///< error() says why; send output() (it may hold an alert) and drop the connection.
};

struct TlsRead {
  std::size_t bytes = 0;  ///< Plaintext put at the front of `into`, whatever the status.
  TlsStatus status = TlsStatus::want_input;
};

struct TlsWrite {
  std::size_t bytes = 0;  ///< Plaintext taken; less than given when kOutputBytesMax is reached.
  TlsStatus status = TlsStatus::ok;
};

/// One end of one TLS connection.
///
///     start();                                  client: the first flight is in output()
///     on receive:  feed(ciphertext);            handshake goes on by itself
///                  do { r = read(space); use(r.bytes); } while (r.status == ok);
///     after each:  send(output()), consume_output(n)
///
/// Everything may produce output (handshake, alerts, key updates): look at output() after each
/// call.
///
/// Bounds: output() holds at most kOutputBytesMax of records made by write(), which then takes no
/// more; handshake and alert records are always taken. One record is at most 16 KiB of plaintext.
/// Cost per record: the cipher, one copy of the ciphertext into the provider's buffer (it decrypts
/// there), one copy of the plaintext into `into`. Once warm this class allocates nothing; OpenSSL
/// 3.0 itself makes and frees one 40-byte object for each TLS 1.3 record it opens and three for
/// each it seals, wolfSSL 5.5 its buffer for the record. thread: one at a time.
class TlsSession {
 public:
  /// How much ciphertext of write() may wait to be sent.
  static constexpr std::size_t kOutputBytesMax = std::size_t{1} << 20;

  /// Goes on, as the client, with a connection that another process has opened: established from the start. With every
  /// provider: records alone are left to do, and OpenSSL's ciphers do them.
  /// errors: traffic that contradicts itself.
  static transports::Expected<TlsSession> resume(const TlsTraffic& traffic);

  TlsSession(TlsSession&&) noexcept;
  TlsSession& operator=(TlsSession&&) noexcept;
  ~TlsSession();

  /// Begins the handshake: a client's first flight goes to output(). A server waits to be fed.
  TlsStatus start() noexcept;

  /// Gives the next bytes received. They must stay as they are until read() (or the handshake, in
  /// this call) says want_input: they are read in place. Feeding before that is an error.
  /// Carries the handshake on. returns ok once established, want_input before, closed, or failed.
  TlsStatus feed(std::span<const std::byte> ciphertext) noexcept;

  /// Decrypts into `into`, as much as it holds or as there is. into: [n], n >= 1.
  TlsRead read(std::span<std::byte> into) noexcept;

  /// Encrypts. Before the handshake is done: nothing is taken, want_input.
  TlsWrite write(std::span<const std::byte> plain) noexcept;

  /// The peer's byte stream ended (FIN). closed if it had said so by close_notify, else failed: the
  /// stream may have been cut by somebody else.
  TlsStatus end_of_input() noexcept;

  /// Says close_notify, once; nothing can be written afterwards. Reading goes on.
  TlsStatus close() noexcept;

  /// Goes over to new sending keys and asks the peer to do the same (TLS 1.3; else failed, with no
  /// harm done). For connections that live for days.
  TlsStatus update_keys() noexcept;

  /// Ciphertext to be sent, oldest first. What it shows stays where it is, whatever else is called,
  /// until it has all been consumed: a transport may hold it as a pending send.
  [[nodiscard]] std::span<const std::byte> output() noexcept;
  /// The first `bytes` of output() have been sent (or handed over for good).
  void consume_output(std::size_t bytes) noexcept;

  /// This end is a client's, established in TLS 1.3, and in order, and the provider tells secrets (or it was resumed here):
  /// give_away() can be called.
  [[nodiscard]] bool can_give_away() const noexcept;
  /// Everything that another process needs to go on with the connection (resume()). It holds the connection's secrets:
  /// hand it to nobody but the same user, and forget it. Take output() first; nothing but the destructor may be called
  /// then. Cost: a copy of what was not read.
  [[nodiscard]] TlsTraffic give_away();

  /// For who seals records in this session's place (the kernel): the sending half of where the connection stands. Empty
  /// secret: it cannot be told, or not now (TLS 1.2, not established, something waits in output(), the options did not ask
  /// for it, a provider that tells no secrets).
  struct SendingKeys {
    std::uint16_t cipher_suite = 0;
    TrafficKeys keys;
  };
  [[nodiscard]] SendingKeys sending_keys() const;
  /// Somebody else seals from here on: nothing can be written any more, and output() stays empty, whatever happens. Reading
  /// goes on; a peer that asks for new keys (RFC 8446, 4.6.3) fails the session, for they cannot be given to it here.
  void stop_sending() noexcept;

  [[nodiscard]] bool established() const noexcept;
  /// The handshake went on from an earlier session: no certificate was sent or checked again.
  [[nodiscard]] bool resumed() const noexcept;
  /// One sentence, fit for the user: what was tried with whom, why it failed, what to do. Empty
  /// until something failed.
  [[nodiscard]] const std::string& error() const noexcept;
  /// True if it failed because a certificate was not accepted, the peer's or this client's own: trying again is no use.
  [[nodiscard]] bool refused_certificate() const noexcept;
  /// "TLSv1.3 TLS_AES_128_GCM_SHA256", once established.
  [[nodiscard]] std::string protocol() const;

 private:
  friend class TlsContext;
  explicit TlsSession(std::unique_ptr<SessionState> state) noexcept;

  std::unique_ptr<SessionState> state_;
};

}  // namespace feedbench::tls
