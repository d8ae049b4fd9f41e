#include "transports/epoll/epoll_poller.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "transports/epoll/busy_poll.hpp"

namespace feedbench::transports {

EpollPoller::EpollPoller(const TransportOptions& options)
    : descriptor_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (descriptor_ < 0) throw sockets::make_error("open epoll", "epoll_create1", errno);
  if (options.busy_poll_us == 0) return;
  const epoll_abi::BusyPollParameters wanted{options.busy_poll_us, epoll_abi::kBudget, 0, 0};
  if (::ioctl(descriptor_, epoll_abi::kSetParameters, &wanted) != 0) {
    const int os_error = errno;
    ::close(descriptor_);
    throw sockets::make_error("open epoll", "busy_poll_us", os_error, "it came with Linux 6.9");
  }
}

EpollPoller::~EpollPoller() { ::close(descriptor_); }

int EpollPoller::control(int descriptor, readiness::Token token, std::uint32_t events) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = token;
  return ::epoll_ctl(descriptor_, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

void EpollPoller::let_go(int descriptor) noexcept {
  ::epoll_ctl(descriptor_, EPOLL_CTL_DEL, descriptor, nullptr);
}

int EpollPoller::sleep_for_events(std::int64_t timeout_ns) noexcept {
  if (timeout_ns < 0) return ::epoll_wait(descriptor_, events_.data(), kEventsMax, -1);
  if (precise_) {
    const timespec timeout{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
    const int count = ::epoll_pwait2(descriptor_, events_.data(), kEventsMax, &timeout, nullptr);
    if (count >= 0 || errno != ENOSYS) return count;
    precise_ = false;
  }
  // Rounded up: waking before the deadline would make the caller spin through its last millisecond.
  const std::int64_t milliseconds =
      std::min<std::int64_t>((timeout_ns + 999'999) / 1'000'000, INT_MAX);
  return ::epoll_wait(descriptor_, events_.data(), kEventsMax, static_cast<int>(milliseconds));
}

}  // namespace feedbench::transports
