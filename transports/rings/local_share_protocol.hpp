#pragma once

#include <cstdint>

/// What a LocalShareServer says: one message, the descriptor beside it (SCM_RIGHTS), then nothing
/// until the end of file that tells that the proxy is gone. Standard library alone.
namespace feedbench::rings {

inline constexpr std::uint64_t kLocalShareMagic = 0x316572616853464cULL;  // "LFShare1"
inline constexpr std::uint32_t kLocalShareVersion = 1;

struct LocalShareHello {
  std::uint64_t magic = kLocalShareMagic;
  std::uint32_t version = kLocalShareVersion;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(LocalShareHello) == 16);

}  // namespace feedbench::rings
