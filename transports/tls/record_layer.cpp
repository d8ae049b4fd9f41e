#include "transports/tls/record_layer.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

namespace feedbench::tls {
namespace {

using KdfHandle = std::unique_ptr<EVP_KDF, Freed<EVP_KDF_free>>;
using KdfContextHandle = std::unique_ptr<EVP_KDF_CTX, Freed<EVP_KDF_CTX_free>>;

constexpr unsigned char kKeyUpdate = 24;
constexpr unsigned char kNewSessionTicket = 4;
constexpr std::size_t kHandshakeHeaderBytes = 4;

/// HKDF-Expand-Label of RFC 8446, 7.1, with an empty context.
bool expand_label(const EVP_MD* hash, const std::string& secret, std::string_view label,
                  std::span<unsigned char> out) {
  std::string info;
  info += static_cast<char>(out.size() >> 8);
  info += static_cast<char>(out.size() & 0xff);
  info += static_cast<char>(6 + label.size());
  info.append("tls13 ").append(label);
  info += '\0';
  const KdfHandle kdf(EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr));
  const KdfContextHandle context(kdf ? EVP_KDF_CTX_new(kdf.get()) : nullptr);
  if (context == nullptr) return false;
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string digest = EVP_MD_get0_name(hash);
  std::string key = secret;
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  const bool good = EVP_KDF_derive(context.get(), out.data(), out.size(), parameters) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  return good;
}

const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

std::size_t length_of(const std::byte* header) {
  return std::to_integer<std::size_t>(header[3]) << 8 | std::to_integer<std::size_t>(header[4]);
}

}  // namespace

std::string next_traffic_secret(const EVP_MD* hash, const std::string& secret) {
  std::string next(secret.size(), '\0');
  if (!expand_label(hash, secret, "traffic upd",
                    {reinterpret_cast<unsigned char*>(next.data()), next.size()}))
    next.clear();
  return next;
}

bool derive_record_keys(const EVP_MD* hash, const std::string& secret, std::span<unsigned char> key,
                        std::span<unsigned char> iv) {
  return expand_label(hash, secret, "key", key) && expand_label(hash, secret, "iv", iv);
}

transports::Expected<std::unique_ptr<RecordLayer>> RecordLayer::create(const TlsTraffic& traffic) {
  const auto refused = [](const std::string& why) {
    return tl::make_unexpected(transports::Error{"go on with a TLS connection: " + why, EINVAL});
  };
  std::unique_ptr<RecordLayer> made(new RecordLayer);
  made->suite_ = traffic.cipher_suite;
  made->hash_ = traffic.cipher_suite == 0x1302 ? EVP_sha384() : EVP_sha256();
  switch (traffic.cipher_suite) {
    case 0x1301:
      made->algorithm_ = EVP_aes_128_gcm();
      break;
    case 0x1302:
      made->algorithm_ = EVP_aes_256_gcm();
      break;
    case 0x1303:
      made->algorithm_ = EVP_chacha20_poly1305();
      break;
    default:
      return refused("its cipher suite is none of TLS 1.3's");
  }
  const auto secret_bytes = static_cast<std::size_t>(EVP_MD_get_size(made->hash_));
  if (traffic.in.secret.size() != secret_bytes || traffic.out.secret.size() != secret_bytes)
    return refused("its secrets do not fit its cipher suite");
  made->in_.keys = traffic.in;
  made->out_.keys = traffic.out;
  made->in_.cipher.reset(EVP_CIPHER_CTX_new());
  made->out_.cipher.reset(EVP_CIPHER_CTX_new());
  if (!made->install(made->in_, false) || !made->install(made->out_, true))
    return refused(take_openssl_reason());
  const auto* const unread = reinterpret_cast<const std::byte*>(traffic.unread.data());
  made->backlog_.assign(unread, unread + traffic.unread.size());
  made->backlog_left_ = {made->backlog_.data(), made->backlog_.size()};
  made->partial_.reserve(kRecordBytesMax);
  made->plain_.resize(std::max(kPlainBytesMax + 256, traffic.plain.size()));
  std::memcpy(made->plain_.data(), traffic.plain.data(), traffic.plain.size());
  made->plain_end_ = traffic.plain.size();
  return made;
}

/// Keys for the direction's secret; the sequence stays.
bool RecordLayer::install(Direction& direction, bool sealing) {
  std::array<unsigned char, EVP_MAX_KEY_LENGTH> key{};
  const auto key_bytes = static_cast<std::size_t>(EVP_CIPHER_get_key_length(algorithm_));
  const bool good = direction.cipher != nullptr &&
                    derive_record_keys(hash_, direction.keys.secret,
                                       std::span(key).first(key_bytes), direction.iv) &&
                    EVP_CipherInit_ex(direction.cipher.get(), algorithm_, nullptr, key.data(),
                                      direction.iv.data(), sealing ? 1 : 0) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  return good;
}

bool RecordLayer::next_secret(Direction& direction, bool sealing) {
  std::string next = next_traffic_secret(hash_, direction.keys.secret);
  if (next.empty()) return false;
  OPENSSL_cleanse(direction.keys.secret.data(), direction.keys.secret.size());
  direction.keys = {std::move(next), 0};
  return install(direction, sealing);
}

std::array<unsigned char, RecordLayer::kIvBytes> RecordLayer::nonce(
    const Direction& direction) noexcept {
  std::array<unsigned char, kIvBytes> made = direction.iv;
  for (std::size_t i = 0; i < 8; ++i)
    made[kIvBytes - 1 - i] =
        static_cast<unsigned char>(made[kIvBytes - 1 - i] ^ (direction.keys.sequence >> (8 * i)));
  return made;
}

bool RecordLayer::seal(ContentType type, std::span<const std::byte> plain,
                       std::vector<std::byte>& output) {
  const std::size_t body = plain.size() + 1 + kTagBytes;
  const std::size_t begin = output.size();
  output.resize(begin + kHeaderBytes + body);
  unsigned char* const header = raw(output.data() + begin);
  header[0] = static_cast<unsigned char>(ContentType::application_data);
  header[1] = 3;
  header[2] = 3;
  header[3] = static_cast<unsigned char>(body >> 8);
  header[4] = static_cast<unsigned char>(body & 0xff);
  unsigned char* const sealed = header + kHeaderBytes;
  const auto inner = static_cast<unsigned char>(type);
  EVP_CIPHER_CTX* const cipher = out_.cipher.get();
  const auto iv = nonce(out_);
  int n = 0;
  const bool good =
      EVP_CipherInit_ex(cipher, nullptr, nullptr, nullptr, iv.data(), -1) == 1 &&
      EVP_CipherUpdate(cipher, nullptr, &n, header, kHeaderBytes) == 1 &&
      (plain.empty() || EVP_CipherUpdate(cipher, sealed, &n, raw(plain.data()),
                                         static_cast<int>(plain.size())) == 1) &&
      EVP_CipherUpdate(cipher, sealed + plain.size(), &n, &inner, 1) == 1 &&
      EVP_CipherFinal_ex(cipher, sealed + plain.size() + 1, &n) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, kTagBytes, sealed + plain.size() + 1) == 1;
  if (!good) {
    output.resize(begin);
    fault_ = "a record could not be sealed: " + take_openssl_reason();
    return false;
  }
  ++out_.keys.sequence;
  return true;
}

/// into: room for the record's body without its tag. bytes: of the content, without type and padding.
bool RecordLayer::open(std::span<const std::byte> record, std::byte* into, std::size_t& bytes,
                       ContentType& type) noexcept {
  const std::size_t body = record.size() - kHeaderBytes;
  const std::size_t inner = body - kTagBytes;
  const unsigned char* const sealed = raw(record.data()) + kHeaderBytes;
  EVP_CIPHER_CTX* const cipher = in_.cipher.get();
  const auto iv = nonce(in_);
  std::array<unsigned char, kTagBytes> tag{};
  std::memcpy(tag.data(), sealed + inner, kTagBytes);
  int n = 0;
  const bool good =
      EVP_CipherInit_ex(cipher, nullptr, nullptr, nullptr, iv.data(), -1) == 1 &&
      EVP_CipherUpdate(cipher, nullptr, &n, raw(record.data()), kHeaderBytes) == 1 &&
      EVP_CipherUpdate(cipher, raw(into), &n, sealed, static_cast<int>(inner)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1 &&
      EVP_CipherFinal_ex(cipher, raw(into) + n, &n) == 1;
  if (!good) {
    fail("a record was altered on its way (" + take_openssl_reason() + ")");
    return false;
  }
  ++in_.keys.sequence;
  bytes = inner;
  while (bytes > 0 && into[bytes - 1] == std::byte{0}) --bytes;  // padding
  if (bytes == 0) {
    fail("a record has no content");
    return false;
  }
  type = static_cast<ContentType>(into[--bytes]);
  if (bytes > kPlainBytesMax) {
    fail("a record is larger than TLS allows");
    return false;
  }
  return true;
}

/// A whole record of the source (or begun before it), or nothing; then the source is used up.
std::span<const std::byte> RecordLayer::next_record_of(Input& source) {
  const auto take = [&](std::size_t bytes) {
    const std::size_t taken = std::min(bytes, source.bytes);
    partial_.insert(partial_.end(), source.data, source.data + taken);
    source.data += taken;
    source.bytes -= taken;
  };
  if (partial_.empty() && source.bytes >= kHeaderBytes) {
    const std::size_t whole = kHeaderBytes + length_of(source.data);
    if (whole <= source.bytes && whole <= kRecordBytesMax) {
      const std::span<const std::byte> record(source.data, whole);
      source.data += whole;
      source.bytes -= whole;
      return record;
    }
  }
  if (partial_.size() < kHeaderBytes) take(kHeaderBytes - partial_.size());
  if (partial_.size() < kHeaderBytes) return {};
  const std::size_t whole = kHeaderBytes + length_of(partial_.data());
  if (whole > kRecordBytesMax) {
    fail("a record is larger than TLS allows");
    return {};
  }
  take(whole - partial_.size());
  if (partial_.size() < whole) return {};
  partial_used_ = true;
  return partial_;
}

std::span<const std::byte> RecordLayer::next_record(Input& input) {
  if (std::exchange(partial_used_, false)) partial_.clear();
  const auto record = next_record_of(backlog_left_);
  return record.empty() && fault_.empty() ? next_record_of(input) : record;
}

TlsRead RecordLayer::read(Input& input, std::span<std::byte> into) noexcept {
  std::size_t done = 0;
  while (done < into.size()) {
    if (plain_begin_ < plain_end_) {
      const std::size_t part = std::min(plain_end_ - plain_begin_, into.size() - done);
      std::memcpy(into.data() + done, plain_.data() + plain_begin_, part);
      plain_begin_ += part;
      done += part;
      continue;
    }
    if (closed_) return {done, TlsStatus::closed};
    const std::span<const std::byte> record = next_record(input);
    if (!fault_.empty()) return {done, TlsStatus::failed};
    if (record.empty()) return {done, TlsStatus::want_input};
    if (static_cast<ContentType>(record[0]) != ContentType::application_data ||
        record.size() < kHeaderBytes + kTagBytes + 1)
      return {done, fail("a record is not encrypted")};
    const std::size_t inner = record.size() - kHeaderBytes - kTagBytes;
    const bool fits = inner <= into.size() - done;
    std::byte* const to = fits ? into.data() + done : plain_.data();
    std::size_t bytes = 0;
    ContentType type{};
    if (!open(record, to, bytes, type)) return {done, TlsStatus::failed};
    TlsStatus status = TlsStatus::ok;
    switch (type) {
      case ContentType::application_data:
        if (fits) {
          done += bytes;
        } else {
          plain_begin_ = 0;
          plain_end_ = bytes;
        }
        break;
      case ContentType::handshake:
        status = take_handshake({to, bytes});
        break;
      case ContentType::alert:
        status = take_alert({to, bytes});
        break;
      default:
        status = fail("a record has a content that TLS does not know");
    }
    if (status != TlsStatus::ok) return {done, status};
  }
  return {done, TlsStatus::ok};
}

/// What may come after the handshake: tickets, which are of no use here, and key updates.
TlsStatus RecordLayer::take_handshake(std::span<const std::byte> bytes) {
  if (handshake_.size() + bytes.size() > kHandshakeBytesMax)
    return fail("a handshake message is larger than any that may come");
  handshake_.insert(handshake_.end(), bytes.begin(), bytes.end());
  std::size_t at = 0;
  while (handshake_.size() - at >= kHandshakeHeaderBytes) {
    const unsigned char* const head = raw(handshake_.data() + at);
    const std::size_t length =
        std::size_t{head[1]} << 16 | std::size_t{head[2]} << 8 | std::size_t{head[3]};
    if (handshake_.size() - at - kHandshakeHeaderBytes < length) break;
    const bool last = at + kHandshakeHeaderBytes + length == handshake_.size();
    if (head[0] == kKeyUpdate) {
      // The next record has the new keys, so nothing may follow in this one.
      if (length != 1 || head[4] > 1 || !last) return fail("a key update is malformed");
      answer_owed_ = answer_owed_ || head[4] == 1;
      if (!next_secret(in_, false)) return fail("new keys: " + take_openssl_reason());
    } else if (head[0] != kNewSessionTicket) {
      return fail("a handshake message came that has no place here");
    }
    at += kHandshakeHeaderBytes + length;
  }
  handshake_.erase(handshake_.begin(), handshake_.begin() + static_cast<std::ptrdiff_t>(at));
  return TlsStatus::ok;
}

TlsStatus RecordLayer::take_alert(std::span<const std::byte> bytes) {
  if (bytes.size() != 2) return fail("an alert is malformed");
  const auto what = std::to_integer<int>(bytes[1]);
  if (what == 0 || what == 90) {  // close_notify, user_canceled
    closed_ = what == 0;
    return closed_ ? TlsStatus::closed : TlsStatus::ok;
  }
  return fail(std::string("the peer ended it: ") + SSL_alert_desc_string_long(what));
}

bool RecordLayer::write(std::span<const std::byte> plain, std::vector<std::byte>& output) noexcept {
  return answer(output) && seal(ContentType::application_data, plain, output);
}

bool RecordLayer::write_close_notify(std::vector<std::byte>& output) noexcept {
  constexpr std::array<std::byte, 2> kAlert = {std::byte{1}, std::byte{0}};
  return seal(ContentType::alert, kAlert, output);
}

bool RecordLayer::update_keys(bool ask_peer, std::vector<std::byte>& output) noexcept {
  const std::array<std::byte, 5> message = {std::byte{kKeyUpdate}, std::byte{0}, std::byte{0},
                                            std::byte{1}, std::byte{ask_peer}};
  if (!seal(ContentType::handshake, message, output)) return false;
  if (next_secret(out_, true)) return true;
  fail("new keys: " + take_openssl_reason());
  return false;
}

TlsStatus RecordLayer::fail(std::string why) {
  if (fault_.empty()) fault_ = std::move(why);
  return TlsStatus::failed;
}

const char* RecordLayer::suite_name() const noexcept {
  return suite_ == 0x1301   ? "TLS_AES_128_GCM_SHA256"
         : suite_ == 0x1302 ? "TLS_AES_256_GCM_SHA384"
                            : "TLS_CHACHA20_POLY1305_SHA256";
}

TlsTraffic RecordLayer::traffic(const Input& input) const {
  TlsTraffic traffic{suite_, in_.keys, out_.keys, {}, {}, {}};
  const auto text = [](const std::byte* data, std::size_t bytes) {
    return std::string(reinterpret_cast<const char*>(data), bytes);
  };
  if (!partial_used_) traffic.unread = text(partial_.data(), partial_.size());
  traffic.unread += text(backlog_left_.data, backlog_left_.bytes);
  traffic.unread += text(input.data, input.bytes);
  traffic.plain = text(plain_.data() + plain_begin_, plain_end_ - plain_begin_);
  return traffic;
}

}  // namespace feedbench::tls
