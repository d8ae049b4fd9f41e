#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reference/baselines/relay/upgrade.hpp"
#include "reference/program/status_lines.hpp"
#include "reference/program/stop_signals.hpp"
#include "transports/rings/mirrored.hpp"
#include "transports/transport.hpp"

namespace feedbench::baselines {

struct RelayOptions {
  transports::Endpoint upstream;      ///< Where the exchange listens, numeric.
  transports::Endpoint listen;        ///< Where clients connect (plain TCP).
  std::string request;                ///< Sent upstream once it is open: upgrade_request().
  std::size_t ring_bytes = 16 << 20;  ///< Power of two. Also the largest lag a client may have.
  std::size_t receive_chunk_bytes =
      256 << 10;  ///< At most this much is received at once; at most half the ring.
  std::int64_t drain_ns =
      2'000'000'000;  ///< When ending, clients get this long to take what is theirs.
};

struct RelayCounters {
  std::uint64_t bytes_received = 0;   ///< From upstream, without the response head.
  std::uint64_t bytes_delivered = 0;  ///< To all clients together.
  std::uint64_t clients_accepted = 0;
  std::uint64_t clients_evicted = 0;  ///< Disconnected because they lagged more than the ring.
  std::uint64_t sends = 0;
};

/// The floor: the least work that any one-to-many relay can do over a transport. One connection's
/// bytes are received straight into a mirrored ring and sent to each client from there: a cursor a
/// client, one send in flight a client, so the next range grows while it is under way and batching
/// adapts to load. No WebSocket: upstream it sends one fixed upgrade request and drops the response
/// head; clients get the bytes that follow as they are, over plain TCP, from the live edge on
/// (which need not be a frame boundary for a client that comes late). A client that lags more than
/// the ring is reset and counted. The end of the upstream is the end of the relay. thread: one, the
/// caller of run(). No allocation, lock or copy per byte once clients are connected.
template <transports::Transport T>
class Relay {
 public:
  Relay(T& transport, const RelayOptions& options, std::uint32_t connections_max,
        const rings::MirroredMapping& ring, const program::StatusLines& status)
      : transport_(transport),
        options_(options),
        status_(status),
        ring_(ring),
        clients_(connections_max) {
    active_.reserve(connections_max);
  }

  /// Listens and connects. Errors: port in use, address not of this machine.
  transports::Expected<transports::Endpoint> start() {
    auto bound = transport_.listen(options_.listen, {});
    if (!bound) return bound;
    auto upstream = transport_.connect(options_.upstream, {.lend_memory = true, .late_ack = true});
    if (!upstream) return tl::make_unexpected(upstream.error());
    upstream_ = *upstream;
    upstream_open_ = true;
    return bound;
  }

  /// Copies until the upstream ends or a stop is requested, then drains. Errors: the upstream could
  /// not be reached or did not upgrade.
  transports::Expected<void> run() {
    static constexpr transports::MonotonicInstant kNever{std::numeric_limits<std::int64_t>::max()};
    while (!ending_) {
      transport_.poll(*this, kNever);
      if (program::StopSignals::requested()) end();
    }
    const auto deadline = transport_.now() + options_.drain_ns;
    while ((!active_.empty() || upstream_open_) && transport_.now() < deadline)
      transport_.poll(*this, deadline);
    for (const std::uint32_t index : active_) transport_.abort(clients_[index].conn);
    if (!failure_.empty()) return tl::make_unexpected(transports::Error{failure_, failure_errno_});
    return {};
  }

  [[nodiscard]] const RelayCounters& counters() const noexcept { return counters_; }
  /// True when the upstream answered the upgrade with something else than 101.
  [[nodiscard]] bool upstream_refused() const noexcept { return upstream_refused_; }

  // What the transport calls.

  void on_open(transports::Conn conn, bool accepted) {
    if (!accepted) {
      status_.event("upstream_open");
      send_request();
    } else if (ending_) {
      transport_.close(conn);
    } else {
      ++counters_.clients_accepted;
      clients_[conn.index] = {
          .conn = conn, .cursor = end_, .slot = static_cast<std::uint32_t>(active_.size())};
      active_.push_back(conn.index);
      // Without a handshake a client cannot tell that it is served: who starts the flow waits for this.
      status_.event("client_open", {{"clients", counters_.clients_accepted}});
    }
  }

  std::span<std::byte> receive_space(transports::Conn) {
    const std::size_t chunk = options_.receive_chunk_bytes;
    evict_behind(end_ + chunk);
    if (letting_go_ != 0) [[unlikely]] {
      paused_ = true;
      return {};
    }
    return {at(end_), chunk};
  }

  void on_receive(transports::Conn conn, std::span<std::byte> bytes, const transports::RxStamps&) {
    if (conn != upstream_) return;  // clients have nothing to say
    end_ += bytes.size();
    if (!upgraded_ && !finish_upgrade()) return;
    counters_.bytes_received = end_ - begin_;
    for (std::size_t i = 0; i < active_.size(); ++i) pump(clients_[active_[i]]);
  }

  void on_sent(transports::Conn conn, std::size_t bytes) {
    if (conn == upstream_) return;
    Client& client = clients_[conn.index];
    client.in_flight = false;
    advance(client, bytes);
    pump(client);
  }

  void on_close(transports::Conn conn, transports::CloseInfo info) {
    if (conn == upstream_) {
      upstream_open_ = false;
      if (!ending_) lose_upstream(info);
      return;
    }
    Client& client = clients_[conn.index];
    if (client.conn != conn) return;  // accepted while ending
    if (client.closing && client.in_flight && --letting_go_ == 0 && std::exchange(paused_, false)) {
      transport_.resume_receive(upstream_);
    }
    active_[client.slot] = active_.back();
    clients_[active_[client.slot]].slot = client.slot;
    active_.pop_back();
    client.conn = {};
  }

  void on_wake() {}

 private:
  struct Client {
    transports::Conn conn;
    std::uint64_t cursor = 0;  // stream offset of the first byte that has not left
    std::uint32_t slot = 0;    // where active_ names it
    bool in_flight = false;    // a send is outstanding, from cursor on
    bool closing = false;      // evicted or finished; only on_close follows
  };

  // The kernel's cost of one call is spread over this much; more only makes the others wait.
  static constexpr std::size_t kSendBytesMax = 256 << 10;

  std::byte* at(std::uint64_t offset) const noexcept {
    return ring_.ring() + (offset & (ring_.ring_bytes() - 1));
  }

  void send_request() {
    const std::array range{transports::ConstRange{
        reinterpret_cast<const std::byte*>(options_.request.data()), options_.request.size()}};
    transport_.send(upstream_, range);
  }

  // Returns true once the head is dropped; the stream then begins behind it.
  bool finish_upgrade() {
    const std::string_view received(reinterpret_cast<const char*>(at(0)),
                                    static_cast<std::size_t>(end_));
    const auto answer = read_upgrade_answer(received);
    if (!answer) return false;
    if (!answer->accepted) {
      upstream_refused_ = true;
      fail("upstream " + to_string(options_.upstream) +
               " did not upgrade to WebSocket: it answered \"" + answer->status_line +
               "\" (check the path in --upstream)",
           0);
      return false;
    }
    upgraded_ = true;
    begin_ = answer->head_bytes;
    for (const std::uint32_t index : active_) clients_[index].cursor = begin_;
    status_.event("upstream_ready");
    return true;
  }

  void pump(Client& client) {
    while (!client.in_flight && !client.closing && upgraded_ && client.cursor < end_) {
      const auto bytes =
          static_cast<std::size_t>(std::min<std::uint64_t>(end_ - client.cursor, kSendBytesMax));
      const std::array range{transports::ConstRange{at(client.cursor), bytes}};
      const auto result = transport_.send(client.conn, range);
      if (result == transports::SendStatus::pending) {
        client.in_flight = true;
      } else if (result == transports::SendStatus::completed) {
        advance(client, bytes);
      } else {
        return;  // closed by the peer; on_close follows
      }
    }
    if (ending_ && !client.in_flight && !client.closing) finish(client);
  }

  void advance(Client& client, std::size_t bytes) noexcept {
    client.cursor += bytes;
    counters_.bytes_delivered += bytes;
    ++counters_.sends;
  }

  // Memory up to write_limit is about to be overwritten: whoever still needs the bytes one ring
  // behind it has to go. The slowest cursor is remembered, so that clients are looked at only when
  // one of them may be too far behind.
  void evict_behind(std::uint64_t write_limit) {
    if (write_limit <= ring_.ring_bytes() + slowest_cursor_) return;
    const std::uint64_t oldest_kept = write_limit - ring_.ring_bytes();
    slowest_cursor_ = end_;
    for (const std::uint32_t index : active_) {
      Client& client = clients_[index];
      if (client.closing) continue;
      if (client.cursor < oldest_kept) {
        ++counters_.clients_evicted;
        client.closing = true;
        letting_go_ += client.in_flight ? 1U : 0U;
        transport_.abort(client.conn);
      } else {
        slowest_cursor_ = std::min(slowest_cursor_, client.cursor);
      }
    }
  }

  void finish(Client& client) {
    client.closing = true;
    transport_.close(client.conn);
  }

  void lose_upstream(transports::CloseInfo info) {
    const std::string reason(to_string(info.reason));
    if (upgraded_) {
      status_.event("upstream_lost", {{"reason", reason}});
      end();
    } else {
      fail("upstream " + to_string(options_.upstream) + " cannot be reached: " + reason +
               " (is the exchange running there?)",
           info.os_error);
    }
  }

  void fail(std::string message, int os_error) {
    failure_ = std::move(message);
    failure_errno_ = os_error;
    end();
  }

  void end() {
    if (ending_) return;
    ending_ = true;
    transport_.stop_listening();
    if (upstream_open_) transport_.close(upstream_);
    for (std::size_t i = 0; i < active_.size(); ++i) pump(clients_[active_[i]]);
  }

  T& transport_;
  const RelayOptions& options_;
  const program::StatusLines& status_;
  const rings::MirroredMapping& ring_;
  RelayCounters counters_;

  transports::Conn upstream_;
  bool upstream_open_ = false;
  bool upgraded_ = false;
  bool ending_ = false;
  bool upstream_refused_ = false;
  bool paused_ = false;           // receive_space() had none to give
  std::uint32_t letting_go_ = 0;  // evicted, and the transport may still read what they were sent
  std::string failure_;
  int failure_errno_ = 0;

  std::uint64_t begin_ = 0;            // stream offset of the first byte behind the response head
  std::uint64_t end_ = 0;              // stream offset behind the last byte received
  std::uint64_t slowest_cursor_ = 0;   // no client that is not closing is behind this
  std::vector<Client> clients_;        // by Conn::index
  std::vector<std::uint32_t> active_;  // indices of the connected ones, dense
};

}  // namespace feedbench::baselines
