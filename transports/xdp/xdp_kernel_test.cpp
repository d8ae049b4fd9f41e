// The stack against the kernel's TCP over a veth pair, in both roles, while the path between them
// loses, duplicates and reorders. Sizes: FEEDBENCH_XDP_TEST_MIB, megabytes each way (default 16;
// 1024 to be thorough).
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "transports/testing/raw_socket.hpp"
#include "transports/xdp/testing/fault_device.hpp"
#include "transports/xdp/testing/veth_xdp.hpp"

namespace feedbench::transports::xdp::testing {
namespace {

using transports::testing::RawSocket;

std::uint64_t stream_bytes() {
  const char* const asked = std::getenv("FEEDBENCH_XDP_TEST_MIB");
  return (asked != nullptr ? std::strtoull(asked, nullptr, 10) : 16) << 20;
}

/// The endless stream of one direction: eight bytes at a time, each a hash of its place.
class Stream {
 public:
  explicit Stream(std::uint64_t salt) : salt_(salt) {}
  void fill(std::uint64_t at, std::span<std::byte> into) const {
    for (std::size_t i = 0; i < into.size();) {
      const std::uint64_t word = word_at((at + i) / 8);
      const std::size_t skip = (at + i) % 8;
      const std::size_t bytes = std::min(8 - skip, into.size() - i);
      std::memcpy(into.data() + i, reinterpret_cast<const char*>(&word) + skip, bytes);
      i += bytes;
    }
  }
  [[nodiscard]] bool is_at(std::uint64_t at, std::span<const std::byte> bytes) const {
    std::vector<std::byte> expected(bytes.size());
    fill(at, expected);
    return std::memcmp(expected.data(), bytes.data(), bytes.size()) == 0;
  }

 private:
  [[nodiscard]] std::uint64_t word_at(std::uint64_t index) const {
    std::uint64_t z = (index + salt_) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::uint64_t salt_;
};

/// Both directions of one connection, seen from the stack.
struct Exchange {
  XdpTransport& transport;
  std::uint64_t total;
  Stream up{1};    // the stack sends
  Stream down{2};  // the kernel sends
  std::vector<std::byte> chunk = std::vector<std::byte>(128 * 1024);
  Conn conn{};
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  bool wrong = false;
  bool closed = false;
  CloseInfo close{};

  void send_more() {
    while (sent < total) {
      const auto bytes = std::min<std::uint64_t>(chunk.size(), total - sent);
      up.fill(sent, std::span(chunk).first(bytes));
      const ConstRange range{chunk.data(), bytes};
      const SendStatus status = transport.send(conn, {&range, 1});
      if (status == SendStatus::closed) return;
      sent += bytes;
      if (status == SendStatus::pending) return;
    }
  }
  void on_open(Conn opened, bool) {
    conn = opened;
    send_more();
  }
  void on_receive(Conn, std::span<std::byte> bytes, const RxStamps&) {
    wrong |= !down.is_at(received, bytes);
    received += bytes.size();
  }
  void on_sent(Conn, std::size_t) { send_more(); }
  void on_close(Conn, CloseInfo info) {
    closed = true;
    close = info;
  }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

/// The kernel's end, on a socket that does not wait.
struct KernelEnd {
  RawSocket socket;
  std::uint64_t total;
  Stream up{1};
  Stream down{2};
  std::vector<std::byte> out = std::vector<std::byte>(64 * 1024);
  std::vector<std::byte> in = std::vector<std::byte>(256 * 1024);
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  bool wrong = false;

  void go_on() {
    if (sent < total) {
      const auto bytes = std::min<std::uint64_t>(out.size(), total - sent);
      down.fill(sent, std::span(out).first(bytes));
      const ssize_t n = socket.send(std::span(out).first(bytes));
      if (n > 0) sent += static_cast<std::uint64_t>(n);
    }
    const ssize_t n = socket.receive(in);
    if (n <= 0) return;
    const auto bytes = static_cast<std::size_t>(n);
    wrong |= !up.is_at(received, std::span(in).first(bytes));
    received += bytes;
  }
};

struct Case {
  const char* name;
  bool stack_connects;
  Wait wait;
  FaultRates rates;
};

class XdpAgainstTheKernel : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (!VethXdp::why_not().empty()) GTEST_SKIP() << VethXdp::why_not();
    RawSocket::place() = VethXdp::place([this] { poll(); });
  }
  void TearDown() override { RawSocket::place() = {}; }

  void open(const Case& with, std::uint64_t seed) {
    const XdpOptions xdp = VethXdp::site_options();
    const VethSite::Visit here(VethSite::shared()->near());
    auto device = std::make_unique<FaultDevice>(open_device(xdp), with.rates, with.rates, seed);
    faults_ = device.get();
    TransportOptions options;
    options.wait = with.wait;
    transport_ = std::make_unique<XdpTransport>(options, xdp, std::move(device));
  }
  void poll() { transport_->poll(*exchange_, transport_->now() + 1'000'000); }

  FaultDevice* faults_ = nullptr;
  std::unique_ptr<XdpTransport> transport_;
  std::unique_ptr<Exchange> exchange_;
};

TEST_P(XdpAgainstTheKernel, BothDirectionsAreByteEqual) {
  const Case& with = GetParam();
  const std::uint64_t total = stream_bytes();
  constexpr std::uint64_t kSeed = 20'240'607;
  open(with, kSeed);
  exchange_ = std::make_unique<Exchange>(Exchange{*transport_, total});
  KernelEnd kernel{{}, total};
  if (with.stack_connects) {
    const RawSocket listener = RawSocket::listen();
    ASSERT_TRUE(transport_->connect(listener.endpoint(), {}).has_value());
    while (!exchange_->conn.valid() && !exchange_->closed) poll();
    ASSERT_FALSE(exchange_->closed) << "the connection was not opened";
    kernel.socket = listener.accept();
  } else {
    const auto endpoint = transport_->listen({VethSite::kStackAddress, 0}, {});
    ASSERT_TRUE(endpoint.has_value()) << endpoint.error().message;
    kernel.socket = RawSocket::connect(*endpoint);
  }
  // Gives up when nothing has moved for very long.
  constexpr std::int64_t kPatienceNs = 120'000'000'000;
  std::uint64_t moved = 0;
  MonotonicInstant moved_at = MonotonicInstant::now();
  while (kernel.received < total || exchange_->received < total) {
    poll();
    kernel.go_on();
    const std::uint64_t now_moved = kernel.received + exchange_->received;
    if (now_moved != moved) {
      moved = now_moved;
      moved_at = MonotonicInstant::now();
    }
    ASSERT_LT(MonotonicInstant::now() - moved_at, kPatienceNs)
        << "stands still: the stack received " << exchange_->received << ", the kernel "
        << kernel.received << " of " << total;
    ASSERT_FALSE(exchange_->closed) << to_string(exchange_->close.reason);
    ASSERT_FALSE(exchange_->wrong || kernel.wrong) << "wrong bytes, seed " << kSeed;
  }
  RecordProperty("frames_lost", std::to_string(faults_->lost));
  RecordProperty("frames_reordered", std::to_string(faults_->reordered));
  if (with.rates.lost > 0) {
    EXPECT_GT(faults_->lost, 0u);
    EXPECT_GT(faults_->duplicated, 0u);
    EXPECT_GT(faults_->reordered, 0u);
  }
  // The end arrives too, whatever becomes of its segments.
  kernel.socket.finish_sending();
  while (!exchange_->closed) {
    poll();
    ASSERT_LT(MonotonicInstant::now() - moved_at, kPatienceNs) << "the FIN did not arrive";
  }
  EXPECT_EQ(exchange_->close.reason, CloseReason::peer);
}

constexpr FaultRates kNone{};
constexpr FaultRates kBad{.lost = 0.01, .duplicated = 0.01, .reordered = 0.02};
INSTANTIATE_TEST_SUITE_P(Roles, XdpAgainstTheKernel,
                         ::testing::Values(Case{"AcceptsOverAGoodPath", false, Wait::spin, kNone},
                                           Case{"ConnectsOverAGoodPath", true, Wait::block, kNone},
                                           Case{"AcceptsOverABadPath", false, Wait::spin, kBad},
                                           Case{"AcceptsOverABadPathBlocking", false, Wait::block,
                                                kBad},
                                           Case{"ConnectsOverABadPath", true, Wait::spin, kBad}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace feedbench::transports::xdp::testing
