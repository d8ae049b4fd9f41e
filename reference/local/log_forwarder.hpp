#pragma once

#include <spdlog/sinks/base_sink.h>

#include <mutex>
#include <string>
#include <utility>

#include "reference/local/feed_port.hpp"

namespace feedbench::local {

/// Hands the program's log lines to the local clients that asked for them (set_log_level). thread: any.
class LogForwarder final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// port: outlives the logger that this sink belongs to.
  explicit LogForwarder(FeedPort& port) : port_(port) {}

 private:
  static std::uint32_t level_of(spdlog::level::level_enum level) {
    // spdlog has one more, critical, which clients see as an error.
    return std::min(static_cast<std::uint32_t>(level),
                    static_cast<std::uint32_t>(feedproxy::control::LogLevel::error));
  }

  void sink_it_(const spdlog::details::log_msg& line) override {
    if (level_of(line.level) < port_.log_level.load(std::memory_order_relaxed)) return;
    FeedEvent event;
    event.kind = FeedEvent::Kind::logged;
    event.level = level_of(line.level);
    event.text.assign(line.payload.data(), line.payload.size());
    port_.events.post(std::move(event));
  }
  void flush_() override {}

  FeedPort& port_;
};

}  // namespace feedbench::local
