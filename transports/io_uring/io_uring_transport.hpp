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
/// flag in shared memory when there is work. The kernel touches memory of the caller only inside
/// poll(): sends do not wait in the kernel, and completions run on the polling thread.
class IoUringTransport {
 public:
  explicit IoUringTransport(const TransportOptions& options);  // throws Error
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

  /// How the ring was set up, and why not better: "deferred task run", or "cooperative task run
  /// (deferred task run: Invalid argument)".
  [[nodiscard]] const std::string& mode() const noexcept { return mode_; }

 private:
  static constexpr std::size_t kListenersMax = 8;
  static constexpr std::int64_t kLingerNs = 1'000'000'000;
  static constexpr std::uint16_t kBufferGroup = 1;

  /// What a completion belongs to, in the low byte of user_data; then 24 bits of index, then the
  /// generation.
  enum class Kind : std::uint8_t { accept, backlog, receive, send, poll, cancel, wake };

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
  static bool in_flight(const ConnectionSlot& slot) noexcept {
    return slot.receiving || slot.sending || slot.polling;
  }

  void set_up_ring();
  void require_kernel();
  void set_up_buffers();
  void cancel_now(std::uint64_t token, unsigned flags) noexcept;
  io_uring_buf_ring* buffer_ring() noexcept {
    return reinterpret_cast<io_uring_buf_ring*>(buffer_ring_.data());
  }
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
  void recycle(std::uint16_t buffer) noexcept;

  void begin_close(std::uint32_t index, CloseInfo info) noexcept;
  void settle(std::uint32_t index) noexcept;
  void fail(std::uint32_t index, int os_error) noexcept;
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
  void received(H& handler, std::uint32_t index, int result, std::uint32_t flags);
  template <class H>
  void deliver(H& handler, std::uint32_t index, std::span<std::byte> bytes, RxStamps& stamps);
  template <class H>
  void sent(H& handler, std::uint32_t index, int result);
  template <class H>
  void polled(H& handler, std::uint32_t index);
  template <class H>
  void finish(H& handler, std::uint32_t index);
  template <class H>
  void run_deferred(H& handler);

  TransportOptions options_;
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
  std::uint32_t buffer_count_ = 0;
  std::size_t buffer_bytes_ = 0;
  MappedArray<std::byte> buffers_;
  MappedArray<io_uring_buf> buffer_ring_;
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
