#pragma once

#include <unistd.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

/// Files for tests: a folder of its own that goes away with the test, and what stands in it.
namespace feedbench::recording::testing_support {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "feedbench-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

inline std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::string zstd(std::string_view bytes) {
  std::string compressed(ZSTD_compressBound(bytes.size()), '\0');
  compressed.resize(
      ZSTD_compress(compressed.data(), compressed.size(), bytes.data(), bytes.size(), 3));
  return compressed;
}

/// The source tree, for files that are part of the repository.
inline std::filesystem::path source_folder() {
  const char* given = std::getenv("FEEDBENCH_SOURCE");
  return given != nullptr ? given : ".";
}

/// Real sessions, where they exist: FEEDBENCH_RECORDINGS, else shared/recordings beside the source tree.
inline std::filesystem::path real_recordings_folder() {
  const char* given = std::getenv("FEEDBENCH_RECORDINGS");
  return given != nullptr ? std::filesystem::path(given)
                          : source_folder() / ".." / "shared" / "recordings";
}

}  // namespace feedbench::recording::testing_support
