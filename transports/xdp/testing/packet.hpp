#pragma once

#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

/// Ethernet frames by hand: what a peer of the stack sends, and what the stack sends, taken apart.
namespace feedbench::transports::xdp::testing {

using Frame = std::vector<std::byte>;

inline constexpr std::uint8_t kStackMac[6] = {2, 0, 0, 0, 0, 2};
inline constexpr std::uint8_t kPeerMac[6] = {2, 0, 0, 0, 0, 1};

/// One TCP segment, all in host byte order.
struct Segment {
  std::uint32_t from = 0;  ///< address
  std::uint32_t to = 0;
  std::uint16_t from_port = 0;
  std::uint16_t to_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledged = 0;
  std::uint8_t flags = 0;  ///< TH_SYN ...
  std::uint16_t window = 65535;
  std::vector<std::uint8_t> options{};  ///< length a multiple of four
  std::vector<std::byte> payload{};
};

/// The Internet checksum of two stretches, one after the other; the first of even length.
inline std::uint16_t internet_checksum(std::span<const std::byte> first,
                                       std::span<const std::byte> second = {}) {
  std::uint32_t sum = 0;
  for (const auto part : {first, second}) {
    for (std::size_t i = 0; i < part.size(); ++i) {
      const auto byte = static_cast<std::uint32_t>(part[i]);
      sum += i % 2 == 0 ? byte << 8 : byte;
    }
  }
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

inline void put_ethernet(Frame& frame, std::uint16_t type) {
  std::memcpy(frame.data(), kStackMac, 6);
  std::memcpy(frame.data() + 6, kPeerMac, 6);
  const std::uint16_t wire = htons(type);
  std::memcpy(frame.data() + 12, &wire, 2);
}

/// Computes the checksums of an Ethernet frame that holds TCP over IPv4 without options.
inline void put_checksums(Frame& frame) {
  std::byte* const ip = frame.data() + ETH_HLEN;
  std::byte* const tcp = ip + sizeof(iphdr);
  const std::size_t tcp_bytes = frame.size() - ETH_HLEN - sizeof(iphdr);
  const auto put = [](std::byte* at, std::uint16_t value) {
    const std::uint16_t wire = htons(value);
    std::memcpy(at, &wire, 2);
  };
  put(ip + 10, 0);
  put(ip + 10, internet_checksum({ip, sizeof(iphdr)}));
  std::byte pseudo[12]{};
  std::memcpy(pseudo, ip + 12, 8);
  pseudo[9] = std::byte{IPPROTO_TCP};
  put(pseudo + 10, static_cast<std::uint16_t>(tcp_bytes));
  put(tcp + 16, 0);
  put(tcp + 16, internet_checksum(pseudo, {tcp, tcp_bytes}));
}

inline Frame frame_of(const Segment& segment) {
  const std::size_t header = sizeof(tcphdr) + segment.options.size();
  Frame frame(ETH_HLEN + sizeof(iphdr) + header + segment.payload.size());
  put_ethernet(frame, ETH_P_IP);
  iphdr ip{};
  ip.version = 4;
  ip.ihl = 5;
  ip.tot_len = htons(static_cast<std::uint16_t>(frame.size() - ETH_HLEN));
  ip.ttl = 64;
  ip.protocol = IPPROTO_TCP;
  ip.saddr = htonl(segment.from);
  ip.daddr = htonl(segment.to);
  std::memcpy(frame.data() + ETH_HLEN, &ip, sizeof(ip));
  tcphdr tcp{};
  tcp.th_sport = htons(segment.from_port);
  tcp.th_dport = htons(segment.to_port);
  tcp.th_seq = htonl(segment.sequence);
  tcp.th_ack = htonl(segment.acknowledged);
  tcp.th_off = static_cast<std::uint8_t>(header / 4) & 0xF;
  tcp.th_flags = segment.flags;
  tcp.th_win = htons(segment.window);
  std::byte* const at = frame.data() + ETH_HLEN + sizeof(iphdr);
  std::memcpy(at, &tcp, sizeof(tcp));
  if (!segment.options.empty()) {
    std::memcpy(at + sizeof(tcp), segment.options.data(), segment.options.size());
  }
  std::copy(segment.payload.begin(), segment.payload.end(), at + header);
  put_checksums(frame);
  return frame;
}

/// The TCP segment of a frame, if it is one and its checksums are right.
inline std::optional<Segment> segment_of(std::span<const std::byte> frame) {
  if (frame.size() < ETH_HLEN + sizeof(iphdr) + sizeof(tcphdr)) return {};
  iphdr ip;
  std::memcpy(&ip, frame.data() + ETH_HLEN, sizeof(ip));
  if (ip.version != 4 || ip.ihl != 5 || ip.protocol != IPPROTO_TCP) return {};
  const std::size_t ip_bytes = ntohs(ip.tot_len);
  if (ip_bytes + ETH_HLEN > frame.size()) return {};
  Frame again(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(ip_bytes + ETH_HLEN));
  put_checksums(again);
  if (!std::equal(again.begin(), again.end(), frame.begin())) return {};
  tcphdr tcp;
  const std::byte* const at = frame.data() + ETH_HLEN + sizeof(iphdr);
  std::memcpy(&tcp, at, sizeof(tcp));
  const std::size_t header = std::size_t{tcp.th_off} * 4;
  Segment made{ntohl(ip.saddr),   ntohl(ip.daddr),   ntohs(tcp.th_sport), ntohs(tcp.th_dport),
               ntohl(tcp.th_seq), ntohl(tcp.th_ack), tcp.th_flags,        ntohs(tcp.th_win)};
  const auto* const options = reinterpret_cast<const std::uint8_t*>(at + sizeof(tcp));
  made.options.assign(options, options + (header - sizeof(tcp)));
  made.payload.assign(at + header, at + (ip_bytes - sizeof(iphdr)));
  return made;
}

/// An ARP packet: operation 1 asks, 2 answers. Addresses in host byte order.
inline Frame arp_frame(std::uint16_t operation, std::uint32_t from, std::uint32_t to) {
  Frame frame(ETH_HLEN + sizeof(ether_arp));
  put_ethernet(frame, ETH_P_ARP);
  ether_arp arp{};
  arp.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
  arp.ea_hdr.ar_pro = htons(ETH_P_IP);
  arp.ea_hdr.ar_hln = 6;
  arp.ea_hdr.ar_pln = 4;
  arp.ea_hdr.ar_op = htons(operation);
  std::memcpy(arp.arp_sha, kPeerMac, 6);
  std::memcpy(arp.arp_tha, kStackMac, 6);
  const std::uint32_t sender = htonl(from);
  const std::uint32_t target = htonl(to);
  std::memcpy(arp.arp_spa, &sender, 4);
  std::memcpy(arp.arp_tpa, &target, 4);
  std::memcpy(frame.data() + ETH_HLEN, &arp, sizeof(arp));
  return frame;
}

}  // namespace feedbench::transports::xdp::testing
