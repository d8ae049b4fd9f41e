#include "transports/tls/kernel_tls_feature.hpp"

#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

#include "transports/loopback_pair.hpp"

namespace feedbench::transports {

namespace {

/// Takes the privileges off the calling thread, for good. A privileged thread that asks for TLS makes the kernel load its
/// module, which would stay.
bool drop_privileges() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  return ::syscall(SYS_capset, &header, none.data()) == 0;
}

void ask_for_tls(int descriptor, KernelFeature& feature) {
  static constexpr char kName[] = "tls";
  if (!drop_privileges()) {
    return feature.untried("cannot try it without loading a kernel module", errno);
  }
  if (::setsockopt(descriptor, IPPROTO_TCP, TCP_ULP, kName, sizeof(kName) - 1) == 0) {
    return feature.works();
  }
  const int os_error = errno;
  if (os_error == ENOENT) {
    feature.fails(
        "ENOENT: this kernel was built without its module tls, or has not loaded it (modprobe tls)",
        os_error);
  } else if (os_error == ENOPROTOOPT) {
    feature.fails("ENOPROTOOPT: the kernel does not know the option TCP_ULP", os_error);
  } else {
    feature.fails("refused: " + explain_errno(os_error), os_error);
  }
}

}  // namespace

KernelFeature probe_kernel_tls() {
  KernelFeature feature{"ktls", "kernel TLS (kTLS)", "lets the kernel encrypt and decrypt", {}, {},
                        0};
  const LoopbackPair pair = make_loopback_pair();
  if (pair.os_error != 0) {
    feature.untried("no loopback connection: " + explain_errno(pair.os_error), pair.os_error);
    return feature;
  }
  try {
    std::thread([&] { ask_for_tls(pair.connecting.get(), feature); }).join();
  } catch (const std::system_error& error) {
    feature.untried(std::string("no thread to try it on: ") + error.what());
  }
  return feature;
}

}  // namespace feedbench::transports
