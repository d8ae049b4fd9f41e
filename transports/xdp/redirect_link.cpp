#include "transports/xdp/redirect_link.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <unistd.h>

#include <cerrno>

#include "transports/sockets.hpp"
#include "transports/transport.hpp"
#include "transports/xdp/privileges.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpedantic"
#include <redirect.skel.h>
#pragma GCC diagnostic pop

namespace feedbench::transports::xdp {
namespace {

Error failed(const std::string& interface, const std::string& detail, int os_error,
             std::string_view hint = {}) {
  return sockets::make_error("open xdp", detail + " on " + interface, os_error, hint);
}

std::string load_hint(int os_error) {
  if (os_error == EPERM || os_error == EACCES)
    return std::string("AF_XDP needs ") + kPrivileges + ": " + kHowToGetThem;
  return "the kernel must have BPF and AF_XDP, Linux 6.1 or later";
}

std::string_view attach_hint(int os_error) {
  switch (os_error) {
    case EBUSY:
    case EEXIST:
      return "another XDP program is on this interface, most likely another process of this kind: "
             "`bpftool net` and `bpftool link` tell which; end it, or, if no process holds it, "
             "`ip link set dev INTERFACE xdp off`";
    case EPERM:
    case EACCES:
      return "attaching needs CAP_NET_ADMIN: run as root, or setcap the program";
    case EOPNOTSUPP:
    case EINVAL:
      return "the driver has no native XDP as the interface is set up (MTU, queues): "
             "attach: generic works on any interface";
    default:
      return {};
  }
}

}  // namespace

RedirectLink::RedirectLink(const std::string& interface, unsigned interface_index,
                           std::uint32_t address, XdpAttach attach)
    : interface_(interface), program_(nullptr, redirect__destroy) {
  // Errors are told by their codes; libbpf would print its own lines to stderr.
  libbpf_set_print(nullptr);
  program_.reset(redirect__open());
  if (program_ == nullptr) throw failed(interface, "open the XDP program", errno);
  program_->rodata->stack_address = address;
  if (const int result = redirect__load(program_.get()); result != 0) {
    throw failed(interface, "load the XDP program", -result, load_hint(-result));
  }
  struct Mode {
    XdpAttach attach;
    unsigned flags;
    const char* name;
  };
  static constexpr Mode kModes[] = {{XdpAttach::native, XDP_FLAGS_DRV_MODE, "native"},
                                    {XdpAttach::generic, XDP_FLAGS_SKB_MODE, "generic"}};
  int os_error = EINVAL;
  for (const Mode& mode : kModes) {
    if (attach != XdpAttach::automatic && attach != mode.attach) continue;
    bpf_link_create_opts options{};
    options.sz = sizeof(options);
    options.flags = mode.flags;
    link_ = bpf_link_create(bpf_program__fd(program_->progs.redirect),
                            static_cast<int>(interface_index), BPF_XDP, &options);
    if (link_ >= 0) {
      mode_ = mode.name;
      return;
    }
    os_error = -link_;
    link_ = -1;
    if (os_error == EBUSY || os_error == EEXIST || os_error == EPERM) break;
  }
  throw failed(interface, "attach the XDP program", os_error, attach_hint(os_error));
}

RedirectLink::~RedirectLink() {
  if (link_ >= 0) ::close(link_);
}

void RedirectLink::feed(std::uint32_t queue, int socket) {
  if (bpf_map_update_elem(bpf_map__fd(program_->maps.sockets), &queue, &socket, BPF_ANY) != 0) {
    throw failed(interface_, "hand queue " + std::to_string(queue) + " to the XDP program", errno,
                 "queues are below 256");
  }
}

}  // namespace feedbench::transports::xdp
