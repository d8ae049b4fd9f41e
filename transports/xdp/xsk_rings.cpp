#include "transports/xdp/xsk_rings.hpp"

#include <linux/if_xdp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "transports/sockets.hpp"
#include "transports/transport.hpp"
#include "transports/xdp/privileges.hpp"

// Newer than the headers of Debian 12.
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

namespace feedbench::transports::xdp {
namespace {

constexpr int kMaxTransmitBudget = 9;  // XDP_MAX_TX_SKB_BUDGET, Linux 6.17
constexpr int kBusyTries = 40;
constexpr std::chrono::milliseconds kBusyPause{50};

Error failed(const XdpOptions& options, const std::string& detail, int os_error) {
  std::string hint;
  switch (os_error) {
    case EBUSY:
      hint = "another AF_XDP socket has this queue: end that process, or choose another queue";
      break;
    case EPERM:
    case EACCES:
      hint = std::string("AF_XDP needs ") + kPrivileges + ": " + kHowToGetThem;
      break;
    case EOPNOTSUPP:
      hint = "the driver has no zero-copy: copy: automatic or copy works";
      break;
    case EINVAL:
      hint = "does the interface have this queue? (`ls /sys/class/net/INTERFACE/queues`)";
      break;
    case ENOMEM:
    case ENOBUFS:
      hint = "packet memory could not be locked: CAP_IPC_LOCK, or a higher limit (ulimit -l)";
      break;
    case ENOENT:  // libxdp's word for it
    case EMFILE:
      hint = "too few file descriptors? (ulimit -n)";
      break;
    case EAFNOSUPPORT:
      hint = "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)";
      break;
    default:
      break;
  }
  return sockets::make_error("open xdp", detail + " on " + options.interface, os_error, hint);
}

}  // namespace

int XskRings::try_bind(const XdpOptions& options, std::span<std::byte> memory,
                       std::uint16_t flags) {
  // libxdp 1.3.1 leaves parts of these as they were.
  fill = {};
  completion = {};
  receive = {};
  transmit = {};
  xsk_umem_config umem{};
  umem.fill_size = options.receive_ring;
  umem.comp_size = options.transmit_ring;
  umem.frame_size = options.frame_bytes;
  if (const int result =
          xsk_umem__create(&memory_, memory.data(), memory.size(), &fill, &completion, &umem);
      result != 0) {
    throw failed(options, "register " + std::to_string(memory.size()) + " bytes of packet memory",
                 -result);
  }
  xsk_socket_config config{};
  config.rx_size = options.receive_ring;
  config.tx_size = options.transmit_ring;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = flags;
  const int result = xsk_socket__create(&socket_, options.interface.c_str(), options.queue, memory_,
                                        &receive, &transmit, &config);
  if (result != 0) {
    socket_ = nullptr;
    close();
  }
  return -result;
}

XskRings::XskRings(const XdpOptions& options, std::span<std::byte> memory) {
  const std::uint16_t wakeup = options.need_wakeup ? XDP_USE_NEED_WAKEUP : 0;
  int os_error = EOPNOTSUPP;
  for (int tries = 0; tries < kBusyTries; ++tries) {
    if (tries > 0) std::this_thread::sleep_for(kBusyPause);
    for (const bool zero_copy : {true, false}) {
      if (options.copy != XdpCopy::automatic && (options.copy == XdpCopy::zero_copy) != zero_copy) {
        continue;
      }
      const unsigned flags = (zero_copy ? XDP_ZEROCOPY : XDP_COPY) | wakeup;
      os_error = try_bind(options, memory, static_cast<std::uint16_t>(flags));
      if (os_error == 0) {
        mode_ = zero_copy ? "zero-copy" : "copy";
        break;
      }
      if (os_error == EBUSY) break;
    }
    if (os_error != EBUSY) break;
  }
  if (os_error != 0) throw failed(options, "bind queue " + std::to_string(options.queue), os_error);
  if (options.need_wakeup) mode_ += ", need_wakeup";
  descriptor_ = xsk_socket__fd(socket_);
  set_budgets(options);
}

void XskRings::set_budgets(const XdpOptions& options) {
  // One sendto() then takes all that is queued, not 32 frames. Older kernels refuse, and are called
  // again.
  const int all = static_cast<int>(options.transmit_ring);
  ::setsockopt(descriptor_, SOL_XDP, kMaxTransmitBudget, &all, sizeof(all));
  if (options.busy_poll_us == 0) return;
  const int on = 1;
  const int microseconds = static_cast<int>(options.busy_poll_us);
  const int budget = static_cast<int>(options.busy_poll_budget);
  if (::setsockopt(descriptor_, SOL_SOCKET, SO_PREFER_BUSY_POLL, &on, sizeof(on)) != 0 ||
      ::setsockopt(descriptor_, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof(microseconds)) !=
          0 ||
      ::setsockopt(descriptor_, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)) != 0) {
    const int os_error = errno;
    close();
    throw sockets::make_error("open xdp",
                              "set busy polling for " + std::to_string(options.busy_poll_us) +
                                  " us on " + options.interface,
                              os_error, "busy_poll_us: 0 works everywhere");
  }
  mode_ += ", busy poll";
}

XskRings::~XskRings() { close(); }

void XskRings::close() noexcept {
  if (socket_ != nullptr) xsk_socket__delete(socket_);
  if (memory_ != nullptr) xsk_umem__delete(memory_);
  socket_ = nullptr;
  memory_ = nullptr;
}

}  // namespace feedbench::transports::xdp
