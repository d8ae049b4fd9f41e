// SPDX-License-Identifier: MIT
// The XDP program: what is for the stack's own address goes to its socket, with the time it was
// seen; all else passes on to the kernel, untouched.
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>

#include "transports/xdp/redirect_metadata.h"

// The stack's IPv4 address, network byte order. Set before the program is loaded.
const volatile __u32 stack_address = 0;

struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 256);
  __type(key, __u32);
  __type(value, __u32);
} sockets SEC(".maps");

struct arp_ipv4 {
  __u16 hardware;
  __u16 protocol;
  __u8 sizes[2];
  __u16 operation;
  __u8 sender_mac[ETH_ALEN];
  __u8 sender_address[4];
  __u8 target_mac[ETH_ALEN];
  __u8 target_address[4];
} __attribute__((packed));

static __always_inline int is_for_the_stack(void* data, void* end) {
  struct ethhdr* ethernet = data;
  if ((void*)(ethernet + 1) > end) return 0;
  if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
    struct iphdr* ip = (void*)(ethernet + 1);
    if ((void*)(ip + 1) > end) return 0;
    return ip->daddr == stack_address;
  }
  if (ethernet->h_proto == bpf_htons(ETH_P_ARP)) {
    struct arp_ipv4* arp = (void*)(ethernet + 1);
    if ((void*)(arp + 1) > end) return 0;
    __u32 target;
    __builtin_memcpy(&target, arp->target_address, sizeof(target));
    return target == stack_address;
  }
  return 0;
}

SEC("xdp")
int redirect(struct xdp_md* context) {
  void* data = (void*)(long)context->data;
  void* end = (void*)(long)context->data_end;
  if (!is_for_the_stack(data, end)) return XDP_PASS;
  // A driver without room for metadata refuses; then the frame goes without a time.
  if (bpf_xdp_adjust_meta(context, -(int)sizeof(struct redirect_metadata)) == 0) {
    struct redirect_metadata* metadata = (void*)(long)context->data_meta;
    data = (void*)(long)context->data;
    if ((void*)(metadata + 1) <= data) {
      const __u64 now = bpf_ktime_get_tai_ns();
      metadata->mark = now ^ REDIRECT_METADATA_MARK;
      metadata->tai_ns = now;
    }
  }
  return bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS);
}

char _license[] SEC("license") = "Dual MIT/GPL";
