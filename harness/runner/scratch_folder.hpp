#pragma once

#include <filesystem>

#include "transports/transport.hpp"

namespace feedbench::runner {

/// A folder of this run alone under the system's temporary folder, removed with all it holds.
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
};

}  // namespace feedbench::runner
