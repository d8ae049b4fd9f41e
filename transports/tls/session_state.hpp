#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "transports/tls/tls_session.hpp"

namespace feedbench::tls {

/// Why a session failed, where it can be said in words that are the same with every provider.
enum class SessionFault : std::uint8_t {
  no_tls,                ///< The peer's first bytes are no TLS.
  no_version,            ///< None in common.
  no_certificate,        ///< A client showed none, and one is wanted.
  certificate_wanted,    ///< The peer says so.
  certificate_rejected,  ///< The peer does not accept this end's, or the handshake that it signed.
  altered_record,
  other,
};

/// What is behind a TlsSession: the bytes that came and those to be sent, how it stands, how it ended (tls_session.cpp), and
/// below that who does the cryptography: openssl/, wolfssl/, or resumed_session.cpp. Calls come only where TlsSession
/// documents that they do something. thread: one at a time.
class SessionState {
 public:
  SessionState() = default;
  SessionState(const SessionState&) = delete;
  SessionState& operator=(const SessionState&) = delete;
  virtual ~SessionState() = default;

  /// Carries the handshake on. ok: `established` is set; want_input; failed.
  virtual TlsStatus handshake() noexcept = 0;
  /// As TlsSession::read(), once established. closed: see heard_the_end().
  virtual TlsRead read(std::span<std::byte> into) noexcept = 0;
  /// Seals one record into `waiting`. plain: [1, kRecordBytes]. ok or failed.
  virtual TlsStatus write(std::span<const std::byte> plain) noexcept = 0;
  /// Puts close_notify into `waiting`. ok or failed.
  virtual TlsStatus say_close() noexcept = 0;
  virtual TlsStatus update_keys() noexcept = 0;
  /// `waiting` is empty, and about to be looked at: what is still owed to the peer goes there.
  virtual void before_output() noexcept {}
  [[nodiscard]] virtual bool resumed() const noexcept { return false; }
  [[nodiscard]] virtual std::string protocol() const = 0;

  // For providers that can tell the connection's secrets. These are established and in order when asked.
  [[nodiscard]] virtual bool can_give_away() const noexcept { return false; }
  [[nodiscard]] virtual TlsTraffic give_away() { return {}; }
  [[nodiscard]] virtual TlsSession::SendingKeys sending_keys() const { return {}; }

  static constexpr std::size_t kRecordBytes = std::size_t{16} << 10;

  // What was fed and is not used yet.
  const std::byte* input = nullptr;
  std::size_t input_bytes = 0;
  // Being sent: never touched but from the front. New records gather in `waiting` meanwhile.
  std::vector<std::byte> sending;
  std::size_t sending_begin = 0;
  std::vector<std::byte> waiting;

  std::string server_name;
  std::string error;
  std::string certificate_fault;  ///< The first fault of the peer's chain, in words.
  bool is_client = false;
  bool established = false;
  bool failed = false;
  bool peer_closed = false;
  bool close_sent = false;
  bool sends_elsewhere = false;  ///< See TlsSession::stop_sending().
  bool refused_certificate = false;

  /// Takes from the front of the input. into: room for `bytes`. returns how many there were.
  std::size_t take_input(void* into, std::size_t bytes) noexcept;
  void put_output(const void* from, std::size_t bytes);
  [[nodiscard]] std::size_t output_bytes() const noexcept {
    return sending.size() - sending_begin + waiting.size();
  }
  TlsRead heard_the_end(std::size_t bytes_read) noexcept;

  /// The first reason stays. returns failed.
  TlsStatus fail(const std::string& why) noexcept;
  /// Likewise; certificate_fault comes before everything else. reason: in the provider's words.
  TlsStatus fail(SessionFault fault, const std::string& reason) noexcept;
};

}  // namespace feedbench::tls
