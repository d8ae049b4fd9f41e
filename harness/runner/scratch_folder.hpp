#pragma once

#include <filesystem>

#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

namespace feedbench::runner {

/// A folder of this run alone under the system's temporary folder, removed with all it holds. What a run that was killed
/// left behind is removed by the next: a folder is in use as long as somebody holds the lock in it.
class ScratchFolder {
 public:
  /// throws transports::Error.
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  std::filesystem::path path_;
  rings::Descriptor lock_;
};

}  // namespace feedbench::runner
