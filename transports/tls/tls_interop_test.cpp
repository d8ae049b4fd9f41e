// The session against OpenSSL as others use it: raw SSL objects of older versions, and the openssl
// program over a real socket with certificates of scripts/make-ca.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "transports/tls/openssl_handles.hpp"
#include "transports/tls/testing/session_pair.hpp"
#include "transports/tls/tls_session.hpp"

namespace feedbench::tls {
namespace {

using testing::pattern;
using testing::TestCertificates;

/// A plain OpenSSL endpoint with memory BIOs, held to one version.
class RawPeer {
 public:
  RawPeer(bool is_client, int version, const TestCertificates& certificates)
      : context_(SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method())) {
    // Versions below 1.2 are only to be had at security level 0.
    SSL_CTX_set_cipher_list(context_.get(), "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    if (!is_client) {
      SSL_CTX_use_certificate_chain_file(context_.get(), certificates.certificate_file().c_str());
      SSL_CTX_use_PrivateKey_file(context_.get(), certificates.key_file().c_str(),
                                  SSL_FILETYPE_PEM);
    }
    ssl_.reset(SSL_new(context_.get()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    if (is_client) {
      SSL_set_connect_state(ssl_.get());
    } else {
      SSL_set_accept_state(ssl_.get());
    }
  }

  SSL* ssl() { return ssl_.get(); }
  bool established() { return SSL_is_init_finished(ssl_.get()) == 1; }

  /// Carries bytes both ways until both are silent. False if the session failed.
  bool exchange(TlsSession& session, std::vector<std::byte>& plain) {
    for (bool moved = true; moved;) {
      moved = false;
      for (auto output = session.output(); !output.empty(); output = session.output()) {
        BIO_write(SSL_get_rbio(ssl_.get()), output.data(), static_cast<int>(output.size()));
        session.consume_output(output.size());
        moved = true;
      }
      if (!established()) SSL_do_handshake(ssl_.get());
      ERR_clear_error();
      std::array<std::byte, 4096> wire{};
      for (int got = 0; (got = BIO_read(SSL_get_wbio(ssl_.get()), wire.data(),
                                        static_cast<int>(wire.size()))) > 0;) {
        moved = true;
        if (session.feed(std::span(wire).first(static_cast<std::size_t>(got))) == TlsStatus::failed)
          return false;
        std::array<std::byte, 1000> space{};
        TlsRead read;
        do {
          read = session.read(space);
          plain.insert(plain.end(), space.begin(),
                       space.begin() + static_cast<std::ptrdiff_t>(read.bytes));
        } while (read.status == TlsStatus::ok);
        if (read.status == TlsStatus::failed) return false;
      }
    }
    return true;
  }

 private:
  std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>> context_;
  SslHandle ssl_;
};

TlsSession session_of(const transports::Expected<TlsContext>& context) {
  if (!context) throw std::runtime_error(context.error().message);
  auto session = context->new_session();
  if (!session) throw std::runtime_error(session.error().message);
  return std::move(*session);
}

TEST(TlsInterop, Tls12StillWorksBothWays) {
  const TestCertificates certificates;
  RawPeer server(false, TLS1_2_VERSION, certificates);
  TlsSession client = session_of(
      TlsContext::client({.server_name = "localhost", .ca_file = certificates.ca_file()}));
  std::vector<std::byte> plain;
  client.start();
  ASSERT_TRUE(server.exchange(client, plain)) << client.error();
  ASSERT_TRUE(client.established());
  EXPECT_EQ(client.protocol().substr(0, 7), "TLSv1.2");
  const auto sent = pattern(50'000);
  ASSERT_EQ(SSL_write(server.ssl(), sent.data(), static_cast<int>(sent.size())),
            static_cast<int>(sent.size()));
  ASSERT_TRUE(server.exchange(client, plain));
  EXPECT_EQ(plain, sent);
  EXPECT_EQ(client.update_keys(), TlsStatus::failed) << "TLS 1.2 has no key update";
  EXPECT_TRUE(client.error().empty());
  EXPECT_EQ(client.write(sent).bytes, sent.size());
}

TEST(TlsInterop, AServerOfTls11IsRefused) {
  const TestCertificates certificates;
  RawPeer server(false, TLS1_1_VERSION, certificates);
  TlsSession client = session_of(
      TlsContext::client({.server_name = "localhost", .ca_file = certificates.ca_file()}));
  std::vector<std::byte> plain;
  client.start();
  EXPECT_FALSE(server.exchange(client, plain));
  EXPECT_FALSE(client.established());
  EXPECT_FALSE(client.refused_certificate());
  EXPECT_NE(client.error().find("TLS 1.2 or newer"), std::string::npos) << client.error();
}

TEST(TlsInterop, AClientOfTls11IsRefused) {
  const TestCertificates certificates;
  RawPeer client(true, TLS1_1_VERSION, certificates);
  TlsSession server = session_of(TlsContext::server(
      {.certificate_file = certificates.certificate_file(), .key_file = certificates.key_file()}));
  SSL_do_handshake(client.ssl());
  std::vector<std::byte> plain;
  EXPECT_FALSE(client.exchange(server, plain));
  EXPECT_FALSE(server.established());
  EXPECT_NE(server.error().find("TLS 1.2 or newer"), std::string::npos) << server.error();
}

TEST(TlsInterop, TheServerIsToldTheNameAndNoNameForAnAddress) {
  const TestCertificates certificates;
  for (const std::string name : {"localhost", "127.0.0.1"}) {
    RawPeer server(false, TLS1_3_VERSION, certificates);
    TlsSession client =
        session_of(TlsContext::client({.server_name = name, .ca_file = certificates.ca_file()}));
    std::vector<std::byte> plain;
    client.start();
    ASSERT_TRUE(server.exchange(client, plain)) << client.error();
    const char* told = SSL_get_servername(server.ssl(), TLSEXT_NAMETYPE_host_name);
    EXPECT_EQ(told == nullptr ? "" : std::string(told), name == "localhost" ? "localhost" : "");
  }
}

/// `openssl s_server -rev` (it answers each line reversed) on a free port of 127.0.0.1.
class OpensslServer {
 public:
  explicit OpensslServer(const std::string& directory) {
    int out[2];
    if (::pipe2(out, O_CLOEXEC) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::dup2(out[1], STDOUT_FILENO);
      if (const int nowhere = ::open("/dev/null", O_WRONLY); nowhere >= 0)
        ::dup2(nowhere, STDERR_FILENO);
      const std::string certificate = directory + "/server.pem";
      const std::string key = directory + "/server.key";
      ::execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert",
               certificate.c_str(), "-key", key.c_str(), "-rev", "-naccept", "1", nullptr);
      ::_exit(127);
    }
    ::close(out[1]);
    // It says "ACCEPT 127.0.0.1:40123" once it listens.
    std::string text;
    char letter = 0;
    while (::read(out[0], &letter, 1) == 1) {
      text += letter;
      const std::size_t at = text.find("ACCEPT 127.0.0.1:");
      if (letter == '\n' && at != std::string::npos) {
        port_ = std::atoi(text.c_str() + at + 17);
        break;
      }
    }
    output_ = out[0];
  }
  ~OpensslServer() {
    if (output_ >= 0) ::close(output_);
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
  }
  OpensslServer(const OpensslServer&) = delete;
  OpensslServer& operator=(const OpensslServer&) = delete;

  [[nodiscard]] int connect() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }
  [[nodiscard]] int port() const { return port_; }

 private:
  pid_t child_ = -1;
  int output_ = -1;
  int port_ = 0;
};

void send_output(TlsSession& session, int fd) {
  for (auto output = session.output(); !output.empty(); output = session.output()) {
    const ssize_t sent = ::send(fd, output.data(), output.size(), MSG_NOSIGNAL);
    ASSERT_GT(sent, 0);
    session.consume_output(static_cast<std::size_t>(sent));
  }
}

TEST(TlsInterop, SpeaksWithTheOpensslProgramUnderACertificateOfMakeCa) {
  const char* source = std::getenv("FEEDBENCH_SOURCE");
  if (source == nullptr) GTEST_SKIP() << "FEEDBENCH_SOURCE is not set: run by ctest";
  if (std::system("command -v openssl >/dev/null") != 0)
    GTEST_SKIP() << "the openssl program is not installed";
  std::string directory = (std::filesystem::temp_directory_path() / "tls_interop_XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string make = std::string(source) + "/scripts/make-ca " + directory + " >/dev/null";
  ASSERT_EQ(std::system(make.c_str()), 0);
  for (const char* key : {"/ca.key", "/server.key"}) {
    const auto mode = std::filesystem::status(directory + key).permissions();
    EXPECT_EQ(mode, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  }
  {
    const OpensslServer server(directory);
    ASSERT_NE(server.port(), 0);
    TlsSession client = session_of(
        TlsContext::client({.server_name = "127.0.0.1", .ca_file = directory + "/ca.pem"}));
    const int fd = server.connect();
    ASSERT_EQ(client.start(), TlsStatus::want_input);
    send_output(client, fd);
    std::string answer;
    bool asked = false;
    std::array<std::byte, 4096> wire{};
    std::array<char, 256> space{};
    while (answer.find('\n') == std::string::npos) {
      const ssize_t got = ::recv(fd, wire.data(), wire.size(), 0);
      ASSERT_GT(got, 0) << client.error();
      ASSERT_NE(client.feed(std::span(wire).first(static_cast<std::size_t>(got))),
                TlsStatus::failed)
          << client.error();
      TlsRead read;
      do {
        read = client.read(std::as_writable_bytes(std::span(space)));
        answer.append(space.data(), read.bytes);
      } while (read.status == TlsStatus::ok);
      ASSERT_EQ(read.status, TlsStatus::want_input) << client.error();
      if (client.established() && !asked) {
        const std::string_view line = "stream of quotes\n";
        ASSERT_EQ(client.write(std::as_bytes(std::span(line))).bytes, line.size());
        asked = true;
      }
      send_output(client, fd);
    }
    EXPECT_EQ(answer, "setouq fo maerts\n");
    EXPECT_EQ(client.close(), TlsStatus::ok);
    send_output(client, fd);
    ::close(fd);
  }
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace feedbench::tls
