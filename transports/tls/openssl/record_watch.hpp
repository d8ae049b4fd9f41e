#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transports/tls/record_layer.hpp"
#include "transports/tls/tls_traffic.hpp"

namespace feedbench::tls {

/// Looks over OpenSSL's shoulder at a TLS 1.3 connection, to be able to say where it stands: the traffic
/// secrets, how many records were read and written under each, and the bytes of a record that is half read. OpenSSL
/// tells each of these in passing, and none when asked. For TlsSession.
/// Cost a record: two calls, and a copy of a record that comes in pieces. thread: the session's.
class RecordWatch {
 public:
  RecordWatch() = default;
  RecordWatch(const RecordWatch&) = delete;
  RecordWatch& operator=(const RecordWatch&) = delete;
  ~RecordWatch() {
    OPENSSL_cleanse(in_.secret.data(), in_.secret.size());
    OPENSSL_cleanse(out_.secret.data(), out_.secret.size());
  }

  /// Whose end it is: a client's, unless this says otherwise.
  void of_client(bool is) noexcept { is_client_ = is; }

  /// OpenSSL has taken these bytes: the next of the stream.
  void received(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      if (header_bytes_ < header_.size()) {
        header_[header_bytes_++] = bytes.front();
        bytes = bytes.subspan(1);
        if (header_bytes_ == header_.size())
          body_left_ = std::to_integer<std::size_t>(header_[3]) << 8 |
                       std::to_integer<std::size_t>(header_[4]);
      } else if (bytes.size() < body_left_) {
        body_.insert(body_.end(), bytes.begin(), bytes.end());
        body_left_ -= bytes.size();
        return;
      } else {
        bytes = bytes.subspan(body_left_);
        body_left_ = 0;
      }
      if (header_bytes_ == header_.size() && body_left_ == 0) {
        header_bytes_ = 0;
        body_.clear();
      }
    }
  }

  /// SSL_CTX_set_keylog_callback: "LABEL RANDOM SECRET". Traffic secrets are told when they come into use.
  void secret(std::string_view line) {
    const std::size_t label_end = line.find(' ');
    const std::string_view label = line.substr(0, label_end);
    const std::string_view hex = line.substr(line.rfind(' ') + 1);
    if (label == "SERVER_TRAFFIC_SECRET_0") (is_client_ ? in_ : out_) = {bytes_of(hex), 0};
    if (label == "CLIENT_TRAFFIC_SECRET_0") (is_client_ ? out_ : in_) = {bytes_of(hex), 0};
  }

  /// SSL_set_msg_callback: each record's header, and each handshake message.
  void message(bool sent, int content, std::span<const unsigned char> bytes, const SSL* ssl) {
    TrafficKeys& keys = sent ? out_ : in_;
    if (content == SSL3_RT_HEADER) {
      // Of a change_cipher_spec there may be any number (RFC 8446, 5): it is passed over, and not encrypted.
      if (!bytes.empty() && bytes[0] != SSL3_RT_CHANGE_CIPHER_SPEC) ++keys.sequence;
    } else if (content == SSL3_RT_HANDSHAKE && !bytes.empty() && bytes[0] == SSL3_MT_KEY_UPDATE) {
      const EVP_MD* const hash = SSL_CIPHER_get_handshake_digest(SSL_get_current_cipher(ssl));
      keys = {next_traffic_secret(hash, keys.secret), 0};
      constexpr std::size_t kRequestAt = 4;
      if (!sent && bytes.size() > kRequestAt && bytes[kRequestAt] == 1) asked_for_keys_ = true;
    }
  }

  [[nodiscard]] bool knows_all() const noexcept {
    return !in_.secret.empty() && !out_.secret.empty();
  }

  /// The peer wanted this end to go over to new keys, ever.
  [[nodiscard]] bool asked_for_keys() const noexcept { return asked_for_keys_; }
  [[nodiscard]] const TrafficKeys& sending() const noexcept { return out_; }
  /// Where the connection stands.
  [[nodiscard]] TlsTraffic traffic() const {
    TlsTraffic traffic;
    traffic.in = in_;
    traffic.out = out_;
    // The record whose header was counted is opened by who goes on.
    if (header_bytes_ == header_.size()) --traffic.in.sequence;
    traffic.unread.assign(reinterpret_cast<const char*>(header_.data()), header_bytes_);
    traffic.unread.append(reinterpret_cast<const char*>(body_.data()), body_.size());
    return traffic;
  }

 private:
  static std::string bytes_of(std::string_view hex) {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
      bytes += static_cast<char>(digit(hex[i]) << 4 | digit(hex[i + 1]));
    return bytes;
  }

  bool is_client_ = true;
  bool asked_for_keys_ = false;
  TrafficKeys in_;
  TrafficKeys out_;
  std::array<std::byte, 5> header_{};
  std::size_t header_bytes_ = 0;
  std::size_t body_left_ = 0;
  std::vector<std::byte> body_;
};

}  // namespace feedbench::tls
