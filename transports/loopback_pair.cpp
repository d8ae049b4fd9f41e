#include "transports/loopback_pair.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <string_view>

namespace feedbench::transports {
namespace {

sockaddr_in loopback_address(unsigned short port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

LoopbackListener listen_on_loopback() {
  LoopbackListener listener;
  listener.descriptor = rings::Descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback_address(0);
  socklen_t bytes = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  const int descriptor = listener.descriptor.get();
  if (descriptor < 0 || ::bind(descriptor, generic, bytes) != 0 || ::listen(descriptor, 8) != 0 ||
      ::getsockname(descriptor, generic, &bytes) != 0) {
    listener.os_error = errno;
  }
  listener.port = ntohs(address.sin_port);
  return listener;
}

rings::Descriptor connect_to_loopback(unsigned short port) {
  rings::Descriptor descriptor(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback_address(port);
  if (descriptor.valid() && ::connect(descriptor.get(), reinterpret_cast<const sockaddr*>(&address),
                                      sizeof(address)) != 0) {
    const int os_error = errno;
    descriptor.reset();
    errno = os_error;
  }
  return descriptor;
}

LoopbackPair make_loopback_pair() {
  LoopbackPair pair;
  const LoopbackListener listener = listen_on_loopback();
  if (listener.os_error != 0) {
    pair.os_error = listener.os_error;
    return pair;
  }
  pair.connecting = connect_to_loopback(listener.port);
  if (!pair.connecting.valid()) {
    pair.os_error = errno;
    return pair;
  }
  pair.accepted =
      rings::Descriptor(::accept4(listener.descriptor.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!pair.accepted.valid()) pair.os_error = errno;
  return pair;
}

int bring_loopback_up() {
  const rings::Descriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::string_view("lo").copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_UP;
  return ::ioctl(socket.get(), SIOCSIFFLAGS, &request) == 0 ? 0 : errno;
}

}  // namespace feedbench::transports
