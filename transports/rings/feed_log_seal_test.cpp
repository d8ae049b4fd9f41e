// What a process that was handed the log's descriptor can do with it: map it read-only, nothing else.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/rings/testing/log_pattern.hpp"

namespace feedbench::rings {
namespace {

class FeedLogSeals : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    auto created = FeedLogWriter::create({.ring_bytes = 2 << 20,
                                          .index_lines = 64,
                                          .memory = {.pre_fault = true, .huge_pages = GetParam()}});
    ASSERT_TRUE(created) << created.error().message;
    writer_ = std::make_unique<FeedLogWriter>(std::move(*created));
    if (GetParam() && !writer_->huge_pages_refused().empty())
      GTEST_SKIP() << writer_->huge_pages_refused();
    struct stat status {};
    ASSERT_EQ(::fstat(writer_->share_descriptor(), &status), 0);
    bytes_ = static_cast<std::size_t>(status.st_size);
  }

  // Every way to change the log through `fd`, none of which may work.
  void expect_nothing_can_be_changed(int fd) const {
    EXPECT_LT(::write(fd, "x", 1), 0);
    EXPECT_LT(::pwrite(fd, "x", 1, 4096), 0);
    EXPECT_NE(::ftruncate(fd, 0), 0);
    EXPECT_NE(::ftruncate(fd, static_cast<off_t>(bytes_ * 2)), 0);
    EXPECT_NE(
        ::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes_)),
        0);
    EXPECT_EQ(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_EQ(::mmap(nullptr, bytes_, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_NE(::fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0)
        << "no seal can be added that would stop the writer";

    void* mapped = ::mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_NE(mapped, MAP_FAILED) << std::strerror(errno);
    EXPECT_NE(::mprotect(mapped, bytes_, PROT_READ | PROT_WRITE), 0);
    EXPECT_NE(::madvise(mapped, bytes_, MADV_REMOVE), 0);
    ::munmap(mapped, bytes_);
  }

  std::unique_ptr<FeedLogWriter> writer_;
  std::size_t bytes_ = 0;
};

TEST_P(FeedLogSeals, AReceiverCanChangeNothing) {
  const int fd = writer_->share_descriptor();
  const int seals = ::fcntl(fd, F_GET_SEALS);
  constexpr int kWanted = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  EXPECT_EQ(seals & kWanted, kWanted);
  expect_nothing_can_be_changed(fd);
}

TEST_P(FeedLogSeals, ReopeningThroughProcGivesNoMore) {
  const std::string path = "/proc/self/fd/" + std::to_string(writer_->share_descriptor());
  for (const int flags : {O_RDWR, O_WRONLY}) {
    const Descriptor reopened(::open(path.c_str(), flags | O_CLOEXEC));
    if (!reopened.valid()) continue;  // not even that
    EXPECT_LT(::write(reopened.get(), "x", 1), 0);
    EXPECT_EQ(::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, reopened.get(), 0),
              MAP_FAILED);
    if (flags == O_RDWR) expect_nothing_can_be_changed(reopened.get());
  }
  const Descriptor truncated(::open(path.c_str(), O_RDWR | O_TRUNC | O_CLOEXEC));
  struct stat status {};
  ASSERT_EQ(::fstat(writer_->share_descriptor(), &status), 0);
  EXPECT_EQ(static_cast<std::size_t>(status.st_size), bytes_);
}

TEST_P(FeedLogSeals, TheWriterGoesOnWritingAndAReaderOfAnotherProcessSeesIt) {
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(testing::publish_frame(*writer_, 50'000));
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto reader = FeedLogReader::map(writer_->share_descriptor());
    if (!reader) ::_exit(2);
    reader->seek_oldest();
    Frame frame;
    for (std::uint64_t sequence = 1; sequence <= 16; ++sequence) {
      if (reader->next(frame) != ReadStatus::frame || frame.sequence != sequence) ::_exit(3);
      if (!testing::matches(frame.offset, frame.bytes()) || !reader->confirm(frame)) ::_exit(4);
    }
    ::_exit(reader->next(frame) == ReadStatus::none ? 0 : 5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

INSTANTIATE_TEST_SUITE_P(SmallAndHugePages, FeedLogSeals, ::testing::Bool(), [](const auto& which) {
  return std::string(which.param ? "HugePages" : "SmallPages");
});

TEST(FeedLogView, RefusesWhatIsNoFeedLog) {
  const auto refusal = [](int fd) {
    const auto reader = FeedLogReader::map(fd);
    return reader ? std::string("mapped") : reader.error().message;
  };
  EXPECT_NE(refusal(-1).find("Bad file descriptor"), std::string::npos);
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  EXPECT_NE(refusal(pipe_ends[0]).find("not memory sealed"), std::string::npos);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);

  const Descriptor open_memory(::memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(::ftruncate(open_memory.get(), 1 << 16), 0);
  EXPECT_NE(refusal(open_memory.get()).find("sealed against shrinking"), std::string::npos);
  ASSERT_EQ(::fcntl(open_memory.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_NE(refusal(open_memory.get()).find("does not begin with"), std::string::npos);
}

TEST(FeedLogView, BelievesNoSizeThatLeadsOutOfTheFile) {
  const auto writer = FeedLogWriter::create({.ring_bytes = 4096, .index_lines = 8});
  ASSERT_TRUE(writer);
  FeedLogControl good{};
  ASSERT_EQ(::pread(writer->share_descriptor(), &good, offsetof(FeedLogControl, write_limit), 0),
            static_cast<ssize_t>(offsetof(FeedLogControl, write_limit)));
  const auto mapped_with = [&](auto change) {
    FeedLogControl control{};
    std::memcpy(static_cast<void*>(&control), &good, offsetof(FeedLogControl, write_limit));
    change(control);
    const Descriptor memory(::memfd_create("forged", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(::ftruncate(memory.get(), 4 * 4096), 0);
    EXPECT_EQ(::pwrite(memory.get(), &control, offsetof(FeedLogControl, write_limit), 0),
              static_cast<ssize_t>(offsetof(FeedLogControl, write_limit)));
    EXPECT_EQ(::fcntl(memory.get(), F_ADD_SEALS, F_SEAL_SHRINK), 0);
    return FeedLogReader::map(memory.get()).has_value();
  };
  EXPECT_TRUE(mapped_with([](FeedLogControl&) {}));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.version = 2; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.ring_bytes = 8192; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.ring_bytes = 0; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.ring_bytes = 5000; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.ring_offset = 8192; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.ring_offset = 1; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.ring_offset = ~std::uint64_t{4095}; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.index_lines = 128; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.index_lines = std::uint64_t{1} << 60; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.index_offset = 1 << 20; }));
  EXPECT_FALSE(mapped_with([](FeedLogControl& c) { c.page_bytes = 0; }));
}

}  // namespace
}  // namespace feedbench::rings
