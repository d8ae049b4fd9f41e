#pragma once

namespace feedbench::transports::xdp {

/// What a process without root needs for an XdpTransport, measured on Linux 6.18: the program adds to packet pointers, which
/// the verifier lets nobody do without CAP_PERFMON, and the packet memory (XdpOptions::frames, 8 MiB by default) counts
/// against the limit of locked memory without CAP_IPC_LOCK. capabilities(7).
inline constexpr char kPrivileges[] =
    "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_IPC_LOCK";
inline constexpr char kHowToGetThem[] =
    "run as root, or `setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon,cap_ipc_lock+ep "
    "PROGRAM`";

}  // namespace feedbench::transports::xdp
