#include "transports/xdp/xdp_features.hpp"

#include <linux/capability.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

#include "transports/loopback_pair.hpp"
#include "transports/mapped_array.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/xdp/privileges.hpp"

namespace feedbench::transports {
namespace {

#ifndef AF_XDP
#define AF_XDP 44
#endif
#ifndef SOL_XDP
#define SOL_XDP 283
#endif

constexpr std::uint32_t kFrameBytes = 2048;
constexpr std::uint32_t kFrames = 64;
constexpr int kCapabilityPerfmon = 38;  // CAP_PERFMON, Linux 5.8
constexpr int kCapabilityBpf = 39;      // CAP_BPF, Linux 5.8

struct Privilege {
  int number;
  const char* name;
};
constexpr Privilege kPrivileges[] = {{CAP_NET_ADMIN, "CAP_NET_ADMIN"},
                                     {CAP_NET_RAW, "CAP_NET_RAW"},
                                     {kCapabilityBpf, "CAP_BPF"},
                                     {kCapabilityPerfmon, "CAP_PERFMON"}};

bool holds(int capability) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return false;
  const auto bit = static_cast<unsigned>(capability);
  return (data[bit / 32].effective & (1U << (bit % 32))) != 0;
}

/// The packet memory and the rings of the default XdpOptions.
bool may_lock_packet_memory() {
  rlimit limit{};
  return holds(CAP_IPC_LOCK) ||
         (::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur >= std::uint64_t{16} << 20);
}

/// CAP_SYS_ADMIN stands for CAP_BPF and CAP_PERFMON.
std::string missing_privileges() {
  std::string missing;
  for (const Privilege& privilege : kPrivileges) {
    if (holds(privilege.number)) continue;
    if (privilege.number >= kCapabilityPerfmon && holds(CAP_SYS_ADMIN)) continue;
    if (!missing.empty()) missing += ", ";
    missing += privilege.name;
  }
  if (!may_lock_packet_memory()) {
    if (!missing.empty()) missing += ", ";
    missing += "CAP_IPC_LOCK (or ulimit -l 16384)";
  }
  return missing;
}

template <class T>
bool set_xdp(int descriptor, int option, const T& value) {
  return ::setsockopt(descriptor, SOL_XDP, option, &value, sizeof(value)) == 0;
}

/// Makes an AF_XDP socket with its memory and rings, and binds it to queue 0 of lo. returns 0 or an errno.
int bind_socket(std::uint16_t flags) {
  const MappedArray<std::byte> memory(std::size_t{kFrames} * kFrameBytes,
                                      MappedArray<std::byte>::Pages::at_once);
  const rings::Descriptor socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return errno;
  xdp_umem_reg registration{};
  registration.addr = reinterpret_cast<std::uintptr_t>(&memory[0]);
  registration.len = memory.size();
  registration.chunk_size = kFrameBytes;
  const int entries = static_cast<int>(kFrames);
  const int descriptor = socket.get();
  if (!set_xdp(descriptor, XDP_UMEM_REG, registration) ||
      !set_xdp(descriptor, XDP_UMEM_FILL_RING, entries) ||
      !set_xdp(descriptor, XDP_UMEM_COMPLETION_RING, entries) ||
      !set_xdp(descriptor, XDP_RX_RING, entries) || !set_xdp(descriptor, XDP_TX_RING, entries)) {
    return errno;
  }
  sockaddr_xdp address{};
  address.sxdp_family = AF_XDP;
  address.sxdp_flags = flags;
  address.sxdp_ifindex = ::if_nametoindex("lo");
  return ::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0
             ? 0
             : errno;
}

/// In a network namespace that nobody else is in; a new one each time, because the kernel lets go of a queue later than its
/// socket is closed.
void try_bind(std::uint16_t flags, KernelFeature& feature) {
  if (const int os_error = ::unshare(CLONE_NEWNET) != 0 ? errno : bring_loopback_up();
      os_error != 0) {
    return feature.untried(
        "needs a network namespace to try it in (CAP_SYS_ADMIN): " + explain_errno(os_error),
        os_error);
  }
  try {
    const int os_error = bind_socket(flags);
    if (os_error == 0) return feature.works();
    feature.fails("refused: " + explain_errno(os_error), os_error);
  } catch (const Error& error) {
    feature.untried(error.message, error.os_error);
  }
}

}  // namespace

std::vector<KernelFeature> probe_xdp_features() {
  std::vector<KernelFeature> features = {
      {"xdp.privileges", "privileges", "what AF_XDP asks of a process", {}, {}, 0},
      {"xdp.socket", "AF_XDP socket", "frames come from the driver past the kernel", {}, {}, 0},
      {"xdp.generic_copy", "generic, copy", "on any interface: the kernel copies", {}, {}, 0},
      {"xdp.need_wakeup", "need_wakeup", "the kernel says when it has to be called", {}, {}, 0}};
  const std::string missing = missing_privileges();
  missing.empty() ? features[0].works(std::string(xdp::kPrivileges) + " are there")
                  : features[0].fails("missing: " + missing, EPERM);
  const rings::Descriptor socket(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    const int os_error = errno;
    if (os_error == EAFNOSUPPORT) {
      features[1].fails("this kernel has none (CONFIG_XDP_SOCKETS)", os_error);
    } else if (os_error == EPERM) {
      features[1].untried("this process may not: it needs CAP_NET_RAW", os_error);
    } else {
      features[1].untried("no socket: " + explain_errno(os_error), os_error);
    }
    for (std::size_t i = 2; i < features.size(); ++i)
      features[i].untried("needs an AF_XDP socket", os_error);
    return features;
  }
  features[1].works();
  try {
    std::thread([&] {
      try_bind(XDP_COPY, features[2]);
      try_bind(XDP_COPY | XDP_USE_NEED_WAKEUP, features[3]);
    }).join();
  } catch (const std::system_error& error) {
    for (std::size_t i = 2; i < features.size(); ++i) features[i].untried(error.what());
  }
  return features;
}

}  // namespace feedbench::transports
