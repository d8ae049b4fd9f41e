#include "transports/tls/tls_session.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/testing/test_certificates.hpp"

namespace feedbench::tls {
namespace {

using testing::carry;
using testing::CertificateWishes;
using testing::make_pair;
using testing::pattern;
using testing::SessionPair;
using testing::TestCertificates;

class TlsSessionTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { certificates_ = std::make_unique<TestCertificates>(); }
  static void TearDownTestSuite() { certificates_.reset(); }

  static TlsServerOptions server_options(const TestCertificates& of = *certificates_) {
    return {.certificate_file = of.certificate_file(), .key_file = of.key_file()};
  }
  static SessionPair good_pair() {
    return make_pair({.server_name = "localhost", .ca_file = certificates_->ca_file()},
                     server_options());
  }
  /// The client's error after a handshake that must fail.
  static std::string refusal(const TlsClientOptions& client, const TestCertificates& server) {
    SessionPair pair = make_pair(client, server_options(server));
    EXPECT_FALSE(pair.shake_hands());
    EXPECT_FALSE(pair.client.established());
    EXPECT_TRUE(pair.client.refused_certificate());
    EXPECT_FALSE(pair.client.output().empty()) << "an alert tells the server";
    EXPECT_EQ(pair.client.error().find('\n'), std::string::npos);
    return pair.client.error();
  }

  static std::unique_ptr<TestCertificates> certificates_;
};
std::unique_ptr<TestCertificates> TlsSessionTest::certificates_;

TEST_F(TlsSessionTest, ShakesHandsInTls13AndCarriesBytesBothWays) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands()) << pair.client.error() << pair.server.error();
  EXPECT_EQ(pair.client.protocol(), "TLSv1.3 TLS_AES_128_GCM_SHA256");
  const auto up = pattern(1000, 1);
  const auto down = pattern(3000, 2);
  EXPECT_EQ(pair.client.write(up).bytes, up.size());
  EXPECT_EQ(pair.server.write(down).bytes, down.size());
  ASSERT_TRUE(pair.settle());
  EXPECT_EQ(pair.server_plain, up);
  EXPECT_EQ(pair.client_plain, down);
}

/// A server's and a client's context, and sessions of them joined.
struct Contexts {
  TlsContext client;
  TlsContext server;
  SessionPair pair() const { return {*client.new_session(), *server.new_session()}; }
};

TEST_F(TlsSessionTest, TheNextSessionOfAContextIsResumed) {
  const Contexts contexts{
      *TlsContext::client({.server_name = "localhost", .ca_file = certificates_->ca_file()}),
      *TlsContext::server(server_options())};
  SessionPair first = contexts.pair();
  ASSERT_TRUE(first.shake_hands());
  EXPECT_FALSE(first.client.resumed());
  // Tickets come behind the handshake; a client takes them when it reads.
  ASSERT_TRUE(first.client.write(pattern(10)).bytes == 10 && first.settle());
  ASSERT_TRUE(first.server.write(pattern(10)).bytes == 10 && first.settle());

  SessionPair second = contexts.pair();
  ASSERT_TRUE(second.shake_hands());
  EXPECT_TRUE(second.client.resumed());
  EXPECT_TRUE(second.server.resumed());
  const auto down = pattern(3000, 2);
  EXPECT_EQ(second.server.write(down).bytes, down.size());
  ASSERT_TRUE(second.settle());
  EXPECT_EQ(second.client_plain, down);

  // A server that was started anew does not know the ticket: the whole handshake, and no error.
  const Contexts restarted{contexts.client, *TlsContext::server(server_options())};
  SessionPair third = restarted.pair();
  ASSERT_TRUE(third.shake_hands());
  EXPECT_FALSE(third.client.resumed());
}

TEST_F(TlsSessionTest, AMutualServerTakesItsOwnClientsAndNobodyElse) {
  const TestCertificates clients;  // an authority of its own
  TlsServerOptions mutual = server_options();
  mutual.client_ca_file = clients.ca_file();
  TlsClientOptions known{.server_name = "localhost", .ca_file = certificates_->ca_file()};
  known.certificate_file = clients.certificate_file();
  known.key_file = clients.key_file();
  SessionPair good = make_pair(known, mutual);
  ASSERT_TRUE(good.shake_hands()) << good.server.error();
  ASSERT_TRUE(good.client.write(pattern(10)).bytes == 10 && good.settle());
  EXPECT_EQ(good.server_plain, pattern(10));

  SessionPair nameless =
      make_pair({.server_name = "localhost", .ca_file = certificates_->ca_file()}, mutual);
  EXPECT_FALSE(nameless.shake_hands() && nameless.server.established());
  EXPECT_FALSE(nameless.server.error().empty());

  TlsClientOptions stranger = known;
  stranger.certificate_file = certificates_->certificate_file();
  stranger.key_file = certificates_->key_file();
  SessionPair foreign = make_pair(stranger, mutual);
  EXPECT_FALSE(foreign.shake_hands() && foreign.server.established());
  EXPECT_FALSE(foreign.server.error().empty());

  stranger.key_file = clients.key_file();
  const auto mismatch = TlsContext::client(stranger);
  ASSERT_FALSE(mismatch.has_value());
  EXPECT_NE(mismatch.error().message.find("of the same certificate"), std::string::npos);
  mutual.client_ca_file = "/nonexistent.pem";
  const auto missing = TlsContext::server(mutual);
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("/nonexistent.pem"), std::string::npos);
}

TEST_F(TlsSessionTest, WorksHoweverTheStreamIsChopped) {
  const auto up = pattern(700, 1);
  const auto down = pattern(1700, 2);
  // Every size up to beyond a record's header and the small handshake messages, then some.
  for (std::size_t chop = 1; chop <= 2000; chop += chop < 300 ? 1 : 53) {
    SessionPair pair = good_pair();
    pair.chop = chop;
    ASSERT_TRUE(pair.shake_hands())
        << "chop " << chop << ": " << pair.client.error() << pair.server.error();
    ASSERT_EQ(pair.client.write(up).bytes, up.size());
    ASSERT_EQ(pair.server.write(down).bytes, down.size());
    ASSERT_TRUE(pair.settle()) << "chop " << chop;
    ASSERT_EQ(pair.server_plain, up) << "chop " << chop;
    ASSERT_EQ(pair.client_plain, down) << "chop " << chop;
  }
}

TEST_F(TlsSessionTest, ALargeTransferArrivesByteEqualThroughSpacesOfEverySize) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  const auto sent = pattern(std::size_t{8} << 20, 3);
  std::vector<std::byte> received;
  std::vector<std::byte> space(40'000);
  std::size_t written = 0;
  std::size_t round = 0;
  while (received.size() < sent.size()) {
    written += pair.server.write(std::span(sent).subspan(written)).bytes;
    ASSERT_LE(pair.server.output().size(), TlsSession::kOutputBytesMax + 17 * 1024);
    const auto output = pair.server.output();
    const std::size_t piece = std::min<std::size_t>(output.size(), 1 + (round * 7919) % 70'000);
    ASSERT_EQ(pair.client.feed(output.first(piece)), TlsStatus::ok);
    TlsRead got;
    do {
      const std::size_t room = 1 + (round++ * 104'729) % space.size();
      got = pair.client.read(std::span(space).first(room));
      received.insert(received.end(), space.begin(),
                      space.begin() + static_cast<std::ptrdiff_t>(got.bytes));
    } while (got.status == TlsStatus::ok);
    ASSERT_EQ(got.status, TlsStatus::want_input) << pair.client.error();
    pair.server.consume_output(piece);
  }
  EXPECT_EQ(received, sent);
}

TEST_F(TlsSessionTest, WriteTakesNoMoreThanItsBoundAndGoesOnWhenOutputIsConsumed) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  const auto much = pattern(std::size_t{3} << 20);
  const TlsWrite first = pair.client.write(much);
  EXPECT_LT(first.bytes, much.size());
  EXPECT_EQ(first.status, TlsStatus::ok);
  EXPECT_EQ(pair.client.write(much).bytes, 0U);
  pair.client.consume_output(pair.client.output().size());
  EXPECT_GT(pair.client.write(much).bytes, 0U);
}

TEST_F(TlsSessionTest, OutputStaysInPlaceWhileMoreIsMade) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  pair.client.write(pattern(100));
  const auto pending = pair.client.output();
  const std::vector<std::byte> before(pending.begin(), pending.end());
  for (int i = 0; i < 20; ++i) pair.client.write(pattern(10'000));
  EXPECT_EQ(pair.client.output().data(), pending.data());
  EXPECT_TRUE(std::equal(pending.begin(), pending.end(), before.begin()));
  pair.client.consume_output(pending.size());
  EXPECT_GT(pair.client.output().size(), 200'000U);
}

TEST_F(TlsSessionTest, NothingIsTakenBeforeTheHandshake) {
  SessionPair pair = good_pair();
  const auto early = pair.client.write(pattern(10));
  EXPECT_EQ(early.bytes, 0U);
  EXPECT_EQ(early.status, TlsStatus::want_input);
  std::byte one{};
  EXPECT_EQ(pair.client.read({&one, 1}).status, TlsStatus::want_input);
}

TEST_F(TlsSessionTest, AnAddressIsCheckedAgainstTheAddressesOfTheCertificate) {
  SessionPair pair = make_pair({.server_name = "127.0.0.1", .ca_file = certificates_->ca_file()},
                               server_options());
  EXPECT_TRUE(pair.shake_hands()) << pair.client.error();
  const std::string error =
      refusal({.server_name = "127.0.0.2", .ca_file = certificates_->ca_file()}, *certificates_);
  EXPECT_NE(error.find("not for 127.0.0.2 but for DNS:localhost, IP:127.0.0.1"), std::string::npos)
      << error;
}

TEST_F(TlsSessionTest, AnIpv6AddressIsChecked) {
  const TestCertificates six({.dns_names = {}, .ip_addresses = {"::1"}});
  SessionPair pair =
      make_pair({.server_name = "::1", .ca_file = six.ca_file()}, server_options(six));
  EXPECT_TRUE(pair.shake_hands()) << pair.client.error();
}

TEST_F(TlsSessionTest, AWrongHostIsRefusedAndTheErrorNamesBoth) {
  const std::string error = refusal(
      {.server_name = "stream.example.com", .ca_file = certificates_->ca_file()}, *certificates_);
  EXPECT_EQ(error,
            "TLS to stream.example.com: its certificate is not for stream.example.com but for "
            "DNS:localhost, "
            "IP:127.0.0.1 (connect by a name it carries; an authority given with --ca does not "
            "change that)");
}

TEST_F(TlsSessionTest, AWildcardStandsForOneLabel) {
  const TestCertificates wild({.dns_names = {"*.example.com"}, .ip_addresses = {}});
  SessionPair pair = make_pair({.server_name = "stream.example.com", .ca_file = wild.ca_file()},
                               server_options(wild));
  EXPECT_TRUE(pair.shake_hands()) << pair.client.error();
  refusal({.server_name = "a.b.example.com", .ca_file = wild.ca_file()}, wild);
}

TEST_F(TlsSessionTest, ATrailingDotOfTheNameIsNoPartOfIt) {
  SessionPair pair = make_pair({.server_name = "localhost.", .ca_file = certificates_->ca_file()},
                               server_options());
  EXPECT_TRUE(pair.shake_hands()) << pair.client.error();
}

TEST_F(TlsSessionTest, AnAuthorityThatIsNotTrustedIsRefusedWithAdvice) {
  const std::string error = refusal({.server_name = "localhost", .ca_file = {}}, *certificates_);
  EXPECT_NE(
      error.find(
          "TLS to localhost: its certificate is signed by an authority that is not trusted here"),
      std::string::npos)
      << error;
  EXPECT_NE(error.find("--ca FILE"), std::string::npos) << error;
  const TestCertificates other;
  refusal({.server_name = "localhost", .ca_file = other.ca_file()}, *certificates_);
}

TEST_F(TlsSessionTest, ASelfSignedCertificateIsRefusedAndTrustedWhenGiven) {
  const TestCertificates self({.self_signed = true});
  const std::string error =
      refusal({.server_name = "localhost", .ca_file = certificates_->ca_file()}, self);
  EXPECT_NE(error.find("self-signed"), std::string::npos) << error;
  EXPECT_NE(error.find("--ca FILE"), std::string::npos) << error;
  SessionPair trusted = make_pair({.server_name = "localhost", .ca_file = self.certificate_file()},
                                  server_options(self));
  EXPECT_TRUE(trusted.shake_hands()) << trusted.client.error();
  refusal({.server_name = "elsewhere", .ca_file = self.certificate_file()}, self);
}

TEST_F(TlsSessionTest, ANameOfAnotherKindDoesNotCount) {
  // An address among the DNS names is no address, and the subject is no name.
  const TestCertificates odd({.dns_names = {"127.0.0.1", "f*.example.com"}, .ip_addresses = {}});
  for (const char* const name :
       {"127.0.0.1", "feedbench test server", "feed.example.com", ".example.com"}) {
    SCOPED_TRACE(name);
    const auto context = TlsContext::client({.server_name = name, .ca_file = odd.ca_file()});
    ASSERT_TRUE(context.has_value());
    if (!context->new_session()) continue;  // not a host name at all
    EXPECT_NE(refusal({.server_name = name, .ca_file = odd.ca_file()}, odd)
                  .find(std::string("not for ") + name),
              std::string::npos);
  }
  const TestCertificates nameless({.dns_names = {}, .ip_addresses = {}});
  EXPECT_NE(
      refusal({.server_name = "localhost", .ca_file = nameless.ca_file()}, nameless).find("nobody"),
      std::string::npos);
}

TEST_F(TlsSessionTest, APeerThatOnlyAsksForNewKeysMakesNoMoreThanSoMuchWait) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  TlsStatus status = TlsStatus::want_input;
  std::size_t waits = 0;
  for (int i = 0; i < 60'000 && status != TlsStatus::failed; ++i) {
    ASSERT_EQ(pair.server.update_keys(), TlsStatus::ok);
    status = carry(pair.server, pair.client, SIZE_MAX, pair.client_plain);
    waits = pair.client.output().size();
    ASSERT_LE(waits, TlsSession::kOutputBytesMax + 128 * 1024);
  }
  EXPECT_TRUE(status == TlsStatus::failed || waits < 1000) << waits;
}

TEST_F(TlsSessionTest, AnExpiredCertificateIsRefusedWithItsDate) {
  const TestCertificates old({.valid_from_s = -7200, .valid_to_s = -3600});
  const std::string error = refusal({.server_name = "localhost", .ca_file = old.ca_file()}, old);
  EXPECT_NE(error.find("expired on "), std::string::npos) << error;
  EXPECT_NE(error.find(" GMT "), std::string::npos) << error;
}

TEST_F(TlsSessionTest, ACertificateOfTheFutureIsRefused) {
  const TestCertificates young({.valid_from_s = 3600, .valid_to_s = 7200});
  const std::string error =
      refusal({.server_name = "localhost", .ca_file = young.ca_file()}, young);
  EXPECT_NE(error.find("not valid before"), std::string::npos) << error;
}

TEST_F(TlsSessionTest, WithoutVerifyingAnyCertificateWillDo) {
  const TestCertificates self({.self_signed = true});
  SessionPair pair =
      make_pair({.server_name = "elsewhere", .ca_file = {}, .verify = false}, server_options(self));
  EXPECT_TRUE(pair.shake_hands()) << pair.client.error();
}

TEST_F(TlsSessionTest, CloseNotifyEndsTheStreamAfterItsLastByte) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  pair.server.write(pattern(500));
  EXPECT_EQ(pair.server.close(), TlsStatus::ok);
  EXPECT_EQ(pair.server.write(pattern(1)).status, TlsStatus::closed);
  EXPECT_EQ(carry(pair.server, pair.client, 100, pair.client_plain), TlsStatus::closed);
  EXPECT_EQ(pair.client_plain, pattern(500));
  EXPECT_EQ(pair.client.end_of_input(), TlsStatus::closed);
  // The other direction is still open until the client closes too.
  EXPECT_EQ(pair.client.write(pattern(50)).bytes, 50U);
  EXPECT_EQ(pair.client.close(), TlsStatus::ok);
  EXPECT_EQ(carry(pair.client, pair.server, SIZE_MAX, pair.server_plain), TlsStatus::closed);
  EXPECT_EQ(pair.server_plain, pattern(50));
  EXPECT_TRUE(pair.client.error().empty());
}

TEST_F(TlsSessionTest, AStreamCutWithoutCloseNotifyIsAnError) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  pair.server.write(pattern(500));
  ASSERT_EQ(carry(pair.server, pair.client, SIZE_MAX, pair.client_plain), TlsStatus::want_input);
  EXPECT_EQ(pair.client.end_of_input(), TlsStatus::failed);
  EXPECT_NE(pair.client.error().find("without close_notify"), std::string::npos);
}

TEST_F(TlsSessionTest, AStreamCutDuringTheHandshakeIsAnError) {
  SessionPair pair = good_pair();
  pair.client.start();
  EXPECT_EQ(pair.client.end_of_input(), TlsStatus::failed);
  EXPECT_NE(pair.client.error().find("closed during the handshake"), std::string::npos);
}

TEST_F(TlsSessionTest, AnAlteredRecordIsRefusedAtEveryByte) {
  for (std::size_t at = 0; at < 80; ++at) {
    SessionPair pair = good_pair();
    ASSERT_TRUE(pair.shake_hands());
    pair.server.write(pattern(64));
    const auto output = pair.server.output();
    std::vector<std::byte> altered(output.begin(), output.end());
    ASSERT_GE(altered.size(), 80U);
    altered[at] ^= std::byte{1};
    std::vector<std::byte> space(1000);
    TlsStatus status = pair.client.feed(altered);
    if (status == TlsStatus::ok) {
      const TlsRead got = pair.client.read(space);
      EXPECT_EQ(got.bytes, 0U) << "byte " << at;
      status = got.status;
    }
    // A longer length waits for the rest of the record; everything else is refused at once.
    EXPECT_TRUE(status == TlsStatus::failed ||
                (status == TlsStatus::want_input && (at == 3 || at == 4)))
        << "byte " << at;
  }
}

TEST_F(TlsSessionTest, APeerThatSpeaksNoTlsIsToldApart) {
  SessionPair pair = good_pair();
  pair.client.start();
  const std::string text = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
  EXPECT_EQ(pair.client.feed(std::as_bytes(std::span(text))), TlsStatus::failed);
  EXPECT_NE(pair.client.error().find("does not speak TLS"), std::string::npos)
      << pair.client.error();
  const std::string request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
  EXPECT_EQ(pair.server.feed(std::as_bytes(std::span(request))), TlsStatus::failed);
  EXPECT_NE(pair.server.error().find("does not speak TLS"), std::string::npos)
      << pair.server.error();
}

TEST_F(TlsSessionTest, KeyUpdatesPassUnseen) {
  SessionPair pair = good_pair();
  ASSERT_TRUE(pair.shake_hands());
  for (int round = 0; round < 5; ++round) {
    ASSERT_EQ(pair.server.update_keys(), TlsStatus::ok);
    pair.server.write(pattern(100));
    pair.client.write(pattern(200));
    ASSERT_TRUE(pair.settle()) << pair.client.error() << pair.server.error();
  }
  EXPECT_EQ(pair.client_plain.size(), 500U);
  EXPECT_EQ(pair.server_plain.size(), 1000U);
}

TEST_F(TlsSessionTest, MissingOrWrongFilesAreOneSentence) {
  const auto no_ca = TlsContext::client({.server_name = "localhost", .ca_file = "/nowhere/ca.pem"});
  ASSERT_FALSE(no_ca);
  EXPECT_NE(no_ca.error().message.find("/nowhere/ca.pem"), std::string::npos);
  EXPECT_NE(no_ca.error().message.find("No such file"), std::string::npos) << no_ca.error().message;

  const std::string empty = certificates_->directory() + "/empty.pem";
  std::ofstream(empty) << "nothing\n";
  EXPECT_FALSE(TlsContext::client({.server_name = "localhost", .ca_file = empty}));
  EXPECT_FALSE(TlsContext::client({.server_name = "", .ca_file = {}}));
  EXPECT_FALSE(TlsContext::server({.certificate_file = empty, .key_file = empty}));

  const TestCertificates other;
  const auto mismatch = TlsContext::server(
      {.certificate_file = certificates_->certificate_file(), .key_file = other.key_file()});
  ASSERT_FALSE(mismatch);
  EXPECT_NE(mismatch.error().message.find("of the same certificate"), std::string::npos);
}

}  // namespace
}  // namespace feedbench::tls
