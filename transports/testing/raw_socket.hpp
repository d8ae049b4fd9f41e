#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "transports/sim/network.hpp"
#include "transports/testing/peer_layer.hpp"
#include "transports/transport.hpp"

namespace feedbench::transports::testing {

/// A plain socket, the foreign peer of a transport under test: blocking to connect, then non-blocking. On a simulated
/// network an end of it that does the same. With a layer (TLS), what is sent and received is what the layer carries.
class RawSocket {
 public:
  /// Where sockets are made, for transports that the kernel's loopback does not reach.
  struct Place {
    int name_space = -1;  ///< Network namespace of the sockets; -1: where the thread is.
    std::string address = "127.0.0.1";  ///< Where they listen.
    /// What a transport needs that does nothing unless it is polled: called while connect() waits.
    std::function<void()> poll;
    sim::Network* simulated = nullptr;  ///< Sockets are ends of this network.
    /// What sockets speak over their bytes; is_client: of one that connects. Needs poll.
    std::function<std::unique_ptr<PeerLayer>(bool is_client)> layer = {};
  };
  static Place& place() {
    static Place here;
    return here;
  }

  RawSocket() = default;
  explicit RawSocket(int descriptor) : descriptor_(descriptor) {}
  RawSocket(RawSocket&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        end_(std::exchange(other.end_, {})),
        listens_(std::exchange(other.listens_, {})),
        layer_(std::move(other.layer_)),
        refused_with_(other.refused_with_) {}
  RawSocket& operator=(RawSocket&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    std::swap(end_, other.end_);
    std::swap(listens_, other.listens_);
    std::swap(layer_, other.layer_);
    std::swap(refused_with_, other.refused_with_);
    return *this;
  }
  ~RawSocket() { close(); }

  /// receive_buffer_bytes: 0 keeps the default. errors: throws std::system_error.
  static RawSocket connect(const Endpoint& endpoint, int receive_buffer_bytes = 0) {
    RawSocket made = network() != nullptr ? connect_simulated(endpoint, receive_buffer_bytes)
                                          : connect_plain(endpoint, receive_buffer_bytes);
    made.add_layer(true);
    return made;
  }
  static RawSocket connect_plain(const Endpoint& endpoint, int receive_buffer_bytes) {
    RawSocket made = open(receive_buffer_bytes);
    sockaddr_in address = address_of(endpoint);
    if (place().poll) require(::fcntl(made.descriptor_, F_SETFL, O_NONBLOCK), "fcntl");
    const int result =
        ::connect(made.descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    if (result != 0 && place().poll && errno == EINPROGRESS) {
      made.wait_for_connection();
    } else {
      require(result, "connect");
    }
    const int on = 1;
    ::setsockopt(made.descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    require(::fcntl(made.descriptor_, F_SETFL, O_NONBLOCK), "fcntl");
    return made;
  }

  static RawSocket listen(int receive_buffer_bytes = 0) {
    if (network() != nullptr) {
      RawSocket made;
      made.listens_ = *network()->listen("listen", {place().address, 0}, nullptr,
                                         {.receive_buffer_bytes = receive_buffer_bytes});
      return made;
    }
    RawSocket made = open(receive_buffer_bytes);
    sockaddr_in address = address_of({place().address, 0});
    require(::bind(made.descriptor_, reinterpret_cast<sockaddr*>(&address), sizeof(address)),
            "bind");
    require(::listen(made.descriptor_, 64), "listen");
    return made;
  }
  /// What it has sent and the other end has not acknowledged.
  [[nodiscard]] std::uint32_t segments_unacknowledged() const {
    if (end_.valid()) return network()->unacknowledged(end_) ? 1 : 0;
    tcp_info info{};
    socklen_t bytes = sizeof(info);
    require(::getsockopt(descriptor_, IPPROTO_TCP, TCP_INFO, &info, &bytes), "TCP_INFO");
    return info.tcpi_unacked;
  }
  [[nodiscard]] Endpoint endpoint() const {
    if (network() != nullptr) return listens_;
    sockaddr_in address{};
    socklen_t bytes = sizeof(address);
    require(::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&address), &bytes), "name");
    return {place().address, ntohs(address.sin_port)};
  }
  /// Waits for a connection.
  [[nodiscard]] RawSocket accept() const {
    RawSocket made = accept_plain();
    made.add_layer(false);
    return made;
  }
  [[nodiscard]] RawSocket accept_plain() const {
    if (network() != nullptr) {
      RawSocket made;
      while (!(made.end_ = network()->accept(listens_)).valid()) place().poll();
      return made;
    }
    const int descriptor = ::accept4(descriptor_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    require(descriptor < 0 ? -1 : 0, "accept");
    return RawSocket(descriptor);
  }

  /// returns what send() and recv() return, -1 when they would wait.
  ssize_t send(std::span<const std::byte> bytes) const {
    if (!layer_) return send_plain(bytes);
    if (!flush_layer()) return -1;
    const std::span<const std::byte> part = bytes.first(std::min(bytes.size(), kLayerWriteBytes));
    layer_->write(part);
    // Nobody else would send the rest of what was taken.
    for (int polls = 0; polls < kPollsToFlush && !flush_layer(); ++polls) place().poll();
    return static_cast<ssize_t>(part.size());
  }
  ssize_t receive(std::span<std::byte> space) const {
    if (!layer_) return receive_plain(space);
    if (refused_with_ >= 0) return refused_with_ == 0 ? 0 : failed(refused_with_);
    flush_layer();
    for (std::vector<std::byte> received(16 * 1024);;) {
      if (const ssize_t got = layer_->read(space); got >= 0) return got;
      const ssize_t got = receive_plain(received);
      if (got <= 0) return got;
      layer_->feed(std::span(received).first(static_cast<std::size_t>(got)));
      flush_layer();
    }
  }
  ssize_t send_plain(std::span<const std::byte> bytes) const {
    if (end_.valid()) return send_simulated(bytes);
    return ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  ssize_t receive_plain(std::span<std::byte> space) const {
    if (end_.valid()) return receive_simulated(space);
    return ::recv(descriptor_, space.data(), space.size(), 0);
  }
  void finish_sending() const {
    if (layer_) finish_layer();
    if (end_.valid()) return network()->finish_writing(end_);
    ::shutdown(descriptor_, SHUT_WR);
  }
  void close() {
    if (layer_ && is_open()) {
      // What TLS has sent after its handshake would make the kernel answer the close with RST.
      std::vector<std::byte> unread(16 * 1024);
      while (receive(unread) > 0) {
      }
      finish_layer();
    }
    close_plain();
  }
  void close_plain() {
    layer_.reset();
    if (end_.valid()) network()->close(std::exchange(end_, {}));
    if (!listens_.address.empty() && listens_.port != 0)
      network()->stop_listening(std::exchange(listens_, {}));
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  /// Closes with RST.
  void reset() {
    if (end_.valid()) {
      network()->reset(std::exchange(end_, {}));
      return network()->deliver_due();
    }
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close_plain();
  }
  [[nodiscard]] bool is_open() const { return descriptor_ >= 0 || end_.valid(); }

 private:
  static void require(int result, const char* what) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), what);
  }
  static sockaddr_in address_of(const Endpoint& endpoint) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    ::inet_pton(AF_INET, endpoint.address.c_str(), &address.sin_addr);
    return address;
  }
  static sim::Network* network() { return place().simulated; }
  static RawSocket connect_simulated(const Endpoint& endpoint, int receive_buffer_bytes) {
    RawSocket made;
    made.end_ = *network()->connect("connect", endpoint, nullptr, 0,
                                    {.receive_buffer_bytes = receive_buffer_bytes});
    while (network()->state(made.end_) == sim::EndState::connecting) place().poll();
    if (network()->state(made.end_) == sim::EndState::refused)
      throw std::system_error(ECONNREFUSED, std::generic_category(), "connect");
    return made;
  }
  static constexpr std::size_t kLayerWriteBytes = 512 * 1024;
  static constexpr int kPollsToFlush = 1000;

  void add_layer(bool is_client) {
    if (!place().layer) return;
    layer_ = place().layer(is_client);
    for (std::vector<std::byte> received(16 * 1024); !layer_->established();) {
      flush_layer();
      place().poll();
      const ssize_t got = receive_plain(received);
      if (got > 0) layer_->feed(std::span(received).first(static_cast<std::size_t>(got)));
      if (got == 0 || (got < 0 && errno != EAGAIN)) {
        refused_with_ = got == 0 ? 0 : errno;  // which the socket says once
        return;
      }
    }
    flush_layer();
  }
  /// false, and errno: the layer's output does not leave now.
  bool flush_layer() const {
    while (!layer_->output().empty()) {
      const ssize_t sent = send_plain(layer_->output());
      if (sent <= 0) return false;
      layer_->consume_output(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void finish_layer() const {
    layer_->finish();
    flush_layer();
  }
  static ssize_t failed(int os_error) {
    errno = os_error;
    return -1;
  }
  ssize_t send_simulated(std::span<const std::byte> bytes) const {
    network()->deliver_due();
    if (network()->broken(end_)) return failed(ECONNRESET);
    const ConstRange range{bytes.data(), bytes.size()};
    const std::size_t taken = network()->write(end_, {&range, 1}, true);
    return taken == 0 ? failed(EAGAIN) : static_cast<ssize_t>(taken);
  }
  ssize_t receive_simulated(std::span<std::byte> space) const {
    network()->deliver_due();
    if (const std::size_t got = network()->read(end_, space); got != 0)
      return static_cast<ssize_t>(got);
    const sim::EndState state = network()->state(end_);
    if (state == sim::EndState::finished) return 0;
    return failed(state == sim::EndState::open ? EAGAIN : ECONNRESET);
  }
  void wait_for_connection() const {
    for (pollfd writable{descriptor_, POLLOUT, 0}; ::poll(&writable, 1, 0) == 0;) place().poll();
    int error = 0;
    socklen_t bytes = sizeof(error);
    require(::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &error, &bytes), "SO_ERROR");
    if (error != 0) throw std::system_error(error, std::generic_category(), "connect");
  }
  /// A socket belongs to the namespace that its thread was in.
  static int make_socket() {
    if (place().name_space < 0) return ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const RawSocket before(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    require(::setns(place().name_space, CLONE_NEWNET), "setns");
    const int made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int reason = errno;
    require(::setns(before.descriptor_, CLONE_NEWNET), "setns back");
    errno = reason;
    return made;
  }
  static RawSocket open(int receive_buffer_bytes) {
    RawSocket made(make_socket());
    require(made.descriptor_, "socket");
    if (receive_buffer_bytes > 0) {
      require(::setsockopt(made.descriptor_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes,
                           sizeof(receive_buffer_bytes)),
              "SO_RCVBUF");
    }
    return made;
  }
  int descriptor_ = -1;
  sim::EndId end_;           // of a simulated network
  Endpoint listens_{"", 0};  // likewise
  std::unique_ptr<PeerLayer> layer_;
  int refused_with_ = -1;  // errno that ended its handshake, 0: FIN
};

}  // namespace feedbench::transports::testing
