#pragma once

#include <linux/errqueue.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <ctime>
#include <span>

#include "transports/clock.hpp"
#include "transports/transport.hpp"

/// The system calls that move bytes, shared by the kernel transports. Hot: inline, no allocation,
/// errors by errno.
namespace feedbench::transports {

/// Room for the control message that carries receive stamps (three timespecs).
inline constexpr std::size_t kStampControlBytes = CMSG_SPACE(sizeof(scm_timestamping));

/// The receive stamp in a control buffer, absent if the kernel gave none.
inline WallInstant find_nic_stamp(msghdr& message) noexcept {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_TIMESTAMPING) continue;
    scm_timestamping stamps;
    std::memcpy(&stamps, CMSG_DATA(header), sizeof(stamps));
    const auto& software = stamps.ts[0];
    return {static_cast<std::int64_t>(software.tv_sec) * 1'000'000'000 + software.tv_nsec};
  }
  return {};
}

/// Receives without waiting. flags: MSG_PEEK or 0. returns what recv() does; errno is set.
inline ssize_t receive_plain(int descriptor, std::span<std::byte> space, int flags) noexcept {
  return ::recv(descriptor, space.data(), space.size(), MSG_DONTWAIT | flags);
}

/// The same with the kernel's stamp of the segment that holds the last byte.
inline ssize_t receive_stamped(int descriptor, std::span<std::byte> space, int flags,
                               WallInstant& nic) noexcept {
  alignas(cmsghdr) std::array<std::byte, kStampControlBytes> control;
  iovec to{space.data(), space.size()};
  msghdr message{};
  message.msg_iov = &to;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t received = ::recvmsg(descriptor, &message, MSG_DONTWAIT | flags);
  if (received > 0) nic = find_nic_stamp(message);
  return received;
}

/// Takes `bytes` that were received with MSG_PEEK off the socket without copying them; the kernel acknowledges them now.
/// returns 0, or the errno that prevents it.
inline int consume_peeked(int descriptor, std::size_t bytes) noexcept {
  while (bytes != 0) {
    const ssize_t n = ::recv(descriptor, nullptr, bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (n > 0) {
      bytes -= static_cast<std::size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      return n == 0 ? ECONNRESET : errno;
    }
  }
  return 0;
}

/// Sends what the socket takes without waiting. returns what send() does; errno is set.
inline ssize_t send_ranges(int descriptor, std::span<const ConstRange> ranges) noexcept {
  constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
  if (ranges.size() == 1) return ::send(descriptor, ranges[0].data, ranges[0].bytes, kFlags);
  std::array<iovec, kMaxRanges> vectors;
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    vectors[i] = {const_cast<std::byte*>(ranges[i].data), ranges[i].bytes};
  }
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = ranges.size();
  return ::sendmsg(descriptor, &message, kFlags);
}

/// Puts the stamps of a chunk in order. A chunk that arrives while the loop is already awake and reading, is woken for
/// when it arrives, not before; what a clock mapping is off by (error_ns) is evened out with it.
inline void put_in_order(RxStamps& stamps) noexcept {
  if (stamps.nic > stamps.wake) stamps.wake = stamps.nic;
  if (stamps.wake > stamps.read) stamps.read = stamps.wake;
}

/// Sum of the ranges' lengths.
inline std::size_t total_bytes(std::span<const ConstRange> ranges) noexcept {
  std::size_t total = 0;
  for (const ConstRange& range : ranges) total += range.bytes;
  return total;
}

/// Throws away what a socket has received, without copying it. returns true when the peer is gone
/// or the socket dead, false when more may come.
inline bool discard_received(int descriptor) noexcept {
  constexpr std::size_t kAtOnce = 1u << 20;
  constexpr int kRounds = 64;  // a peer that floods a closed connection gets the RST it asks for
  for (int i = 0; i < kRounds; ++i) {
    const ssize_t n = ::recv(descriptor, nullptr, kAtOnce, MSG_DONTWAIT | MSG_TRUNC);
    if (n > 0) continue;
    return n == 0 || (errno != EAGAIN && errno != EINTR);
  }
  return true;
}

}  // namespace feedbench::transports
