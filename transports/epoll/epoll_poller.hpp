#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <string_view>

#include "transports/readiness/readiness_transport.hpp"

namespace feedbench::transports {

/// Edge-triggered epoll. Interest in both directions is told once, so a connection costs no
/// epoll_ctl after it is added.
class EpollPoller {
 public:
  explicit EpollPoller(const TransportOptions& options);  // throws Error
  ~EpollPoller();
  EpollPoller(const EpollPoller&) = delete;
  EpollPoller& operator=(const EpollPoller&) = delete;

  static constexpr std::string_view name() noexcept { return "epoll"; }
  static constexpr bool can_watch(int) noexcept { return true; }
  static constexpr std::string_view limit_hint() noexcept { return {}; }
  static constexpr bool wake_read_needed() noexcept { return false; }  // every write is an edge

  int add(int descriptor, readiness::Token token, bool) noexcept {
    return control(descriptor, token, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
  }
  int add_listener(int descriptor, readiness::Token token) noexcept {
    // Of several processes that watch one listener (a hand-over) one is woken, not all.
    return control(descriptor, token, EPOLLIN | EPOLLEXCLUSIVE);
  }
  int add_wake(int descriptor, readiness::Token token) noexcept {
    return control(descriptor, token, EPOLLIN | EPOLLET);
  }
  void remove(int) noexcept {}  // closing the only descriptor of a socket removes it
  void let_go(int descriptor) noexcept;
  void want_read(int, bool) noexcept {}
  void want_write(int, bool) noexcept {}

  template <class F>
  int wait(std::int64_t timeout_ns, F&& found) {
    const int count = wait_for_events(timeout_ns);
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events_[static_cast<std::size_t>(i)];
      const std::uint32_t what = event.events;
      found(event.data.u64, readiness::Ready{(what & EPOLLIN) != 0, (what & EPOLLOUT) != 0,
                                             (what & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0});
    }
    return count;
  }

  /// For tests: the epoll itself.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  static constexpr int kEventsMax = 256;
  int control(int descriptor, readiness::Token token, std::uint32_t events) noexcept;
  int wait_for_events(std::int64_t timeout_ns) noexcept {
    if (timeout_ns == 0) return ::epoll_wait(descriptor_, events_.data(), kEventsMax, 0);
    return sleep_for_events(timeout_ns);
  }
  int sleep_for_events(std::int64_t timeout_ns) noexcept;

  int descriptor_ = -1;
  bool precise_ = true;  // epoll_pwait2 exists (Linux 5.11)
  std::array<epoll_event, kEventsMax> events_;
};

}  // namespace feedbench::transports
