#pragma once

namespace feedbench::transports {

/// Makes a veth pair: one end in the network namespace of the calling thread, the other in another
/// one. Each end has one queue: with more, the kernel would spread flows, and ARP, over queues that
/// no AF_XDP socket has.
/// far_namespace: a descriptor of the other namespace. returns 0 or an errno.
/// source: rtnetlink(7), RTM_NEWLINK.
int make_veth_pair(const char* near_name, const char* far_name, int far_namespace) noexcept;

/// What is set of an interface of the calling thread's network namespace. returns 0 or an errno.
int set_interface_address(const char* name, const char* ipv4, unsigned prefix_bits) noexcept;
int set_interface_up(const char* name) noexcept;
/// which: an ETHTOOL_S... command that takes a value, such as ETHTOOL_STSO.
int turn_offload_off(const char* name, unsigned which) noexcept;

}  // namespace feedbench::transports
