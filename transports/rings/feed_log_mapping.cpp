#include "transports/rings/feed_log_mapping.hpp"

#include <cstring>
#include <string>

#include "transports/rings/feed_log_attach.hpp"

namespace feedbench::rings {

transports::Expected<FeedLogMapping> FeedLogMapping::map(int fd, bool populate) {
  FeedLogMapping mapped;
  const FeedLogFault fault = attach_feed_log(fd, populate, mapped.mapping, mapped.view);
  if (!fault) return mapped;
  std::string message = std::string("map feed log: ") + fault.what;
  if (fault.version_found != 0) {
    message += ": it is " + std::to_string(fault.version_found) + ", this program reads version " +
               std::to_string(kFeedLogVersion);
  }
  message += fault.os_error == EINVAL ? " (is the other side a feedproxy of the same version?)"
                                      : std::string(": ") + std::strerror(fault.os_error);
  return tl::unexpected(transports::Error{std::move(message), fault.os_error});
}

FeedLogView view_of(const FeedLogWriter& writer) noexcept {
  const std::byte* const base = writer.mapping().base();
  return view_of_feed_log(base, *reinterpret_cast<const FeedLogControl*>(base));
}

}  // namespace feedbench::rings
