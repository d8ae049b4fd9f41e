// The engine's beginning and end, and its listeners.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <lwip/etharp.h>
#include <lwip/init.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>
#include <sys/eventfd.h>

#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "transports/xdp/lwip_engine.hpp"
#include "transports/xdp/stack_memory.hpp"
#include "transports/xdp/xsk_device.hpp"

namespace feedbench::transports::xdp {
namespace {

LwipEngine* g_engine = nullptr;

Error failed(const std::string& detail, int os_error = 0, std::string_view hint = {}) {
  return sockets::make_error("open xdp", detail, os_error, hint);
}

struct Network {
  ip4_addr_t address{};
  ip4_addr_t mask{};
  ip4_addr_t gateway{};
};

std::uint32_t numeric(const std::string& text) {
  in_addr address{};
  if (::inet_pton(AF_INET, text.c_str(), &address) != 1) {
    throw failed("\"" + text + "\" is not a numeric IPv4 address", EINVAL,
                 "as in address: 10.0.0.2/24, gateway: 10.0.0.1");
  }
  return address.s_addr;
}

/// One host's: RFC 1122, 3.2.1.3. A network of two (RFC 3021) has no address but hosts'.
bool is_host(ip4_addr_t address, ip4_addr_t mask) {
  const std::uint32_t whole = ntohl(address.addr);
  const std::uint32_t host_bits = ~ntohl(mask.addr);
  const std::uint32_t host = whole & host_bits;
  const std::uint32_t first_byte = whole >> 24;
  if (first_byte == 0 || first_byte == 127 || first_byte >= 224) return false;
  return host_bits == 1 || (host != 0 && host != host_bits);
}

Network network_of(const XdpOptions& xdp) {
  const std::size_t slash = xdp.address.find('/');
  if (slash == std::string::npos) {
    throw failed("address \"" + xdp.address + "\" has no prefix length", EINVAL,
                 "as in address: 10.0.0.2/24");
  }
  unsigned prefix = 0;
  const char* const end = xdp.address.data() + xdp.address.size();
  const auto read = std::from_chars(xdp.address.data() + slash + 1, end, prefix);
  if (read.ec != std::errc{} || read.ptr != end || prefix == 0 || prefix > 31) {
    throw failed("the prefix length of \"" + xdp.address + "\" is not between 1 and 31", EINVAL);
  }
  Network network;
  network.address.addr = numeric(xdp.address.substr(0, slash));
  network.mask.addr = htonl(~std::uint32_t{0} << (32 - prefix));
  if (!is_host(network.address, network.mask)) {
    throw failed(xdp.address +
                     " is no host's address: it is the network's own, a broadcast, "
                     "multicast or loopback address",
                 EINVAL, "as in address: 10.0.0.2/24");
  }
  if (!xdp.gateway.empty()) network.gateway.addr = numeric(xdp.gateway);
  if (!xdp.gateway.empty() && !ip4_addr_netcmp(&network.gateway, &network.address, &network.mask)) {
    throw failed("the gateway " + xdp.gateway + " is not in the network of " + xdp.address, EINVAL);
  }
  return network;
}

/// An address that the kernel has too would be answered twice, and the kernel's own connections
/// would break.
void require_own_address(const XdpOptions& xdp, std::uint32_t address) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return;
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
    if (reinterpret_cast<const sockaddr_in*>(one->ifa_addr)->sin_addr.s_addr != address) continue;
    throw failed(xdp.address + " is an address of the kernel, on " + one->ifa_name, EADDRINUSE,
                 "give the stack an address of its own");
  }
}

void initialise_once() {
  static const bool done = [] {
    lwip_init();
    return true;
  }();
  static_cast<void>(done);
}

}  // namespace

LwipEngine* LwipEngine::current() noexcept { return g_engine; }

LwipEngine::LwipEngine(const TransportOptions& options, const XdpOptions& xdp,
                       std::unique_ptr<FrameDevice> device)
    : options_(options),
      xdp_(xdp),
      device_(std::move(device)),
      table_(options.connections_max),
      sides_(options.connections_max),
      lookup_(std::bit_ceil(std::size_t{options.connections_max} * 4)),
      receive_buffer_(options.receive_buffer_bytes, MappedArray<std::byte>::Pages::at_once),
      packets_(device_->facts().frames),
      frames_(xdp.batch),
      wake_descriptor_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (wake_descriptor_.get() < 0) throw failed("eventfd", errno);
  ack_due_.reserve(options.connections_max);
  const Network network = network_of(xdp);
  own_ = network.address;
  mask_ = network.mask;
  gateway_ = network.gateway;
  stack_memory::set_bound(xdp.stack_memory_bytes);
  look_at_clock();
  g_engine = this;
  initialise_once();
  sys_restart_timeouts();
  add_interface();
  const DeviceFacts& facts = device_->facts();
  mode_ = facts.mode +
          (facts.verify_checksums ? "; checksums verified" : "; checksums not verified") +
          "; " FEEDBENCH_LWIP_BUILD;
  device_calls_ = device_->other_calls();
  counters_.system_calls = device_calls_;
  try {
    if (!xdp.gateway.empty()) require_gateway();
  } catch (...) {
    netif_remove(&interface_);
    g_engine = nullptr;
    throw;
  }
  device_->kick();
}

err_t LwipEngine::set_up_interface(netif* interface) {
  const DeviceFacts& facts = g_engine->device_->facts();
  interface->name[0] = 'x';
  interface->name[1] = 'd';
  interface->mtu = static_cast<u16_t>(facts.mtu);
  interface->hwaddr_len = ETH_HWADDR_LEN;
  std::memcpy(interface->hwaddr, facts.mac.data(), facts.mac.size());
  interface->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
  interface->output = output_ip;
  interface->linkoutput = output_frame;
#if LWIP_CHECKSUM_CTRL_PER_NETIF
  NETIF_SET_CHECKSUM_CTRL(interface, facts.verify_checksums
                                         ? NETIF_CHECKSUM_ENABLE_ALL
                                         : (NETIF_CHECKSUM_ENABLE_ALL &
                                            ~(NETIF_CHECKSUM_CHECK_IP | NETIF_CHECKSUM_CHECK_TCP |
                                              NETIF_CHECKSUM_CHECK_ICMP)));
#endif
  return ERR_OK;
}

void LwipEngine::add_interface() {
  if (netif_add(&interface_, &own_, &mask_, &gateway_, nullptr, set_up_interface, ethernet_input) ==
      nullptr) {
    g_engine = nullptr;
    throw failed("lwIP does not take the interface");
  }
  netif_set_default(&interface_);
  netif_set_link_up(&interface_);
  netif_set_up(&interface_);  // says on the network whose the address is now
}

void LwipEngine::require_gateway() {
  const MonotonicInstant give_up =
      MonotonicInstant::now() + std::int64_t{xdp_.gateway_wait_ms} * 1'000'000;
  MonotonicInstant ask_at = MonotonicInstant::now();
  constexpr std::int64_t kAskAgainNs = 250'000'000;
  for (;;) {
    eth_addr* mac = nullptr;
    const ip4_addr_t* found = nullptr;
    if (etharp_find_addr(&interface_, &gateway_, &mac, &found) >= 0) return;
    if (MonotonicInstant::now() >= ask_at) {
      etharp_request(&interface_, &gateway_);
      ask_at = MonotonicInstant::now() + kAskAgainNs;
    }
    device_->kick();
    if (device_->readable()) take_up_frames();
    if (MonotonicInstant::now() > give_up) break;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  throw failed("the gateway " + xdp_.gateway + " does not answer on " + xdp_.interface,
               EHOSTUNREACH,
               "is the address right, and does the queue " + std::to_string(xdp_.queue) +
                   " get its frames? one queue: ethtool -L " + xdp_.interface + " combined 1");
}

// What was sent before the end, data and FINs, gets the chance to be acknowledged; there is nobody
// to send it again afterwards.
void LwipEngine::drain() noexcept {
  const MonotonicInstant give_up = MonotonicInstant::now() + kDrainNs;
  for (;;) {
    bool waiting = false;
    for (const tcp_pcb* pcb = tcp_active_pcbs; pcb != nullptr; pcb = pcb->next) {
      waiting |= pcb->state != SYN_RCVD && pcb->state != SYN_SENT &&
                 (pcb->unsent != nullptr || pcb->unacked != nullptr);
    }
    device_->kick();
    // A device that cannot be waited for has all that will ever come.
    const bool in_vain = device_->descriptor() < 0 && !device_->readable() && looped_ == 0;
    if (!waiting || in_vain || MonotonicInstant::now() > give_up) return;
    look_at_clock();
    if (device_->readable()) take_up_frames();
    if (looped_ != 0) take_up_looped();
    run_timers();
    device_->kick();
    if (!device_->readable() && looped_ == 0)
      std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

LwipEngine::~LwipEngine() {
  finish_step();
  stop_listening();
  lingering_ = {};
  for (std::uint32_t i = 0; i < table_.high_water(); ++i) {
    if (table_[i].state == ConnectionState::connecting) reset_pcb(i);
    forget_pcb(i);
  }
  drain();
  while (tcp_active_pcbs != nullptr) tcp_abandon(tcp_active_pcbs, 0);
  while (tcp_tw_pcbs != nullptr) tcp_abandon(tcp_tw_pcbs, 0);
  while (looped_head_ != nullptr) {
    pbuf* const packet = std::exchange(looped_head_, looped_head_->next);
    packet->next = nullptr;
    pbuf_free(packet);
  }
  netif_remove(&interface_);
  device_->kick();
  g_engine = nullptr;
}

Expected<ip4_addr_t> LwipEngine::parse(std::string_view what, const Endpoint& endpoint) const {
  ip4_addr_t address{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, endpoint.address.c_str(), &address.addr) == 1) return address;
  if (::inet_pton(AF_INET6, endpoint.address.c_str(), &v6) == 1) {
    return tl::unexpected(
        sockets::make_error(what, to_string(endpoint), EAFNOSUPPORT, "xdp speaks IPv4 alone"));
  }
  return tl::unexpected(Error{std::string(what) + ": \"" + endpoint.address +
                                  "\" is not a numeric IPv4 address (resolve names first)",
                              EINVAL});
}

Expected<void> LwipEngine::prepare_stamps(const ConnOptions& options) {
  if (!options.nic_stamps || clock_) return {};
  auto clock = TscClock::calibrate();
  if (!clock) return tl::unexpected(clock.error());
  clock_.emplace(std::move(*clock));
  read_tai_offset();
  return {};
}

// TAI is REALTIME and a whole number of seconds, which changes when the kernel is told of a leap
// second, or of any at all.
void LwipEngine::read_tai_offset() noexcept {
  tai_offset_of_anchor_ = clock_->reanchors();
  constexpr std::int64_t kSecondNs = 1'000'000'000;
  const std::int64_t apart_ns = read_clock_ns(CLOCK_TAI) - read_clock_ns(CLOCK_REALTIME);
  tai_offset_ns_ = (apart_ns + kSecondNs / 2) / kSecondNs * kSecondNs;
}

Expected<Endpoint> LwipEngine::listen(const Endpoint& endpoint, const ConnOptions& options) {
  constexpr std::string_view kWhat = "listen xdp";
  if (listener_count_ == kListenersMax) {
    return tl::unexpected(sockets::make_error(
        kWhat, "a transport listens on at most " + std::to_string(kListenersMax) + " endpoints",
        0));
  }
  const auto address = parse(kWhat, endpoint);
  if (!address) return tl::unexpected(address.error());
  if (!ip4_addr_isany_val(*address) && !ip4_addr_cmp(&*address, &own_)) {
    return tl::unexpected(sockets::make_error(
        kWhat, "bind " + to_string(endpoint), EADDRNOTAVAIL,
        "the stack's own address is " + xdp_.address.substr(0, xdp_.address.find('/'))));
  }
  if (auto ready = prepare_stamps(options); !ready) return tl::unexpected(ready.error());
  tcp_pcb* pcb = tcp_new();
  if (pcb == nullptr) {
    return tl::unexpected(
        sockets::make_error(kWhat, to_string(endpoint), ENOMEM, "raise stack_memory_bytes"));
  }
  ip_set_option(pcb, SOF_REUSEADDR);  // connections of an earlier listener may still be closing
  ip_addr_t own;
  ip_addr_copy_from_ip4(own, *address);
  err_t error = tcp_bind(pcb, &own, endpoint.port);
  tcp_pcb* listening = nullptr;
  if (error == ERR_OK) listening = tcp_listen_with_backlog_and_err(pcb, 255, &error);
  if (listening == nullptr) {
    tcp_close(pcb);
    const bool in_use = error == ERR_USE;
    return tl::unexpected(
        sockets::make_error(kWhat, "bind " + to_string(endpoint), in_use ? EADDRINUSE : ENOMEM,
                            in_use ? "choose another port, or stop listening on it first"
                                   : "raise stack_memory_bytes"));
  }
  listeners_[listener_count_] = {listening, options};
  tcp_arg(listening, reinterpret_cast<void*>(listener_count_ + 1));
  tcp_accept(listening, on_accept);
  ++listener_count_;
  return Endpoint{endpoint.address, reinterpret_cast<tcp_pcb_listen*>(listening)->local_port};
}

void LwipEngine::stop_listening() noexcept {
  for (std::size_t i = 0; i < listener_count_; ++i) {
    tcp_close(listeners_[i].pcb);
    listeners_[i] = {};
  }
  listener_count_ = 0;
}

std::string absent_reason() { return {}; }

std::unique_ptr<FrameDevice> open_device(const XdpOptions& xdp) {
  if (xdp.interface.empty()) {
    throw failed("no interface is named", EINVAL,
                 "set interface and address: a network card, and an address of its own there");
  }
  const Network network = network_of(xdp);
  require_own_address(xdp, network.address.addr);
  return std::make_unique<XskDevice>(xdp, network.address.addr);
}

std::unique_ptr<Engine> make_engine_on(const TransportOptions& options, const XdpOptions& xdp,
                                       std::unique_ptr<FrameDevice> device) {
  if (g_engine != nullptr) {
    throw failed(
        "this process has a TCP/IP stack already", EBUSY,
        "one xdp transport in a process at a time: close it first, or use another process");
  }
  return std::make_unique<LwipEngine>(options, xdp, std::move(device));
}

std::unique_ptr<Engine> make_engine(const TransportOptions& options, const XdpOptions& xdp) {
  if (g_engine != nullptr) return make_engine_on(options, xdp, nullptr);
  return make_engine_on(options, xdp, open_device(xdp));
}

}  // namespace feedbench::transports::xdp
