#include "transports/rings/local_share.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"

namespace feedbench::rings {
namespace {

class LocalShareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "local_share_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = pattern + "/feed.sock";
    auto created = FeedLogWriter::create({.ring_bytes = 4096, .index_lines = 8});
    ASSERT_TRUE(created) << created.error().message;
    writer_ = std::make_unique<FeedLogWriter>(std::move(*created));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<LocalShareServer> start(unsigned connections_max = 64) {
    auto server = LocalShareServer::start({.path = path_, .connections_max = connections_max},
                                          writer_->share_descriptor());
    EXPECT_TRUE(server) << server.error().message;
    return server ? std::move(*server) : nullptr;
  }

  // A bare connection of a peer that does not keep the protocol.
  [[nodiscard]] Descriptor bare_connection() const {
    Descriptor fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    return fd;
  }

  // Waits, without a limit of its own (ctest has one), until the server has closed this connection.
  static void wait_for_end(int fd) {
    char buffer[64];
    for (;;) {
      const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
      if (got == 0 || (got < 0 && errno != EINTR)) return;
    }
  }

  std::string directory_;
  std::string path_;
  std::unique_ptr<FeedLogWriter> writer_;
};

TEST_F(LocalShareTest, HandsTheLogToAReaderWhoThenReadsIt) {
  const auto server = start();
  auto share = connect_local_share(path_);
  ASSERT_TRUE(share) << share.error().message;
  EXPECT_TRUE(share->proxy_alive());
  auto reader = FeedLogReader::map(share->log.get());
  ASSERT_TRUE(reader) << reader.error().message;
  share->log.reset();  // the mapping is enough

  const auto space = writer_->reserve(3);
  std::memcpy(space.data(), "abc", 3);
  writer_->written(3);
  writer_->stage({.offset = 0, .length = 3});
  writer_->publish();
  Frame frame;
  ASSERT_EQ(reader->next(frame), ReadStatus::frame);
  EXPECT_EQ(std::memcmp(frame.data, "abc", 3), 0);
}

TEST_F(LocalShareTest, TheSocketIsForItsOwnerAlone) {
  const auto server = start();
  struct stat status {};
  ASSERT_EQ(::lstat(path_.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(LocalShareTest, StoppingEndsTheConnectionAndRemovesThePath) {
  auto server = start();
  auto share = connect_local_share(path_);
  ASSERT_TRUE(share);
  server.reset();
  EXPECT_FALSE(share->proxy_alive());
  EXPECT_FALSE(std::filesystem::exists(path_));
  const auto again = connect_local_share(path_);
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find("--local-socket"), std::string::npos)
      << again.error().message;
}

TEST_F(LocalShareTest, AKilledProxyIsAnEndOfFileAndItsStalePathIsReplaced) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto server = LocalShareServer::start({.path = path_}, writer_->share_descriptor());
    const char ok = server ? '1' : '0';
    if (::write(ready[1], &ok, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char ok = '0';
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  ASSERT_EQ(ok, '1');
  auto share = connect_local_share(path_);
  ASSERT_TRUE(share) << share.error().message;
  EXPECT_TRUE(share->proxy_alive());
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  pollfd end{share->connection.get(), POLLIN, 0};
  ASSERT_EQ(::poll(&end, 1, -1), 1);
  EXPECT_FALSE(share->proxy_alive());
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ::close(ready[0]);
  ::close(ready[1]);

  EXPECT_TRUE(std::filesystem::exists(path_));  // left behind ...
  const auto server = start();                  // ... and replaced
  ASSERT_NE(server, nullptr);
  EXPECT_TRUE(connect_local_share(path_));
}

TEST_F(LocalShareTest, ALivePathIsRefusedAndStaysAsItIs) {
  const auto server = start();
  const auto second = LocalShareServer::start({.path = path_}, writer_->share_descriptor());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("in use by a running program"), std::string::npos);
  EXPECT_NE(second.error().message.find(path_), std::string::npos);
  EXPECT_TRUE(connect_local_share(path_));
}

TEST_F(LocalShareTest, AFileThatIsNoSocketIsNeverRemoved) {
  std::ofstream(path_) << "precious";
  const auto server = LocalShareServer::start({.path = path_}, writer_->share_descriptor());
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find("something else than a socket"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(LocalShareTest, BadPathsAreOneSentence) {
  for (const std::string& path :
       {std::string{}, std::string(108, 'x'), directory_ + "/missing/feed.sock"}) {
    const auto server = LocalShareServer::start({.path = path}, writer_->share_descriptor());
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().message.find('\n'), std::string::npos);
  }
}

TEST_F(LocalShareTest, APeerThatSaysGarbageIsClosedAndOthersAreServed) {
  const auto server = start();
  auto good = connect_local_share(path_);
  ASSERT_TRUE(good);
  const Descriptor bad = bare_connection();
  ASSERT_EQ(::send(bad.get(), "GET / HTTP/1.1", 14, MSG_NOSIGNAL), 14);
  wait_for_end(bad.get());
  EXPECT_TRUE(good->proxy_alive());
  EXPECT_TRUE(connect_local_share(path_));
}

TEST_F(LocalShareTest, PeersThatNeverReadHoldNobodyUp) {
  const auto server = start();
  std::vector<Descriptor> silent;
  for (int i = 0; i < 40; ++i) silent.push_back(bare_connection());
  EXPECT_TRUE(connect_local_share(path_));
}

TEST_F(LocalShareTest, OneConnectionTooManyIsToldSoAndAPlaceThatIsLeftIsGivenAgain) {
  const auto server = start(2);
  auto first = connect_local_share(path_);
  auto second = connect_local_share(path_);
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  const auto third = connect_local_share(path_);
  ASSERT_FALSE(third);
  EXPECT_NE(third.error().message.find("too many local readers"), std::string::npos)
      << third.error().message;
  EXPECT_EQ(server->refused(), 1U);
  EXPECT_EQ(server->served(), 2U);
  first->connection.reset();
  while (server->connections() == 2) std::this_thread::yield();
  EXPECT_TRUE(connect_local_share(path_));
}

TEST_F(LocalShareTest, AServerOfAnotherKindIsRecognised) {
  Descriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  std::thread other([&] {
    const Descriptor peer(::accept(listener.get(), nullptr, nullptr));
    EXPECT_EQ(::send(peer.get(), "hello", 5, MSG_NOSIGNAL), 5);
    wait_for_end(peer.get());
  });
  const auto share = connect_local_share(path_);
  ASSERT_FALSE(share);
  EXPECT_NE(share.error().message.find("not a feedproxy"), std::string::npos);
  other.join();
}

TEST_F(LocalShareTest, AServerThatNeverAnswersIsGivenUp) {
  Descriptor listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.c_str(), path_.size() + 1);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listener.get(), 4), 0);
  const auto share = connect_local_share(path_, std::chrono::milliseconds(20));
  ASSERT_FALSE(share);
  EXPECT_NE(share.error().message.find("no answer"), std::string::npos);
}

}  // namespace
}  // namespace feedbench::rings
