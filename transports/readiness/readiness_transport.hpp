#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "transports/connection_table.hpp"
#include "transports/mapped_array.hpp"
#include "transports/receive.hpp"
#include "transports/rings/descriptor.hpp"
#include "transports/sockets.hpp"
#include "transports/transport.hpp"
#include "transports/tsc_calibration.hpp"

/// Completion style over a readiness API. Everything that select and epoll have in common is here;
/// a Poller is what they have not: how interest is told to the kernel and how readiness comes back.
namespace feedbench::transports::readiness {

/// What a poller found about one descriptor.
struct Ready {
  bool readable = false;
  bool writable = false;
  bool hang_up = false;  ///< FIN or an error is among what there is to read.
};

/// Names a registered descriptor: a slot and its generation, a listener, or the wake-up.
using Token = std::uint64_t;

template <class P>
concept Poller = requires(P poller, int descriptor, Token token, bool on, std::int64_t timeout_ns) {
  { P::name() } -> std::convertible_to<std::string_view>;
  { poller.can_watch(descriptor) } -> std::same_as<bool>;  // select: descriptor < FD_SETSIZE
  { poller.limit_hint() } -> std::convertible_to<std::string_view>;
  { poller.add(descriptor, token, on) } -> std::same_as<int>;       // on: watch writing; 0 or errno
  { poller.add_listener(descriptor, token) } -> std::same_as<int>;  // level-triggered
  { poller.add_wake(descriptor, token) } -> std::same_as<int>;
  {poller.remove(descriptor)};  // before the descriptor is closed
  {poller.let_go(descriptor)};  // it stays open elsewhere
  {poller.want_read(descriptor, on)};
  {poller.want_write(descriptor, on)};
  // timeout_ns: 0 looks, < 0 waits for ever. Calls found(token, Ready). returns the number of
  // events.
  {
    poller.wait(timeout_ns, [](Token, Ready) {})
    } -> std::same_as<int>;
  { poller.wake_read_needed() } -> std::same_as<bool>;
};

template <class P>
class ReadinessTransport {
 public:
  explicit ReadinessTransport(const TransportOptions& options);
  ~ReadinessTransport();
  ReadinessTransport(const ReadinessTransport&) = delete;
  ReadinessTransport& operator=(const ReadinessTransport&) = delete;

  static constexpr std::string_view name() noexcept { return P::name(); }

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

  // See offload_tls.hpp.
  int offload_tls(Conn conn, std::span<const std::byte> keys) noexcept;
  bool send_tls_record(Conn conn, std::uint8_t type, std::span<const std::byte> bytes) noexcept;

  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline);
  void wake() noexcept;

  [[nodiscard]] MonotonicInstant now() const noexcept { return MonotonicInstant::now(); }
  [[nodiscard]] const TransportCounters& counters() const noexcept { return counters_; }

 private:
  static constexpr std::size_t kListenersMax = 8;
  static constexpr int kAcceptsPerTurn = 64;
  static constexpr int kReadsPerTurn = 16;  // then the others have their turn
  static constexpr unsigned kHotLooks = 8;  // direct reads of the hot connection between full looks
  static constexpr std::uint32_t kNoIndex = UINT32_MAX;
  static constexpr std::int64_t kLingerNs = 1'000'000'000;
  static constexpr std::uint32_t kListenerIndex = 0xFFFF'0000;
  static constexpr std::uint32_t kWakeIndex = 0xFFFF'FFFF;

  struct Listener {
    int descriptor = -1;
    ConnOptions options;
  };

  static constexpr Token token_of(Conn conn) noexcept {
    return (Token{conn.generation} << 32) | conn.index;
  }

  Expected<void> prepare_stamps(const ConnOptions& options);
  static Error too_many_listeners(const std::string& what);
  Expected<Conn> watch(int descriptor, ConnectionState state, const std::string& what,
                       const std::string& peer, const ConnOptions& options);
  Expected<Endpoint> watch_listener(const sockets::Listening& listening, const std::string& what,
                                    const ConnOptions& options);
  [[nodiscard]] std::int64_t timeout_ns(MonotonicInstant deadline) const noexcept;
  Conn take_slot(int descriptor, ConnectionState state, const ConnOptions& options,
                 bool accepted) noexcept;
  void defer_close(std::uint32_t index, CloseInfo info, ConnectionState state) noexcept;
  void forget_descriptor(ConnectionSlot& slot) noexcept;
  void linger(std::uint32_t index) noexcept;
  void end_linger(std::uint32_t index) noexcept;
  void expire_lingering() noexcept;
  ssize_t receive(ConnectionSlot& slot, std::span<std::byte> space, int flags,
                  RxStamps& stamps) noexcept;

  template <class H>
  void dispatch(H& handler, Token token, Ready ready);
  template <class H>
  void accept_some(H& handler, const Listener& listener);
  template <class H>
  void finish_connect(H& handler, std::uint32_t index);
  template <class H>
  void read_some(H& handler, std::uint32_t index);
  template <class H>
  void write_some(H& handler, std::uint32_t index);
  template <class H>
  void finish(H& handler, std::uint32_t index, CloseInfo info);
  template <class H>
  void finish_hand_over(H& handler, std::uint32_t index);
  void find_hot() noexcept;
  template <class H>
  bool hot_was_idle(H& handler);
  template <class H>
  void run_ready(H& handler, std::size_t count);
  template <class H>
  void run_deferred(H& handler);

  TransportOptions options_;
  P poller_;
  ConnectionTable table_;
  SlotList<&ConnectionSlot::ready> ready_;
  SlotList<&ConnectionSlot::deferred> deferred_;
  SlotList<&ConnectionSlot::deferred> lingering_;
  MappedArray<std::byte> receive_buffer_;
  std::array<Listener, kListenersMax> listeners_{};
  std::size_t listener_count_ = 0;
  sockets::SpareDescriptor spare_;
  std::optional<TscClock> clock_;  // made with the first connection that wants stamps
  TransportCounters counters_;
  TscInstant wake_stamp_;
  bool woken_to_read_ = false;  // wake_stamp_ was taken right before the read that comes now
  std::size_t callbacks_ = 0;
  std::uint32_t hot_ = kNoIndex;  // the one connection that connect() opened, when spinning
  bool hot_stale_ = false;        // connections of connect() came or went
  unsigned hot_looks_ = 0;
  int wake_descriptor_ = -1;
  rings::Descriptor handed_over_;            // while on_close tells of it
  std::atomic<bool> wake_requested_{false};  // written by any thread
};

}  // namespace feedbench::transports::readiness

#include "transports/readiness/readiness_cold.ipp"
#include "transports/readiness/readiness_hot.ipp"
