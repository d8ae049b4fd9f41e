#pragma once

#include <spdlog/spdlog.h>

#include <cstdint>
#include <string>

#include "transports/clock.hpp"
#include "transports/rings/feed_log_layout.hpp"

namespace feedbench::proxy {

/// What an operator wants to read in the log of the program: that data flows, or that none comes, how many clients came
/// and went, and why clients did not get through their TLS handshake. At most one line of each a look. thread: the polling thread, about twice a second.
class Activity {
 public:
  void upstream_ready(const rings::ProxyStats& stats, transports::MonotonicInstant now) {
    frames_at_ready_ = stats.frames.value();
    silent_since_ = now;
    waiting_for_data_ = true;
    warned_ = false;
  }

  void look(const rings::ProxyStats& stats, transports::MonotonicInstant now) {
    look_at_data(stats, now);
    look_at_clients(stats);
  }

  /// failed: handshakes of clients since the beginning. last: why the last one failed.
  void look_at_handshakes(std::uint64_t failed, const std::string& last) {
    if (failed == handshakes_failed_) return;
    const std::uint64_t more = failed - handshakes_failed_;
    spdlog::warn("{} TLS handshake{} of clients failed; the last: {}", more, more == 1 ? "" : "s",
                 last);
    handshakes_failed_ = failed;
  }

  /// What came of --ktls, once.
  void look_at_offload(bool offloaded, const std::string& fault) {
    if (offload_told_ || (!offloaded && fault.empty())) return;
    offload_told_ = true;
    if (offloaded)
      spdlog::info("the kernel encrypts for TLS clients (kTLS)");
    else
      spdlog::warn("--ktls: {}; this process encrypts for its clients", fault);
  }

 private:
  static constexpr std::int64_t kSilenceNs = 10'000'000'000;

  void look_at_data(const rings::ProxyStats& stats, transports::MonotonicInstant now) {
    if (!waiting_for_data_) return;
    if (stats.frames.value() != frames_at_ready_) {
      waiting_for_data_ = false;
      spdlog::info("data flows");
    } else if (!warned_ && now.ns - silent_since_.ns >= kSilenceNs) {
      warned_ = true;
      spdlog::warn("the upstream is open, but nothing has come for {} s (is anything subscribed?)",
                   kSilenceNs / 1'000'000'000);
    }
  }

  void look_at_clients(const rings::ProxyStats& stats) {
    const std::uint64_t accepted = stats.clients_accepted.value();
    const std::uint64_t refused = stats.clients_refused.value();
    const std::uint64_t evicted = stats.clients_evicted.value();
    const std::uint64_t clients = stats.clients.value();
    if (accepted == accepted_ && refused == refused_ && evicted == evicted_ && clients == clients_)
      return;
    const std::uint64_t came = accepted - accepted_;
    spdlog::info("clients: {} ({} came, {} went, {} refused, {} evicted as too slow)", clients,
                 came, clients_ + came - clients, refused - refused_, evicted - evicted_);
    accepted_ = accepted;
    refused_ = refused;
    evicted_ = evicted;
    clients_ = clients;
  }

  std::uint64_t frames_at_ready_ = 0;
  transports::MonotonicInstant silent_since_;
  bool waiting_for_data_ = false;
  bool warned_ = false;
  std::uint64_t accepted_ = 0;
  std::uint64_t refused_ = 0;
  std::uint64_t evicted_ = 0;
  std::uint64_t clients_ = 0;
  std::uint64_t handshakes_failed_ = 0;
  bool offload_told_ = false;
};

}  // namespace feedbench::proxy
