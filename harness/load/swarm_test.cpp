#include "harness/load/swarm.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "reference/websocket/handshake.hpp"

namespace feedbench::load {
namespace {

using mock_exchange::PreparedSession;
using transports::TscInstant;
using Bytes = std::vector<std::byte>;

// A server that sends each of its clients one fixed byte string and closes: what a broken proxy would do.
class ScriptedServer {
 public:
  ScriptedServer(Bytes script, std::size_t piece, std::uint32_t clients, bool websocket)
      : script_(std::move(script)), piece_(piece), websocket_(websocket) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    socklen_t size = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this, clients] {
      std::vector<int> open;
      for (std::uint32_t i = 0; i < clients; ++i)
        open.push_back(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
      for (const int fd : open) serve(fd);
    });
  }
  ~ScriptedServer() {
    thread_.join();
    ::close(listener_);
  }
  [[nodiscard]] transports::Endpoint endpoint() const { return {"127.0.0.1", port_}; }

 private:
  void serve(int fd) {
    if (websocket_) {
      websocket::ServerHandshake handshake;
      std::byte in[2048];
      while (true) {
        const ssize_t n = ::read(fd, in, sizeof in);
        if (n <= 0) break;
        if (handshake.feed({in, static_cast<std::size_t>(n)}).status !=
            websocket::HandshakeStatus::need_more)
          break;
      }
      // The answer and the first frames in one write: nothing behind the head may be lost.
      const std::string answer = handshake.accept();
      const auto* bytes = reinterpret_cast<const std::byte*>(answer.data());
      script_.insert(script_.begin(), bytes, bytes + answer.size());
    }
    for (std::size_t at = 0; at < script_.size(); at += piece_) {
      const std::size_t n = std::min(piece_, script_.size() - at);
      if (::send(fd, script_.data() + at, n, MSG_NOSIGNAL) < 0) break;
    }
    ::shutdown(fd, SHUT_WR);
    char rest = 0;
    while (::read(fd, &rest, 1) > 0) {
    }
    ::close(fd);
  }

  Bytes script_;
  std::size_t piece_;
  bool websocket_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

Bytes frames(const PreparedSession& session, const std::vector<std::size_t>& order) {
  Bytes out;
  for (const std::size_t i : order) {
    const auto frame = session.wire(i % session.frame_count());
    out.insert(out.end(), frame.begin(), frame.end());
  }
  return out;
}

std::vector<std::size_t> count_to(std::size_t n) {
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(i);
  return out;
}

struct Outcome {
  std::unique_ptr<Swarm> swarm;
  std::uint64_t delivered = 0;
};

Outcome run_against(const Bytes& script, const std::shared_ptr<const PreparedSession>& session,
                    ClientKind kind, std::uint32_t clients = 1, std::size_t piece = 1000) {
  ScriptedServer server(script, piece, clients, kind == ClientKind::websocket);
  Outcome out;
  SwarmOptions options;
  options.kind = kind;
  options.clients_max = clients;
  out.swarm = std::make_unique<Swarm>(session, options);
  EXPECT_TRUE(out.swarm->connect(server.endpoint(), clients));
  while (out.swarm->closed() < clients) {
    out.swarm->poll([&](std::uint32_t, std::uint64_t first, std::uint64_t last, TscInstant) {
      out.delivered += last - first;
    });
  }
  return out;
}

TEST(Swarm, ReceivesEverythingFromAServerThatIsRight) {
  const auto session = mock_exchange::synthetic_session(100, 64, 3);
  for (const ClientKind kind : {ClientKind::tcp, ClientKind::websocket}) {
    const Outcome out = run_against(frames(*session, count_to(500)), session, kind);
    EXPECT_EQ(out.delivered, 500U);
    EXPECT_EQ(out.swarm->checker().frames_verified(), 500U);
    EXPECT_TRUE(out.swarm->checker().mismatches().empty());
  }
}

TEST(Swarm, ChecksEachOfManyClients) {
  const auto session = mock_exchange::synthetic_session(100, 64, 3);
  const Outcome out = run_against(frames(*session, count_to(300)), session, ClientKind::tcp, 16);
  EXPECT_EQ(out.delivered, 16U * 300U);
}

class BadServer : public ::testing::TestWithParam<ClientKind> {
 protected:
  std::shared_ptr<const PreparedSession> session_ = mock_exchange::synthetic_session(100, 64, 3);
  const Mismatch run(const Bytes& script) {
    const Outcome out = run_against(script, session_, GetParam());
    EXPECT_EQ(out.swarm->checker().mismatches().size(), 1U);
    return out.swarm->checker().mismatches().empty() ? Mismatch{}
                                                     : out.swarm->checker().mismatches()[0];
  }
};

TEST_P(BadServer, ThatDropsOneFrameIsCaught) {
  auto order = count_to(200);
  order.erase(order.begin() + 77);
  const Mismatch m = run(frames(*session_, order));
  EXPECT_EQ(m.kind, MismatchKind::lost);
  EXPECT_EQ(m.sequence, 77U);
}

TEST_P(BadServer, ThatRepeatsOneFrameIsCaught) {
  auto order = count_to(200);
  order.insert(order.begin() + 77, 76);
  const Mismatch m = run(frames(*session_, order));
  EXPECT_EQ(m.kind, MismatchKind::duplicate);
  EXPECT_EQ(m.sequence, 77U);
}

TEST_P(BadServer, ThatExchangesTwoFramesIsCaught) {
  auto order = count_to(200);
  std::swap(order[77], order[78]);
  const Mismatch m = run(frames(*session_, order));
  EXPECT_EQ(m.kind, MismatchKind::reordered);
  EXPECT_EQ(m.sequence, 77U);
}

TEST_P(BadServer, ThatAltersOneByteIsCaught) {
  Bytes script = frames(*session_, count_to(200));
  script[session_->position_of(77) + 50] ^= std::byte{0x20};
  const Mismatch m = run(script);
  EXPECT_EQ(m.kind, MismatchKind::altered);
  EXPECT_EQ(m.sequence, 77U);
}

TEST_P(BadServer, ThatDropsTheLastFrameIsSeenByTheCount) {
  const Outcome out = run_against(frames(*session_, count_to(199)), session_, GetParam());
  EXPECT_EQ(out.swarm->checker().frames(0), 199U);
}

INSTANTIATE_TEST_SUITE_P(BothKinds, BadServer,
                         ::testing::Values(ClientKind::tcp, ClientKind::websocket),
                         [](const auto& each) {
                           return each.param == ClientKind::tcp ? "Tcp" : "WebSocket";
                         });

TEST(Swarm, SaysWhyAConnectionDidNotComeUp) {
  const auto session = mock_exchange::synthetic_session(100, 4, 3);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  SwarmOptions options;
  Swarm swarm(session, options);
  ASSERT_TRUE(
      swarm.connect({"127.0.0.1", ntohs(address.sin_port)}, 1));  // bound, but nobody listens
  while (swarm.closed() == 0)
    swarm.poll([](std::uint32_t, std::uint64_t, std::uint64_t, TscInstant) {});
  EXPECT_THAT(swarm.first_failure(),
              ::testing::HasSubstr("client 0: the connection ended: connection refused"));
  ::close(listener);
}

}  // namespace
}  // namespace feedbench::load
