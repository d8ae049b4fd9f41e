#include "transports/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

namespace feedbench::transports::sockets {
namespace {

constexpr int kBacklog = 4096;  // the kernel clips it to net.core.somaxconn

struct Address {
  sockaddr_storage storage{};
  socklen_t bytes = 0;
  sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};

Expected<Address> parse(std::string_view what, const Endpoint& endpoint) {
  Address address;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address.storage);
  if (::inet_pton(AF_INET, endpoint.address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(endpoint.port);
    address.bytes = sizeof(sockaddr_in);
    return address;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.storage);
  if (::inet_pton(AF_INET6, endpoint.address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    address.bytes = sizeof(sockaddr_in6);
    return address;
  }
  return tl::unexpected(Error{std::string(what) + ": \"" + endpoint.address +
                                  "\" is not a numeric IPv4 or IPv6 address (resolve names first)",
                              EINVAL});
}

Endpoint bound_endpoint(int descriptor) {
  Address address;
  address.bytes = sizeof(address.storage);
  if (::getsockname(descriptor, address.get(), &address.bytes) != 0) return {};
  char text[INET6_ADDRSTRLEN] = {};
  if (address.storage.ss_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
    ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
    return {text, ntohs(v6->sin6_port)};
  }
  const auto* v4 = reinterpret_cast<const sockaddr_in*>(&address.storage);
  ::inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
  return {text, ntohs(v4->sin_port)};
}

/// returns the name of the option that failed, or nullptr; errno says why.
const char* apply(int descriptor, const ConnOptions& options) noexcept {
  const auto set = [descriptor](int level, int name, int value) {
    return ::setsockopt(descriptor, level, name, &value, sizeof(value)) == 0;
  };
  if (options.no_delay && !set(IPPROTO_TCP, TCP_NODELAY, 1)) return "TCP_NODELAY";
  if (options.send_buffer_bytes > 0 && !set(SOL_SOCKET, SO_SNDBUF, options.send_buffer_bytes)) {
    return "SO_SNDBUF";
  }
  if (options.receive_buffer_bytes > 0 &&
      !set(SOL_SOCKET, SO_RCVBUF, options.receive_buffer_bytes)) {
    return "SO_RCVBUF";
  }
  if (options.nic_stamps &&
      !set(SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE)) {
    return "SO_TIMESTAMPING";
  }
  return nullptr;
}

/// What connect() answers when the network, not the caller, is at fault.
bool is_network_answer(int os_error) noexcept {
  switch (os_error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ETIMEDOUT:
    case EADDRNOTAVAIL:
      return true;
    default:
      return false;
  }
}

std::string title(std::string_view verb, std::string_view transport) {
  return std::string(verb) + " " + std::string(transport);
}

/// Closes `descriptor` and makes the error of what just failed on it.
tl::unexpected<Error> give_up(int descriptor, std::string_view what, const std::string& detail,
                              int os_error, std::string_view hint = {}) {
  ::close(descriptor);
  return tl::unexpected(make_error(what, detail, os_error, hint));
}

}  // namespace

Expected<void> require_numeric(std::string_view what, const Endpoint& endpoint) {
  if (auto address = parse(what, endpoint); !address) return tl::unexpected(address.error());
  return {};
}

Error make_error(std::string_view what, std::string_view detail, int os_error,
                 std::string_view hint) {
  std::string message(what);
  message.append(": ").append(detail);
  if (os_error != 0) message.append(": ").append(std::generic_category().message(os_error));
  if (!hint.empty()) message.append(" (").append(hint).append(")");
  return {std::move(message), os_error};
}

Expected<Listening> listen(std::string_view transport, const Endpoint& endpoint,
                           const ConnOptions& options) {
  const std::string what = title("listen", transport);
  auto address = parse(what, endpoint);
  if (!address) return tl::unexpected(address.error());
  const int descriptor =
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (descriptor < 0) return tl::unexpected(make_error(what, "socket", errno));
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Accepted sockets inherit the options of the listener, so an accept costs one system call and no
  // more.
  if (const char* option = apply(descriptor, options)) {
    return give_up(descriptor, what, std::string("set ") + option, errno);
  }
  if (::bind(descriptor, address->get(), address->bytes) != 0) {
    const int reason = errno;
    return give_up(
        descriptor, what, "bind " + to_string(endpoint), reason,
        reason == EADDRINUSE ? "choose another port or stop the program that has it" : "");
  }
  if (::listen(descriptor, kBacklog) != 0) {
    const int reason = errno;
    return give_up(
        descriptor, what, "listen " + to_string(endpoint), reason,
        reason == EADDRINUSE ? "choose another port or stop the program that has it" : "");
  }
  return Listening{descriptor, bound_endpoint(descriptor)};
}

Expected<Connecting> connect(std::string_view transport, const Endpoint& endpoint,
                             const ConnOptions& options) {
  const std::string what = title("connect", transport);
  auto address = parse(what, endpoint);
  if (!address) return tl::unexpected(address.error());
  const int descriptor =
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (descriptor < 0) {
    return tl::unexpected(make_error(what, "socket for " + to_string(endpoint), errno,
                                     errno == EMFILE ? "raise the limit with ulimit -n" : ""));
  }
  if (const char* option = apply(descriptor, options)) {
    return give_up(descriptor, what, std::string("set ") + option, errno);
  }
  Connecting result;
  result.descriptor = descriptor;
  if (::connect(descriptor, address->get(), address->bytes) == 0) {
    result.established = true;
  } else if (is_network_answer(errno)) {
    result.os_error = errno;
  } else if (errno != EINPROGRESS && errno != EINTR) {
    return give_up(descriptor, what, to_string(endpoint), errno);
  }
  return result;
}

namespace {

/// Empty, or why this is no TCP socket in that state.
std::string why_not(int descriptor, bool listening) {
  int protocol = 0;
  int accepts = 0;
  socklen_t bytes = sizeof(int);
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &bytes) != 0 ||
      protocol != IPPROTO_TCP)
    return "what was handed over is no TCP socket";
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &bytes) != 0 ||
      (accepts != 0) != listening)
    return listening ? "what was handed over does not listen"
                     : "what was handed over is no connection";
  return {};
}

}  // namespace

Expected<int> adopt(std::string_view what, rings::Descriptor connection,
                    const ConnOptions& options) {
  if (const std::string fault = why_not(connection.get(), false); !fault.empty())
    return tl::unexpected(make_error(what, fault, 0));
  if (const char* option = apply(connection.get(), options))
    return tl::unexpected(make_error(what, std::string("set ") + option, errno));
  return connection.release();
}

Expected<Listening> adopt_listener(std::string_view what, rings::Descriptor listener,
                                   const ConnOptions& options) {
  if (const std::string fault = why_not(listener.get(), true); !fault.empty())
    return tl::unexpected(make_error(what, fault, 0));
  if (const char* option = apply(listener.get(), options))
    return tl::unexpected(make_error(what, std::string("set ") + option, errno));
  const Endpoint endpoint = bound_endpoint(listener.get());
  return Listening{listener.release(), endpoint};
}

void set_reset_on_close(int descriptor) noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

void disconnect(int descriptor) noexcept {
  const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
  ::connect(descriptor, &nobody, sizeof(nobody));  // connect(2): dissolves the association
}

int take_error(int descriptor) noexcept {
  int os_error = 0;
  socklen_t bytes = sizeof(os_error);
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &os_error, &bytes) != 0) return errno;
  return os_error;
}

int offload_tls(int descriptor, std::span<const std::byte> keys) noexcept {
  static constexpr char kName[] = "tls";
  if (::setsockopt(descriptor, IPPROTO_TCP, TCP_ULP, kName, sizeof(kName) - 1) != 0) return errno;
  const int result =
      ::setsockopt(descriptor, SOL_TLS, TLS_TX, keys.data(), static_cast<socklen_t>(keys.size()));
  return result == 0 ? 0 : errno;  // without keys the socket passes bytes on as before
}

bool send_tls_record(int descriptor, std::uint8_t type, std::span<const std::byte> bytes) noexcept {
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(type))> control{};
  iovec range{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &range;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_TLS;
  header->cmsg_type = TLS_SET_RECORD_TYPE;
  header->cmsg_len = CMSG_LEN(sizeof(type));
  *CMSG_DATA(header) = type;
  return ::sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

void delay_acks(int descriptor) noexcept {
  const int off = 0;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
}

CloseInfo close_info(int os_error) noexcept {
  switch (os_error) {
    case 0:
      return {CloseReason::peer, 0};
    case ECONNRESET:
    case EPIPE:
      return {CloseReason::reset, os_error};
    case ECONNREFUSED:
      return {CloseReason::refused, os_error};
    case ETIMEDOUT:
      return {CloseReason::timed_out, os_error};
    default:
      return {CloseReason::error, os_error};
  }
}

Descriptor::~Descriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

SpareDescriptor::SpareDescriptor() noexcept
    : descriptor_(::open("/dev/null", O_RDONLY | O_CLOEXEC)) {}

SpareDescriptor::~SpareDescriptor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

bool SpareDescriptor::refuse_one(int listener) noexcept {
  if (descriptor_ < 0) descriptor_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (descriptor_ < 0) return false;
  ::close(descriptor_);
  const int accepted = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (accepted >= 0) ::close(accepted);
  descriptor_ = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  return accepted >= 0;
}

}  // namespace feedbench::transports::sockets
