#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transports/transport.hpp"

/// The opening handshake of both roles (RFC 6455 §4), I/O-free: bytes in, bytes out. Set-up code:
/// it allocates. How long a peer may take over its head is the caller's deadline; how large it may
/// be is a limit here.
namespace feedbench::websocket {

struct HttpHeader {
  std::string name;
  std::string value;
};

/// The value of the first header of that name, compared without case; empty when there is none.
std::string_view find_header(std::span<const HttpHeader> headers, std::string_view name) noexcept;

enum class HandshakeStatus : std::uint8_t { need_more, done, failed };

struct HandshakeStep {
  HandshakeStatus status = HandshakeStatus::need_more;
  /// How many of the bytes *just fed* belong to the HTTP head. On done, the bytes after them are
  /// WebSocket frames already.
  std::size_t consumed_bytes = 0;
};

/// The value that answers a Sec-WebSocket-Key: base64(SHA-1(key + GUID)). source: RFC 6455 §4.2.2.
std::string websocket_accept(std::string_view key);

struct ClientHandshakeOptions {
  std::string host = {};     ///< Value of the Host header, as WsUrl::host_header() gives it.
  std::string target = "/";  ///< Path and query.
  /// Offered, best first. Empty: none is offered, none is accepted.
  std::vector<std::string> subprotocols = {};
  /// Sent as they stand: Origin, Authorization, User-Agent...
  std::vector<HttpHeader> headers = {};
  std::size_t head_bytes_max = 16384;  ///< A longer response head fails.
  /// The 16 bytes of Sec-WebSocket-Key; empty: from getrandom(2). A fixed one is for reproducible runs alone.
  std::string nonce = {};
};

/// Client: send request(), feed what comes back until it is done or failed.
class ClientHandshake {
 public:
  /// errors: a host, target, subprotocol or header that would break the request (control
  /// characters, empty, reserved).
  static transports::Expected<ClientHandshake> create(ClientHandshakeOptions options);

  /// The whole request head. Valid while this lives.
  [[nodiscard]] const std::string& request() const noexcept { return request_; }
  /// The next bytes of the response, n >= 0, cut anywhere. After done or failed, do not feed again.
  HandshakeStep feed(std::span<const std::byte> bytes);

  /// After failed: one sentence (status and Location of a redirect, wrong Accept, ...).
  [[nodiscard]] const std::string& error() const noexcept { return error_; }
  /// The HTTP status of the response; 0 when none was understood.
  [[nodiscard]] unsigned status() const noexcept { return status_; }
  /// After done: the subprotocol the server chose, or empty.
  [[nodiscard]] const std::string& subprotocol() const noexcept { return subprotocol_; }
  /// After done, or failed with a status: the headers of the response.
  [[nodiscard]] const std::vector<HttpHeader>& headers() const noexcept { return headers_; }

 private:
  ClientHandshake() = default;
  HandshakeStep fail(std::string why, std::size_t consumed_bytes);
  bool judge(std::string_view body_start);
  bool judge_upgrade();

  ClientHandshakeOptions options_;
  std::string request_;
  std::string accept_;
  std::string head_;
  std::string error_;
  std::string reason_;
  std::string subprotocol_;
  std::vector<HttpHeader> headers_;
  unsigned status_ = 0;
};

struct ServerHandshakeOptions {
  /// Supported, best first; the first that the client offers is chosen.
  std::vector<std::string> subprotocols = {};
  std::size_t head_bytes_max = 8192;  ///< A longer request head is answered with 431.
};

/// What the client asked for. Nothing here has been judged beyond RFC 6455: path, Origin and
/// credentials are the caller's to accept or refuse.
struct HandshakeRequest {
  std::string method;
  std::string target;  ///< As it stands in the request line.
  std::string host;
  std::string origin;  ///< Empty when the client sent none (only browsers must).
  std::vector<std::string> subprotocols_offered;  ///< In the client's order.
  std::vector<HttpHeader> headers;                ///< All of them, in order.
};

/// Server: feed until done or failed. done: send accept(). failed: send rejection(), then close.
class ServerHandshake {
 public:
  explicit ServerHandshake(ServerHandshakeOptions options = {});

  /// The next bytes of the request, n >= 0, cut anywhere. After done or failed, do not feed again.
  HandshakeStep feed(std::span<const std::byte> bytes);

  /// After done (and after failed, as far as it could be read): the request.
  [[nodiscard]] const HandshakeRequest& request() const noexcept { return request_; }
  /// After done: the subprotocol chosen, or empty.
  [[nodiscard]] const std::string& subprotocol() const noexcept { return subprotocol_; }
  /// After done: the whole 101 response. Extensions are declined by silence. extra: further
  /// headers, sent as they stand.
  [[nodiscard]] std::string accept(std::span<const HttpHeader> extra = {}) const;

  /// After failed: the whole response (400, 405, 413, 426, 431, 505), which says Connection: close.
  [[nodiscard]] const std::string& rejection() const noexcept { return rejection_; }
  /// After failed: the HTTP status of rejection(), and one sentence for the log.
  [[nodiscard]] unsigned status() const noexcept { return status_; }
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  HandshakeStep reject(unsigned status, std::string why, std::size_t consumed_bytes,
                       std::span<const HttpHeader> extra = {});
  HandshakeStep judge(std::size_t consumed_bytes);

  ServerHandshakeOptions options_;
  std::string head_;
  std::string key_;
  std::string subprotocol_;
  std::string rejection_;
  std::string error_;
  HandshakeRequest request_;
  unsigned status_ = 0;
};

/// A whole HTTP response that refuses a connection and says Connection: close; text is its body.
/// For what the caller itself refuses: an unknown path (404), a foreign Origin (403), too many
/// clients (503).
std::string http_refusal(unsigned status, std::string_view text,
                         std::span<const HttpHeader> extra = {});

}  // namespace feedbench::websocket
