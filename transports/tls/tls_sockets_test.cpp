// TLS over the kernel's sockets, against peers that are not as they should be: bad certificates, alerts, cut and altered
// records, silence. (tls_transport_test.cpp has the rest of the promises, over the simulated network.)
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"
#include "transports/testing/raw_socket.hpp"
#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/testing/tls_peer_layer.hpp"
#include "transports/tls/tls_transport.hpp"

namespace feedbench::tls {
namespace {

using testing::CertificateWishes;
using testing::pattern;
using testing::TestCertificates;
using transports::CloseInfo;
using transports::CloseReason;
using transports::Conn;
using transports::ConstRange;
using transports::MonotonicInstant;
using transports::testing::RawSocket;
using Bytes = std::vector<std::byte>;

/// The other end, by hand: a server session over a plain socket, which sends what the test lets it send.
class Peer {
 public:
  Peer(RawSocket socket, const TlsContext& context)
      : socket_(std::move(socket)), session_(std::move(*context.new_session())) {}

  /// Takes what has come and sends what TLS has to say. spoil: alters what came.
  void step(bool spoil = false) {
    Bytes got(64 * 1024);
    const ssize_t bytes = socket_.receive(got);
    if (bytes == 0) ended_ = true;
    if (bytes > 0) {
      got.resize(static_cast<std::size_t>(bytes));
      if (spoil) got.back() ^= std::byte{1};
      heard_ = true;
      Bytes space(64 * 1024);
      TlsRead read{0, TlsStatus::ok};
      if (session_.feed(got) != TlsStatus::failed)
        while (read.status == TlsStatus::ok) read = session_.read(space);
    }
    say(SIZE_MAX);
  }
  /// Sends at most so many bytes of what TLS has to say, and forgets the rest of what there is then.
  void say(std::size_t bytes_max, bool spoil = false) {
    for (auto output = session_.output(); !output.empty(); output = session_.output()) {
      Bytes part(output.begin(), output.end());
      session_.consume_output(part.size());
      part.resize(std::min(part.size(), bytes_max));
      if (spoil) part.back() ^= std::byte{1};
      ASSERT_EQ(socket_.send(part), static_cast<ssize_t>(part.size()));
    }
  }
  TlsSession& session() { return session_; }
  RawSocket& socket() { return socket_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool heard() const { return heard_; }

 private:
  RawSocket socket_;
  TlsSession session_;
  bool ended_ = false;
  bool heard_ = false;
};

template <class T>
class TlsOverSockets : public ::testing::Test {
 protected:
  using Tls = TlsTransport<T>;

  struct Seen {
    std::vector<Conn> open;
    Bytes received;
    std::vector<CloseInfo> closed;
    std::vector<std::string> why;
    Tls* transport = nullptr;
    void on_open(Conn conn, bool) { open.push_back(conn); }
    void on_receive(Conn, std::span<std::byte> bytes, const transports::RxStamps&) {
      received.insert(received.end(), bytes.begin(), bytes.end());
    }
    void on_sent(Conn, std::size_t) {}
    void on_close(Conn, CloseInfo info) {
      closed.push_back(info);
      why.push_back(transport->why());
    }
    void on_wake() {}
    std::span<std::byte> receive_space(Conn) { return {}; }
  };

  void SetUp() override {
    try {
      make({});
    } catch (const transports::Error& error) {
      GTEST_SKIP() << error.message;
    }
  }
  static const TestCertificates& certificates() {
    return testing::SharedContexts::get().certificates;
  }
  static TlsContext server_context(const TestCertificates& of, const std::string& client_ca = {}) {
    return *TlsContext::server({of.certificate_file(), of.key_file(), client_ca});
  }
  void make(const TlsTransportOptions& tls) {
    transport_ = std::make_unique<Tls>(transports::TransportOptions{.connections_max = 16}, tls);
    seen_ = {};
    seen_.transport = transport_.get();
  }
  /// A connection of this transport whose other end is a Peer with that certificate.
  Peer connect_to_peer(const TlsContext& peers) {
    const RawSocket listener = RawSocket::listen();
    EXPECT_TRUE(transport_->connect(listener.endpoint(), {}).has_value());
    return {listener.accept(), peers};
  }
  /// Polls, and lets the peer take its steps, until `done`; for broken code there is a limit of a minute.
  void until(
      const std::function<bool()>& done, const std::function<void()>& step = [] {}) {
    const MonotonicInstant give_up = MonotonicInstant::now() + 60'000'000'000;
    while (!done()) {
      ASSERT_LT(MonotonicInstant::now().ns, give_up.ns) << "nothing came of it in a minute";
      transport_->poll(seen_, transport_->now() + 1'000'000);
      step();
    }
  }
  Peer open_with_peer() {
    make({.connects = &testing::SharedContexts::get().client});
    Peer peer = connect_to_peer(testing::SharedContexts::get().server);
    until([&] { return seen_.open.size() == 1 && peer.session().established(); },
          [&] { peer.step(); });
    return peer;
  }
  void expect_failed(const char* words) {
    ASSERT_EQ(seen_.closed.size(), 1u);
    EXPECT_EQ(seen_.closed[0].reason, CloseReason::error);
    EXPECT_EQ(seen_.closed[0].os_error, EPROTO);
    EXPECT_NE(seen_.why[0].find(words), std::string::npos) << seen_.why[0];
  }

  Seen seen_;
  std::unique_ptr<Tls> transport_;
};
using KernelTransports = ::testing::Types<transports::SelectTransport, transports::EpollTransport,
                                          transports::IoUringTransport>;
TYPED_TEST_SUITE(TlsOverSockets, KernelTransports);

TYPED_TEST(TlsOverSockets, ABadCertificateEndsItInWordsAndTheServerIsToldByAnAlert) {
  struct Case {
    CertificateWishes wishes;
    const char* words;
  };
  for (const Case& bad : {Case{{.valid_from_s = -7200, .valid_to_s = -3600}, "expired on"},
                          Case{{.valid_from_s = 3600}, "not valid before"},
                          Case{{.dns_names = {"example.org"}}, "not for localhost but for"},
                          Case{{.self_signed = true}, "self-signed"}}) {
    const TestCertificates theirs(bad.wishes);
    const TlsContext server = this->server_context(theirs);
    const TlsContext client =
        *TlsContext::client({.server_name = "localhost", .ca_file = theirs.ca_file()});
    this->make({.connects = &client});
    Peer peer = this->connect_to_peer(server);
    this->until([&] { return !this->seen_.closed.empty() && peer.ended(); }, [&] { peer.step(); });
    EXPECT_TRUE(this->seen_.open.empty());
    this->expect_failed(bad.words);
    EXPECT_NE(peer.session().error().find("does not accept the certificate"), std::string::npos)
        << peer.session().error();
  }
}

TYPED_TEST(TlsOverSockets, AnAlertInMidStreamComesAfterWhatWasSentBefore) {
  Peer peer = this->open_with_peer();
  const Bytes first = pattern(3000, 1);
  ASSERT_EQ(peer.session().write(first).bytes, first.size());
  const ConstRange range{first.data(), 100};
  this->transport_->send(this->seen_.open[0], {&range, 1});
  // What it hears is altered, so it ends the connection: its alert stands behind its record.
  this->until([&] { return !this->seen_.closed.empty(); }, [&] { peer.step(true); });
  EXPECT_FALSE(peer.session().error().empty());
  EXPECT_TRUE(this->seen_.received == first);
  this->expect_failed("alert bad record mac");
}

TYPED_TEST(TlsOverSockets, ARecordThatIsCutIsNotDeliveredAndTheEndIsAnError) {
  for (const std::size_t cut : {1U, 4U, 5U, 6U, 100U, 2000U}) {
    Peer peer = this->open_with_peer();
    const Bytes whole = pattern(500, 1);
    ASSERT_EQ(peer.session().write(whole).bytes, whole.size());
    peer.say(SIZE_MAX);
    ASSERT_EQ(peer.session().write(pattern(3000, 2)).bytes, 3000u);
    peer.say(cut);
    peer.socket().finish_sending();
    this->until([&] { return !this->seen_.closed.empty(); });
    EXPECT_TRUE(this->seen_.received == whole) << "cut at " << cut;
    this->expect_failed("close_notify");
  }
}

TYPED_TEST(TlsOverSockets, ARecordThatIsAlteredIsNotDeliveredAndTheSenderIsToldByAnAlert) {
  Peer peer = this->open_with_peer();
  const Bytes whole = pattern(500, 1);
  ASSERT_EQ(peer.session().write(whole).bytes, whole.size());
  peer.say(SIZE_MAX);
  ASSERT_EQ(peer.session().write(pattern(3000, 2)).bytes, 3000u);
  peer.say(SIZE_MAX, true);
  this->until([&] { return !this->seen_.closed.empty() && peer.ended(); }, [&] { peer.step(); });
  EXPECT_TRUE(this->seen_.received == whole);
  this->expect_failed("altered");
  EXPECT_NE(peer.session().error().find("alert"), std::string::npos) << peer.session().error();
}

TYPED_TEST(TlsOverSockets, SilenceInTheHandshakeEndsItInTime) {
  constexpr std::int64_t kTimeoutNs = 50'000'000;
  this->make({.accepts = &testing::SharedContexts::get().server,
              .connects = &testing::SharedContexts::get().client,
              .handshake_timeout_ns = kTimeoutNs});
  const MonotonicInstant start = MonotonicInstant::now();
  // One that connects and says nothing, one that says the beginning of a hello, and one that accepts and says nothing.
  const auto at = this->transport_->listen({}, {});
  ASSERT_TRUE(at.has_value());
  const RawSocket mute = RawSocket::connect(*at);
  const RawSocket stutters = RawSocket::connect(*at);
  stutters.send(std::as_bytes(std::span("\x16\x03\x01\x02", 4)));
  const RawSocket listener = RawSocket::listen();
  ASSERT_TRUE(this->transport_->connect(listener.endpoint(), {}).has_value());
  this->until(
      [&] { return !this->seen_.closed.empty() && this->transport_->handshakes_failed() == 2; });
  EXPECT_GE(MonotonicInstant::now() - start, kTimeoutNs);
  ASSERT_EQ(this->seen_.closed.size(), 1u) << "accepted ones are never seen";
  EXPECT_EQ(this->seen_.closed[0].reason, CloseReason::timed_out);
  EXPECT_NE(this->seen_.why[0].find("not finished in time"), std::string::npos);
  EXPECT_NE(this->transport_->handshake_fault().find("not finished in time"), std::string::npos);
  Bytes space(100);
  for (const RawSocket* const each : {&mute, &stutters}) {
    ssize_t got = -1;
    while ((got = each->receive(space)) < 0 && errno == EAGAIN) {
    }
    EXPECT_EQ(got, -1) << "it ends with a reset";
  }
}

TYPED_TEST(TlsOverSockets, WhereClientsNeedACertificateOthersAreToldAndNeverSeen) {
  const TestCertificates clients;
  const TlsContext server = this->server_context(this->certificates(), clients.ca_file());
  const auto client_with = [&](const TestCertificates* own) {
    TlsClientOptions options{.server_name = "localhost", .ca_file = this->certificates().ca_file()};
    if (own != nullptr) options.certificate_file = own->certificate_file();
    if (own != nullptr) options.key_file = own->key_file();
    return *TlsContext::client(options);
  };
  struct Case {
    const TestCertificates* own;
    const char* client_hears;
    const char* server_says;
  };
  for (const Case& bad : {Case{nullptr, "wants to see a certificate", "showed no certificate"},
                          Case{&this->certificates(), "does not accept", "authority"}}) {
    const TlsContext client = client_with(bad.own);
    this->make({.accepts = &server, .connects = &client});
    const auto at = this->transport_->listen({}, {});
    ASSERT_TRUE(at.has_value() && this->transport_->connect(*at, {}).has_value());
    this->until([&] { return !this->seen_.closed.empty(); });
    this->expect_failed(bad.client_hears);
    EXPECT_LE(this->seen_.open.size(), 1u) << "the client's end, which had finished its part";
    EXPECT_EQ(this->transport_->handshakes_failed(), 1u);
    EXPECT_NE(this->transport_->handshake_fault().find(bad.server_says), std::string::npos)
        << this->transport_->handshake_fault();
  }
  const TlsContext known = client_with(&clients);
  this->make({.accepts = &server, .connects = &known});
  const auto at = this->transport_->listen({}, {});
  ASSERT_TRUE(at.has_value() && this->transport_->connect(*at, {}).has_value());
  this->until([&] { return this->seen_.open.size() == 2; });
  const Bytes said = pattern(20'000, 7);
  const ConstRange range{said.data(), said.size()};
  this->transport_->send(this->seen_.open[0], {&range, 1});
  this->until([&] { return this->seen_.received.size() == said.size(); });
  EXPECT_TRUE(this->seen_.received == said);
}

}  // namespace
}  // namespace feedbench::tls
