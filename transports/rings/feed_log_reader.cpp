#include "transports/rings/feed_log_reader.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

namespace feedbench::rings {
namespace {

transports::Error not_a_log(const std::string& why) {
  return {"map feed log: " + why + " (is the other side a feedproxy of the same version?)", EINVAL};
}

// Nothing here is believed before it is checked: sizes from a hostile peer must not lead to a
// mapping beyond the file (SIGBUS) or a copy beyond the mapping.
std::string fault_in(const FeedLogControl& control, std::uint64_t file_bytes) {
  if (control.magic != kFeedLogMagic)
    return "the shared memory does not begin with a feed log's mark";
  if (control.version != kFeedLogVersion) {
    return "its layout has version " + std::to_string(control.version) +
           ", this program reads version " + std::to_string(kFeedLogVersion);
  }
  const std::uint64_t page = control.page_bytes;
  const bool sane =
      control.index_line_bytes == kIndexLineBytes &&
      (page == kSharedPageBytes || page == 2U << 20) && std::has_single_bit(control.ring_bytes) &&
      control.ring_bytes <= (std::uint64_t{2} << 30) && std::has_single_bit(control.index_lines) &&
      control.index_lines <= (std::uint64_t{1} << 26) && control.ring_bytes % page == 0 &&
      control.ring_offset % page == 0 && control.stats_offset == kSharedPageBytes &&
      control.index_offset == 2 * kSharedPageBytes && control.ring_offset <= file_bytes &&
      control.ring_bytes <= file_bytes - control.ring_offset &&
      control.index_offset + control.index_lines * kIndexLineBytes <= control.ring_offset;
  return sane ? std::string{} : "its sizes contradict each other";
}

}  // namespace

transports::Expected<FeedLogView> FeedLogView::map(int fd, bool populate) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    const int os_error = errno;
    return tl::unexpected(
        transports::Error{std::string("map feed log: ") + std::strerror(os_error), os_error});
  }
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return tl::unexpected(not_a_log("the descriptor is not memory sealed against shrinking"));
  }
  const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
  if (file_bytes < 2 * kSharedPageBytes)
    return tl::unexpected(not_a_log("the shared memory is too small"));
  FeedLogControl control{};
  if (::pread(fd, &control, offsetof(FeedLogControl, write_limit), 0) !=
      static_cast<ssize_t>(offsetof(FeedLogControl, write_limit))) {
    return tl::unexpected(not_a_log("its first page cannot be read"));
  }
  if (const std::string fault = fault_in(control, file_bytes); !fault.empty()) {
    return tl::unexpected(not_a_log(fault));
  }
  auto mapping = MirroredMapping::map(fd, control.ring_offset, control.ring_bytes,
                                      Access::read_only, populate, control.page_bytes);
  if (!mapping) return tl::unexpected(mapping.error());
  FeedLogView view;
  view.mapping = std::move(*mapping);
  const std::byte* const base = view.mapping.base();
  view.control = reinterpret_cast<const FeedLogControl*>(base);
  view.stats = reinterpret_cast<const ProxyStats*>(base + control.stats_offset);
  view.lines = reinterpret_cast<const IndexLine*>(base + control.index_offset);
  view.ring = view.mapping.ring();
  view.ring_mask = control.ring_bytes - 1;
  view.line_mask = control.index_lines - 1;
  return view;
}

FeedLogView FeedLogView::attach(const FeedLogWriter& writer) noexcept {
  FeedLogView view;
  const std::byte* const base = writer.mapping().base();
  view.control = reinterpret_cast<const FeedLogControl*>(base);
  view.stats = reinterpret_cast<const ProxyStats*>(base + view.control->stats_offset);
  view.lines = reinterpret_cast<const IndexLine*>(base + view.control->index_offset);
  view.ring = writer.mapping().ring();
  view.ring_mask = view.control->ring_bytes - 1;
  view.line_mask = view.control->index_lines - 1;
  return view;
}

}  // namespace feedbench::rings
