#include "transports/xdp/xsk_device.hpp"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "transports/sockets.hpp"
#include "transports/transport.hpp"
#include "transports/xdp/redirect_metadata.h"

namespace feedbench::transports::xdp {
namespace {

constexpr std::uint32_t kMtuMin = 576;
constexpr std::uint32_t kEthernetHeaderBytes = 14;
constexpr std::uint32_t kKernelHeadroomBytes =
    256;  // what the kernel keeps free in front of a frame

Error failed(const XdpOptions& options, const std::string& detail, int os_error = 0,
             std::string_view hint = {}) {
  return sockets::make_error("open xdp", detail, os_error,
                             hint.empty() ? "interface " + options.interface : hint);
}

const XdpOptions& checked(const XdpOptions& options) {
  if (options.interface.empty()) {
    throw failed(options, "no interface is named", 0,
                 "set interface and address: which network card, and an address of its own there");
  }
  const auto power = [](std::uint32_t n) { return n >= 64 && std::has_single_bit(n); };
  if (!power(options.frames) || !power(options.receive_ring) || !power(options.transmit_ring)) {
    throw failed(options,
                 "frames, receive_ring and transmit_ring must be powers of two of at least 64");
  }
  if (options.frame_bytes != 2048 && options.frame_bytes != 4096) {
    throw failed(options, "frame_bytes must be 2048 or 4096");
  }
  if (options.kick_batch == 0) throw failed(options, "kick_batch must be at least 1");
  if (options.batch == 0 || options.batch > options.receive_ring) {
    throw failed(options, "batch must be between 1 and receive_ring");
  }
  return options;
}

unsigned index_of(const XdpOptions& options) {
  const unsigned index = ::if_nametoindex(checked(options).interface.c_str());
  if (index == 0) {
    throw failed(options, "there is no interface \"" + options.interface + "\"", ENODEV,
                 "`ip link` lists those of this network namespace");
  }
  return index;
}

/// Asks the kernel about an interface.
class InterfaceQuery {
 public:
  explicit InterfaceQuery(const XdpOptions& options)
      : options_(options), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    options.interface.copy(request_.ifr_name, IFNAMSIZ - 1);
  }
  void mac(std::array<std::uint8_t, 6>& into) {
    ask(SIOCGIFHWADDR, "read the MAC address");
    std::memcpy(into.data(), request_.ifr_hwaddr.sa_data, into.size());
  }
  std::uint32_t mtu() {
    ask(SIOCGIFMTU, "read the MTU");
    return static_cast<std::uint32_t>(request_.ifr_mtu);
  }
  bool is_up() {
    ask(SIOCGIFFLAGS, "read the state");
    return (request_.ifr_flags & IFF_UP) != 0;
  }
  /// The driver's name, or empty.
  std::string driver() {
    ethtool_drvinfo info{};
    info.cmd = ETHTOOL_GDRVINFO;
    request_.ifr_data = reinterpret_cast<char*>(&info);
    if (::ioctl(socket_.get(), SIOCETHTOOL, &request_) != 0) return {};
    return info.driver;
  }

 private:
  void ask(unsigned long what, const char* doing) {
    if (::ioctl(socket_.get(), what, &request_) != 0) throw failed(options_, doing, errno);
  }
  const XdpOptions& options_;
  sockets::Descriptor socket_;
  ifreq request_{};
};

DeviceFacts facts_of(const XdpOptions& options) {
  DeviceFacts facts;
  InterfaceQuery query(options);
  query.mac(facts.mac);
  facts.mtu = query.mtu();
  if (!query.is_up()) {
    throw failed(options, options.interface + " is down", ENETDOWN,
                 "`ip link set dev " + options.interface + " up`");
  }
  const std::uint32_t room = options.frame_bytes - kKernelHeadroomBytes - kEthernetHeaderBytes;
  if (facts.mtu < kMtuMin) {
    throw failed(options, "the MTU of " + options.interface + " is " + std::to_string(facts.mtu), 0,
                 "TCP over IPv4 needs 576: `ip link set dev " + options.interface + " mtu 1500`");
  }
  if (facts.mtu > room) {
    const bool larger_helps = facts.mtu <= 4096 - kKernelHeadroomBytes - kEthernetHeaderBytes;
    if (options.interface != "lo") {
      throw failed(options,
                   "the MTU of " + options.interface + " is " + std::to_string(facts.mtu) +
                       ", a frame holds " + std::to_string(room),
                   0, larger_helps ? "frame_bytes: 4096" : "set the MTU to 1500");
    }
    facts.mtu = 1500;
  }
  using Verify = XdpOptions::Verify;
  facts.verify_checksums =
      options.verify_checksums == Verify::always ||
      (options.verify_checksums == Verify::automatic && query.driver() != "veth");
  facts.frames = options.frames;
  return facts;
}

}  // namespace

XskDevice::XskDevice(const XdpOptions& options, std::uint32_t address)
    : options_(options),
      facts_((index_of(options), facts_of(options))),
      memory_(std::size_t{options.frames} * options.frame_bytes,
              MappedArray<std::byte>::Pages::at_once),
      link_(options.interface, index_of(options), address, options.attach),
      rings_(options, {memory_.data(), memory_.size()}) {
  link_.feed(options.queue, rings_.descriptor());
  facts_.mode = std::string(link_.mode()) + ", " + rings_.mode();
  free_.reserve(options.frames);
  for (std::uint32_t frame = options.frames; frame-- > 0;) free_.push_back(frame);
  held_max_ = options.frames / 2;
  give_to_kernel();
}

bool XskDevice::readable() noexcept {
  if (xsk_cons_nb_avail(&rings_.receive, 1) != 0) return true;
  if (options_.busy_poll_us == 0 &&
      !(options_.need_wakeup && xsk_ring_prod__needs_wakeup(&rings_.fill) != 0)) {
    return false;
  }
  // The driver waits to be driven: by busy polling, or to see the frames that were given to it.
  ::recvfrom(rings_.descriptor(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
  ++driving_calls_;
  return xsk_cons_nb_avail(&rings_.receive, 1) != 0;
}

// Keeps the fill ring as full as what is free allows; a quarter of the frames stays for sending.
void XskDevice::give_to_kernel() noexcept {
  const std::size_t kept = options_.frames / 4;
  if (free_.size() <= kept) return;
  const auto spare = static_cast<std::uint32_t>(free_.size() - kept);
  const std::uint32_t room = xsk_prod_nb_free(&rings_.fill, options_.receive_ring);
  const std::uint32_t count = spare < room ? spare : room;
  if (count < kFillBatch) return;
  std::uint32_t at = 0;
  if (xsk_ring_prod__reserve(&rings_.fill, count, &at) != count) return;
  for (std::uint32_t i = 0; i < count; ++i) {
    *xsk_ring_prod__fill_addr(&rings_.fill, at + i) =
        std::uint64_t{free_.back()} * options_.frame_bytes;
    free_.pop_back();
  }
  xsk_ring_prod__submit(&rings_.fill, count);
}

std::size_t XskDevice::receive(std::span<ReceivedFrame> into) noexcept {
  std::uint32_t at = 0;
  const std::uint32_t count =
      xsk_ring_cons__peek(&rings_.receive, static_cast<std::uint32_t>(into.size()), &at);
  for (std::uint32_t i = 0; i < count; ++i) {
    const xdp_desc& descriptor = *xsk_ring_cons__rx_desc(&rings_.receive, at + i);
    std::byte* const data = memory_.data() + descriptor.addr;
    redirect_metadata metadata;
    std::memcpy(&metadata, data - sizeof(metadata), sizeof(metadata));
    const bool stamped = (metadata.mark ^ metadata.tai_ns) == REDIRECT_METADATA_MARK;
    into[i] = {data, descriptor.len,
               static_cast<std::uint32_t>(descriptor.addr / options_.frame_bytes),
               stamped ? static_cast<std::int64_t>(metadata.tai_ns) : 0};
  }
  if (count != 0) {
    xsk_ring_cons__release(&rings_.receive, count);
    held_ += count;
  }
  give_to_kernel();
  return count;
}

void XskDevice::release(std::uint32_t token) noexcept {
  free_.push_back(token);
  --held_;
}

std::span<std::byte> XskDevice::transmit_space() noexcept {
  if (!have_sending_) {
    if (in_transmit_ == options_.transmit_ring || free_.empty()) {
      early_kicks_ += send_queued();
      if (in_transmit_ == options_.transmit_ring || free_.empty()) return {};
    }
    sending_ = free_.back();
    free_.pop_back();
    have_sending_ = true;
  }
  return {memory_.data() + std::size_t{sending_} * options_.frame_bytes, options_.frame_bytes};
}

void XskDevice::transmit(std::size_t bytes) noexcept {
  std::uint32_t at = 0;
  if (xsk_ring_prod__reserve(&rings_.transmit, 1, &at) != 1)
    return;  // the frame stays for the next
  xdp_desc& descriptor = *xsk_ring_prod__tx_desc(&rings_.transmit, at);
  descriptor.addr = std::uint64_t{sending_} * options_.frame_bytes;
  descriptor.len = static_cast<std::uint32_t>(bytes);
  descriptor.options = 0;
  have_sending_ = false;
  ++in_transmit_;
  if (++unsubmitted_ >= options_.kick_batch) early_kicks_ += send_queued();
}

void XskDevice::reclaim() noexcept {
  std::uint32_t at = 0;
  const std::uint32_t count = xsk_ring_cons__peek(&rings_.completion, options_.transmit_ring, &at);
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint64_t address = *xsk_ring_cons__comp_addr(&rings_.completion, at + i);
    free_.push_back(static_cast<std::uint32_t>(address / options_.frame_bytes));
  }
  if (count != 0) xsk_ring_cons__release(&rings_.completion, count);
  in_transmit_ -= count;
}

// When an interface is removed, the kernel unbinds its sockets and leaves an error on them; an interface that is merely
// down keeps them. net/xdp/xsk.c, xsk_notifier().
int XskDevice::loss() noexcept {
  int os_error = 0;
  socklen_t bytes = sizeof(os_error);
  ++driving_calls_;
  if (::getsockopt(rings_.descriptor(), SOL_SOCKET, SO_ERROR, &os_error, &bytes) != 0) return errno;
  return os_error;
}

bool XskDevice::kernel_has_to_send() const noexcept {
  return __atomic_load_n(rings_.transmit.consumer, __ATOMIC_ACQUIRE) !=
         __atomic_load_n(rings_.transmit.producer, __ATOMIC_RELAXED);
}

unsigned XskDevice::kick() noexcept { return std::exchange(early_kicks_, 0U) + send_queued(); }

unsigned XskDevice::send_queued() noexcept {
  if (in_transmit_ == 0) return 0;
  if (unsubmitted_ != 0) {
    xsk_ring_prod__submit(&rings_.transmit, unsubmitted_);
    unsubmitted_ = 0;
  }
  // Copying, the kernel takes as many as its budget, 32 where it knows no other, and says EAGAIN.
  // Bounded by the ring.
  const std::uint32_t calls_max = options_.transmit_ring / 32 + 1;
  unsigned calls = 0;
  while (calls < calls_max && kernel_has_to_send()) {
    if (options_.need_wakeup && xsk_ring_prod__needs_wakeup(&rings_.transmit) == 0) break;
    ++calls;
    if (::sendto(rings_.descriptor(), nullptr, 0, MSG_DONTWAIT | MSG_NOSIGNAL, nullptr, 0) < 0 &&
        errno != EAGAIN) {
      break;
    }
  }
  reclaim();
  return calls;
}

}  // namespace feedbench::transports::xdp
