// Counts what the proxy does for each message once it is warm: no allocation, no copy in user space. The programs' own
// classes on a real transport, over real sockets; the venue and the clients are this test, reading and writing by hand.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "reference/proxy/proxy.hpp"
#include "reference/websocket/build_frame.hpp"
#include "transports/epoll/epoll_transport.hpp"
#include "transports/io_uring/io_uring_transport.hpp"
#include "transports/select/select_transport.hpp"

namespace {

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> copies{0};
constexpr std::size_t kCopyBytes = 256;  // a message is larger; headers and addresses are smaller

void* allocate(std::size_t bytes) {
  if (counting) ++allocations;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

// The linker sends every memcpy and memmove of this binary here (--wrap).
extern "C" {
void* __real_memcpy(void*, const void*, std::size_t);
void* __real_memmove(void*, const void*, std::size_t);
void* __wrap_memcpy(void* to, const void* from, std::size_t bytes) {
  if (counting && bytes >= kCopyBytes) ++copies;
  return __real_memcpy(to, from, bytes);
}
void* __wrap_memmove(void* to, const void* from, std::size_t bytes) {
  if (counting && bytes >= kCopyBytes) ++copies;
  return __real_memmove(to, from, bytes);
}
}

namespace feedbench::proxy {
namespace {

using websocket::Opcode;

int connect_to(const transports::Endpoint& endpoint) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  ::inet_pton(AF_INET, endpoint.address.c_str(), &address.sin_addr);
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string frame(std::size_t payload_bytes, char fill) {
  const std::string payload(payload_bytes, fill);
  std::string out(websocket::kHeaderBytesMax + payload_bytes, '\0');
  out.resize(websocket::build_server_frame(std::as_writable_bytes(std::span(out)), Opcode::text,
                                           websocket::as_bytes(payload)));
  return out;
}

/// The proxy under test, its venue and its clients, all turned by hand.
template <class T>
class Rig {
 public:
  static constexpr int kClients = 4;

  explicit Rig(bool stamps) {
    venue_listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(::bind(venue_listener_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(::listen(venue_listener_, 1), 0);
    ::getsockname(venue_listener_, reinterpret_cast<sockaddr*>(&address), &length);

    config_.wait = transports::Wait::spin;
    config_.stamps = stamps;
    config_.ring_bytes = 1 << 20;
    config_.client_lag_max_bytes = 1 << 19;
    config_.message_max_bytes = 1 << 17;
    config_.clients_max = 64;
    upstream::LinkOptions link;
    link.url = {false, "127.0.0.1", ntohs(address.sin_port), "/"};
    link.nic_stamps = stamps;
    parts_.emplace(1,
                   std::move(*rings::FeedLogWriter::create(
                       {.ring_bytes = config_.ring_bytes, .index_lines = 4096})),
                   link);
    parts_->ingest.message_max_bytes = config_.message_max_bytes;
    parts_->ingest.stamps = stamps;
    transport_.emplace(
        transports::TransportOptions{.wait = transports::Wait::spin, .connections_max = 65});
    proxy_.emplace(*transport_, ProxyParts{config_, status_, &*parts_});
    endpoint_ = *transport_->listen({"127.0.0.1", 0}, {});
    proxy_->start();
    open_venue();
    for (int& client : clients_) client = open_client();
  }
  ~Rig() {
    for (const int client : clients_) ::close(client);
    ::close(venue_);
    ::close(venue_listener_);
  }

  /// The venue goes away; returns when the proxy knows.
  void lose_venue() {
    ::shutdown(venue_, SHUT_RDWR);
    while (parts_->log.stats().upstream_losses.value() == 0) proxy_->turn();
  }
  [[nodiscard]] transports::MonotonicInstant next_due() const { return proxy_->next_due(); }
  [[nodiscard]] transports::MonotonicInstant now() const { return transport_->now(); }

  /// Sends one message from the venue and takes it at every client.
  void relay(const std::string& wire) {
    ASSERT_EQ(::send(venue_, wire.data(), wire.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(wire.size()));
    for (const int client : clients_) {
      std::size_t got = 0;
      while (got < wire.size()) {
        proxy_->turn();
        const ssize_t n = ::recv(client, inbox_.data() + got, wire.size() - got, MSG_DONTWAIT);
        if (n > 0) got += static_cast<std::size_t>(n);
      }
      ASSERT_EQ(std::memcmp(inbox_.data(), wire.data(), wire.size()), 0);
    }
  }

 private:
  void open_venue() {
    pollfd waiting{venue_listener_, POLLIN, 0};
    while (::poll(&waiting, 1, 0) == 0) proxy_->turn();
    venue_ = ::accept4(venue_listener_, nullptr, nullptr, SOCK_CLOEXEC);
    websocket::ServerHandshake handshake;
    const std::string request = read_head(venue_);
    EXPECT_EQ(handshake.feed(websocket::as_bytes(request)).status,
              websocket::HandshakeStatus::done);
    const std::string answer = handshake.accept();
    EXPECT_EQ(::send(venue_, answer.data(), answer.size(), 0), static_cast<ssize_t>(answer.size()));
  }
  int open_client() {
    const int fd = connect_to(endpoint_);
    const auto handshake =
        *websocket::ClientHandshake::create({.host = "x", .subprotocols = {}, .headers = {}});
    EXPECT_GT(::send(fd, handshake.request().data(), handshake.request().size(), 0), 0);
    EXPECT_TRUE(read_head(fd).starts_with("HTTP/1.1 101"));
    return fd;
  }
  std::string read_head(int fd) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      proxy_->turn();
      char byte = 0;
      if (::recv(fd, &byte, 1, MSG_DONTWAIT) == 1) head += byte;
    }
    return head;
  }

  ProxyConfig config_;
  program::StatusLines status_;
  std::optional<upstream::FeedParts> parts_;
  std::optional<T> transport_;
  std::optional<Proxy<T>> proxy_;
  transports::Endpoint endpoint_;
  int venue_listener_ = -1;
  int venue_ = -1;
  std::array<int, kClients> clients_{};
  std::vector<char> inbox_ = std::vector<char>(1 << 17);
};

TEST(ProxyLife, ALossFoundWhilePollingIsRetriedWhenItWasAnnounced) {
  spdlog::set_level(spdlog::level::err);
  Rig<transports::EpollTransport> rig(true);
  rig.lose_venue();
  // The housekeeping of every half second is not what it waits for.
  EXPECT_LE(rig.next_due().ns, rig.now().ns + upstream::LinkOptions{}.backoff_first_ns);
}

TEST(HotPathCounters, SeeAnAllocationAndACopy) {
  std::vector<char> from(1000, 'x');
  allocations = copies = 0;
  counting = true;
  std::vector<char>* made = new std::vector<char>(from);
  volatile std::size_t bytes = 500;
  std::memcpy(made->data(), from.data(), bytes);
  counting = false;
  EXPECT_GE(allocations, 2u);
  EXPECT_GE(copies, 1u);
  delete made;
}

template <class T>
class ProxyHotPath : public ::testing::Test {};
using Transports = ::testing::Types<transports::SelectTransport, transports::EpollTransport,
                                    transports::IoUringTransport>;
TYPED_TEST_SUITE(ProxyHotPath, Transports);

TYPED_TEST(ProxyHotPath, AllocatesNothingAndCopiesNothingPerMessageOnceWarm) {
  spdlog::set_level(spdlog::level::err);
  for (const bool stamps : {true, false}) {
    Rig<TypeParam> rig(stamps);
    const std::string small = frame(300, 's');
    const std::string large = frame(20'000, 'l');
    for (int i = 0; i < 200; ++i) {
      ASSERT_NO_FATAL_FAILURE(rig.relay(small));
      ASSERT_NO_FATAL_FAILURE(rig.relay(large));
    }
    allocations = copies = 0;
    counting = true;
    for (int i = 0; i < 500; ++i) {
      ASSERT_NO_FATAL_FAILURE(rig.relay(small));
      ASSERT_NO_FATAL_FAILURE(rig.relay(large));
    }
    counting = false;
    EXPECT_EQ(allocations, 0u) << "stamps " << stamps;
    EXPECT_EQ(copies, 0u) << "stamps " << stamps;
  }
}

}  // namespace
}  // namespace feedbench::proxy
