// Which connection a frame is for, without lwIP's walk along its list of all of them.
#include <lwip/priv/tcp_priv.h>
#include <lwip/prot/ethernet.h>
#include <lwip/prot/ip4.h>
#include <lwip/prot/tcp.h>

#include <cstring>

#include "transports/xdp/lwip_engine.hpp"

namespace feedbench::transports::xdp {

// address: of the peer, network byte order; ports: host byte order.
std::uint32_t& LwipEngine::place_of(std::uint32_t address, std::uint16_t remote_port,
                                    std::uint16_t local_port) noexcept {
  const std::uint64_t key =
      (std::uint64_t{address} << 32) | (std::uint64_t{remote_port} << 16) | local_port;
  const std::uint64_t hash = key * 0x9E3779B97F4A7C15ULL;
  return lookup_[(hash >> 32) & (lookup_.size() - 1)];
}

// The newest of those that share a place has it; the others are found by lwIP.
void LwipEngine::remember(std::uint32_t index) noexcept {
  const tcp_pcb& pcb = *sides_[index].pcb;
  place_of(ip_2_ip4(&pcb.remote_ip)->addr, pcb.remote_port, pcb.local_port) = index + 1;
}

// returns the connection of this frame, or nullptr: lwIP has to find out.
tcp_pcb* LwipEngine::find_pcb(std::span<const std::byte> frame) noexcept {
  constexpr std::size_t kIpAt = SIZEOF_ETH_HDR;
  constexpr std::size_t kTcpAt = kIpAt + IP_HLEN;
  if (frame.size() < kTcpAt + TCP_HLEN) return nullptr;
  ip_hdr ip;
  std::memcpy(&ip, frame.data() + kIpAt, sizeof(ip));
  constexpr std::uint8_t kVersion4NoOptions = 0x45;
  if (ip._v_hl != kVersion4NoOptions || ip._proto != IP_PROTO_TCP || ip.dest.addr != own_.addr) {
    return nullptr;
  }
  tcp_hdr tcp;
  std::memcpy(&tcp, frame.data() + kTcpAt, sizeof(tcp));
  const std::uint16_t remote_port = lwip_ntohs(tcp.src);
  const std::uint16_t local_port = lwip_ntohs(tcp.dest);
  const std::uint32_t found = place_of(ip.src.addr, remote_port, local_port);
  if (found == 0) return nullptr;
  tcp_pcb* const pcb = sides_[found - 1].pcb;
  const bool is_it = pcb != nullptr && pcb->remote_port == remote_port &&
                     pcb->local_port == local_port &&
                     ip_2_ip4(&pcb->remote_ip)->addr == ip.src.addr && pcb->state != CLOSED &&
                     pcb->state != TIME_WAIT && pcb->state != LISTEN;
  return is_it ? pcb : nullptr;
}

// lwIP looks along its list from the head: for this packet the list begins at the connection that
// it is for. If that connection leaves the list meanwhile, it is taken out of the whole list too.
// Nothing else changes the list: a packet that has a connection opens none, and callbacks only take
// notes.
err_t LwipEngine::input_for(tcp_pcb* pcb, pbuf* packet) noexcept {
  tcp_pcb* const head = tcp_active_pcbs;
  tcp_pcb* const behind = pcb->next;
  tcp_active_pcbs = pcb;
  const err_t result = interface_.input(packet, &interface_);
  if (tcp_active_pcbs != pcb) {
    LWIP_ASSERT("the list changed elsewhere", tcp_active_pcbs == behind);
    tcp_pcb* before = head;
    while (before->next != pcb) before = before->next;
    before->next = behind;
  }
  tcp_active_pcbs = head;
  return result;
}

}  // namespace feedbench::transports::xdp
