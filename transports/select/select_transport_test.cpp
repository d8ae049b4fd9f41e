#include "transports/select/select_transport.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vector>

namespace feedbench::transports {
namespace {

/// Takes all descriptors below FD_SETSIZE, so that the next one is beyond what select() can watch.
class FullDescriptorTable {
 public:
  FullDescriptorTable() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit more = before_;
    more.rlim_cur = std::min<rlim_t>(before_.rlim_max, FD_SETSIZE * 2);
    ::setrlimit(RLIMIT_NOFILE, &more);
    for (;;) {
      const int descriptor = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
      if (descriptor < 0) break;
      if (descriptor >= FD_SETSIZE) {
        ::close(descriptor);
        full_ = true;
        break;
      }
      taken_.push_back(descriptor);
    }
  }
  ~FullDescriptorTable() {
    for (const int descriptor : taken_) ::close(descriptor);
    ::setrlimit(RLIMIT_NOFILE, &before_);
  }
  FullDescriptorTable(const FullDescriptorTable&) = delete;
  FullDescriptorTable& operator=(const FullDescriptorTable&) = delete;
  [[nodiscard]] bool full() const { return full_; }
  /// Gives one place below FD_SETSIZE free again.
  void give_one() {
    ::close(taken_.back());
    taken_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<int> taken_;
  bool full_ = false;
};

TEST(SelectTransport, RefusesToConnectBeyondFdSetsizeAndSaysWhy) {
  SelectTransport transport{TransportOptions{}};
  const auto endpoint = transport.listen({}, {});
  ASSERT_TRUE(endpoint.has_value());
  FullDescriptorTable table;
  if (!table.full()) GTEST_SKIP() << "the limit of open files is below FD_SETSIZE";
  const auto conn = transport.connect(*endpoint, {});
  ASSERT_FALSE(conn.has_value());
  EXPECT_NE(conn.error().message.find("select cannot watch a descriptor of 1024 or more"),
            std::string::npos)
      << conn.error().message;
  const auto listening = transport.listen({}, {});
  ASSERT_FALSE(listening.has_value());
  EXPECT_NE(listening.error().message.find("use epoll or io_uring"), std::string::npos);
}

TEST(SelectTransport, RefusesToAcceptBeyondFdSetsizeAndCountsIt) {
  SelectTransport transport{TransportOptions{}};
  const auto endpoint = transport.listen({}, {});
  ASSERT_TRUE(endpoint.has_value());
  FullDescriptorTable table;
  if (!table.full()) GTEST_SKIP() << "the limit of open files is below FD_SETSIZE";
  table.give_one();
  const auto conn =
      transport.connect(*endpoint, {});  // takes the last place; its other end finds none
  ASSERT_TRUE(conn.has_value()) << conn.error().message;
  struct : ArchetypeHandler {
    int closes = 0;
    int accepts = 0;
    void on_open(Conn, bool accepted) { accepts += accepted ? 1 : 0; }
    void on_close(Conn, CloseInfo) { ++closes; }
  } handler;
  while (handler.closes == 0) transport.poll(handler, transport.now() + 1'000'000);
  EXPECT_EQ(handler.accepts, 0);
  EXPECT_EQ(transport.counters().accepts_refused, 1u);
}

TEST(SelectTransport, HasNoBusyPoll) {
  EXPECT_THROW(SelectTransport{TransportOptions{.busy_poll_us = 50}}, Error);
}

TEST(SelectTransport, CannotBeMadeWhenNoDescriptorItCanWatchIsLeft) {
  FullDescriptorTable table;
  if (!table.full()) GTEST_SKIP() << "the limit of open files is below FD_SETSIZE";
  EXPECT_THROW(SelectTransport{TransportOptions{}}, Error);
}

}  // namespace
}  // namespace feedbench::transports
