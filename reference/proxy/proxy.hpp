#pragma once

#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string>

#include "reference/downstream/client_hub.hpp"
#include "reference/program/exit_codes.hpp"
#include "reference/program/status_lines.hpp"
#include "reference/program/stop_signals.hpp"
#include "reference/proxy/config.hpp"
#include "reference/upstream/log_ingest.hpp"
#include "reference/upstream/upstream_link.hpp"
#include "transports/rings/feed_log_writer.hpp"
#include "transports/transport.hpp"

namespace feedbench::proxy {

/// What the proxy is made of before its transport is chosen; outlives the Proxy.
struct ProxyParts {
  const ProxyConfig& config;
  rings::FeedLogWriter& log;
  tls::TlsContext* tls;  ///< For a wss:// upstream, else null.
  upstream::LinkOptions link;
  program::StatusLines& status;
};

/// One upstream, one log, many clients, one thread: the handler that sends each callback of the transport to the part
/// that owns the connection. T: a Transport.
template <class T>
class Proxy {
 public:
  using Conn = transports::Conn;

  Proxy(T& transport, ProxyParts parts)
      : transport_(transport),
        parts_(parts),
        ingest_(parts.log, {.message_max_bytes = parts.config.message_max_bytes,
                            .validate_utf8 = parts.config.validate_utf8,
                            .stamps = parts.config.stamps}),
        hub_(transport, parts.log, hub_options(parts.config)),
        link_(transport, ingest_, *this, parts.link, parts.tls) {}

  /// Serves until a stop signal (kExitOk) or until the upstream has refused for good (kExitRefused).
  int run() {
    start();
    while (turn()) {
    }
    return exit_code_;
  }

  /// What the transport must have room for: beside the clients the upstream, and one client too many.
  static std::uint32_t connections_max(const ProxyConfig& config) { return config.clients_max + 2; }

  void start() { link_.start(); }

  /// One turn of the event loop: what is ready, then what is due. false: stopped, everything is closed.
  bool turn() {
    transport_.poll(*this, next_due());
    if (paused_ && !hub_.log_must_wait()) resume();
    if (parts_.config.wait == transports::Wait::spin) {
      note_gap();
      // The clock and the stop flag are looked at now and then: each look costs as much as a message.
      if ((++turns_ & 255) != 0) return true;
    }
    const transports::MonotonicInstant now = transport_.now();
    if (program::StopSignals::requested() && !stopping_) begin_stop(now);
    return now < next_due() || tick(now);
  }

  /// The next tick, or what the link has set itself since the last: a callback may have lost the upstream meanwhile.
  [[nodiscard]] transports::MonotonicInstant next_due() const noexcept {
    const transports::MonotonicInstant due = link_.next_deadline();
    return !stopping_ && ticked_at_ < due && due < next_tick_ ? due : next_tick_;
  }

  // The transport's handler.
  void on_open(Conn conn, bool accepted) { accepted ? hub_.on_open(conn) : link_.on_open(); }
  void on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps& rx) {
    link_.owns(conn) ? link_.on_receive(bytes, rx) : hub_.on_receive(conn, bytes);
  }
  void on_sent(Conn conn, std::size_t bytes) {
    link_.owns(conn) ? link_.on_sent(bytes) : hub_.on_sent(conn, bytes);
  }
  void on_close(Conn conn, transports::CloseInfo info) {
    link_.owns(conn) ? link_.on_close(info) : hub_.on_close(conn, info);
  }
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) {
    if (hub_.log_must_wait() || link_.holds_input()) [[unlikely]] {
      paused_ = true;
      return {};
    }
    return link_.receive_space();
  }

  // The link's owner.
  void upstream_published() { hub_.publish(); }
  [[nodiscard]] bool upstream_must_wait() {
    paused_ |= hub_.log_must_wait();
    return hub_.log_must_wait();
  }
  void upstream_opened() {
    parts_.log.stats().upstream_connects.add();
    spdlog::info("upstream open: {}", parts_.config.upstream);
    parts_.status.event("upstream_open");
  }
  void upstream_ready() {
    set_state(rings::WriterState::live);
    spdlog::info("upstream ready: data flows");
    parts_.status.event("upstream_ready");
  }
  void upstream_lost(const std::string& why, bool was_open, std::int64_t wait_ns) {
    set_state(rings::WriterState::upstream_lost);
    (was_open ? parts_.log.stats().upstream_losses : parts_.log.stats().upstream_failures).add();
    spdlog::warn("upstream {}: {}; trying again in {} ms", was_open ? "lost" : "not reached", why,
                 wait_ns / 1'000'000);
    parts_.status.event("upstream_lost", {{"reason", why}, {"was_open", was_open}});
  }
  void upstream_refused(const std::string& why) {
    spdlog::error("upstream refused: {}", why);
    parts_.status.event("upstream_refused", {{"reason", why}});
    exit_code_ = program::kExitRefused;
    begin_stop(transport_.now());
  }

 private:
  static constexpr std::int64_t kTickNs = 500'000'000;
  static constexpr std::int64_t kStopTickNs = 10'000'000;
  static constexpr std::int64_t kStopWaitNs =
      2'000'000'000;  // clients that do not answer the Close are cut after this

  static downstream::HubOptions hub_options(const ProxyConfig& config) {
    downstream::HubOptions options;
    options.connections_max = connections_max(config);
    options.clients_max = config.clients_max;
    options.lag_max_bytes = config.client_lag_max_bytes;
    options.handshake_timeout_ns = config.client_handshake_timeout_ms * std::int64_t{1'000'000};
    options.close_timeout_ns = config.client_close_timeout_ms * std::int64_t{1'000'000};
    options.allow_origin = config.allow_origin;
    return options;
  }

  /// The log may grow again: first by what the link has received already, then by what comes.
  void resume() {
    paused_ = false;
    link_.decrypt_held_input();
    if (!link_.holds_input()) transport_.resume_receive(link_.conn());
  }

  void set_state(rings::WriterState state) {
    parts_.log.stats().writer_state.store(static_cast<std::uint32_t>(state),
                                          std::memory_order_relaxed);
  }

  /// The longest time between two turns of a spinning loop: what this thread's neighbours and its own work cost.
  void note_gap() {
    const transports::TscInstant now = transports::TscInstant::now();
    if (last_turn_.present())
      parts_.log.stats().loop_gap_ticks_max.raise_to(
          static_cast<std::uint64_t>((now - last_turn_).ticks));
    last_turn_ = now;
  }

  /// Timeouts, counters, the end. false: stopped.
  bool tick(transports::MonotonicInstant now) {
    parts_.log.stats().loops.set(transport_.counters().polls);
    link_.on_time(now);
    hub_.on_time(now);
    if (stopping_ && (now >= give_up_at_ || (hub_.size() == 0 && link_.ended()))) return false;
    ticked_at_ = now;
    next_tick_ = now + (stopping_ ? kStopTickNs : kTickNs);
    return true;
  }

  void begin_stop(transports::MonotonicInstant now) {
    stopping_ = true;
    next_tick_ = now;
    give_up_at_ = now + kStopWaitNs;
    set_state(rings::WriterState::stopped);
    transport_.stop_listening();
    hub_.stop();
    link_.stop();
  }

  T& transport_;
  ProxyParts parts_;
  upstream::LogIngest ingest_;
  downstream::ClientHub<T> hub_;
  upstream::UpstreamLink<T, Proxy> link_;
  transports::MonotonicInstant next_tick_;
  transports::MonotonicInstant ticked_at_;
  transports::TscInstant last_turn_;
  std::uint32_t turns_ = 0;
  bool paused_ = false;
  bool stopping_ = false;
  transports::MonotonicInstant give_up_at_;
  int exit_code_ = program::kExitOk;
};

}  // namespace feedbench::proxy
