// What TLS adds to one message of 200 bytes on its way, beside what OpenSSL itself takes for that record, measured in turns:
// a round over the transport alone, a round with TLS, a round of SSL_write and SSL_read over memory. The bound is
//     p50 with TLS - p50 without  <=  2 * OpenSSL's p50 + 300 ns
// (`added_ns`, `bound_ns`; `of_bound` is their ratio: at most 1). One thread sends and receives, spinning, so that the
// message's whole way is seen and no other processor's wake-up. Each message is compared before the next one leaves.
#include <benchmark/benchmark.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <vector>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/tls/openssl_handles.hpp"
#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/testing/tls_peer_layer.hpp"
#include "transports/tls/tls_transport.hpp"

namespace feedbench::tls {
namespace {

using transports::Conn;
using transports::MonotonicInstant;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMessageBytes = 200;
constexpr int kMessagesARound = 2000;
constexpr int kRounds = 60;
constexpr std::int64_t kBoundNs = 300;
constexpr double kBoundFactor = 2;

/// Where messages arrive, in memory of its own as in a log.
struct Handler {
  Conn conn;
  bool open = false;
  std::size_t have = 0;
  std::vector<std::byte> memory = std::vector<std::byte>(64 * 1024);
  void on_open(Conn opened, bool) {
    conn = opened;
    open = true;
  }
  void on_receive(Conn, std::span<std::byte> bytes, const transports::RxStamps&) {
    have += bytes.size();
  }
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, transports::CloseInfo) { throw std::runtime_error("the connection closed"); }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return std::span(memory).subspan(have); }
};

/// A message from a venue's end to a proxy's end, over two transports of one kind.
template <class T>
class OneWay {
 public:
  OneWay(const TlsTransportOptions& sender, const TlsTransportOptions& receiver)
      : sender_(options(), sender), receiver_(options(), receiver) {
    const transports::ConnOptions lent{.lend_memory = true};
    const auto at = sender_.listen({}, lent);
    if (!at || !receiver_.connect(*at, lent)) throw std::runtime_error("no connection");
    while (!from_.open || !to_.open) poll_both();
    for (int i = 0; i < 1000; ++i) poll_both();  // tickets
  }

  /// returns ns; throws if what arrives is not the message.
  std::int64_t send(const std::vector<std::byte>& message) {
    const transports::ConstRange range{message.data(), message.size()};
    to_.have = 0;
    const auto start = Clock::now();
    sender_.send(from_.conn, {&range, 1});
    if constexpr (std::is_same_v<T, transports::IoUringTransport>)
      sender_.poll(from_, MonotonicInstant{});  // which submits it
    while (to_.have < message.size()) receiver_.poll(to_, MonotonicInstant{});
    const auto end = Clock::now();
    if (to_.have != message.size() ||
        !std::equal(message.begin(), message.end(), to_.memory.begin()))
      throw std::runtime_error("another message arrived than was sent");
    sender_.poll(from_, MonotonicInstant{});
    return std::chrono::duration_cast<std::chrono::nanoseconds>(end - start).count();
  }

 private:
  static transports::TransportOptions options() {
    return {.wait = transports::Wait::spin, .connections_max = 16};
  }
  void poll_both() {
    sender_.poll(from_, MonotonicInstant{});
    receiver_.poll(to_, MonotonicInstant{});
  }
  TlsTransport<T> sender_;
  TlsTransport<T> receiver_;
  Handler from_;
  Handler to_;
};

/// The same record through OpenSSL and nothing else: SSL_write, SSL_read, and a memory BIO between them.
class OpensslAlone {
 public:
  OpensslAlone() {
    const auto& certificates = testing::SharedContexts::get().certificates;
    server_context_.reset(SSL_CTX_new(TLS_server_method()));
    client_context_.reset(SSL_CTX_new(TLS_client_method()));
    for (SSL_CTX* const context : {server_context_.get(), client_context_.get()})
      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
    SSL_CTX_use_certificate_chain_file(server_context_.get(),
                                       certificates.certificate_file().c_str());
    SSL_CTX_use_PrivateKey_file(server_context_.get(), certificates.key_file().c_str(),
                                SSL_FILETYPE_PEM);
    server_.reset(SSL_new(server_context_.get()));
    client_.reset(SSL_new(client_context_.get()));
    BIO* const down = new_memory();
    BIO* const up = new_memory();
    BIO_up_ref(down);
    BIO_up_ref(up);
    SSL_set_bio(server_.get(), up, down);
    SSL_set_bio(client_.get(), down, up);
    SSL_set_accept_state(server_.get());
    SSL_set_connect_state(client_.get());
    for (int turns = 0; turns < 4; ++turns) {
      SSL_do_handshake(client_.get());
      SSL_do_handshake(server_.get());
    }
    if (SSL_is_init_finished(client_.get()) != 1 || SSL_is_init_finished(server_.get()) != 1)
      throw std::runtime_error("OpenSSL: no handshake with itself");
  }
  std::int64_t send(const std::vector<std::byte>& message) {
    std::size_t put = 0;
    std::size_t got = 0;
    const auto start = Clock::now();
    SSL_write_ex(server_.get(), message.data(), message.size(), &put);
    SSL_read_ex(client_.get(), memory_.data(), memory_.size(), &got);
    const auto end = Clock::now();
    if (got != message.size() || !std::equal(message.begin(), message.end(), memory_.begin()))
      throw std::runtime_error("OpenSSL alters bytes");
    return std::chrono::duration_cast<std::chrono::nanoseconds>(end - start).count();
  }

 private:
  using ContextHandle = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
  static BIO* new_memory() {
    BIO* const made = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(made, -1);  // empty: not yet, instead of the end
    return made;
  }
  ContextHandle server_context_;
  ContextHandle client_context_;
  SslHandle server_;
  SslHandle client_;
  std::vector<std::byte> memory_ = std::vector<std::byte>(64 * 1024);
};

/// The median of all messages of one way.
class Samples {
 public:
  template <class Way>
  void take_a_round(Way& way, const std::vector<std::byte>& message) {
    for (int i = 0; i < kMessagesARound; ++i) all_.push_back(way.send(message));
  }
  std::int64_t p50_ns() {
    const auto middle = all_.begin() + static_cast<std::ptrdiff_t>(all_.size() / 2);
    std::nth_element(all_.begin(), middle, all_.end());
    return *middle;
  }
  void clear() { all_.clear(); }

 private:
  std::vector<std::int64_t> all_;
};

template <class T>
void message(benchmark::State& state) {
  try {
    const auto& contexts = testing::SharedContexts::get();
    OneWay<T> plain({}, {});
    OneWay<T> secured({.accepts = &contexts.server}, {.connects = &contexts.client});
    OpensslAlone openssl;
    const std::vector<std::byte> sent = testing::pattern(kMessageBytes);
    Samples without;
    Samples with;
    Samples alone;
    const auto round = [&] {
      without.take_a_round(plain, sent);
      with.take_a_round(secured, sent);
      alone.take_a_round(openssl, sent);
    };
    round();  // for the caches and the buffers
    without.clear();
    with.clear();
    alone.clear();
    for (auto _ : state) round();
    const std::int64_t added = with.p50_ns() - without.p50_ns();
    const double bound = kBoundFactor * static_cast<double>(alone.p50_ns()) + double{kBoundNs};
    state.counters["plain_p50_ns"] = static_cast<double>(without.p50_ns());
    state.counters["tls_p50_ns"] = static_cast<double>(with.p50_ns());
    state.counters["openssl_p50_ns"] = static_cast<double>(alone.p50_ns());
    state.counters["added_ns"] = static_cast<double>(added);
    state.counters["bound_ns"] = bound;
    state.counters["of_bound"] = static_cast<double>(added) / bound;
  } catch (const transports::Error& error) {
    state.SkipWithError(error.message.c_str());
  } catch (const std::exception& error) {
    state.SkipWithError(error.what());
  }
}

BENCHMARK_TEMPLATE(message, transports::EpollTransport)
    ->Name("BM_tls/message/epoll/200")
    ->Iterations(kRounds);
BENCHMARK_TEMPLATE(message, transports::IoUringTransport)
    ->Name("BM_tls/message/io_uring/200")
    ->Iterations(kRounds);
BENCHMARK_TEMPLATE(message, transports::SelectTransport)
    ->Name("BM_tls/message/select/200")
    ->Iterations(kRounds);

}  // namespace
}  // namespace feedbench::tls
