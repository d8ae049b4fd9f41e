#include "transports/epoll/epoll_features.hpp"

#include <sys/epoll.h>

#include <cerrno>
#include <cstdint>
#include <ctime>

#include "transports/epoll/busy_poll.hpp"
#include "transports/rings/descriptor.hpp"

namespace feedbench::transports {
namespace {

using namespace epoll_abi;

void try_precise_wait(int epoll, KernelFeature& feature) {
  epoll_event event{};
  const timespec at_once{};
  if (::epoll_pwait2(epoll, &event, 1, &at_once, nullptr) == 0) return feature.works();
  feature.fails(errno == ENOSYS ? "this kernel does not know it: deadlines are rounded up to 1 ms"
                                : explain_errno(errno),
                errno);
}

void try_busy_poll(int epoll, KernelFeature& feature) {
  const BusyPollParameters wanted{50, kBudget, 0, 0};
  BusyPollParameters got;
  if (::ioctl(epoll, kSetParameters, &wanted) != 0) {
    const bool unknown = errno == ENOTTY || errno == EINVAL;
    return feature.fails(
        unknown ? "this kernel does not know it" : "refused: " + explain_errno(errno), errno);
  }
  if (::ioctl(epoll, kGetParameters, &got) != 0 || got.busy_poll_us != wanted.busy_poll_us) {
    return feature.fails("taken, but not kept");
  }
  feature.works();
}

}  // namespace

std::vector<KernelFeature> probe_epoll_features() {
  std::vector<KernelFeature> features = {
      {"epoll.pwait2", "epoll_pwait2", "deadlines in nanoseconds, not milliseconds", {}, {}, 0},
      {"epoll.busy_poll",
       "busy poll of one epoll",
       "a waiting thread asks the network card (EPIOCSPARAMS)",
       {},
       {},
       0}};
  const rings::Descriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) {
    const int os_error = errno;
    for (KernelFeature& feature : features)
      feature.untried("no epoll: " + explain_errno(os_error), os_error);
    return features;
  }
  try_precise_wait(epoll.get(), features[0]);
  try_busy_poll(epoll.get(), features[1]);
  return features;
}

}  // namespace feedbench::transports
