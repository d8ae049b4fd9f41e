// The question of network_interfaces.hpp that goes by generic netlink: what a driver can do with XDP.
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>

#include "transports/kernel_feature.hpp"
#include "transports/network_interfaces.hpp"
#include "transports/rings/descriptor.hpp"

namespace feedbench::transports {
namespace {

// Family netdev came with Linux 6.3; older headers do not have it.
constexpr char kFamilyName[] = "netdev";
constexpr std::uint8_t kGetDevice = 1;          // NETDEV_CMD_DEV_GET
constexpr std::uint16_t kInterfaceIndex = 1;    // NETDEV_A_DEV_IFINDEX, u32
constexpr std::uint16_t kXdpFeatures = 3;       // NETDEV_A_DEV_XDP_FEATURES, u64
constexpr std::uint64_t kBasicAndRedirect = 3;  // NETDEV_XDP_ACT_BASIC | NETDEV_XDP_ACT_REDIRECT
constexpr std::uint64_t kZeroCopy = 8;          // NETDEV_XDP_ACT_XSK_ZEROCOPY
constexpr timeval kPatience{0, 500'000};

/// A request with one attribute.
struct Request {
  nlmsghdr header{};
  genlmsghdr generic{};
  nlattr attribute{};
  std::array<std::byte, 16> value{};
};

/// One question and one answer.
class GenericNetlink {
 public:
  GenericNetlink() : socket_(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC)) {
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof(kPatience));
  }

  /// Asks; the answer's attributes are then found with find(). returns 0 or an errno.
  int ask(std::uint16_t family, std::uint8_t command, std::uint16_t attribute,
          std::span<const std::byte> value) {
    Request request;
    std::memcpy(request.value.data(), value.data(), value.size());
    request.attribute.nla_type = attribute;
    request.attribute.nla_len = static_cast<std::uint16_t>(sizeof(nlattr) + value.size());
    request.generic.cmd = command;
    request.generic.version = 1;
    request.header.nlmsg_type = family;
    request.header.nlmsg_flags = NLM_F_REQUEST;
    request.header.nlmsg_len = static_cast<std::uint32_t>(sizeof(nlmsghdr) + sizeof(genlmsghdr) +
                                                          NLA_ALIGN(request.attribute.nla_len));
    if (::send(socket_.get(), &request, request.header.nlmsg_len, 0) < 0) return errno;
    const ssize_t received = ::recv(socket_.get(), answer_.data(), answer_.size(), 0);
    if (received < 0) return errno;
    bytes_ = static_cast<std::size_t>(received);
    return error_in_answer();
  }

  /// Copies an attribute of the answer. returns whether it is there and as large.
  template <class T>
  bool find(std::uint16_t wanted, T& value) const {
    std::size_t at = sizeof(nlmsghdr) + sizeof(genlmsghdr);
    while (at + sizeof(nlattr) <= bytes_) {
      nlattr attribute;
      std::memcpy(&attribute, answer_.data() + at, sizeof(attribute));
      const std::size_t end = at + attribute.nla_len;
      if (attribute.nla_len < sizeof(nlattr) || end > bytes_) return false;
      if ((attribute.nla_type & NLA_TYPE_MASK) == wanted) {
        if (end - at - sizeof(nlattr) < sizeof(T)) return false;
        std::memcpy(&value, answer_.data() + at + sizeof(nlattr), sizeof(T));
        return true;
      }
      at += NLA_ALIGN(attribute.nla_len);
    }
    return false;
  }

 private:
  [[nodiscard]] int error_in_answer() const {
    nlmsghdr header;
    if (bytes_ < sizeof(header)) return EPROTO;
    std::memcpy(&header, answer_.data(), sizeof(header));
    if (header.nlmsg_type != NLMSG_ERROR) return 0;
    nlmsgerr error;
    if (bytes_ < sizeof(header) + sizeof(error)) return EPROTO;
    std::memcpy(&error, answer_.data() + sizeof(header), sizeof(error));
    return -error.error;
  }

  rings::Descriptor socket_;
  std::array<std::byte, 16384> answer_;
  std::size_t bytes_ = 0;
};

XdpAbility absent(std::string reason) { return {{}, {}, std::move(reason)}; }

}  // namespace

XdpAbility ask_xdp_ability(unsigned interface_index) {
  GenericNetlink netlink;
  std::uint16_t family = 0;
  if (netlink.ask(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME,
                  std::as_bytes(std::span(kFamilyName))) != 0 ||
      !netlink.find(CTRL_ATTR_FAMILY_ID, family)) {
    return absent("this kernel does not say what drivers can do with XDP (Linux 6.3 does)");
  }
  const std::uint32_t index = interface_index;
  const int os_error =
      netlink.ask(family, kGetDevice, kInterfaceIndex, std::as_bytes(std::span(&index, 1)));
  if (os_error != 0) return absent("the kernel does not say: " + explain_errno(os_error));
  std::uint64_t features = 0;
  if (!netlink.find(kXdpFeatures, features)) return absent("the kernel does not say");
  return {(features & kBasicAndRedirect) == kBasicAndRedirect, (features & kZeroCopy) != 0, {}};
}

}  // namespace feedbench::transports
