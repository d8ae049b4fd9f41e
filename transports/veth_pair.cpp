#include "transports/veth_pair.hpp"

#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "transports/rings/descriptor.hpp"

namespace feedbench::transports {
namespace {

/// A netlink request, put together attribute by attribute.
class LinkRequest {
 public:
  explicit LinkRequest(std::uint16_t type) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    put(&header, sizeof(header));
    put_interface();
  }

  /// An ifinfomsg that says nothing: what is asked for stands in the attributes.
  void put_interface() {
    const ifinfomsg interface {};
    put(&interface, sizeof(interface));
  }
  void attribute(std::uint16_t type, const void* value, std::size_t bytes) {
    const std::size_t at = begin(type);
    put(value, bytes);
    end(at);
  }
  void attribute(std::uint16_t type, std::uint32_t value) {
    attribute(type, &value, sizeof(value));
  }
  void attribute(std::uint16_t type, std::string_view text) {
    attribute(type, text.data(), text.size() + 1);  // of literals and constants: a zero follows
  }
  /// An attribute that holds attributes: until end().
  [[nodiscard]] std::size_t begin(std::uint16_t type) {
    const std::size_t at = bytes_;
    const rtattr head{0, type};
    put(&head, sizeof(head));
    return at;
  }
  void end(std::size_t at) {
    const auto length = static_cast<std::uint16_t>(bytes_ - at);
    std::memcpy(buffer_.data() + at, &length, sizeof(length));
    bytes_ = RTA_ALIGN(bytes_);
  }

  /// Sends it and waits for the kernel's answer. returns 0 or an errno.
  int carry_out() noexcept {
    const rings::Descriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    const auto length = static_cast<std::uint32_t>(bytes_);
    std::memcpy(buffer_.data(), &length, sizeof(length));
    if (::send(socket.get(), buffer_.data(), bytes_, 0) < 0) return errno;
    struct {
      nlmsghdr header;
      nlmsgerr error;
    } answer{};
    const ssize_t received = ::recv(socket.get(), &answer, sizeof(answer), 0);
    if (received < 0) return errno;
    if (static_cast<std::size_t>(received) < sizeof(answer) ||
        answer.header.nlmsg_type != NLMSG_ERROR) {
      return EPROTO;
    }
    return -answer.error.error;
  }

 private:
  void put(const void* from, std::size_t bytes) {
    std::memcpy(buffer_.data() + bytes_, from, bytes);
    bytes_ += bytes;
  }

  std::array<std::byte, 512> buffer_{};  // a veth pair takes some 200 bytes
  std::size_t bytes_ = 0;
};

rings::Descriptor any_socket() noexcept {
  return rings::Descriptor(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
}

ifreq request_about(const char* name) noexcept {
  ifreq request{};
  std::string_view(name).copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

int carry_out(unsigned long what, ifreq& request) noexcept {
  return ::ioctl(any_socket().get(), what, &request) == 0 ? 0 : errno;
}

void put_ipv4(ifreq& request, in_addr address) noexcept {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr = address;
  std::memcpy(&request.ifr_addr, &to, sizeof(to));
}

}  // namespace

int make_veth_pair(const char* near_name, const char* far_name, int far_namespace) noexcept {
  constexpr std::uint32_t kQueues = 1;
  LinkRequest request(RTM_NEWLINK);
  request.attribute(IFLA_IFNAME, std::string_view(near_name));
  request.attribute(IFLA_NUM_TX_QUEUES, kQueues);
  request.attribute(IFLA_NUM_RX_QUEUES, kQueues);
  const std::size_t info = request.begin(IFLA_LINKINFO);
  request.attribute(IFLA_INFO_KIND, std::string_view("veth"));
  const std::size_t data = request.begin(IFLA_INFO_DATA);
  const std::size_t peer = request.begin(VETH_INFO_PEER);
  request.put_interface();
  request.attribute(IFLA_IFNAME, std::string_view(far_name));
  request.attribute(IFLA_NUM_TX_QUEUES, kQueues);
  request.attribute(IFLA_NUM_RX_QUEUES, kQueues);
  request.attribute(IFLA_NET_NS_FD, static_cast<std::uint32_t>(far_namespace));
  request.end(peer);
  request.end(data);
  request.end(info);
  return request.carry_out();
}

int set_interface_address(const char* name, const char* ipv4, unsigned prefix_bits) noexcept {
  ifreq request = request_about(name);
  in_addr address{};
  if (::inet_pton(AF_INET, ipv4, &address) != 1 || prefix_bits == 0 || prefix_bits > 32)
    return EINVAL;
  put_ipv4(request, address);
  if (const int os_error = carry_out(SIOCSIFADDR, request); os_error != 0) return os_error;
  put_ipv4(request, {htonl(~0U << (32U - prefix_bits))});
  return carry_out(SIOCSIFNETMASK, request);
}

int set_interface_up(const char* name) noexcept {
  ifreq request = request_about(name);
  if (const int os_error = carry_out(SIOCGIFFLAGS, request); os_error != 0) return os_error;
  request.ifr_flags |= IFF_UP;
  return carry_out(SIOCSIFFLAGS, request);
}

int turn_offload_off(const char* name, unsigned which) noexcept {
  ethtool_value value{which, 0};
  ifreq request = request_about(name);
  request.ifr_data = reinterpret_cast<char*>(&value);
  return carry_out(SIOCETHTOOL, request);
}

}  // namespace feedbench::transports
