#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transports/hand_over.hpp"
#include "transports/receive.hpp"
#include "transports/tls/kernel_sealer.hpp"
#include "transports/tls/tls_session.hpp"
#include "transports/transport.hpp"

namespace feedbench::tls {

struct TlsTransportOptions {
  const TlsContext* accepts =
      nullptr;  ///< For connections that are accepted; null: they are plain.
  const TlsContext* connects = nullptr;  ///< For those of connect(); null: they are plain.
  /// Connections that are accepted and secured at a time, in their handshake or open; one more is reset and counted as
  /// refused. 0: as many as T takes. Whoever opens connections besides needs room that no peer can take.
  std::uint32_t accepts_max = 0;
  /// A peer that has not finished its handshake by then is dropped.
  std::int64_t handshake_timeout_ns = 10'000'000'000;
  /// After close(), what was sent must have left by then.
  std::int64_t drain_timeout_ns = 5'000'000'000;
  /// The kernel seals what is sent, where T and the kernel can do it (kTLS): it takes the caller's memory as it is. For
  /// contexts that tell their keys. Where it cannot be, offload_fault() says why, and this process seals.
  bool offload = false;
};

/// TLS over any transport, itself a transport: the axioms of transport.hpp hold for the plaintext (the conformance suite
/// runs on it), with these differences:
///  - A connection opens when its handshake is done. One that is accepted and fails before is never told of, but counted.
///  - A peer that ends without close_notify ends with CloseReason::error, EPROTO: its stream may have been cut. why()
///    says so in words, as it does for everything TLS refuses.
///  - A reset while the handler has no space for what came before it loses that.
///  - the provider allocates for each record (tls_session.hpp).
///  - All listeners of one transport have the lend_memory and nic_stamps of the one that was opened last.
/// Memory: kCipherBytes a connection for ciphertext to read, about as much to send, and the provider's own.
/// Contexts outlive the transport. thread: one. T: a Transport.
template <class T>
class TlsTransport {
 public:
  using Conn = transports::Conn;
  using ConnOptions = transports::ConnOptions;
  using Endpoint = transports::Endpoint;
  using CloseInfo = transports::CloseInfo;
  using CloseReason = transports::CloseReason;
  using SendStatus = transports::SendStatus;
  using ConstRange = transports::ConstRange;

  /// more: what T is made with besides TransportOptions.
  template <class... More>
  TlsTransport(const transports::TransportOptions& options, const TlsTransportOptions& tls = {},
               More&&... more)
      : tls_(tls), links_(options.connections_max), inner_(options, std::forward<More>(more)...) {
    if (tls_.accepts != nullptr || tls_.connects != nullptr) plain_.resize(kPlainBytes);
  }

  static constexpr std::string_view name() noexcept { return T::name(); }

  transports::Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options) {
    accept_options_ = options;
    return inner_.listen(endpoint, outer(options, tls_.accepts));
  }
  transports::Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) {
    auto conn = inner_.connect(endpoint, outer(options, tls_.connects));
    if (conn && tls_.connects != nullptr) make_link(*conn, State::connecting, options);
    return conn;
  }

  SendStatus send(Conn conn, std::span<const ConstRange> ranges);
  void cancel_send(Conn conn) {
    if (is_plain(conn)) return inner_.cancel_send(conn);
    Link* const link = find(conn);
    if (link == nullptr || link->state != State::open) return;
    if (link->in_kernel) return inner_.cancel_send(conn);
    if (!link->sending()) return;
    link->cancelled = true;
    look_at(*link);
  }
  void resume_receive(Conn conn) {
    if (is_plain(conn)) return inner_.resume_receive(conn);
    Link* const link = find(conn);
    if (link == nullptr || !std::exchange(link->paused, false)) return;
    look_at(*link);
  }
  void close(Conn conn) {
    Link* const link = find(conn);
    if (link == nullptr || link->state != State::open) return give_up(link, conn, false);
    link->state = State::closing;
    look_at(*link);
  }
  void abort(Conn conn) { give_up(find(conn), conn, true); }
  void stop_listening() { inner_.stop_listening(); }
  void wake() noexcept { inner_.wake(); }

  template <transports::TransportHandler H>
  std::size_t poll(H& handler, transports::MonotonicInstant deadline) {
    callbacks_ = 0;
    run_due(handler);
    Inner<H> inner{*this, handler};
    const bool busy = callbacks_ != 0 || !due_.empty();
    inner_.poll(inner, busy ? transports::MonotonicInstant{} : std::min(deadline, next_timeout()));
    run_due(handler);
    if (!timed_.empty()) expire();
    return callbacks_;
  }

  [[nodiscard]] transports::MonotonicInstant now() const { return inner_.now(); }
  /// How T was set up.
  [[nodiscard]] const std::string& mode() const noexcept requires requires(const T& inner) {
    inner.mode();
  }
  { return inner_.mode(); }
  /// Bytes and chunks are plaintext, where there is TLS; polls and system calls those of T.
  [[nodiscard]] const transports::TransportCounters& counters() const {
    if (tls_.accepts == nullptr && tls_.connects == nullptr) return inner_.counters();
    counters_.polls = inner_.counters().polls;
    counters_.system_calls = inner_.counters().system_calls;
    counters_.accepts_refused = inner_.counters().accepts_refused + accepts_refused_;
    return counters_;
  }
  /// Accepted connections that failed before they were open, since the beginning.
  [[nodiscard]] std::uint64_t handshakes_failed() const noexcept { return handshakes_failed_; }
  /// Why the last of them failed, one sentence.
  [[nodiscard]] const std::string& handshake_fault() const noexcept { return handshake_fault_; }
  /// Connections whose records the kernel seals, since the beginning.
  [[nodiscard]] std::uint64_t offloaded() const noexcept { return kernel_.taken(); }
  /// Why the kernel does not seal although it was asked to; empty if it does, or nothing was tried yet.
  [[nodiscard]] const std::string& offload_fault() const noexcept { return kernel_.fault(); }
  /// Within on_close: why TLS ended this connection, one sentence; empty if it did not.
  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  [[nodiscard]] T& inner() noexcept { return inner_; }

  // See transports/hand_over.hpp: plain connections and listeners alone.
  bool hand_over(Conn conn) requires transports::HandsOver<T> {
    return is_plain(conn) && inner_.hand_over(conn);
  }
  rings::Descriptor take_handed_over() requires transports::HandsOver<T> {
    return inner_.take_handed_over();
  }
  transports::Expected<Conn> adopt(rings::Descriptor connection,
                                   const ConnOptions& options) requires transports::HandsOver<T> {
    if (tls_.connects != nullptr)
      return tl::unexpected(transports::Error{
          "adopt: the other end of a TLS session cannot be taken over here", EINVAL});
    return inner_.adopt(std::move(connection), options);
  }
  std::vector<rings::Descriptor> hand_over_listeners() requires transports::HandsOver<T> {
    return inner_.hand_over_listeners();
  }
  transports::Expected<Endpoint> adopt_listener(
      rings::Descriptor listener, const ConnOptions& options) requires transports::HandsOver<T> {
    accept_options_ = options;
    return inner_.adopt_listener(std::move(listener), outer(options, tls_.accepts));
  }

  static constexpr std::size_t kCipherBytes = 32 * 1024;

 private:
  static constexpr std::size_t kPlainBytes = 64 * 1024;
  static constexpr std::size_t kRecordBytes = 16 * 1024;
  /// A send encrypts no further ahead of the wire than this.
  static constexpr std::size_t kAheadBytes = 64 * 1024;

  enum class State : std::uint8_t {
    connecting,  // T has not opened it yet
    handshake,
    open,
    closing,   // close() was called, on_close is to come
    draining,  // on_close was told; what is left goes out
    ending,    // the peer or TLS has ended it: what is left goes out, then on_close is told
    ended,     // likewise, and T closes it
    dropped,   // T closes it, and its on_close is the handler's
    silent,    // T closes it, and nobody is told
  };

  struct Link {
    Conn conn;
    State state = State::connecting;
    bool accepted = false;
    bool lend_memory = false;
    bool nic_stamps = false;
    bool paused = false;       // the handler had no space
    bool holding = false;      // input is fed and not used up: T must not receive over it
    bool cancelled = false;    // on_sent with what was encrypted is due
    bool on_the_wire = false;  // T has a send of this connection
    bool in_kernel = false;    // T's sends are plaintext: the kernel seals them
    bool offload_tried = false;
    bool queued = false;      // in due_
    std::uint8_t ranges = 0;  // of a send under way; 0: none
    std::uint8_t range = 0;   // the first with something left
    std::size_t asked = 0;
    std::size_t taken = 0;
    std::array<ConstRange, transports::kMaxRanges> left;
    transports::RxStamps held_stamps;
    CloseInfo end_info;
    transports::MonotonicInstant deadline{INT64_MAX};
    std::optional<TlsSession> session;
    std::vector<std::byte> cipher;
    std::string why;  // this class gave it up
    [[nodiscard]] bool sending() const noexcept { return ranges != 0; }
  };

  /// T's handler.
  template <class H>
  struct Inner {
    TlsTransport& tls;
    H& handler;
    void on_open(Conn conn, bool accepted) { tls.opened(handler, conn, accepted); }
    void on_receive(Conn conn, std::span<std::byte> bytes, const transports::RxStamps& stamps) {
      Link* const link = tls.find(conn);
      if (link != nullptr) return tls.received(handler, *link, bytes, stamps);
      ++tls.callbacks_;
      handler.on_receive(conn, bytes, stamps);
    }
    void on_sent(Conn conn, std::size_t bytes) {
      Link* const link = tls.find(conn);
      if (link != nullptr) return tls.left_the_wire(handler, *link, bytes);
      ++tls.callbacks_;
      handler.on_sent(conn, bytes);
    }
    void on_close(Conn conn, CloseInfo info) { tls.closed(handler, conn, info); }
    void on_wake() {
      ++tls.callbacks_;
      handler.on_wake();
    }
    std::span<std::byte> receive_space(Conn conn) {
      Link* const link = tls.find(conn);
      if (link == nullptr) return handler.receive_space(conn);
      return link->holding ? std::span<std::byte>{} : std::span<std::byte>(link->cipher);
    }
  };

  static ConnOptions outer(ConnOptions options, const TlsContext* context) {
    if (context != nullptr) options.lend_memory = true;  // to this class
    return options;
  }
  Link* find(Conn conn) const noexcept {
    if (conn.index >= links_.size()) return nullptr;
    Link* const link = links_[conn.index].get();
    return link != nullptr && link->conn == conn ? link : nullptr;
  }
  /// Of another kind than TLS, or dead: then T says so.
  [[nodiscard]] bool is_plain(Conn conn) const noexcept { return find(conn) == nullptr; }
  Link& make_link(Conn conn, State state, const ConnOptions& options) {
    auto link = std::make_unique<Link>();
    link->conn = conn;
    link->state = state;
    link->lend_memory = options.lend_memory;
    link->nic_stamps = options.nic_stamps;
    return *(links_[conn.index] = std::move(link));
  }
  void look_at(Link& link) {
    if (std::exchange(link.queued, true)) return;
    due_.push_back(link.conn);
  }
  void set_timeout(Link& link, std::int64_t after_ns) {
    link.deadline = inner_.now() + after_ns;
    timed_.push_back(link.conn);
  }
  [[nodiscard]] transports::MonotonicInstant next_timeout() const {
    transports::MonotonicInstant next{INT64_MAX};
    for (const Conn conn : timed_)
      if (const Link* const link = find(conn)) next = std::min(next, link->deadline);
    return next;
  }
  void expire() {
    const transports::MonotonicInstant now = inner_.now();
    std::erase_if(timed_, [&](Conn conn) {
      Link* const link = find(conn);
      if (link == nullptr || link->state == State::open) return true;
      if (now < link->deadline) return false;
      if (link->state == State::handshake) {
        link->why = "TLS: the handshake was not finished in time";
        link->state = link->accepted ? State::silent : State::dropped;
        if (link->accepted) count_failed_handshake(link->why);
      }
      inner_.abort(conn);
      return true;
    });
  }
  void give_up(Link* link, Conn conn, bool with_reset) {
    if (link != nullptr) {
      if (link->state >= State::closing && link->state != State::dropped) return;
      link->state = State::dropped;
    }
    with_reset ? inner_.abort(conn) : inner_.close(conn);
  }

  template <class H>
  void opened(H& handler, Conn conn, bool accepted) {
    const TlsContext* const context = accepted ? tls_.accepts : tls_.connects;
    if (context == nullptr) {
      ++callbacks_;
      return handler.on_open(conn, accepted);
    }
    Link& link = accepted ? make_link(conn, State::handshake, accept_options_) : *find(conn);
    link.accepted = accepted;
    if (accepted && ++accepted_ > tls_.accepts_max && tls_.accepts_max != 0) {
      ++accepts_refused_;
      return refuse(link);
    }
    auto session = context->new_session();
    if (!session) return refuse(link);
    link.session.emplace(std::move(*session));
    link.cipher.resize(kCipherBytes);
    link.state = State::handshake;
    set_timeout(link, tls_.handshake_timeout_ns);
    link.session->start();
    put_on_the_wire(link);
  }

  void count_failed_handshake(const std::string& why) {
    ++handshakes_failed_;
    handshake_fault_ = why;
  }

  /// Nothing that could be said over TLS: a reset.
  void refuse(Link& link) {
    link.state = link.accepted ? State::silent : State::dropped;
    inner_.abort(link.conn);
  }

  template <class H>
  void received(H& handler, Link& link, std::span<const std::byte> bytes,
                const transports::RxStamps& stamps) {
    if (link.state != State::open && link.state != State::handshake) return;
    const TlsStatus status = link.session->feed(bytes);
    if (link.state == State::handshake) {
      if (status == TlsStatus::failed || status == TlsStatus::closed)
        return end(handler, link, {CloseReason::error, EPROTO});
      if (!link.session->established()) {
        put_on_the_wire(link);
        return;
      }
      link.state = State::open;
      const Conn conn = link.conn;
      ++callbacks_;
      handler.on_open(conn, link.accepted);
      if (find(conn) != &link) return;
      put_on_the_wire(link);
      if (link.state != State::open) return;
    }
    decrypt(handler, link, stamps);
  }

  template <class H>
  void decrypt(H& handler, Link& link, const transports::RxStamps& stamps) {
    TlsRead read;
    do {
      std::span<std::byte> space(plain_);
      if (link.lend_memory) {
        space = handler.receive_space(link.conn);
        if (space.empty()) {
          link.paused = link.holding = true;
          link.held_stamps = stamps;
          put_on_the_wire(link);
          return;
        }
      }
      read = link.session->read(space);
      if (read.bytes == 0) continue;
      transports::RxStamps of_chunk = stamps;  // the last byte received is that of the last chunk
      if (!link.nic_stamps || read.status == TlsStatus::ok) of_chunk.nic = {};
      if (link.nic_stamps)
        ++(of_chunk.nic.present() ? counters_.nic_stamps : counters_.nic_stamps_absent);
      ++counters_.receives;
      counters_.bytes_received += read.bytes;
      ++callbacks_;
      handler.on_receive(link.conn, space.first(read.bytes), of_chunk);
      if (link.state != State::open) return;  // the handler closed it
    } while (read.status == TlsStatus::ok);
    if (std::exchange(link.holding, false)) inner_.resume_receive(link.conn);
    if (read.status == TlsStatus::closed) return end(handler, link, {CloseReason::peer, 0});
    if (read.status == TlsStatus::failed) return end(handler, link, {CloseReason::error, EPROTO});
    put_on_the_wire(link);
  }

  /// It is over: what is left to say goes out (an alert, close_notify, what was sent). The handler is told at once if it
  /// wanted that, else when the place is free again.
  template <class H>
  void end(H& handler, Link& link, CloseInfo info) {
    const State before = std::exchange(link.state, State::draining);
    link.ranges = 0;
    const bool lends = link.in_kernel && link.on_the_wire;  // T still holds the handler's memory
    if (lends) inner_.cancel_send(link.conn);
    if (before == State::handshake && link.accepted) {
      count_failed_handshake(link.session->error());
    } else if (info.reason == CloseReason::local && !lends) {
      ++callbacks_;
      handler.on_close(link.conn, info);
    } else {
      link.state = State::ending;
      link.end_info = info;
    }
    link.session->close();
    set_timeout(link, tls_.drain_timeout_ns);
    if (link.holding) {  // what the peer still says is thrown away: T must go on to its FIN
      link.holding = false;
      inner_.resume_receive(link.conn);
    }
    put_on_the_wire(link);
    close_when_drained(link);
  }
  void close_when_drained(Link& link) {
    if (link.state != State::draining && link.state != State::ending) return;
    if (link.on_the_wire || !link.session->output().empty()) return;
    link.state = link.state == State::ending ? State::ended : State::silent;
    if (link.in_kernel) kernel_.say_the_end(inner_, link.conn, !link.session->error().empty());
    inner_.close(link.conn);
  }

  /// Once all that this process has sealed has left.
  void try_offload(Link& link) {
    if (link.offload_tried || link.state != State::open || link.on_the_wire || link.sending())
      return;
    link.offload_tried = true;
    link.in_kernel = kernel_.take(inner_, link.conn, *link.session);
  }

  /// Encrypts what the send under way has left, a little ahead of the wire, and gives T what is encrypted. returns false
  /// if T says that the connection is gone.
  bool put_on_the_wire(Link& link) {
    for (;;) {
      encrypt(link);
      if (link.on_the_wire) return true;
      const std::span<const std::byte> output = link.session->output();
      if (output.empty()) {
        if (kernel_.wanted()) [[unlikely]]
          try_offload(link);
        return true;
      }
      const ConstRange range{output.data(), output.size()};
      switch (inner_.send(link.conn, {&range, 1})) {
        case SendStatus::completed:
          link.session->consume_output(output.size());
          break;
        case SendStatus::pending:
          link.on_the_wire = true;
          return true;
        default:
          return false;
      }
    }
  }
  /// Only when nothing waits, so that no more waits than kAheadBytes and what TLS says by itself.
  void encrypt(Link& link) {
    if (link.cancelled || !link.session->output().empty()) return;
    for (std::size_t ahead = 0; link.range < link.ranges && ahead < kAheadBytes;) {
      ConstRange& range = link.left[link.range];
      const std::size_t part = std::min(range.bytes, kRecordBytes);
      const TlsWrite written = part == 0 ? TlsWrite{} : link.session->write({range.data, part});
      range.data += written.bytes;
      range.bytes -= written.bytes;
      link.taken += written.bytes;
      ahead += written.bytes;
      if (range.bytes == 0) ++link.range;
      if (written.bytes != part) return;
    }
  }
  [[nodiscard]] static bool all_has_left(Link& link) {
    return link.range == link.ranges && !link.on_the_wire && link.session->output().empty();
  }

  template <class H>
  void left_the_wire(H& handler, Link& link, std::size_t bytes) {
    link.on_the_wire = false;
    if (link.in_kernel) return kernel_has_sent(handler, link, bytes);
    link.session->consume_output(bytes);
    put_on_the_wire(link);
    if (link.state == State::open && link.sending() && !link.cancelled && all_has_left(link))
      return tell_sent(handler, link);
    close_when_drained(link);
  }
  template <class H>
  void kernel_has_sent(H& handler, Link& link, std::size_t bytes) {
    if (link.state != State::open) return close_when_drained(link);
    counters_.bytes_sent += bytes;
    ++callbacks_;
    handler.on_sent(link.conn, bytes);
  }
  template <class H>
  void tell_sent(H& handler, Link& link) {
    link.ranges = link.range = 0;
    link.cancelled = false;
    counters_.bytes_sent += link.taken;
    ++callbacks_;
    handler.on_sent(link.conn, link.taken);
  }

  template <class H>
  void closed(H& handler, Conn conn, CloseInfo info) {
    Link* const link = find(conn);
    if (link == nullptr) {
      ++callbacks_;
      return handler.on_close(conn, info);
    }
    const State state = link->state;
    const bool silent = state == State::silent || state == State::draining ||
                        (state == State::handshake && link->accepted);
    if (state == State::handshake && link->accepted) {
      link->session->end_of_input();
      count_failed_handshake(link->session->error());
    }
    if (state == State::open && info.reason == CloseReason::peer &&
        link->session->end_of_input() == TlsStatus::failed) {
      why_ = link->session->error();
      info = {CloseReason::error, EPROTO};
    }
    if (state == State::closing) info = {CloseReason::local, 0};
    if (state == State::ending || state == State::ended) {
      why_ = link->session->error();
      info = link->end_info;
    }
    if (!link->why.empty()) {
      why_ = link->why;
      info = {CloseReason::timed_out, ETIMEDOUT};
    }
    link->state = State::silent;  // calls of the handler on this handle do nothing from here on
    if (!silent) {
      ++callbacks_;
      handler.on_close(conn, info);
    }
    why_.clear();
    if (link->accepted) --accepted_;
    links_[conn.index].reset();
  }

  template <class H>
  void run_due(H& handler) {
    for (std::size_t count = due_.size(); count > 0; --count) {
      const Conn conn = due_.front();
      due_.erase(due_.begin());
      Link* const link = find(conn);
      if (link == nullptr) continue;
      link->queued = false;
      if (link->state == State::closing) {
        end(handler, *link, {CloseReason::local, 0});
      } else if (link->state == State::open && link->cancelled) {
        tell_sent(handler, *link);
        if (find(conn) == link && link->holding && !link->paused) look_at(*link);
      } else if (link->state == State::open && link->holding && !link->paused) {
        decrypt(handler, *link, link->held_stamps);
      }
    }
  }

  TlsTransportOptions tls_;
  ConnOptions accept_options_;
  std::vector<std::unique_ptr<Link>>
      links_;  // by Conn::index; before inner_, which may still hold their memory
  std::vector<std::byte> plain_;
  std::vector<Conn> due_;
  std::vector<Conn> timed_;
  T inner_;
  mutable transports::TransportCounters counters_;
  std::uint64_t handshakes_failed_ = 0;
  std::string handshake_fault_;
  KernelSealer<T> kernel_{tls_.offload};
  std::uint64_t accepts_refused_ = 0;
  std::uint32_t accepted_ = 0;
  std::string why_;
  std::size_t callbacks_ = 0;
};

template <class T>
transports::SendStatus TlsTransport<T>::send(Conn conn, std::span<const ConstRange> ranges) {
  Link* const link = find(conn);
  if (link == nullptr) return inner_.send(conn, ranges);
  if (link->state != State::open) return SendStatus::closed;
  if (link->in_kernel) {
    if (link->on_the_wire) return SendStatus::busy;
    const SendStatus status = inner_.send(conn, ranges);
    link->on_the_wire = status == SendStatus::pending;
    if (status == SendStatus::completed) counters_.bytes_sent += transports::total_bytes(ranges);
    if (status == SendStatus::completed || link->on_the_wire) ++counters_.sends;
    if (link->on_the_wire) ++counters_.sends_partial;
    return status;
  }
  if (link->sending()) return SendStatus::busy;
  if (ranges.empty() || ranges.size() > transports::kMaxRanges) return SendStatus::invalid;
  link->asked = transports::total_bytes(ranges);
  if (link->asked == 0) return SendStatus::invalid;
  std::copy(ranges.begin(), ranges.end(), link->left.begin());
  link->ranges = static_cast<std::uint8_t>(ranges.size());
  link->range = 0;
  link->taken = 0;
  if (!put_on_the_wire(*link)) {
    link->ranges = 0;
    return SendStatus::closed;  // on_close follows
  }
  ++counters_.sends;
  if (!all_has_left(*link)) {
    ++counters_.sends_partial;
    return SendStatus::pending;
  }
  link->ranges = link->range = 0;
  counters_.bytes_sent += link->taken;
  return SendStatus::completed;
}

}  // namespace feedbench::tls
