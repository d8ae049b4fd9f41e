#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "transports/rings/feed_log_layout.hpp"
#include "transports/rings/feed_log_reader.hpp"
#include "transports/rings/mirrored_range.hpp"

/// Mapping a feed log that another process handed over. Standard library and Linux alone.
namespace feedbench::rings {

/// Why a descriptor is not taken for a feed log. `what` is a part of a sentence, nullptr if all is
/// well.
struct FeedLogFault {
  const char* what = nullptr;
  int os_error = 0;
  std::uint32_t version_found = 0;  ///< With a version that is not ours alone.
  [[nodiscard]] explicit operator bool() const noexcept { return what != nullptr; }
};

/// Judges the first block of page 0. Nothing in it is believed before: sizes from a hostile peer
/// must not lead to a mapping beyond the file (SIGBUS) or a copy beyond the mapping.
inline FeedLogFault fault_in(const FeedLogControl& sizes, std::uint64_t file_bytes) noexcept {
  if (sizes.magic != kFeedLogMagic)
    return {"the shared memory does not begin with a feed log's mark", EINVAL};
  if (sizes.version != kFeedLogVersion)
    return {"its layout has another version", EINVAL, sizes.version};
  const std::uint64_t page = sizes.page_bytes;
  const bool sane =
      sizes.index_line_bytes == kIndexLineBytes && (page == kSharedPageBytes || page == 2U << 20) &&
      std::has_single_bit(sizes.ring_bytes) && sizes.ring_bytes <= (std::uint64_t{2} << 30) &&
      std::has_single_bit(sizes.index_lines) && sizes.index_lines <= (std::uint64_t{1} << 26) &&
      sizes.ring_bytes % page == 0 && sizes.ring_offset % page == 0 &&
      sizes.stats_offset == kSharedPageBytes && sizes.index_offset == 2 * kSharedPageBytes &&
      sizes.ring_offset <= file_bytes && sizes.ring_bytes <= file_bytes - sizes.ring_offset &&
      sizes.index_offset + sizes.index_lines * kIndexLineBytes <= sizes.ring_offset;
  if (!sane) return {"its sizes contradict each other", EINVAL};
  return {};
}

/// Maps the log behind a descriptor read-only; the descriptor may be closed afterwards.
/// populate: map every page now. mapping, view: untouched unless it succeeds; the view is valid as
/// long as the mapping lives. thread: any.
inline FeedLogFault attach_feed_log(int fd, bool populate, MirroredRange& mapping,
                                    FeedLogView& view) noexcept {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return {"the descriptor cannot be looked at", errno};
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
    return {"the descriptor is not memory sealed against shrinking", EINVAL};
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
  if (file_bytes < 2 * kSharedPageBytes) return {"the shared memory is too small", EINVAL};
  FeedLogControl sizes{};
  constexpr std::size_t kSizesBytes = offsetof(FeedLogControl, write_limit);
  if (::pread(fd, &sizes, kSizesBytes, 0) != static_cast<ssize_t>(kSizesBytes))
    return {"its first page cannot be read", EINVAL};
  if (const FeedLogFault fault = fault_in(sizes, file_bytes)) return fault;
  MirroredRange range;
  if (const int os_error = range.map(fd, sizes.ring_offset, sizes.ring_bytes, Access::read_only,
                                     populate, sizes.page_bytes);
      os_error != 0) {
    return {"the kernel does not map it", os_error};
  }
  mapping = static_cast<MirroredRange&&>(range);
  view = view_of_feed_log(mapping.base(), sizes);
  return {};
}

}  // namespace feedbench::rings
