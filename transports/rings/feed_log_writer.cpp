#include "transports/rings/feed_log_writer.hpp"

#include <fcntl.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace feedbench::rings {
namespace {

std::string fault_in(const FeedLogOptions& options) {
  if (!std::has_single_bit(options.ring_bytes) || options.ring_bytes < kSharedPageBytes ||
      options.ring_bytes > (std::size_t{2} << 30)) {
    return "ring_bytes is " + std::to_string(options.ring_bytes) +
           ", but must be a power of two from 4096 to 2147483648";
  }
  if (!std::has_single_bit(options.index_lines) || options.index_lines < 8 ||
      options.index_lines > (std::size_t{1} << 26)) {
    return "index_lines is " + std::to_string(options.index_lines) +
           ", but must be a power of two from 8 to 67108864";
  }
  return {};
}

}  // namespace

transports::Expected<FeedLogWriter> FeedLogWriter::create(const FeedLogOptions& options) {
  if (const std::string fault = fault_in(options); !fault.empty()) {
    return tl::unexpected(
        transports::Error{"create feed log " + options.name + ": " + fault, EINVAL});
  }
  const std::size_t index_offset = 2 * kSharedPageBytes;
  const std::size_t page = page_bytes_wanted(options.memory);
  const std::size_t head_bytes =
      round_up(index_offset + options.index_lines * kIndexLineBytes, page);
  // Both copies of the ring must begin on a page, so the ring cannot be smaller than one.
  if (options.ring_bytes % page != 0) {
    return tl::unexpected(transports::Error{
        "create feed log " + options.name + ": ring_bytes is " +
            std::to_string(options.ring_bytes) +
            ", less than one huge page (choose at least 2097152, or no huge pages)",
        EINVAL});
  }
  auto file = create_memory_file(options.name, head_bytes + options.ring_bytes, options.memory);
  if (!file) return tl::unexpected(file.error());
  auto mapping =
      MirroredMapping::map(file->descriptor.get(), head_bytes, options.ring_bytes,
                           Access::read_write, options.memory.pre_fault, file->page_bytes);
  if (!mapping) return tl::unexpected(mapping.error());
  // The mapping above stays writable; from here on nobody can make another one, or change the size.
  constexpr int kSeals = F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  if (::fcntl(file->descriptor.get(), F_ADD_SEALS, kSeals) != 0) {
    const int os_error = errno;
    return tl::unexpected(transports::Error{
        "create feed log " + options.name +
            ": seal the memory against writing (Linux 5.1 or newer): " + std::strerror(os_error),
        os_error});
  }
  return FeedLogWriter(std::move(*file), std::move(*mapping), options, index_offset);
}

// The file is all zeros, which is what unused lines are: touching each would fault it in.
FeedLogWriter::FeedLogWriter(MemoryFile file, MirroredMapping mapping,
                             const FeedLogOptions& options, std::size_t index_offset)
    : BasicFeedLogAppender(new (mapping.base()) FeedLogControl{},
                           reinterpret_cast<IndexLine*>(mapping.base() + index_offset),
                           mapping.ring(), options.ring_bytes, options.index_lines),
      stats_(new (mapping.base() + kSharedPageBytes) ProxyStats{}),
      descriptor_(std::move(file.descriptor)),
      mapping_(std::move(mapping)),
      huge_pages_refused_(std::move(file.huge_pages_refused)) {
  auto* const control = reinterpret_cast<FeedLogControl*>(mapping_.base());
  control->version = kFeedLogVersion;
  control->index_line_bytes = kIndexLineBytes;
  control->ring_bytes = options.ring_bytes;
  control->index_lines = options.index_lines;
  control->stats_offset = kSharedPageBytes;
  control->index_offset = index_offset;
  control->ring_offset = mapping_.head_bytes();
  control->page_bytes = file.page_bytes;
  control->magic = kFeedLogMagic;
}

}  // namespace feedbench::rings
