#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "transports/rings/feed_log_writer.hpp"

namespace feedbench::local {

/// New feed logs, some of them made in advance: pre-faulting one takes up to 200 ms, which nobody should wait for while a
/// connection stands still. thread: one at a time.
class LogSupply {
 public:
  explicit LogSupply(rings::FeedLogOptions options = {}) : options_(std::move(options)) {}

  /// errors: see FeedLogWriter::create().
  transports::Expected<void> make_in_advance(std::size_t count) {
    for (; count > 0; --count) {
      auto log = rings::FeedLogWriter::create(options_);
      if (!log) return tl::make_unexpected(log.error());
      spare_.push_back(std::move(*log));
    }
    return {};
  }
  void drop_spare() { spare_.clear(); }

  transports::Expected<rings::FeedLogWriter> take() {
    if (spare_.empty()) return rings::FeedLogWriter::create(options_);
    rings::FeedLogWriter log = std::move(spare_.back());
    spare_.pop_back();
    return log;
  }

 private:
  rings::FeedLogOptions options_;
  std::vector<rings::FeedLogWriter> spare_;
};

}  // namespace feedbench::local
