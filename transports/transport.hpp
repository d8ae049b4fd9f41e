#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "transports/clock.hpp"

/// The contract that every transport keeps: select, epoll, io_uring, and later AF_XDP and the
/// simulation.
///
/// Axioms (the conformance suite tests each of them against each transport):
///  1. One thread. Everything but wake() is called from the thread that calls poll().
///  2. Callbacks come from inside poll() alone, never from inside listen/connect/send/close.
///  3. Each Conn gets exactly one on_open (accepted or connected), then any number of on_receive and
///     on_sent, then exactly one on_close. A connect that fails gets on_close without on_open.
///     Nothing follows on_close; the handle is dead, also for calls from within on_close.
///  4. Bytes arrive in order, none lost, none twice. The span given to on_receive is valid for the
///     call alone, unless the handler lent the memory (ConnOptions::lend_memory): then it is the
///     head of the span it lent. receive_space() may be asked again before on_receive came: the
///     newest answer counts, unless a receive is under way in the earlier one; so answer alike.
///     Lent memory outlives the connection, or the transport.
///  5. At most one send is outstanding a connection. `completed` frees the memory at once and no
///     on_sent follows; `pending` means the memory stays untouched until on_sent or on_close (the
///     array of ranges itself is copied). `closed` means nothing was done, and on_close has come or
///     will. A send before on_open is `closed` too.
///  6. on_sent(conn, n): n is less than asked only after cancel_send(); those n bytes are the ones
///     that left, counted from the start of the send.
///  7. close() never blocks. Bytes of sends that completed are still delivered, then FIN, whatever
///     the peer is sending meanwhile; a pending send is abandoned and its memory stays in use until
///     on_close, which poll() delivers soon with CloseReason::local. Nothing is received after
///     close(). abort() does the same with RST instead.
///  8. The peer's FIN ends the connection: what it sent before is delivered, then on_close. There is
///     no half-open life after it. Likewise the peer's RST, and errors: what was received comes
///     first.
///  9. After set-up nothing allocates, throws or locks per message. Errors are values; constructors
///     may throw Error, and so may poll() when the transport itself is gone for good (the interface of xdp was removed).
/// 10. No file descriptor appears in this interface.
/// 11. poll() is fair: no connection is served twice, but for a bounded number of chunks, while
///     another waits. It may return early, and with 0.
namespace feedbench::transports {

enum class Wait : std::uint8_t {
  spin,   ///< poll() looks once at everything and returns; the caller loops.
  block,  ///< poll() sleeps in the kernel until there is something to do, wake() or the deadline.
};

/// A numeric address and a port. Name resolution is the caller's business (set-up, not hot).
struct Endpoint {
  std::string address = "127.0.0.1";  ///< IPv4 or IPv6, numeric.
  std::uint16_t port = 0;  ///< 0 for listen(): any free port; listen() returns the one chosen.
  bool operator==(const Endpoint&) const = default;
};
std::string to_string(const Endpoint& endpoint);

/// Names one connection of one transport. A handle is never reused: generation differs when index
/// comes again.
struct Conn {
  std::uint32_t index =
      UINT32_MAX;  ///< dense, < TransportOptions::connections_max: use it to index your own table.
  std::uint32_t generation = 0;
  constexpr bool operator==(const Conn&) const = default;
  [[nodiscard]] constexpr bool valid() const noexcept { return index != UINT32_MAX; }
};

/// Where the time of one received chunk went, before the handler saw it. Absent stamps are absent,
/// never zero ticks.
struct RxStamps {
  /// Stage 1: when the kernel received the segment that holds the *last byte* of this chunk. It
  /// therefore belongs to the message that ends with this chunk and to no other. Absent unless
  /// ConnOptions::nic_stamps and the kernel gave one.
  TscInstant nic;
  /// Stage 2: the event loop woke (this poll's wait returned / this completion was seen). Never before
  /// `nic`: for bytes that arrive while the loop is awake and reading, it is when they arrived.
  TscInstant wake;
  TscInstant read;  ///< Stage 3: the read of this chunk began.
};

enum class CloseReason : std::uint8_t {
  local,        ///< close() or abort() was called here.
  peer,         ///< The peer sent FIN.
  reset,        ///< The peer sent RST.
  refused,      ///< connect(): nobody listens there.
  timed_out,    ///< connect() or keep-alive timed out.
  error,        ///< Anything else; os_error says what.
  handed_over,  ///< hand_over() was called here (hand_over.hpp): it goes on elsewhere.
};
std::string_view to_string(CloseReason reason);

struct CloseInfo {
  CloseReason reason = CloseReason::local;
  int os_error = 0;  ///< errno, or 0.
};

/// One stretch of memory to send, in the order given.
struct ConstRange {
  const std::byte* data = nullptr;
  std::size_t bytes = 0;
};
inline constexpr std::size_t kMaxRanges =
    16;  ///< per send(); more is a programming error (SendStatus::invalid).

enum class SendStatus : std::uint8_t {
  completed,  ///< All bytes were taken; the memory is yours again; no on_sent follows.
  pending,    ///< on_sent follows (or on_close).
  busy,       ///< A send is outstanding on this connection: nothing was done.
  closed,     ///< The handle is dead or closing: nothing was done.
  invalid,    ///< No range, too many ranges, or an empty total: nothing was done.
};

/// A set-up error: what was tried, on what, and why it failed; one sentence, fit to be shown to the
/// user. Example: "listen epoll: bind 127.0.0.1:8080: Address already in use (choose another port
/// with --listen)".
struct Error {
  std::string message;
  int os_error = 0;
};
template <class T>
using Expected = tl::expected<T, Error>;

/// What a transport is created with. Each has a default that is right for most uses.
struct TransportOptions {
  /// How poll() waits.
  Wait wait = Wait::block;
  /// Tables are sized once for this many, at most 16 million; more are refused at accept (counted).
  std::uint32_t connections_max = 4096;
  /// Memory for what is received on connections that do not lend theirs. select and epoll: the
  /// largest chunk one on_receive gets. io_uring: all buffers together (IoUringOptions).
  std::size_t receive_buffer_bytes = 256 * 1024;
  /// Sockets, spinning: when exactly one connection was opened by connect() (a proxy's upstream), poll() reads it without
  /// asking first whether there is something. select and epoll ask for all others after each chunk and every eighth
  /// time; io_uring submits the receive, lent memory alone, with everything else. Saves a system call, or a notification,
  /// between a message and its handler.
  bool spin_on_connected = true;
  /// epoll and io_uring: a blocking poll() asks the network card itself for so long before it sleeps; 0: never. Drivers with
  /// NAPI alone, so not loopback. Linux 6.9; refused (Error) where the kernel or the transport has it not.
  std::uint32_t busy_poll_us = 0;
};

/// Up to here a chunk is a message that waits, beyond it a backlog.
inline constexpr std::size_t kLateAckBytesMax = 16 * 1024;

/// How one connection (or each accepted one, for listen) behaves.
struct ConnOptions {
  bool no_delay = true;      ///< TCP_NODELAY.
  bool nic_stamps = false;   ///< Ask the kernel for receive stamps (stage 1).
  bool lend_memory = false;  ///< Receive straight into Handler::receive_space(conn) (the feed log)
                             ///< instead of transport memory.
  /// The kernel acknowledges a small chunk when on_receive has returned, not before: what the handler sends leaves
  /// first. select and epoll: one more system call for each chunk of at most kLateAckBytesMax. io_uring: one more request,
  /// for lent memory; else delayed acknowledgements (TCP_QUICKACK off), which spares every other one.
  bool late_ack = false;
  int send_buffer_bytes = 0;     ///< SO_SNDBUF; 0 keeps the kernel's default and its auto-tuning.
  int receive_buffer_bytes = 0;  ///< SO_RCVBUF; 0 likewise.
};

/// Counted, never logged. Single writer: the polling thread.
struct TransportCounters {
  std::uint64_t polls = 0;         ///< Calls of poll().
  std::uint64_t system_calls = 0;  ///< System calls made by this transport, all kinds.
  std::uint64_t receives = 0;      ///< Chunks handed to on_receive.
  std::uint64_t bytes_received = 0;
  std::uint64_t sends = 0;  ///< send() calls accepted.
  std::uint64_t bytes_sent = 0;
  std::uint64_t sends_partial = 0;    ///< Sends that did not complete at once (socket buffer full).
  std::uint64_t accepts_refused = 0;  ///< Connections refused because connections_max was reached.
  std::uint64_t nic_stamps = 0;       ///< Chunks that carry stage 1.
  std::uint64_t nic_stamps_absent = 0;  ///< Chunks of nic_stamps connections that carry none.
};

/// What a handler must offer. All are called from inside poll().
template <class H>
concept TransportHandler = requires(H h, Conn conn, std::span<std::byte> bytes, RxStamps stamps,
                                    CloseInfo info, std::size_t n, bool accepted) {
  {h.on_open(conn, accepted)};          // accepted: true from listen(), false from connect()
  {h.on_receive(conn, bytes, stamps)};  // bytes: [n], n >= 1; writable (unmask in place)
  {h.on_sent(conn, n)};                 // only after SendStatus::pending
  {h.on_close(conn, info)};
  {h.on_wake()};  // after wake() from another thread; calls may be merged
  // Only for lend_memory connections: where the next chunk goes. An empty span pauses receiving on
  // this connection until resume_receive(conn). The memory stays lent until on_receive or on_close
  // of this connection.
  { h.receive_space(conn) } -> std::same_as<std::span<std::byte>>;
};

/// A handler for concept checks alone.
struct ArchetypeHandler {
  void on_open(Conn, bool) {}
  void on_receive(Conn, std::span<std::byte>, const RxStamps&) {}
  void on_sent(Conn, std::size_t) {}
  void on_close(Conn, CloseInfo) {}
  void on_wake() {}
  std::span<std::byte> receive_space(Conn) { return {}; }
};

template <class T>
concept Transport = requires(T t, const T ct, ArchetypeHandler& h, Conn conn,
                             const Endpoint& endpoint, const ConnOptions& options,
                             std::span<const ConstRange> ranges, MonotonicInstant deadline) {
  requires std::constructible_from<T, const TransportOptions&>;  // throws Error when this kernel
                                                                 // cannot do it
  { T::name() } -> std::convertible_to<std::string_view>;        // "epoll"
  // Starts to accept. Returns the endpoint bound (the port chosen, if 0 was asked).
  { t.listen(endpoint, options) } -> std::same_as<Expected<Endpoint>>;
  // Starts to connect; on_open or on_close follows.
  { t.connect(endpoint, options) } -> std::same_as<Expected<Conn>>;
  { t.send(conn, ranges) } -> std::same_as<SendStatus>;
  // Gives up what is left of a pending send; on_sent(conn, bytes that left) follows from poll(), without waiting for the
  // peer; or on_close, where only the peer could give the memory back (IoUringOptions::zero_copy_bytes). No effect if
  // none is pending.
  {t.cancel_send(conn)};
  {t.resume_receive(conn)};
  {t.close(conn)};
  {t.abort(conn)};
  // Stops accepting; open connections stay.
  {t.stop_listening()};
  // Delivers what is ready. block: sleeps until something is, wake(), or the deadline. Returns the
  // number of callbacks made.
  { t.poll(h, deadline) } -> std::same_as<std::size_t>;
  // thread: any. Async-signal-safe.
  {t.wake()};
  {
    ct.now()
    } -> std::same_as<MonotonicInstant>;  // the clock that deadlines are in (virtual, for the
                                          // simulation)
  { ct.counters() } -> std::same_as<const TransportCounters&>;
};

}  // namespace feedbench::transports
