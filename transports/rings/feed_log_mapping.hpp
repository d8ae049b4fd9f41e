#pragma once

#include <utility>

#include "transports/rings/feed_log_reader.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/transport.hpp"

/// Readers that own what they read: FeedLogReader.
namespace feedbench::rings {

/// A feed log mapped read-only, and the view of it.
struct FeedLogMapping {
  MirroredRange mapping;
  FeedLogView view;

  /// The descriptor may be closed afterwards. populate: map every page now, not at first touch.
  /// errors: not a feed log, another version, not sealed against shrinking, no address space.
  static transports::Expected<FeedLogMapping> map(int fd, bool populate);
};

/// The view of a log of this process, through its writer's mapping. The writer must outlive it.
FeedLogView view_of(const FeedLogWriter& writer) noexcept;

/// BasicFeedLogReader with its memory: a mapping of its own, or the writer's.
template <class Hooks = NoReadHooks>
class BasicMappedFeedLogReader : public BasicFeedLogReader<Hooks> {
 public:
  /// Maps the log behind a descriptor; see FeedLogMapping::map.
  static transports::Expected<BasicMappedFeedLogReader> map(int fd, bool populate = true,
                                                            Hooks hooks = {}) {
    auto mapped = FeedLogMapping::map(fd, populate);
    if (!mapped) return tl::unexpected(mapped.error());
    return BasicMappedFeedLogReader(std::move(mapped->mapping), mapped->view, hooks);
  }
  /// A reader in the writer's own process, through its mapping. The writer must outlive it.
  static BasicMappedFeedLogReader attach(const FeedLogWriter& writer, Hooks hooks = {}) noexcept {
    return BasicMappedFeedLogReader(MirroredRange{}, view_of(writer), hooks);
  }

 private:
  BasicMappedFeedLogReader(MirroredRange mapping, const FeedLogView& view, Hooks hooks) noexcept
      : BasicFeedLogReader<Hooks>(view, hooks), mapping_(std::move(mapping)) {}

  MirroredRange mapping_;  // empty when attached
};

using FeedLogReader = BasicMappedFeedLogReader<>;

}  // namespace feedbench::rings
