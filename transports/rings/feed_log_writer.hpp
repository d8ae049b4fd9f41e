#pragma once

#include <cstddef>
#include <string>

#include "transports/rings/descriptor.hpp"
#include "transports/rings/feed_log_appender.hpp"
#include "transports/rings/feed_log_layout.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/transport.hpp"

namespace feedbench::rings {

struct FeedLogOptions {
  /// Size of the byte ring: a power of two, 4 KiB to 2 GiB. It bounds how far a reader may lag.
  std::size_t ring_bytes = std::size_t{64} << 20;
  /// Frames the index remembers: a power of two, 8 to 2^26. The other bound on a reader's lag.
  std::size_t index_lines = std::size_t{1} << 18;
  std::string name = "feed_log";  ///< Shown in /proc/<pid>/maps.
  MemoryOptions memory{};         ///< Pre-faulting (on) and huge pages (off).
};

/// A feed log and its one writer: the sealed memory, and BasicFeedLogAppender's calls upon it.
/// thread: one, the writer's; share_descriptor() may be used by another.
class FeedLogWriter : public BasicFeedLogAppender<SharedMemory> {
 public:
  /// errors: sizes that are not allowed, no memory, seals refused.
  static transports::Expected<FeedLogWriter> create(const FeedLogOptions& options);

  FeedLogWriter(FeedLogWriter&&) noexcept = default;
  FeedLogWriter& operator=(FeedLogWriter&&) noexcept = default;

  /// The sealed memfd: whoever gets it can map it read-only and nothing else. Stays the writer's.
  [[nodiscard]] int share_descriptor() const noexcept { return descriptor_.get(); }
  [[nodiscard]] ProxyStats& stats() noexcept { return *stats_; }
  [[nodiscard]] const ProxyStats& stats() const noexcept { return *stats_; }
  /// Empty, or why huge pages were asked for and not given.
  [[nodiscard]] const std::string& huge_pages_refused() const noexcept {
    return huge_pages_refused_;
  }

  /// For readers of the same process (FeedLogReader::attach).
  [[nodiscard]] const MirroredMapping& mapping() const noexcept { return mapping_; }

 private:
  FeedLogWriter(MemoryFile file, MirroredMapping mapping, const FeedLogOptions& options,
                std::size_t index_offset);

  ProxyStats* stats_ = nullptr;

  Descriptor descriptor_;
  MirroredMapping mapping_;
  std::string huge_pages_refused_;
};

}  // namespace feedbench::rings
