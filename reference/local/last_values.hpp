#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "reference/venues/venue.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/rings/feed_log_mapping.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/transport.hpp"

namespace feedbench::local {

/// The newest message of each topic of one feed, for clients that ask for it when they join. A consumer of the log like
/// any other: the data thread knows nothing of it, and pays nothing for it. It begins with what the log still holds.
///
/// A topic is a stream (Binance), a channel and symbol (Alpaca; a message may be the newest of several), or the whole feed
/// (raw). Bounds: kTopicsMax topics and kBytesMax of messages; what comes beyond is left out and counted. If the log laps
/// this reader, everything is forgotten: what was kept may not be the newest any more.
/// thread: one, the control thread.
class LastValues {
 public:
  static constexpr std::size_t kTopicsMax = 65'536;
  static constexpr std::size_t kBytesMax = std::size_t{64} << 20;

  /// log: outlives this.
  LastValues(const rings::FeedLogWriter& log, venues::Venue venue);

  /// Takes what was published since. Cost: about 200 ns a message.
  void follow();

  /// Everything kept, as sealed memory: one feedproxy::control::LastValue and the message's wire bytes each, in the order
  /// of their sequences, of which none is greater than upto; the next message of the log is upto + 1.
  /// errors: no memory.
  transports::Expected<rings::Descriptor> snapshot(std::uint64_t& upto);

  /// Begins with what another object's snapshot() gave, instead of what the log holds: the log goes on after it.
  void load(int memory);

  [[nodiscard]] std::size_t topics() const noexcept { return newest_.size(); }
  [[nodiscard]] std::uint64_t left_out() const noexcept { return left_out_; }

 private:
  struct Kept {
    rings::Frame frame;  // data: not used
    std::vector<std::byte> bytes;
  };

  void keep(const rings::Frame& frame);
  void keep(const std::shared_ptr<const Kept>& kept);
  void put(std::string_view topic, const std::shared_ptr<const Kept>& kept);

  rings::FeedLogReader reader_;
  venues::Venue venue_;
  std::map<std::string, std::shared_ptr<const Kept>, std::less<>> newest_;
  std::size_t bytes_ = 0;  // of all kept, a message counted once for each of its topics
  std::uint64_t left_out_ = 0;
};

}  // namespace feedbench::local
