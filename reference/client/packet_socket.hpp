#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "reference/client/protocol.hpp"
#include "transports/rings/descriptor.hpp"

/// Packets and the descriptors that travel with them, over a Unix SOCK_SEQPACKET socket. Used by both sides.
/// Standard library and Linux alone. thread: one at a time a socket.
namespace feedproxy::control {

using feedbench::rings::Descriptor;

/// What became of one packet.
enum class Transfer : std::uint8_t {
  done,
  would_block,  ///< Nothing to receive, or no room to send: try again when poll() says so.
  ended,        ///< The peer is gone.
  too_large,    ///< A packet that no peer of this version sends. The socket is of no more use.
  failed,       ///< errno says why.
};

/// Sends one packet with up to kDescriptorsMax descriptors beside it. Never blocks, never signals.
inline Transfer send_packet(int socket, std::string_view bytes,
                            std::span<const int> descriptors = {}) noexcept {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kDescriptorsMax)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    if (descriptors.size() > kDescriptorsMax) return Transfer::too_large;
    message.msg_control = space;
    message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    std::memcpy(CMSG_DATA(head), descriptors.data(), descriptors.size_bytes());
  }
  for (;;) {
    if (::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return Transfer::done;
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
        return Transfer::would_block;
      case EPIPE:
      case ECONNRESET:
      case ENOTCONN:
        return Transfer::ended;
      case EMSGSIZE:
        return Transfer::too_large;
      default:
        return Transfer::failed;
    }
  }
}

using Descriptors = std::array<Descriptor, kDescriptorsMax>;

/// Receives one packet into `into` (at least kPacketBytesMax, or a packet may be too_large). bytes: its size.
/// descriptors: what came with it; more than asked for are closed. Never blocks.
inline Transfer receive_packet(int socket, std::span<std::byte> into, std::size_t& bytes,
                               Descriptors& descriptors) noexcept {
  iovec part{into.data(), into.size()};
  constexpr std::size_t kRoomFor = 8;
  alignas(cmsghdr) char space[CMSG_SPACE(sizeof(int) * kRoomFor)];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = space;
  message.msg_controllen = sizeof space;
  ssize_t got = 0;
  // A peer that closed with something unread is told first (ECONNRESET, once), and what it said last comes after.
  bool reset = false;
  do {
    got = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && (errno == EINTR || (errno == ECONNRESET && !std::exchange(reset, true))));
  if (got < 0) {
    if (errno == EAGAIN && !reset) return Transfer::would_block;
    return errno == ECONNRESET || reset ? Transfer::ended : Transfer::failed;
  }
  std::size_t taken = 0;
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
      Descriptor owned(fd);
      if (taken < descriptors.size()) descriptors[taken++] = std::move(owned);
    }
  }
  if (got == 0) return Transfer::ended;
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Transfer::too_large;
  bytes = static_cast<std::size_t>(got);
  return Transfer::done;
}

/// Waits until the socket can be read (events: POLLIN) or written (POLLOUT), at most timeout_ms. false: it cannot.
inline bool wait_for(int socket, short events, int timeout_ms) noexcept {
  pollfd polled{socket, events, 0};
  int ready = 0;
  do {
    ready = ::poll(&polled, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

/// Fills in the address of a path. false: the path is empty or longer than 107 bytes.
inline bool fill_address(std::string_view path, sockaddr_un& address) noexcept {
  address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  return true;
}

}  // namespace feedproxy::control
