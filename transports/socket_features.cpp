#include "transports/socket_features.hpp"

#include <arpa/inet.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "transports/loopback_pair.hpp"
#include "transports/receive.hpp"

namespace feedbench::transports {
namespace {

constexpr int kPatienceMs = 200;
constexpr std::int64_t kPlausibleNs = 60'000'000'000;  // between a stamp and now

#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif

bool ask_for_stamps(int descriptor) {
  const int flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
  return ::setsockopt(descriptor, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags)) == 0;
}

/// Sends one byte from one socket to the other and looks for the stamp it came with.
void see_stamp(int from, int to, KernelFeature& feature) {
  if (!ask_for_stamps(to)) return feature.fails("refused: " + explain_errno(errno), errno);
  std::array<std::byte, 1> byte{};
  if (::send(from, byte.data(), byte.size(), MSG_NOSIGNAL) != 1) {
    return feature.untried("nothing could be sent: " + explain_errno(errno), errno);
  }
  pollfd ready{to, POLLIN, 0};
  WallInstant stamp;
  if (::poll(&ready, 1, kPatienceMs) != 1 || receive_stamped(to, byte, 0, stamp) != 1) {
    return feature.untried("what was sent did not arrive");
  }
  if (!stamp.present()) return feature.fails("it arrived without a stamp");
  const std::int64_t age_ns = WallInstant::now().ns - stamp.ns;
  if (age_ns < -kPlausibleNs || age_ns > kPlausibleNs) {
    return feature.fails("its stamp is far from the time of day");
  }
  feature.works();
}

/// A stream in which no stamp was ever asked for: the first one turns them on for the whole kernel, a moment later.
void try_segment_stamp(KernelFeature& feature) {
  const LoopbackPair pair = make_loopback_pair();
  if (pair.os_error != 0) {
    return feature.untried("no loopback connection: " + explain_errno(pair.os_error),
                           pair.os_error);
  }
  for (int tries = 0; tries < 3 && feature.available != true; ++tries) {
    see_stamp(pair.connecting.get(), pair.accepted.get(), feature);
  }
}

void try_datagram_stamp(KernelFeature& feature) {
  const rings::Descriptor to(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const rings::Descriptor from(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(to.get(), generic, bytes) != 0 || ::getsockname(to.get(), generic, &bytes) != 0 ||
      ::connect(from.get(), generic, bytes) != 0) {
    return feature.untried("no datagram sockets on loopback: " + explain_errno(errno), errno);
  }
  for (int tries = 0; tries < 3 && feature.available != true; ++tries) {
    see_stamp(from.get(), to.get(), feature);
  }
}

/// A privileged option: refused is not the same as unknown.
void try_option(int option, int value, KernelFeature& feature) {
  const rings::Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    const int os_error = errno;
    return feature.untried("no socket: " + explain_errno(os_error), os_error);
  }
  if (::setsockopt(socket.get(), SOL_SOCKET, option, &value, sizeof(value)) == 0) {
    return feature.works();
  }
  const int os_error = errno;
  if (os_error == ENOPROTOOPT) return feature.fails("this kernel does not know it", os_error);
  if (os_error == EPERM)
    return feature.fails("this process may not: it needs CAP_NET_ADMIN", os_error);
  feature.fails("refused: " + explain_errno(os_error), os_error);
}

}  // namespace

std::vector<KernelFeature> probe_socket_features() {
  std::vector<KernelFeature> features = {
      {"stamps.udp", "receive stamps, UDP", "when the kernel took a datagram", {}, {}, 0},
      {"stamps.tcp", "receive stamps, TCP", "when the kernel took a segment: stage 1", {}, {}, 0},
      {"busy_poll.socket", "SO_BUSY_POLL", "one socket's reads ask the network card", {}, {}, 0},
      {"busy_poll.prefer",
       "SO_PREFER_BUSY_POLL",
       "the network card's interrupts wait while it is asked",
       {},
       {},
       0}};
  try_datagram_stamp(features[0]);
  try_segment_stamp(features[1]);
  try_option(SO_BUSY_POLL, 50, features[2]);
  try_option(SO_PREFER_BUSY_POLL, 1, features[3]);
  return features;
}

}  // namespace feedbench::transports
