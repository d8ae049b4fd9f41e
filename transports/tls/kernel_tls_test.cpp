// The kernel seals what a connection sends (kTLS): the keys it is given, and what TlsTransport does around it. Where the
// kernel has no TLS, a stand-in for it that seals by the same keys (FakeKernel) shows the same; the real one is skipped.
#include <gtest/gtest.h>
#include <linux/tls.h>
#include <openssl/evp.h>

#include <map>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/sim/sim_transport.hpp"
#include "transports/tls/kernel_tls_feature.hpp"
#include "transports/tls/kernel_tls_keys.hpp"
#include "transports/tls/record_layer.hpp"
#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/testing/tls_peer_layer.hpp"
#include "transports/tls/tls_transport.hpp"

namespace feedbench::tls {
namespace {

using testing::pattern;
using transports::CloseInfo;
using transports::CloseReason;
using transports::Conn;
using transports::ConstRange;
using Bytes = std::vector<std::byte>;

std::string unhex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  return bytes;
}
template <std::size_t N>
std::string text_of(const unsigned char (&bytes)[N]) {
  return {reinterpret_cast<const char*>(bytes), N};
}

TEST(KernelTlsKeys, AreThoseOfTheExampleInRfc8448) {
  // Section 3, "{server} derive write traffic keys for application data", and the client's.
  struct Case {
    const char* secret;
    const char* key;
    const char* iv;
  };
  for (const Case& known : {Case{"a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643",
                                 "9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984"},
                            Case{"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5",
                                 "17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9"}}) {
    const auto keys = KernelTlsKeys::derive(0x1301, {unhex(known.secret), 0x0102030405060708});
    ASSERT_TRUE(keys.has_value()) << keys.error().message;
    tls12_crypto_info_aes_gcm_128 info{};
    ASSERT_EQ(keys->bytes().size(), sizeof(info));
    std::memcpy(&info, keys->bytes().data(), sizeof(info));
    EXPECT_EQ(info.info.version, TLS_1_3_VERSION);
    EXPECT_EQ(info.info.cipher_type, TLS_CIPHER_AES_GCM_128);
    EXPECT_EQ(text_of(info.key), unhex(known.key));
    EXPECT_EQ(text_of(info.salt) + text_of(info.iv), unhex(known.iv));
    EXPECT_EQ(text_of(info.rec_seq), unhex("0102030405060708"));
  }
}

TEST(KernelTlsKeys, OfTheOtherSuitesLieInTheirOwnStructures) {
  const std::string secret(48, 's');
  const auto large = KernelTlsKeys::derive(0x1302, {secret, 7});
  ASSERT_TRUE(large.has_value());
  ASSERT_EQ(large->bytes().size(), sizeof(tls12_crypto_info_aes_gcm_256));
  tls12_crypto_info_chacha20_poly1305 info{};
  const std::string small_secret(32, 's');
  const auto chacha = KernelTlsKeys::derive(0x1303, {small_secret, 7});
  ASSERT_TRUE(chacha.has_value());
  ASSERT_EQ(chacha->bytes().size(), sizeof(info));
  std::memcpy(&info, chacha->bytes().data(), sizeof(info));
  std::array<unsigned char, 32> key{};
  std::array<unsigned char, 12> iv{};
  ASSERT_TRUE(derive_record_keys(EVP_sha256(), small_secret, key, iv));
  EXPECT_TRUE(std::equal(key.begin(), key.end(), info.key));
  EXPECT_TRUE(std::equal(iv.begin(), iv.end(), info.iv)) << "all of it: there is no salt";
  EXPECT_EQ(info.rec_seq[7], 7);
  EXPECT_FALSE(KernelTlsKeys::derive(0x1302, {small_secret, 0}).has_value());
  EXPECT_FALSE(KernelTlsKeys::derive(0xc02f, {small_secret, 0}).has_value());
}

/// A simulated transport whose kernel has TLS: AES-128-GCM, and room for all that is sent.
class FakeKernel : public transports::SimTransport {
 public:
  using SimTransport::SimTransport;
  static inline int refuses_with = 0;

  int offload_tls(Conn conn, std::span<const std::byte> keys) {
    if (refuses_with != 0) return refuses_with;
    tls12_crypto_info_aes_gcm_128 info{};
    if (keys.size() != sizeof(info)) return EINVAL;
    std::memcpy(&info, keys.data(), sizeof(info));
    offloaded_[conn.index] = info;
    return 0;
  }
  bool send_tls_record(Conn conn, std::uint8_t type, std::span<const std::byte> bytes) {
    const Bytes sealed = seal(offloaded_.at(conn.index), type, bytes);
    const ConstRange range{sealed.data(), sealed.size()};
    return SimTransport::send(conn, {&range, 1}) == transports::SendStatus::completed;
  }
  transports::SendStatus send(Conn conn, std::span<const ConstRange> ranges) {
    if (!offloaded_.contains(conn.index)) return SimTransport::send(conn, ranges);
    Bytes plain;
    for (const ConstRange& range : ranges)
      plain.insert(plain.end(), range.data, range.data + range.bytes);
    for (std::size_t at = 0; at < plain.size(); at += 16'384)
      EXPECT_TRUE(send_tls_record(
          conn, 23,
          std::span(plain).subspan(at, std::min<std::size_t>(16'384, plain.size() - at))));
    return transports::SendStatus::completed;
  }

 private:
  static unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
  static Bytes seal(tls12_crypto_info_aes_gcm_128& info, std::uint8_t type,
                    std::span<const std::byte> plain) {
    const CipherHandle cipher(EVP_CIPHER_CTX_new());
    std::array<unsigned char, 12> nonce{};
    std::memcpy(nonce.data(), info.salt, 4);
    std::memcpy(nonce.data() + 4, info.iv, 8);
    for (std::size_t i = 0; i < 8; ++i)
      nonce[4 + i] = static_cast<unsigned char>(nonce[4 + i] ^ info.rec_seq[i]);
    for (int i = 7; i >= 0 && ++info.rec_seq[i] == 0;) --i;
    Bytes inner(plain.begin(), plain.end());
    inner.push_back(std::byte{type});
    const std::size_t body = inner.size() + 16;
    Bytes record{std::byte{23}, std::byte{3}, std::byte{3}, static_cast<std::byte>(body >> 8),
                 static_cast<std::byte>(body & 0xff)};
    record.resize(5 + body);
    int n = 0;
    EVP_EncryptInit_ex(cipher.get(), EVP_aes_128_gcm(), nullptr, info.key, nonce.data());
    EVP_EncryptUpdate(cipher.get(), nullptr, &n, raw(record.data()), 5);
    EVP_EncryptUpdate(cipher.get(), raw(record.data() + 5), &n, raw(inner.data()),
                      static_cast<int>(inner.size()));
    EVP_EncryptFinal_ex(cipher.get(), raw(record.data() + 5) + n, &n);
    EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, 16, record.data() + 5 + inner.size());
    return record;
  }
  std::map<std::uint32_t, tls12_crypto_info_aes_gcm_128> offloaded_;
};
static_assert(transports::OffloadsTls<FakeKernel>);
static_assert(transports::OffloadsTls<transports::EpollTransport>);
static_assert(transports::OffloadsTls<transports::SelectTransport>);
static_assert(!transports::OffloadsTls<transports::SimTransport>);

template <class T>
struct Seen {
  std::map<std::uint32_t, Bytes> received;  // by Conn::index
  std::vector<Conn> accepted;
  std::vector<Conn> connected;
  std::vector<std::pair<Conn, CloseInfo>> closed;
  std::vector<std::string> why;
  std::size_t sent = 0;
  TlsTransport<T>* transport = nullptr;
  void on_open(Conn conn, bool is_accepted) {
    (is_accepted ? accepted : connected).push_back(conn);
  }
  void on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps&) {
    Bytes& all = received[conn.index];
    all.insert(all.end(), bytes.begin(), bytes.end());
  }
  void on_sent(Conn, std::size_t bytes) { sent += bytes; }
  void on_close(Conn conn, CloseInfo info) {
    closed.emplace_back(conn, info);
    why.push_back(transport->why());
  }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

/// Both ends on one transport; the server's tells its keys, so its sends are offloaded.
template <class T>
class Offloading {
 public:
  template <class... More>
  explicit Offloading(const TlsContext& client, More&&... more)
      : transport_({.connections_max = 16},
                   {.accepts = &server_, .connects = &client, .offload = true},
                   std::forward<More>(more)...) {
    seen_.transport = &transport_;
    const auto at = transport_.listen({}, {});
    if (!at || !transport_.connect(*at, {})) throw std::runtime_error("no connection");
    until([&] { return !seen_.accepted.empty() && !seen_.connected.empty(); });
    poll_a_while();
  }
  void until(const std::function<bool()>& done) {
    for (int polls = 0; !done(); ++polls) {
      ASSERT_LT(polls, 100'000);
      transport_.poll(seen_, transport_.now() + 1'000'000);
    }
  }
  void poll_a_while() {
    for (int i = 0; i < 20; ++i) transport_.poll(seen_, transport_.now() + 1'000'000);
  }
  void exchange(std::size_t bytes, unsigned seed) {
    const Bytes down = pattern(bytes, seed);
    const Bytes up = pattern(bytes, seed + 1);
    const ConstRange down_range{down.data(), down.size()};
    const ConstRange up_range{up.data(), up.size()};
    seen_.received.clear();
    ASSERT_NE(transport_.send(accepted(), {&down_range, 1}), transports::SendStatus::closed);
    ASSERT_NE(transport_.send(connected(), {&up_range, 1}), transports::SendStatus::closed);
    until([&] {
      return seen_.received[connected().index].size() == bytes &&
             seen_.received[accepted().index].size() == bytes;
    });
    EXPECT_TRUE(seen_.received[connected().index] == down);
    EXPECT_TRUE(seen_.received[accepted().index] == up);
  }
  [[nodiscard]] Conn accepted() const { return seen_.accepted[0]; }
  [[nodiscard]] Conn connected() const { return seen_.connected[0]; }
  TlsTransport<T>& transport() { return transport_; }
  Seen<T>& seen() { return seen_; }

 private:
  static TlsServerOptions server_options() {
    const auto& certificates = testing::SharedContexts::get().certificates;
    TlsServerOptions options{certificates.certificate_file(), certificates.key_file()};
    options.tells_keys = true;
    return options;
  }
  TlsContext server_ = *TlsContext::server(server_options());
  Seen<T> seen_;
  TlsTransport<T> transport_;
};

class FakeKernelTls : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!tls_provider().tells_secrets)
      GTEST_SKIP() << tls_provider().name << " tells nobody a connection's secrets";
  }
  void TearDown() override { FakeKernel::refuses_with = 0; }
  Offloading<FakeKernel> make() {
    return Offloading<FakeKernel>(testing::SharedContexts::get().client, network_,
                                  transports::SimTransport::Clock::moved_by_poll);
  }
  transports::sim::Network network_;
};

TEST_F(FakeKernelTls, GoesOnWhereTheHandshakeEndedAndSaysTheEnd) {
  auto both = make();
  EXPECT_EQ(both.transport().offloaded(), 2u);
  EXPECT_EQ(both.transport().offload_fault(), "");
  for (unsigned i = 0; i < 5; ++i) both.exchange(1 + i * 9000, i);
  EXPECT_EQ(both.transport().counters().bytes_sent, 2 * (5u + 90'000u));
  both.transport().close(both.accepted());
  both.until([&] { return both.seen().closed.size() == 2; });
  for (const auto& [conn, info] : both.seen().closed)
    EXPECT_EQ(info.reason, conn == both.accepted() ? CloseReason::local : CloseReason::peer)
        << "close_notify came, or it would be an error";
}

TEST_F(FakeKernelTls, AKernelThatHasNoneIsToldAndThisProcessSeals) {
  FakeKernel::refuses_with = ENOENT;
  auto both = make();
  EXPECT_EQ(both.transport().offloaded(), 0u);
  EXPECT_NE(both.transport().offload_fault().find("No such file"), std::string::npos);
  both.exchange(50'000, 3);
}

TEST(TlsSessionSendingKeys, AreThoseThatTheNextRecordIsSealedWith) {
  if (!tls_provider().tells_secrets)
    GTEST_SKIP() << tls_provider().name << " tells nobody a connection's secrets";
  TlsServerOptions options;
  const auto& certificates = testing::SharedContexts::get().certificates;
  options.certificate_file = certificates.certificate_file();
  options.key_file = certificates.key_file();
  options.tells_keys = true;
  testing::SessionPair pair =
      testing::make_pair({.server_name = "localhost", .ca_file = certificates.ca_file()}, options);
  EXPECT_TRUE(pair.server.sending_keys().keys.secret.empty()) << "not established";
  ASSERT_TRUE(pair.shake_hands());
  ASSERT_EQ(pair.server.write(pattern(10)).bytes, 10u);
  EXPECT_TRUE(pair.server.sending_keys().keys.secret.empty()) << "something waits";
  ASSERT_TRUE(pair.settle());
  const TlsSession::SendingKeys told = pair.server.sending_keys();
  ASSERT_EQ(told.cipher_suite, 0x1301);
  pair.server.stop_sending();
  EXPECT_EQ(pair.server.write(pattern(10)).status, TlsStatus::closed);
  // Who has the keys goes on.
  auto elsewhere = TlsSession::resume({told.cipher_suite, told.keys, told.keys, {}, {}, {}});
  ASSERT_TRUE(elsewhere.has_value());
  ASSERT_EQ(elsewhere->write(pattern(300, 5)).bytes, 300u);
  pair.client_plain.clear();
  ASSERT_NE(testing::carry(*elsewhere, pair.client, SIZE_MAX, pair.client_plain), TlsStatus::failed)
      << pair.client.error();
  EXPECT_TRUE(pair.client_plain == pattern(300, 5));
  // The peer goes over to new keys by itself, which is its business; that it wants new ones here cannot be.
  ASSERT_EQ(pair.client.update_keys(), TlsStatus::ok);
  EXPECT_EQ(testing::carry(pair.client, pair.server, SIZE_MAX, pair.server_plain),
            TlsStatus::failed);
  EXPECT_NE(pair.server.error().find("asks for new keys"), std::string::npos)
      << pair.server.error();
  EXPECT_TRUE(pair.server.output().empty());
}

template <class T>
class RealKernelTls : public ::testing::Test {};
using Offloaders = ::testing::Types<transports::EpollTransport, transports::SelectTransport>;
TYPED_TEST_SUITE(RealKernelTls, Offloaders);

TYPED_TEST(RealKernelTls, SealsForAPeerOfOpenssl) {
  if (!tls_provider().tells_secrets)
    GTEST_SKIP() << tls_provider().name << " tells nobody a connection's secrets";
  const transports::KernelFeature kernel = transports::probe_kernel_tls();
  if (!kernel.available.value_or(false)) GTEST_SKIP() << "ktls: " << kernel.reason;
  Offloading<TypeParam> both(testing::SharedContexts::get().client);
  EXPECT_EQ(both.transport().offloaded(), 2u) << both.transport().offload_fault();
  for (unsigned i = 0; i < 20; ++i) both.exchange(1 + i * 200'000, i);
  both.transport().close(both.accepted());
  both.until([&] { return both.seen().closed.size() == 2; });
  for (const auto& [conn, info] : both.seen().closed)
    EXPECT_EQ(info.reason, conn == both.accepted() ? CloseReason::local : CloseReason::peer);
}

}  // namespace
}  // namespace feedbench::tls
