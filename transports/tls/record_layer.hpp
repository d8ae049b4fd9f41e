#pragma once

#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "transports/tls/openssl_handles.hpp"
#include "transports/tls/tls_session.hpp"
#include "transports/tls/tls_traffic.hpp"

namespace feedbench::tls {

/// application_traffic_secret_N+1 from N (RFC 8446, 7.2); empty if it cannot be derived.
std::string next_traffic_secret(const EVP_MD* hash, const std::string& secret);

/// Key and iv of the records under a traffic secret (RFC 8446, 7.3). false: they cannot be derived.
bool derive_record_keys(const EVP_MD* hash, const std::string& secret, std::span<unsigned char> key,
                        std::span<unsigned char> iv);

using CipherHandle = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;

/// The records of one TLS 1.3 connection that another process has opened (RFC 8446, 5 and 4.6): OpenSSL has the ciphers,
/// but no way to go on with a connection whose handshake it has not seen. Client's end. For TlsSession.
///
/// Bounds: one record (16 KiB and 256 bytes) in part and one in plaintext; kHandshakeBytesMax of a post-handshake
/// message in part. thread: one at a time. Allocates at set-up alone.
class RecordLayer {
 public:
  /// The next ciphertext: taken from the front as it is used. It must stay until read() says want_input.
  struct Input {
    const std::byte* data = nullptr;
    std::size_t bytes = 0;
  };

  static constexpr std::size_t kPlainBytesMax = std::size_t{1} << 14;
  static constexpr std::size_t kHandshakeBytesMax = std::size_t{64} << 10;

  /// errors: a cipher suite that is none of TLS 1.3's, secrets of another size.
  static transports::Expected<std::unique_ptr<RecordLayer>> create(const TlsTraffic& traffic);

  /// Opens records into `into`, as TlsSession::read(). What is to be sent for it (the answer to a key update) is owed:
  /// see answer(). failed: fault() says why.
  TlsRead read(Input& input, std::span<std::byte> into) noexcept;
  /// Writes the answer that is owed to a peer that asked for new keys: one, however often it asked meanwhile (RFC 8446,
  /// 4.6.3), so that a peer that only asks makes nothing grow. false: fault() says why.
  bool answer(std::vector<std::byte>& output) noexcept {
    return !std::exchange(answer_owed_, false) || update_keys(false, output);
  }
  /// Seals one record of application data. plain: [1, kPlainBytesMax]. false: fault() says why.
  bool write(std::span<const std::byte> plain, std::vector<std::byte>& output) noexcept;
  bool write_close_notify(std::vector<std::byte>& output) noexcept;
  /// New keys for sending, the peer being asked for the same (RFC 8446, 4.6.3).
  bool update_keys(bool ask_peer, std::vector<std::byte>& output) noexcept;

  [[nodiscard]] const std::string& fault() const noexcept { return fault_; }
  [[nodiscard]] const char* suite_name() const noexcept;
  /// No post-handshake message is half there: traffic() says all.
  [[nodiscard]] bool can_move() const noexcept {
    return fault_.empty() && !closed_ && handshake_.empty();
  }
  /// For the next process; takes what was not read.
  [[nodiscard]] TlsTraffic traffic(const Input& input) const;

 private:
  static constexpr std::size_t kHeaderBytes = 5;
  static constexpr std::size_t kTagBytes = 16;
  static constexpr std::size_t kIvBytes = 12;
  static constexpr std::size_t kRecordBytesMax = kHeaderBytes + kPlainBytesMax + 256;

  enum class ContentType : std::uint8_t { alert = 21, handshake = 22, application_data = 23 };

  struct Direction {
    TrafficKeys keys;
    CipherHandle cipher;
    std::array<unsigned char, kIvBytes> iv{};
  };

  RecordLayer() = default;
  bool install(Direction& direction, bool sealing);
  bool next_secret(Direction& direction, bool sealing);
  static std::array<unsigned char, kIvBytes> nonce(const Direction& direction) noexcept;
  bool seal(ContentType type, std::span<const std::byte> plain, std::vector<std::byte>& output);
  bool open(std::span<const std::byte> record, std::byte* into, std::size_t& bytes,
            ContentType& type) noexcept;
  std::span<const std::byte> next_record(Input& input);
  std::span<const std::byte> next_record_of(Input& source);
  TlsStatus take_handshake(std::span<const std::byte> bytes);
  TlsStatus take_alert(std::span<const std::byte> bytes);
  TlsStatus fail(std::string why);

  std::uint16_t suite_ = 0;
  const EVP_CIPHER* algorithm_ = nullptr;
  const EVP_MD* hash_ = nullptr;
  Direction in_;
  Direction out_;
  std::vector<std::byte> backlog_;  // what the process before had received: comes before all input
  Input backlog_left_;
  std::vector<std::byte> partial_;  // a record that did not come in one piece
  bool partial_used_ = false;       // it was whole, and is opened
  std::vector<std::byte> plain_;    // opened, for want of room where it was asked for
  std::size_t plain_begin_ = 0;
  std::size_t plain_end_ = 0;
  std::vector<std::byte> handshake_;  // of a message in several records
  std::string fault_;
  bool closed_ = false;
  bool answer_owed_ = false;
};

}  // namespace feedbench::tls
