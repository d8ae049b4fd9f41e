#include "reference/websocket/handshake.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "reference/websocket/http_head.hpp"

namespace feedbench::websocket {
namespace {

using transports::Error;

std::string base64(std::span<const unsigned char> bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock ends with a NUL
  const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes.data(),
                                     static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

std::string random_key() {
  std::array<unsigned char, 16> nonce{};
  ssize_t got = 0;
  do {  // up to 256 bytes come whole or not at all
    got = getrandom(nonce.data(), nonce.size(), 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0)
    throw std::system_error(errno, std::system_category(), "WebSocket handshake key: getrandom");
  return base64(nonce);
}

/// 16 bytes in base64: 22 characters of its alphabet and "==".
bool is_key(std::string_view key) {
  if (key.size() != 24 || !key.ends_with("==")) return false;
  return std::all_of(key.begin(), key.end() - 2, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
           c == '/';
  });
}

/// Headers the request is built from here; a caller's own would contradict them.
bool is_reserved(std::string_view name) {
  for (const std::string_view reserved :
       {"Host", "Upgrade", "Connection", "Content-Length", "Transfer-Encoding", "Sec-WebSocket-Key",
        "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept"}) {
    if (http::equal_no_case(name, reserved)) return true;
  }
  return false;
}

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 413:
      return "Content Too Large";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Refused";
  }
}

void append_header(std::string& head, std::string_view name, std::string_view value) {
  head.append(name).append(": ").append(value).append("\r\n");
}

tl::unexpected<Error> bad_option(std::string_view what) {
  return tl::unexpected(Error{"WebSocket handshake: " + std::string(what), 0});
}

}  // namespace

std::string websocket_accept(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest{};
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return base64(digest);
}

std::string http_refusal(unsigned status, std::string_view text,
                         std::span<const HttpHeader> extra) {
  std::string response = "HTTP/1.1 " + std::to_string(status) + " ";
  response.append(reason_phrase(status)).append("\r\n");
  const bool upgrade_required = status == 426;
  append_header(response, "Connection", upgrade_required ? "close, Upgrade" : "close");
  if (upgrade_required) append_header(response, "Upgrade", "websocket");
  append_header(response, "Content-Type", "text/plain; charset=utf-8");
  append_header(response, "Content-Length", std::to_string(text.size() + 1));
  for (const HttpHeader& header : extra) append_header(response, header.name, header.value);
  return response.append("\r\n").append(text).append("\n");
}

// ---- client ----

transports::Expected<ClientHandshake> ClientHandshake::create(ClientHandshakeOptions options) {
  if (options.host.empty() || !http::is_graphic(options.host))
    return bad_option("the Host is empty or malformed");
  if (!options.target.starts_with('/') || !http::is_graphic(options.target)) {
    return bad_option("the target \"" + http::shown(options.target) +
                      "\" must begin with / and hold graphic ASCII only");
  }
  ClientHandshake handshake;
  const std::string key =
      options.nonce.empty()
          ? random_key()
          : base64({reinterpret_cast<const unsigned char*>(options.nonce.data()), options.nonce.size()});
  handshake.accept_ = websocket_accept(key);
  std::string& request = handshake.request_;
  request = "GET " + options.target + " HTTP/1.1\r\n";
  append_header(request, "Host", options.host);
  append_header(request, "Upgrade", "websocket");
  append_header(request, "Connection", "Upgrade");
  append_header(request, "Sec-WebSocket-Key", key);
  append_header(request, "Sec-WebSocket-Version", "13");
  std::string offered;
  for (const std::string& subprotocol : options.subprotocols) {
    if (!http::is_token(subprotocol))
      return bad_option("the subprotocol \"" + http::shown(subprotocol) + "\" is not a token");
    offered += (offered.empty() ? "" : ", ") + subprotocol;
  }
  if (!offered.empty()) append_header(request, "Sec-WebSocket-Protocol", offered);
  for (const HttpHeader& header : options.headers) {
    if (!http::is_token(header.name) || !http::is_field_value(header.value)) {
      return bad_option("the header \"" + http::shown(header.name) +
                        "\" is malformed (a line break in its value?)");
    }
    if (is_reserved(header.name))
      return bad_option("the header " + header.name + " is set by the handshake itself");
    append_header(request, header.name, header.value);
  }
  request += "\r\n";
  handshake.options_ = std::move(options);
  return handshake;
}

HandshakeStep ClientHandshake::fail(std::string why, std::size_t consumed_bytes) {
  error_ = "WebSocket handshake with " + options_.host + ": " + std::move(why);
  return {HandshakeStatus::failed, consumed_bytes};
}

HandshakeStep ClientHandshake::feed(std::span<const std::byte> bytes) {
  std::size_t consumed_bytes = 0;
  const http::Gathered gathered =
      http::gather_head(head_, bytes, options_.head_bytes_max, consumed_bytes);
  constexpr std::string_view kStart = "HTTP/1.";
  const std::size_t known = std::min(head_.size(), kStart.size());
  if (std::string_view(head_).substr(0, known) != kStart.substr(0, known)) {
    return fail("the peer does not speak HTTP/1.1; it sent \"" + http::shown(head_) + "\"",
                consumed_bytes);
  }
  switch (gathered) {
    case http::Gathered::need_more:
      return {HandshakeStatus::need_more, consumed_bytes};
    case http::Gathered::not_text:
      return fail("control characters in the response head", consumed_bytes);
    case http::Gathered::too_long:
      return fail(
          "the response head is longer than " + std::to_string(options_.head_bytes_max) + " bytes",
          consumed_bytes);
    case http::Gathered::whole:
      break;
  }
  http::Head head;
  const http::HeadError error = http::parse_response_head(head_, head);
  if (!error.text.empty()) return fail("malformed response head: " + error.text, consumed_bytes);
  status_ = head.status;
  reason_ = std::move(head.reason);
  headers_ = std::move(head.headers);
  std::string().swap(head_);
  if (head.version != 11) return fail("the response is not HTTP/1.1", consumed_bytes);
  const auto rest = bytes.subspan(consumed_bytes);
  if (!judge({reinterpret_cast<const char*>(rest.data()), rest.size()}))
    return {HandshakeStatus::failed, consumed_bytes};
  return {HandshakeStatus::done, consumed_bytes};
}

/// Sets error_ and returns false when the response is no upgrade. body_start: what came in the same
/// chunk after the head.
bool ClientHandshake::judge(std::string_view body_start) {
  if (status_ == 101) return judge_upgrade();
  std::string why = "the server answered " + std::to_string(status_) + " " + http::shown(reason_);
  if (const auto location = find_header(headers_, "Location"); !location.empty()) {
    why += ", redirect to " + http::shown(location) + " (redirects are not followed; use that URL)";
  }
  if (const auto challenge = find_header(headers_, "WWW-Authenticate"); !challenge.empty()) {
    why += ", credentials wanted: " + http::shown(challenge);
  }
  if (const auto version = find_header(headers_, "Sec-WebSocket-Version"); !version.empty()) {
    why += ", it speaks WebSocket version " + http::shown(version);
  }
  if (!body_start.empty()) why += ": " + http::shown(body_start);
  fail(std::move(why), 0);
  return false;
}

bool ClientHandshake::judge_upgrade() {
  const auto refuse = [this](std::string why) {
    fail(std::move(why), 0);
    return false;
  };
  if (!http::lists_token(headers_, "Upgrade", "websocket"))
    return refuse("the 101 response lacks Upgrade: websocket");
  if (!http::lists_token(headers_, "Connection", "upgrade"))
    return refuse("the 101 response lacks Connection: Upgrade");
  const std::size_t accepts = http::count_headers(headers_, "Sec-WebSocket-Accept");
  if (accepts == 0) return refuse("the 101 response lacks Sec-WebSocket-Accept");
  if (accepts > 1) return refuse("the 101 response has Sec-WebSocket-Accept twice");
  if (find_header(headers_, "Sec-WebSocket-Accept") != accept_) {
    return refuse("Sec-WebSocket-Accept does not match the key sent (a caching intermediary?)");
  }
  if (const auto extensions = find_header(headers_, "Sec-WebSocket-Extensions");
      !extensions.empty()) {
    return refuse("the server chose an extension that was not offered: " + http::shown(extensions));
  }
  const std::size_t protocols = http::count_headers(headers_, "Sec-WebSocket-Protocol");
  if (protocols > 1) return refuse("the 101 response has Sec-WebSocket-Protocol twice");
  if (protocols == 1) {
    subprotocol_ = std::string(find_header(headers_, "Sec-WebSocket-Protocol"));
    const auto& offered = options_.subprotocols;
    if (std::find(offered.begin(), offered.end(), subprotocol_) == offered.end()) {
      return refuse("the server chose a subprotocol that was not offered: " +
                    http::shown(subprotocol_));
    }
  }
  return true;
}

// ---- server ----

ServerHandshake::ServerHandshake(ServerHandshakeOptions options) : options_(std::move(options)) {}

HandshakeStep ServerHandshake::reject(unsigned status, std::string why, std::size_t consumed_bytes,
                                      std::span<const HttpHeader> extra) {
  status_ = status;
  error_ = "WebSocket handshake refused with " + std::to_string(status) + ": " + why;
  rejection_ = http_refusal(status, why, extra);
  return {HandshakeStatus::failed, consumed_bytes};
}

HandshakeStep ServerHandshake::feed(std::span<const std::byte> bytes) {
  std::size_t consumed_bytes = 0;
  const http::Gathered gathered =
      http::gather_head(head_, bytes, options_.head_bytes_max, consumed_bytes);
  // What is no HTTP request at all (TLS, frames without a handshake) is told at its first byte, not
  // at a timeout.
  if (!head_.empty() && !(head_.front() >= 'A' && head_.front() <= 'Z')) {
    return reject(400, "this is not an HTTP request", consumed_bytes);
  }
  switch (gathered) {
    case http::Gathered::need_more:
      return {HandshakeStatus::need_more, consumed_bytes};
    case http::Gathered::not_text:
      return reject(400, "control characters in the request head", consumed_bytes);
    case http::Gathered::too_long:
      return reject(
          431,
          "the request head is longer than " + std::to_string(options_.head_bytes_max) + " bytes",
          consumed_bytes);
    case http::Gathered::whole:
      break;
  }
  http::Head head;
  const http::HeadError error = http::parse_request_head(head_, head);
  std::string().swap(head_);
  request_.method = std::move(head.method);
  request_.target = std::move(head.target);
  request_.headers = std::move(head.headers);
  if (error.bad_version) return reject(505, "the request must be HTTP/1.1", consumed_bytes);
  if (!error.text.empty())
    return reject(400, "malformed request head: " + error.text, consumed_bytes);
  if (head.version != 11) return reject(505, "the request must be HTTP/1.1", consumed_bytes);
  return judge(consumed_bytes);
}

HandshakeStep ServerHandshake::judge(std::size_t consumed_bytes) {
  const std::vector<HttpHeader>& headers = request_.headers;
  const auto refuse = [&](std::string why) { return reject(400, std::move(why), consumed_bytes); };
  const auto occurs = [&](std::string_view name) { return http::count_headers(headers, name); };
  if (request_.method != "GET") {
    const HttpHeader allow{"Allow", "GET"};
    return reject(405, "the method must be GET", consumed_bytes, {&allow, 1});
  }
  if (!request_.target.starts_with('/') && request_.target.find("://") == std::string::npos) {
    return refuse("the request target must be a path or an absolute URL");
  }
  if (occurs("Host") != 1)
    return refuse(occurs("Host") == 0 ? "Host is missing" : "Host occurs twice");
  request_.host = std::string(find_header(headers, "Host"));
  if (request_.host.empty() || !http::is_graphic(request_.host))
    return refuse("Host is empty or malformed");
  if (occurs("Transfer-Encoding") != 0)
    return reject(413, "an upgrade request must have no body", consumed_bytes);
  if (occurs("Content-Length") != 0 && find_header(headers, "Content-Length") != "0") {
    return reject(413, "an upgrade request must have no body", consumed_bytes);
  }
  const HttpHeader version{"Sec-WebSocket-Version", "13"};
  if (!http::lists_token(headers, "Upgrade", "websocket")) {
    return reject(426, "this is a WebSocket endpoint: Upgrade: websocket is missing",
                  consumed_bytes, {&version, 1});
  }
  if (!http::lists_token(headers, "Connection", "upgrade"))
    return refuse("Connection: Upgrade is missing");
  if (occurs("Sec-WebSocket-Version") == 0) return refuse("Sec-WebSocket-Version is missing");
  if (occurs("Sec-WebSocket-Version") > 1) return refuse("Sec-WebSocket-Version occurs twice");
  if (find_header(headers, "Sec-WebSocket-Version") != "13") {
    return reject(426, "only WebSocket version 13 is spoken here", consumed_bytes, {&version, 1});
  }
  if (occurs("Sec-WebSocket-Key") == 0) return refuse("Sec-WebSocket-Key is missing");
  if (occurs("Sec-WebSocket-Key") > 1) return refuse("Sec-WebSocket-Key occurs twice");
  key_ = std::string(find_header(headers, "Sec-WebSocket-Key"));
  if (!is_key(key_)) return refuse("Sec-WebSocket-Key is not 16 bytes in base64");
  if (occurs("Origin") > 1) return refuse("Origin occurs twice");
  request_.origin = std::string(find_header(headers, "Origin"));

  auto& offered = request_.subprotocols_offered;
  for (const HttpHeader& header : headers) {
    if (!http::equal_no_case(header.name, "Sec-WebSocket-Protocol")) continue;
    for (const std::string_view name : http::split_list(header.value)) {
      if (!http::is_token(name))
        return refuse("Sec-WebSocket-Protocol holds something that is not a token");
      if (std::find(offered.begin(), offered.end(), name) != offered.end()) {
        return refuse("Sec-WebSocket-Protocol names a protocol twice");
      }
      offered.emplace_back(name);
    }
  }
  for (const std::string& supported : options_.subprotocols) {
    if (std::find(offered.begin(), offered.end(), supported) == offered.end()) continue;
    subprotocol_ = supported;
    break;
  }
  return {HandshakeStatus::done, consumed_bytes};
}

std::string ServerHandshake::accept(std::span<const HttpHeader> extra) const {
  std::string response = "HTTP/1.1 101 Switching Protocols\r\n";
  append_header(response, "Upgrade", "websocket");
  append_header(response, "Connection", "Upgrade");
  append_header(response, "Sec-WebSocket-Accept", websocket_accept(key_));
  if (!subprotocol_.empty()) append_header(response, "Sec-WebSocket-Protocol", subprotocol_);
  for (const HttpHeader& header : extra) append_header(response, header.name, header.value);
  return response + "\r\n";
}

}  // namespace feedbench::websocket
