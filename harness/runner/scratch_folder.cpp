#include "harness/runner/scratch_folder.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace feedbench::runner {

ScratchFolder::ScratchFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "feedbench-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) {
    throw transports::Error{"cannot make a folder " + name + ": " + std::strerror(errno), errno};
  }
  path_ = name;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace feedbench::runner
