#include "harness/runner/scratch_folder.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

namespace feedbench::runner {
namespace {

namespace fs = std::filesystem;

/// A temporary folder of the test's own, which TMPDIR names meanwhile.
class ScratchFolders : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* before = std::getenv("TMPDIR")) before_ = before;
    temporary_ = outer_.path() / "tmp";
    fs::create_directory(temporary_);
    ::setenv("TMPDIR", temporary_.c_str(), 1);
  }
  void TearDown() override {
    before_ ? ::setenv("TMPDIR", before_->c_str(), 1) : ::unsetenv("TMPDIR");
  }
  static void make_old(const fs::path& folder) {
    const timespec times[2] = {{1, 0}, {1, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, folder.c_str(), times, 0), 0);
  }

  ScratchFolder outer_;
  fs::path temporary_;
  std::optional<std::string> before_;
};

TEST_F(ScratchFolders, AreRemovedWithAllTheyHold) {
  fs::path path;
  {
    const ScratchFolder folder;
    path = folder.path();
    std::ofstream(path / "something") << "something";
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
  }
  EXPECT_TRUE(fs::is_empty(temporary_));
}

TEST_F(ScratchFolders, WhatAKilledRunLeftIsRemovedByTheNext) {
  const fs::path abandoned = temporary_ / "feedbench-abandn";
  fs::create_directory(abandoned);
  std::ofstream(abandoned / ".lock") << "";
  std::ofstream(abandoned / "upstream.pem") << "";
  const fs::path foreign = temporary_ / "feedbench-unlock";  // without a lock it is none of ours
  fs::create_directory(foreign);
  make_old(abandoned);
  make_old(foreign);
  { const ScratchFolder next; }
  EXPECT_FALSE(fs::exists(abandoned));
  EXPECT_TRUE(fs::exists(foreign));
}

TEST_F(ScratchFolders, WhatIsInUseOrYoungStays) {
  const ScratchFolder used;
  make_old(used.path());
  const fs::path young = temporary_ / "feedbench-young0";
  fs::create_directory(young);
  std::ofstream(young / ".lock") << "";
  { const ScratchFolder next; }
  EXPECT_TRUE(fs::exists(used.path()));
  EXPECT_TRUE(fs::exists(young));
}

}  // namespace
}  // namespace feedbench::runner
