#pragma once

#include <liburing.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transports/connection_table.hpp"
#include "transports/io_uring/io_uring_options.hpp"
#include "transports/io_uring/provided_buffers.hpp"
#include "transports/mapped_array.hpp"
#include "transports/receive.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/sockets.hpp"
#include "transports/transport.hpp"
#include "transports/tsc_calibration.hpp"

namespace feedbench::transports {

/// TCP over io_uring: multishot accept, multishot receive into a ring of provided buffers (or one
/// receive at a time into lent memory), sends queued by send() and handed to the kernel together by
/// the next poll(). A spinning poll() with nothing to do makes no system call: the kernel raises a
/// flag in shared memory when there is work; unless it looks for the bytes of a single upstream itself
/// (TransportOptions::spin_on_connected). The kernel touches memory of the caller only inside
/// poll(): sends do not wait in the kernel, and completions run on the polling thread. Two options give that
/// up, not the contract: zero_copy_bytes, submission_thread.
class IoUringTransport {
 public:
  /// errors: throws Error: no io_uring here, or not what was asked for.
  explicit IoUringTransport(const TransportOptions& options, const IoUringOptions& ring = {});
  ~IoUringTransport();
  IoUringTransport(const IoUringTransport&) = delete;
  IoUringTransport& operator=(const IoUringTransport&) = delete;

  static constexpr std::string_view name() noexcept { return "io_uring"; }

  Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options);
  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options);
  SendStatus send(Conn conn, std::span<const ConstRange> ranges) noexcept;
  void cancel_send(Conn conn) noexcept;
  void resume_receive(Conn conn) noexcept;
  void close(Conn conn) noexcept;
  void abort(Conn conn) noexcept;
  void stop_listening() noexcept;

  // See hand_over.hpp.
  bool hand_over(Conn conn) noexcept;
  rings::Descriptor take_handed_over() noexcept { return std::move(handed_over_); }
  Expected<Conn> adopt(rings::Descriptor connection, const ConnOptions& options);
  std::vector<rings::Descriptor> hand_over_listeners();
  Expected<Endpoint> adopt_listener(rings::Descriptor listener, const ConnOptions& options);

  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline);
  void wake() noexcept;

  [[nodiscard]] MonotonicInstant now() const noexcept { return MonotonicInstant::now(); }
  [[nodiscard]] const TransportCounters& counters() const noexcept { return counters_; }

  /// Memory that much is sent from, the feed log for instance: the kernel keeps hold of it, so that a zero-copy send from
  /// there costs no pinning. Before the first send, once; without IoUringOptions::zero_copy_bytes it does nothing. The
  /// memory outlives the transport. errors: more than the limit of locked memory allows (ulimit -l), a second call.
  Expected<void> register_memory(std::span<const std::byte> memory);

  /// How the ring was set up, and why not better: "deferred task run", or "cooperative task run
  /// (deferred task run: Invalid argument)"; then what was asked for besides.
  [[nodiscard]] const std::string& mode() const noexcept { return mode_; }

 private:
  static constexpr std::size_t kListenersMax = 8;
  static constexpr std::int64_t kLingerNs = 1'000'000'000;
  static constexpr std::uint32_t kNone = UINT32_MAX;
  /// The kernel takes no more as one registered buffer.
  static constexpr std::size_t kRegisteredStretchBytes = std::size_t{1} << 30;

  /// What a completion belongs to, in the low byte of user_data; then 24 bits of index, then the
  /// generation.
  enum class Kind : std::uint8_t { accept, backlog, receive, take_off, send, poll, cancel, wake };

  struct Listener {
    int descriptor = -1;
    std::uint32_t generation = 0;
    bool armed = false;
    ConnOptions options;
  };
  struct Ring {
    Ring() = default;
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;
    ~Ring() {
      if (live) io_uring_queue_exit(&raw);
    }
    io_uring raw{};
    bool live = false;
  };
  /// What a receive with a control message needs to stay where it is until it completes.
  struct ReceiveMessage {
    msghdr header;
    iovec to;
    bool peeks;  // what it receives stays on the socket
    alignas(cmsghdr) std::array<std::byte, kStampControlBytes> control;
  };

  static constexpr std::uint64_t token_of(Kind kind, std::uint32_t index,
                                          std::uint32_t generation) noexcept {
    return (std::uint64_t{generation} << 32) | (std::uint64_t{index} << 8) |
           static_cast<std::uint8_t>(kind);
  }
  [[nodiscard]] std::uint64_t token_of(Kind kind, std::uint32_t index) const noexcept {
    return token_of(kind, index, table_[index].generation);
  }
  /// Which registered stretch all of it lies in, or nothing. Once in a gigabyte a range lies in two.
  [[nodiscard]] std::optional<std::uint16_t> registered_stretch(const std::byte* data,
                                                                std::size_t bytes) const noexcept {
    if (data < registered_.data() || data + bytes > registered_.data() + registered_.size())
      return std::nullopt;
    const auto begin = static_cast<std::size_t>(data - registered_.data());
    const std::size_t stretch = begin / kRegisteredStretchBytes;
    if ((begin + bytes - 1) / kRegisteredStretchBytes != stretch) return std::nullopt;
    return static_cast<std::uint16_t>(stretch);
  }
  /// It is being handed over, and what the kernel gave meanwhile comes before that.
  static bool is_handing_over(const ConnectionSlot& slot) noexcept {
    return slot.state == ConnectionState::closing && slot.close_reason == CloseReason::handed_over;
  }
  static bool wants_bytes(const ConnectionSlot& slot) noexcept {
    return slot.state == ConnectionState::open || slot.state == ConnectionState::failed ||
           is_handing_over(slot);
  }
  /// late_ack where the transport's own memory is received into, which take_off() has no part in.
  static bool acks_by_delay(const ConnectionSlot& slot) noexcept {
    return slot.late_ack && !slot.lend_memory;
  }
  static bool in_flight(const ConnectionSlot& slot) noexcept {
    return slot.receiving || slot.sending || slot.polling || slot.taking_off != 0;
  }

  void set_up_ring();
  void require_kernel();
  void set_up_options();
  void cancel_now(std::uint64_t token, unsigned flags) noexcept;
  void target(io_uring_sqe* entry, std::uint32_t index) noexcept;
  bool register_file(std::uint32_t index, int descriptor) noexcept;
  void close_descriptor(std::uint32_t index) noexcept;
  void enable() noexcept;
  Expected<void> prepare_stamps(const ConnOptions& options);
  static Error too_many_listeners(const std::string& what);
  Expected<Conn> take_connection(int descriptor, ConnectionState state, const std::string& what,
                                 const ConnOptions& options);
  Endpoint watch_listener(const sockets::Listening& listening, const ConnOptions& options);
  io_uring_sqe* next_entry() noexcept;
  [[nodiscard]] bool kernel_has_work() const noexcept;
  void enter(MonotonicInstant deadline) noexcept;
  void sleep(MonotonicInstant deadline) noexcept;
  Conn take_slot(int descriptor, ConnectionState state, const ConnOptions& options,
                 bool accepted) noexcept;
  void retry_later(std::uint32_t index) noexcept { ready_.push_back(table_.slots(), index); }

  void queue_accept(std::size_t listener) noexcept;
  void watch_backlog(std::size_t listener) noexcept;
  void queue_wake_watch() noexcept;
  void queue_missing() noexcept;
  void queue_send(std::uint32_t index) noexcept;
  void queue_poll(std::uint32_t index, unsigned events) noexcept;
  void queue_cancels(std::uint32_t index) noexcept;
  void queue_receive(std::uint32_t index, std::span<std::byte> lent) noexcept;
  void take_off(std::uint32_t index, std::size_t bytes) noexcept;
  void taken_off(std::uint32_t index, int result) noexcept;
  void find_looked_at() noexcept;

  void begin_close(std::uint32_t index, CloseInfo info) noexcept;
  void settle(std::uint32_t index) noexcept;
  void await_notice(std::uint32_t index) noexcept;
  void fail(std::uint32_t index, int os_error) noexcept;
  void send_failed(std::uint32_t index, int os_error) noexcept;
  void release(std::uint32_t index) noexcept;
  void linger_on(std::uint32_t index) noexcept;
  void expire_lingering() noexcept;
  void stamp(ConnectionSlot& slot, msghdr& header, RxStamps& stamps) noexcept;

  template <class H>
  void arm_receive(H& handler, std::uint32_t index);
  template <class H>
  void arm(H& handler, std::uint32_t index);
  template <class H>
  void handle(H& handler, const io_uring_cqe& completion);
  template <class H>
  void accepted(H& handler, std::uint32_t listener, std::uint32_t generation, int result,
                bool more);
  template <class H>
  void look(H& handler);
  template <class H>
  void received(H& handler, std::uint32_t index, int result, std::uint32_t flags);
  template <class H>
  void received_in_buffers(H& handler, std::uint32_t index, int result, std::uint32_t flags);
  template <class H>
  void deliver(H& handler, std::uint32_t index, std::span<std::byte> bytes, RxStamps& stamps);
  template <class H>
  void sent(H& handler, std::uint32_t index, int result, std::uint32_t flags);
  template <class H>
  void polled(H& handler, std::uint32_t index);
  template <class H>
  void finish(H& handler, std::uint32_t index);
  template <class H>
  void run_deferred(H& handler);

  TransportOptions options_;
  IoUringOptions ring_options_;
  ConnectionTable table_;
  MappedArray<msghdr> send_messages_;  // touched by sends of several ranges alone
  MappedArray<ReceiveMessage>
      receive_messages_;  // touched by stamped lend_memory connections alone
  SlotList<&ConnectionSlot::ready>
      ready_;  // to be armed: the submission queue was full, or resumed
  SlotList<&ConnectionSlot::deferred> deferred_;
  SlotList<&ConnectionSlot::deferred> lingering_;
  std::array<Listener, kListenersMax> listeners_{};
  std::size_t listener_count_ = 0;
  std::uint32_t listener_generation_ = 0;
  sockets::SpareDescriptor spare_;
  std::optional<TscClock> clock_;
  TransportCounters counters_;
  TscInstant wake_stamp_;
  std::size_t callbacks_ = 0;
  msghdr stamped_template_{};  // of multishot receives with stamps: only the control length matters
  ProvidedBuffers buffers_;
  std::span<const std::byte> registered_;  // see register_memory()
  std::uint32_t looked_at_ =
      kNone;  // the only connection that connect() made, open, of lent memory
  bool look_stale_ = true;
  TscInstant look_stamp_;  // before the look of this turn
  sockets::Descriptor wake_descriptor_;
  rings::Descriptor handed_over_;  // while on_close tells of it
  Ring ring_;                      // after all memory that the kernel may touch: it goes first
  std::string mode_;
  bool enabled_ = false;
  bool wake_armed_ = false;
  bool setup_missing_ =
      false;  // an accept or the wake-up is not armed: the submission queue was full
  std::atomic<bool> wake_requested_{false};  // written by any thread
};

}  // namespace feedbench::transports

#include "transports/io_uring/io_uring_hot.ipp"
