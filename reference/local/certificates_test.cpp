// A proxy whose clients connect over TLS, and one that shows a certificate upstream (mutual TLS): processes, real sockets.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "reference/local/testing/proxy_fixture.hpp"
#include "reference/local/testing/secure_client.hpp"
#include "transports/tls/testing/test_certificates.hpp"

namespace feedbench::local {
namespace {

using feedproxy::Errc;
using testing::Reading;
using testing::ScriptedVenue;
using testing::SecureClient;
using tls::testing::TestCertificates;

class Certificates : public testing::ProxyFixture {
 protected:
  void add(std::initializer_list<std::string> words) {
    options_.spawn.insert(options_.spawn.end(), words);
  }
  /// The proxy listens for wss:// clients, and shares the venue with them.
  void listen_with(const TestCertificates& own, const ScriptedVenue& venue) {
    add({"--upstream", venue.url(), "--listen", "127.0.0.1:0", "--listen-certificate",
         own.certificate_file(), "--listen-key", own.key_file(), "--log-file", log_file()});
  }
  [[nodiscard]] std::string log_file() const { return folder_ + "/log"; }
  [[nodiscard]] std::string log() const {
    std::ifstream file(log_file());
    return {std::istreambuf_iterator<char>(file), {}};
  }
  /// Where the newest proxy said that it listens.
  [[nodiscard]] std::uint16_t port() const {
    const std::string text = log();
    constexpr std::string_view kSaid = "listening on wss://127.0.0.1:";
    const std::size_t at = text.rfind(kSaid);
    return at == std::string::npos
               ? std::uint16_t{0}
               : static_cast<std::uint16_t>(std::atoi(text.c_str() + at + kSaid.size()));
  }
  static std::string why(const std::function<void()>& call) {
    try {
      call();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "it worked";
  }
};

TEST_F(Certificates, AProxyWithTlsClientsIsReplacedAndTheNextServesThemAtTheSamePort) {
  const TestCertificates own;
  ScriptedVenue venue;
  listen_with(own, venue);
  auto reader = client("reader");
  const auto feed = reader->open({}).feed;
  Reading reading(*reader, feed);
  const std::uint16_t first_port = port();
  ASSERT_NE(first_port, 0);
  for (const char* const transport : {"io_uring", "select", "epoll"}) {
    SecureClient before(first_port, {.server_name = "127.0.0.1", .ca_file = own.ca_file()});
    venue.publish_numbered(100, 300);
    before.until_number(venue.numbered());
    ASSERT_EQ(replace({"--transport", transport}), 0);
    EXPECT_EQ(port(), first_port);
    // A TLS connection's state with each of its clients stays behind: they are told to come again.
    EXPECT_EQ(before.until_closed(), 1001);
    SecureClient after(first_port, {.server_name = "127.0.0.1", .ca_file = own.ca_file()});
    venue.publish_numbered(100, 300);
    after.until_number(venue.numbered());
    EXPECT_EQ(before.wrong() + after.wrong(), 0u);
  }
  reading.until_number(venue.numbered());
  EXPECT_EQ(reading.gaps, 0u);
  EXPECT_EQ(venue.connections_ever(), 1u);
}

TEST_F(Certificates, ClientsWithoutAGoodOneAreToldWhyAndTheLogSaysIt) {
  const TestCertificates own;
  const TestCertificates clients;
  ScriptedVenue venue;
  listen_with(own, venue);
  add({"--listen-client-ca", clients.ca_file()});
  const auto reader = client("reader");
  reader->open({});
  EXPECT_NE(why([&] {
              SecureClient(port(), {.server_name = "127.0.0.1", .ca_file = own.ca_file()});
            }).find("the peer wants to see a certificate"),
            std::string::npos);
  EXPECT_NE(why([&] {
              SecureClient(port(), {.server_name = "127.0.0.1",
                                    .ca_file = own.ca_file(),
                                    .certificate_file = own.certificate_file(),
                                    .key_file = own.key_file()});
            }).find("the peer does not accept the certificate"),
            std::string::npos);
  SecureClient known(port(), {.server_name = "127.0.0.1",
                              .ca_file = own.ca_file(),
                              .certificate_file = clients.certificate_file(),
                              .key_file = clients.key_file()});
  venue.publish_numbered(100, 300);
  known.until_number(100);
  testing::eventually([&] { return log().find("--listen-client-ca") != std::string::npos; });
  EXPECT_NE(log().find("of clients failed; the last: TLS from a client: "),
            std::string::npos)
      << log();
}

TEST_F(Certificates, KernelTlsIsTriedAndTheLogSaysWhatCameOfIt) {
  const TestCertificates own;
  ScriptedVenue venue;
  listen_with(own, venue);
  add({"--ktls", "on"});
  const auto reader = client("reader");
  reader->open({});
  SecureClient one(port(), {.server_name = "127.0.0.1", .ca_file = own.ca_file()});
  venue.publish_numbered(1000, 300);
  one.until_number(1000);
  EXPECT_EQ(one.wrong(), 0u);
  testing::eventually([&] {
    return log().find("--ktls: the kernel's TLS (kTLS): ") != std::string::npos ||
           log().find("the kernel encrypts for TLS clients") != std::string::npos;
  });
}

TEST_F(Certificates, OneIsShownToAnUpstreamThatAsksForIt) {
  const TestCertificates theirs;
  const TestCertificates ours;
  ScriptedVenue venue({.certificate_file = theirs.certificate_file(),
                       .key_file = theirs.key_file(),
                       .client_ca_file = ours.ca_file()});
  add({"--ca", theirs.ca_file(), "--client-certificate", ours.certificate_file(), "--client-key",
       ours.key_file()});
  auto reader = client("reader");
  const auto feed = reader->open({.url = venue.url()}).feed;
  venue.publish_numbered(100, 300);
  Reading reading(*reader, feed);
  reading.until_number(100);
  // It goes on in another process, and when it is lost the next connection shows the certificate again.
  ASSERT_EQ(replace(), 0);
  venue.publish_numbered(100, 300);
  reading.until_number(200);
  EXPECT_EQ(venue.connections_ever(), 1u);
  venue.drop_all();
  testing::eventually([&] { return venue.connections_ever() == 2; });
}

TEST_F(Certificates, AnUpstreamThatWantsOneAndGetsNoneHasRefused) {
  const TestCertificates theirs;
  const TestCertificates ours;
  ScriptedVenue venue({.certificate_file = theirs.certificate_file(),
                       .key_file = theirs.key_file(),
                       .client_ca_file = ours.ca_file()});
  add({"--ca", theirs.ca_file()});
  auto reader = client("reader");
  EXPECT_EQ(testing::code_of([&] { reader->open({.url = venue.url()}); }), Errc::venue_refused);
  const std::string said = why([&] { reader->open({.url = venue.url()}); });
  EXPECT_NE(said.find("give --client-certificate FILE"), std::string::npos) << said;
  EXPECT_EQ(venue.connections_ever(), 0u);
}

}  // namespace
}  // namespace feedbench::local
