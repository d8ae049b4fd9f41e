#include "transports/epoll/epoll_poller.hpp"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include "transports/epoll/busy_poll.hpp"

namespace feedbench::transports {
namespace {

TEST(EpollPoller, TellsTheKernelToBusyPoll) {
  TransportOptions options;
  options.busy_poll_us = 70;
  try {
    const EpollPoller poller(options);
    epoll_abi::BusyPollParameters got;
    ASSERT_EQ(::ioctl(poller.descriptor(), epoll_abi::kGetParameters, &got), 0);
    EXPECT_EQ(got.busy_poll_us, 70u);
  } catch (const Error& error) {
    GTEST_SKIP() << "epoll busy poll: not in this kernel: " << error.message;
  }
}

}  // namespace
}  // namespace feedbench::transports
