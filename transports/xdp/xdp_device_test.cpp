// The interface: what is refused and with which sentence, what is chosen, and that it is left as it
// was found.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "transports/testing/raw_socket.hpp"
#include "transports/xdp/testing/veth_xdp.hpp"

namespace feedbench::transports::xdp::testing {
namespace {

using transports::testing::RawSocket;

/// Runs a command in the near namespace. returns what it prints.
std::string run_near(const std::string& command) {
  const VethSite::Visit here(VethSite::shared()->near());
  const std::string line = "PATH=$PATH:/usr/sbin:/sbin " + command + " 2>&1";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(line.c_str(), "r"), ::pclose);
  std::string said;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), part.size(), pipe.get()) != nullptr) said += part.data();
  return said;
}

bool has_program() {
  return run_near(std::string("ip link show ") + VethSite::kNearInterface).find("prog/xdp") !=
         std::string::npos;
}

class XdpDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!VethXdp::why_not().empty()) GTEST_SKIP() << VethXdp::why_not();
  }

  /// The error of opening with these options; empty when it opens.
  static Error refusal(const XdpOptions& xdp) {
    try {
      const VethXdp opened(TransportOptions{}, xdp);
      return {};
    } catch (const Error& error) {
      return error;
    }
  }
};

struct Nothing {
  std::vector<Conn> open;
  void on_open(Conn conn, bool) { open.push_back(conn); }
  void on_receive(Conn, std::span<std::byte>, const RxStamps&) {}
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo) {}
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

#define EXPECT_SAYS(error, part) \
  EXPECT_NE((error).message.find(part), std::string::npos) << (error).message

TEST_F(XdpDevice, SaysHowItIsSetUp) {
  const VethXdp opened{TransportOptions{}};
  EXPECT_EQ(opened.mode().substr(0, 25), "native, copy, need_wakeup");
  EXPECT_NE(opened.mode().find("checksums not verified"), std::string::npos);
  EXPECT_NE(opened.mode().find("lwIP"), std::string::npos);
}

TEST_F(XdpDevice, ModesCanBeForced) {
  XdpOptions xdp = VethXdp::site_options();
  xdp.attach = XdpAttach::generic;
  xdp.copy = XdpCopy::copy;
  xdp.need_wakeup = false;
  {
    const VethXdp opened(TransportOptions{}, xdp);
    EXPECT_EQ(opened.mode().substr(0, 14), "generic, copy;");
  }
  xdp = VethXdp::site_options();
  xdp.copy = XdpCopy::zero_copy;
  const Error error = refusal(xdp);
  EXPECT_EQ(error.os_error, EOPNOTSUPP);
  EXPECT_SAYS(error, "copy: automatic or copy works");
}

TEST_F(XdpDevice, EachFaultIsOneSentenceThatSaysWhatToDo) {
  XdpOptions xdp;
  EXPECT_SAYS(refusal(xdp), "no interface is named");
  xdp = VethXdp::site_options();
  xdp.interface = "nothere0";
  EXPECT_SAYS(refusal(xdp), "there is no interface \"nothere0\"");
  xdp = VethXdp::site_options();
  xdp.address = "10.77.0.2";
  EXPECT_SAYS(refusal(xdp), "as in address: 10.0.0.2/24");
  xdp.address = "10.77.0.x/24";
  EXPECT_SAYS(refusal(xdp), "is not a numeric IPv4 address");
  for (const char* none :
       {"127.0.0.1/8", "0.0.0.0/24", "224.0.0.1/24", "10.77.0.0/24", "10.77.0.255/24"}) {
    xdp.address = none;
    EXPECT_SAYS(refusal(xdp), "is no host's address");
  }
  xdp = VethXdp::site_options();
  xdp.gateway = "10.78.0.1";
  EXPECT_SAYS(refusal(xdp), "is not in the network of 10.77.0.2/24");
  xdp.gateway = "10.77.0.99";
  xdp.gateway_wait_ms = 300;
  const Error silent = refusal(xdp);
  EXPECT_EQ(silent.os_error, EHOSTUNREACH);
  EXPECT_SAYS(silent, "the gateway 10.77.0.99 does not answer");
  xdp = VethXdp::site_options();
  xdp.queue = 7;
  EXPECT_SAYS(refusal(xdp), std::string("bind queue 7 on ") + VethSite::kNearInterface);
  xdp = VethXdp::site_options();
  xdp.frames = 1000;
  EXPECT_SAYS(refusal(xdp), "must be powers of two");
  EXPECT_TRUE(refusal(VethXdp::site_options()).message.empty()) << "and then it opens";
}

TEST_F(XdpDevice, AnInterfaceThatIsRemovedEndsTheTransportInWords) {
  run_near("ip link add gone0 type veth peer name gone1");
  run_near("ip link set dev gone0 up");
  XdpOptions xdp;
  xdp.interface = "gone0";
  xdp.address = "10.79.0.2/24";
  VethXdp transport(TransportOptions{.connections_max = 4}, xdp);
  Nothing handler;
  transport.poll(handler, transport.now() + 1'000'000);
  run_near("ip link del gone0");
  std::string said;
  for (int turns = 0; turns < 100 && said.empty(); ++turns) {
    try {
      transport.poll(handler, transport.now() + 100'000'000);
    } catch (const Error& error) {
      said = error.message;
    }
  }
  EXPECT_NE(said.find("the interface gone0 is gone"), std::string::npos) << said;
}

TEST_F(XdpDevice, AGatewayThatAnswersIsFound) {
  XdpOptions xdp = VethXdp::site_options();
  xdp.gateway = VethSite::kFarAddress;
  EXPECT_EQ(refusal(xdp).message, "");
}

TEST_F(XdpDevice, AnMtuThatDoesNotFitIsTold) {
  const std::string set = std::string("ip link set dev ") + VethSite::kNearInterface + " mtu ";
  run_near(set + "400");
  EXPECT_SAYS(refusal(VethXdp::site_options()), "TCP over IPv4 needs 576");
  run_near(set + "3000");
  EXPECT_SAYS(refusal(VethXdp::site_options()), "frame_bytes: 4096");
  run_near(set + "1500");
  EXPECT_EQ(refusal(VethXdp::site_options()).message, "");
}

TEST_F(XdpDevice, AnInterfaceThatIsDownIsTold) {
  const std::string set = std::string("ip link set dev ") + VethSite::kNearInterface;
  run_near(set + " down");
  EXPECT_SAYS(refusal(VethXdp::site_options()), "is down");
  run_near(set + " up");
  EXPECT_EQ(refusal(VethXdp::site_options()).message, "");
}

/// A process that has the interface open, until it is killed.
class Holder {
 public:
  Holder() {
    std::array<int, 2> pipe{};
    EXPECT_EQ(::pipe(pipe.data()), 0);
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      try {
        const VethXdp opened{TransportOptions{}};
        [[maybe_unused]] const ssize_t told = ::write(pipe[1], "r", 1);
        for (;;) ::pause();
      } catch (const Error&) {
      }
      ::_exit(1);
    }
    ::close(pipe[1]);
    char told = 0;
    EXPECT_EQ(::read(pipe[0], &told, 1), 1) << "it could not open the interface";
    ::close(pipe[0]);
  }
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
    child_ = -1;
  }
  ~Holder() { kill(); }

 private:
  pid_t child_ = -1;
};

TEST_F(XdpDevice, AnInterfaceThatIsTakenIsToldAndFreeAfterAKill) {
  EXPECT_FALSE(has_program());
  Holder other;
  EXPECT_TRUE(has_program());
  const Error error = refusal(VethXdp::site_options());
  EXPECT_EQ(error.os_error, EBUSY);
  EXPECT_SAYS(error, "another XDP program is on this interface");
  other.kill();
  // The kernel lets go a moment later.
  for (int i = 0; i < 1000 && has_program(); ++i) ::usleep(10'000);
  EXPECT_FALSE(has_program()) << "left behind by a process that was killed";
  EXPECT_EQ(refusal(VethXdp::site_options()).message, "") << "the queue is free too";
}

TEST_F(XdpDevice, AFewKicksSendToEveryConnection) {
  constexpr std::size_t kConnections = 128;
  VethXdp transport{TransportOptions{}};
  Nothing handler;
  RawSocket::place() =
      VethXdp::place([&] { transport.poll(handler, MonotonicInstant::now() + 1'000'000); });
  const auto endpoint = transport.listen({}, {});
  ASSERT_TRUE(endpoint.has_value());
  std::vector<RawSocket> peers;
  for (std::size_t i = 0; i < kConnections; ++i) peers.push_back(RawSocket::connect(*endpoint));
  for (int i = 0; i < 1000 && handler.open.size() < kConnections; ++i) {
    transport.poll(handler, MonotonicInstant::now() + 1'000'000);
  }
  ASSERT_EQ(handler.open.size(), kConnections);
  for (int i = 0; i < 50; ++i) transport.poll(handler, MonotonicInstant::now() + 1'000'000);
  const std::array<std::byte, 128> message{};
  const ConstRange range{message.data(), message.size()};
  const std::uint64_t kicks = transport.xdp_counters().kicks;
  const std::uint64_t frames = transport.xdp_counters().frames_sent;
  for (const Conn conn : handler.open) {
    EXPECT_EQ(transport.send(conn, {&range, 1}), SendStatus::pending);
  }
  EXPECT_EQ(transport.xdp_counters().kicks, kicks) << "before poll() nothing leaves";
  transport.poll(handler, MonotonicInstant{0});
  EXPECT_EQ(transport.xdp_counters().frames_sent - frames, kConnections);
  EXPECT_LE(transport.xdp_counters().kicks - kicks, kConnections / XdpOptions{}.kick_batch + 1);
  RecordProperty("kicks", std::to_string(transport.xdp_counters().kicks - kicks));
  for (const RawSocket& peer : peers) {
    std::array<std::byte, 256> got{};
    ssize_t n = -1;
    for (int i = 0; i < 10'000 && n < 0; ++i) {
      n = peer.receive(got);
      if (n < 0) transport.poll(handler, MonotonicInstant::now() + 100'000);
    }
    ASSERT_EQ(n, 128);
  }
  RawSocket::place() = {};
}

}  // namespace
}  // namespace feedbench::transports::xdp::testing
