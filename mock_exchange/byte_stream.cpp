#include "mock_exchange/byte_stream.hpp"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace feedbench::mock_exchange {

using transports::Error;
using transports::Expected;

namespace {

constexpr std::size_t kRecordBytes = 16 * 1024;

std::string last_tls_error() {
  std::array<char, 256> text{};
  const unsigned long code = ERR_get_error();
  if (code == 0) return "unknown error";
  if (const char* reason = ERR_reason_error_string(code)) return reason;
  ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

bool again(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

// A BIO over send() and recv(): OpenSSL's own socket BIO uses write(), and a client that is gone
// would then raise SIGPIPE in a process that embeds this.

int socket_of(BIO* bio) {
  return static_cast<int>(reinterpret_cast<std::intptr_t>(BIO_get_data(bio)));
}

int bio_write(BIO* bio, const char* data, int bytes) {
  BIO_clear_retry_flags(bio);
  const ssize_t sent =
      ::send(socket_of(bio), data, static_cast<std::size_t>(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && again(errno)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

int bio_read(BIO* bio, char* data, int bytes) {
  BIO_clear_retry_flags(bio);
  const ssize_t received =
      ::recv(socket_of(bio), data, static_cast<std::size_t>(bytes), MSG_DONTWAIT);
  if (received < 0 && again(errno)) BIO_set_retry_read(bio);
  return static_cast<int>(received);
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO_METHOD* socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mock exchange socket");
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

}  // namespace

void TlsServer::Free::operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
void ByteStream::Free::operator()(SSL* session) const noexcept { SSL_free(session); }

Expected<TlsServer> TlsServer::load(const std::string& certificate_file,
                                    const std::string& key_file) {
  ERR_clear_error();
  TlsServer server;
  server.context_.reset(SSL_CTX_new(TLS_server_method()));
  SSL_CTX* context = server.context_.get();
  const auto refuse = [](const char* what, const std::string& file) {
    return tl::unexpected(Error{fmt::format("TLS {} '{}': {}", what, file, last_tls_error())});
  };
  if (context == nullptr) return refuse("context for", certificate_file);
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    return refuse("certificate", certificate_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return refuse("key", key_file);
  if (SSL_CTX_check_private_key(context) != 1) return refuse("key", key_file);
  return server;
}

ByteStream::ByteStream(int descriptor, const TlsServer* tls) : descriptor_(descriptor) {
  if (tls == nullptr) return;
  session_.reset(SSL_new(tls->context()));
  BIO* bio = BIO_new(socket_method());
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<std::intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  SSL_set_bio(session_.get(), bio, bio);
  SSL_set_accept_state(session_.get());
}

ByteStream::~ByteStream() = default;

IoResult ByteStream::fail(int result, const char* what) {
  wants_write_ = false;
  switch (SSL_get_error(session_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {IoStatus::would_block};
    case SSL_ERROR_WANT_WRITE:
      wants_write_ = true;
      return {IoStatus::would_block};
    case SSL_ERROR_ZERO_RETURN:
      return {IoStatus::end};
    case SSL_ERROR_SYSCALL:
      if (errno == 0) return {IoStatus::end};
      error_ = fmt::format("TLS {}: {}", what, std::strerror(errno));
      return {IoStatus::failed};
    default:
      error_ = fmt::format("TLS {}: {}", what, last_tls_error());
      return {IoStatus::failed};
  }
}

IoResult ByteStream::handshake() {
  if (!session_) return {};
  ERR_clear_error();
  errno = 0;
  wants_write_ = false;
  const int result = SSL_do_handshake(session_.get());
  if (result == 1) return {};
  return fail(result, "handshake");
}

IoResult ByteStream::read(std::span<std::byte> out) {
  if (session_) return read_tls(out);
  const ssize_t received = ::recv(descriptor_, out.data(), out.size(), MSG_DONTWAIT);
  if (received > 0) return {IoStatus::done, static_cast<std::size_t>(received)};
  if (received == 0) return {IoStatus::end};
  if (again(errno)) return {IoStatus::would_block};
  error_ = std::strerror(errno);
  return {IoStatus::failed};
}

IoResult ByteStream::read_tls(std::span<std::byte> out) {
  ERR_clear_error();
  errno = 0;
  std::size_t bytes = 0;
  const int result = SSL_read_ex(session_.get(), out.data(), out.size(), &bytes);
  if (result == 1) return {IoStatus::done, bytes};
  return fail(result, "read");
}

IoResult ByteStream::write(std::span<const iovec> ranges) {
  if (session_) return write_tls(ranges);
  ssize_t sent = 0;
  if (ranges.size() == 1) {
    sent = ::send(descriptor_, ranges[0].iov_base, ranges[0].iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
  } else {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(ranges.data());  // sendmsg() only reads it
    message.msg_iovlen = ranges.size();
    sent = ::sendmsg(descriptor_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  if (sent >= 0) return {IoStatus::done, static_cast<std::size_t>(sent)};
  if (again(errno)) return {IoStatus::would_block};
  error_ = std::strerror(errno);
  return {IoStatus::failed};
}

IoResult ByteStream::flush() {
  if (kept_.empty()) return {};
  ERR_clear_error();
  errno = 0;
  std::size_t bytes = 0;
  const int result = SSL_write_ex(session_.get(), kept_.data(), kept_.size(), &bytes);
  if (result != 1) return fail(result, "write");
  wants_write_ = false;
  kept_.erase(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(bytes));
  return {};
}

/// One record. Once OpenSSL has begun it, it counts as written.
IoResult ByteStream::write_record(std::span<const std::byte> record) {
  ERR_clear_error();
  errno = 0;
  std::size_t bytes = 0;
  const int result = SSL_write_ex(session_.get(), record.data(), record.size(), &bytes);
  if (result == 1) {
    wants_write_ = false;
    return {IoStatus::done, bytes};
  }
  IoResult failed = fail(result, "write");
  if (failed.status == IoStatus::would_block) {
    kept_.assign(record.begin(), record.end());
    failed.bytes = record.size();
  }
  return failed;
}

IoResult ByteStream::write_tls(std::span<const iovec> ranges) {
  while (!kept_.empty()) {
    const IoResult flushed = flush();
    if (flushed.status != IoStatus::done) return flushed;
  }
  std::size_t written = 0;
  std::size_t range = 0;
  std::size_t offset = 0;  // within ranges[range]
  while (range < ranges.size()) {
    const auto* data = static_cast<const std::byte*>(ranges[range].iov_base) + offset;
    std::size_t bytes = std::min(ranges[range].iov_len - offset, kRecordBytes);
    if (bytes < kRecordBytes && range + 1 < ranges.size()) {
      // A record costs far more than copying the little that goes into it.
      record_.clear();
      std::size_t from = offset;
      for (std::size_t i = range; i < ranges.size() && record_.size() < kRecordBytes;
           ++i, from = 0) {
        const auto* piece = static_cast<const std::byte*>(ranges[i].iov_base) + from;
        const std::size_t take = std::min(ranges[i].iov_len - from, kRecordBytes - record_.size());
        record_.insert(record_.end(), piece, piece + take);
      }
      data = record_.data();
      bytes = record_.size();
    }
    const IoResult result = write_record({data, bytes});
    written += result.bytes;
    if (result.status != IoStatus::done) {
      return {
          result.status == IoStatus::would_block && written > 0 ? IoStatus::done : result.status,
          written};
    }
    for (std::size_t left = result.bytes; left > 0;) {
      const std::size_t step = std::min(left, ranges[range].iov_len - offset);
      left -= step;
      offset += step;
      if (offset == ranges[range].iov_len) {
        ++range;
        offset = 0;
      }
    }
  }
  return {IoStatus::done, written};
}

void ByteStream::finish_writing() {
  if (session_ && kept_.empty()) {
    ERR_clear_error();
    SSL_shutdown(session_.get());
  }
  ::shutdown(descriptor_, SHUT_WR);
}

}  // namespace feedbench::mock_exchange
