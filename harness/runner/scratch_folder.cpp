#include "harness/runner/scratch_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace feedbench::runner {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "feedbench-";
constexpr const char* kLockName = ".lock";
constexpr std::time_t kSafeAge_s = 60;  // younger ones may be about to be locked

rings::Descriptor lock_in(const fs::path& folder, int flags) {
  rings::Descriptor lock(
      ::open((folder / kLockName).c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (lock.valid() && ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) lock = rings::Descriptor();
  return lock;
}

void remove_abandoned(const fs::path& temporary) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(temporary, ignored)) {
    struct stat facts {};
    if (!entry.path().filename().string().starts_with(kPrefix)) continue;
    if (::lstat(entry.path().c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) continue;
    if (facts.st_uid != ::geteuid() || std::time(nullptr) - facts.st_mtime < kSafeAge_s) continue;
    if (lock_in(entry.path(), O_RDWR).valid()) fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace

ScratchFolder::ScratchFolder() {
  const fs::path temporary = fs::temp_directory_path();
  remove_abandoned(temporary);
  std::string name = (temporary / (std::string(kPrefix) + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw transports::Error{"cannot make a folder " + name + ": " + std::strerror(errno), errno};
  }
  path_ = name;
  lock_ = lock_in(path_, O_RDWR | O_CREAT | O_EXCL);
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace feedbench::runner
