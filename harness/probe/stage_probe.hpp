#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/load/delivery_log.hpp"
#include "harness/load/latency_account.hpp"
#include "harness/measure/stages.hpp"
#include "mock_exchange/send_log.hpp"
#include "reference/client/client.hpp"
#include "transports/rings/feed_log_reader.hpp"
#include "transports/rings/frame_stamps.hpp"

/// Reads the stage stamps that the proxy leaves in its feed log, and joins them with the send log and the deliveries.
namespace feedbench::probe {

/// What was found of one message: stages 1 to 6. handler_ticks 0: the probe did not see this message.
using SeenStamps = std::vector<rings::PackedStamps>;  // by send sequence

/// The seven intervals, and what is to be known beside them.
struct JoinedStages {
  measure::StageHistograms stages;
  std::uint64_t messages = 0;  ///< due inside the window and stamped by the proxy
  std::uint64_t unseen =
      0;  ///< due inside the window, but overwritten before the probe came (or never there)
  std::uint64_t nic_absent = 0;         ///< without stage 1: not the last message of its read
  measure::Histogram sent_wake_no_nic;  ///< those messages' sent -> wake, in one piece
};

/// begin, end: the measured window, TSC ticks of the intended send.
JoinedStages join_stages(const SeenStamps& seen, const mock_exchange::SendLogReader& sent,
                         const load::DeliveryLog& delivered, std::uint64_t begin, std::uint64_t end,
                         const load::TickScale& scale);

/// A sleepy reader: look() every 20 ms or so costs some microseconds on a core that is not the proxy's.
/// thread: one.
class StageProbe {
 public:
  /// errors: nobody at the socket, no upstream there, not a feed log.
  static transports::Expected<std::unique_ptr<StageProbe>> connect(const std::string& socket_path);

  /// The next frame published is send sequence 0. Call before the exchange starts.
  void mark_start();
  /// Takes every frame published since the last look.
  void look();

  [[nodiscard]] const SeenStamps& seen() const noexcept { return seen_; }
  /// Frames that were overwritten before they were looked at.
  [[nodiscard]] std::uint64_t missed() const noexcept { return missed_; }
  [[nodiscard]] const rings::ProxyStats& stats() const noexcept { return reader_.stats(); }

 private:
  StageProbe(std::unique_ptr<feedproxy::Client> client,
             std::shared_ptr<const feedproxy::MappedLog> log)
      : client_(std::move(client)), log_(std::move(log)), reader_(log_->view()) {}

  std::unique_ptr<feedproxy::Client> client_;
  std::shared_ptr<const feedproxy::MappedLog> log_;
  rings::BasicFeedLogReader<> reader_;  // of the index lines alone: the byte ring is never touched
  SeenStamps seen_;
  std::uint64_t first_sequence_ = 1;
  std::uint64_t missed_ = 0;
};

}  // namespace feedbench::probe
