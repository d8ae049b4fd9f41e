#pragma once

#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/tcp.h>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transports/connection_table.hpp"
#include "transports/mapped_array.hpp"
#include "transports/sockets.hpp"
#include "transports/tsc_calibration.hpp"
#include "transports/xdp/engine.hpp"
#include "transports/xdp/frame_device.hpp"

namespace feedbench::transports::xdp {

/// lwIP, called by its raw interface from the polling thread. lwIP's own callbacks only take notes
/// (receive queues, flags, the ready list); the handler is told afterwards, by next(), so that it
/// may do anything to any connection.
class LwipEngine final : public Engine {
 public:
  LwipEngine(const TransportOptions& options, const XdpOptions& xdp,
             std::unique_ptr<FrameDevice> device);
  ~LwipEngine() override;

  Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options) override;
  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) override;
  SendStatus send(Conn conn, std::span<const ConstRange> ranges) noexcept override;
  void cancel_send(Conn conn) noexcept override;
  void resume_receive(Conn conn) noexcept override;
  void close(Conn conn) noexcept override;
  void abort(Conn conn) noexcept override;
  void stop_listening() noexcept override;
  void wake() noexcept override;
  void begin_poll(MonotonicInstant deadline) override;
  bool next(Step& step) noexcept override;
  void give_space(std::span<std::byte> space) noexcept override;
  [[nodiscard]] MonotonicInstant now() const noexcept override { return device_->now(); }
  [[nodiscard]] const TransportCounters& counters() const noexcept override { return counters_; }
  [[nodiscard]] const XdpCounters& xdp_counters() const noexcept override { return xdp_counters_; }
  [[nodiscard]] const std::string& mode() const noexcept override { return mode_; }

  /// The one engine of this process, for lwIP's hooks.
  static LwipEngine* current() noexcept;
  [[nodiscard]] std::uint32_t now_ms() const noexcept { return now_ms_; }
  err_t make_room_at(tcp_pcb_listen* listener) noexcept;

 private:
  static constexpr std::size_t kListenersMax = 8;
  static constexpr std::int64_t kLingerNs = 1'000'000'000;
  static constexpr std::int64_t kDrainNs = 500'000'000;
  static constexpr int kChunksPerTurn = 16;
  static constexpr unsigned kTurnsUnacknowledgedMax = 8;
  static constexpr std::size_t kLoopedMax = 4096;  // packets of the stack to itself that wait
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint64_t kLookAtClockTicks = 250'000;  // 0.1 ms or so

  /// A received packet: lwIP's header, and when it was seen. In front of the bytes when they were
  /// copied.
  struct ReceivedPacket {
    pbuf_custom header;  // first: lwIP casts
    std::int64_t tai_ns;
    std::uint32_t token;
  };
  static constexpr std::size_t kPacketHeaderBytes = (sizeof(ReceivedPacket) + 15) / 16 * 16;

  /// A connection, beside its slot.
  struct Side {
    tcp_pcb* pcb;  // nullptr: lwIP has none any more, or it is no longer ours
    pbuf* head;    // received and not delivered, linked by pbuf::next
    pbuf* tail;
    std::uint32_t head_taken;   // bytes of head that were delivered
    std::uint32_t queued;       // bytes in the list that were not delivered
    std::uint32_t unannounced;  // delivered, and lwIP's window does not know yet
    std::uint32_t window_max;   // ConnOptions::receive_buffer_bytes; 0: lwIP's
    std::uint32_t withheld;     // what that takes away of lwIP's
    ip4_addr_t remote;          // of a connect
    bool open_due;
    bool sent_due;
    bool fin;      // the peer's, behind what is queued
    bool starved;  // a send found no memory: tried again by the clock
    bool ack_listed;
    bool telling_close;  // on_close is being called: the handle is dead
  };
  struct Listener {
    tcp_pcb* pcb = nullptr;
    ConnOptions options;
  };

  // lwIP's callbacks. argument: index of the connection (of the listener, for accept) plus one.
  static err_t on_accept(void* argument, tcp_pcb* pcb, err_t error);
  static err_t on_connected(void* argument, tcp_pcb* pcb, err_t error);
  static err_t on_received(void* argument, tcp_pcb* pcb, pbuf* packets, err_t error);
  static err_t on_acknowledged(void* argument, tcp_pcb* pcb, u16_t bytes);
  static void on_error(void* argument, err_t error);
  static err_t output_ip(netif* interface, pbuf* packet, const ip4_addr_t* to);
  static err_t output_frame(netif* interface, pbuf* frame);
  static err_t set_up_interface(netif* interface);
  static void free_frame(pbuf* packet);
  static void free_copy(pbuf* packet);

  // Set-up (lwip_engine_setup.cpp).
  void add_interface();
  void require_gateway();
  void drain() noexcept;
  Expected<ip4_addr_t> parse(std::string_view what, const Endpoint& endpoint) const;
  Expected<void> prepare_stamps(const ConnOptions& options);
  void read_tai_offset() noexcept;

  // Connections (lwip_engine_tcp.cpp).
  Conn take_slot(ConnectionState state, const ConnOptions& options, bool accepted) noexcept;
  std::uint32_t& place_of(std::uint32_t address, std::uint16_t remote_port,
                          std::uint16_t local_port) noexcept;
  void remember(std::uint32_t index) noexcept;
  tcp_pcb* find_pcb(std::span<const std::byte> frame) noexcept;
  err_t input_for(tcp_pcb* pcb, pbuf* packet) noexcept;
  void adopt(std::uint32_t index, tcp_pcb* pcb, const ConnOptions& options) noexcept;
  void configure(tcp_pcb* pcb, const ConnOptions& options, Side& side) noexcept;
  void limit_window(Side& side) noexcept;
  tcp_pcb* let_go(std::uint32_t index) noexcept;
  void drop_queue(std::uint32_t index) noexcept;
  void forget_pcb(std::uint32_t index) noexcept;
  void reset_pcb(std::uint32_t index) noexcept;
  void end_linger(std::uint32_t index) noexcept;
  void expire_lingering() noexcept;
  void release(std::uint32_t index) noexcept;
  bool write_some(std::uint32_t index) noexcept;
  std::size_t write_range(tcp_pcb* pcb, const ConstRange& range, bool more, Side& side) noexcept;
  void feed_starved() noexcept;
  void make_ready(std::uint32_t index) noexcept { ready_.push_back(table_.slots(), index); }
  void begin_close(std::uint32_t index, CloseInfo info) noexcept;

  // A turn (lwip_engine_poll.cpp).
  void look_at_clock() noexcept;
  void look_for_loss();
  void run_timers() noexcept;
  void sleep(MonotonicInstant deadline) noexcept;
  void take_up_frames() noexcept;
  void input_frame(const ReceivedFrame& frame) noexcept;
  pbuf* copy_packet(std::span<const std::byte> bytes, std::int64_t tai_ns) noexcept;
  void take_up_looped() noexcept;
  bool serve(Step& step) noexcept;
  bool deliver(Step& step) noexcept;
  void fill_from_queue(std::span<std::byte> space, Step& step) noexcept;
  void finish_step() noexcept;
  void finish_close(std::uint32_t index) noexcept;
  void acknowledge(bool all) noexcept;
  void end_round() noexcept;
  void kick() noexcept;
  void stamp(const ConnectionSlot& slot, std::int64_t tai_ns, Step& step) noexcept;

  TransportOptions options_;
  XdpOptions xdp_;
  std::unique_ptr<FrameDevice> device_;
  std::string mode_;
  ConnectionTable table_;
  MappedArray<Side> sides_;
  MappedArray<std::uint32_t> lookup_;  // index plus one, by hash of the four-tuple; a hint
  MappedArray<std::byte> receive_buffer_;
  MappedArray<ReceivedPacket> packets_;  // one a frame of the device
  std::vector<ReceivedFrame> frames_;    // those of one batch
  std::vector<std::uint32_t> ack_due_;   // connections that received in this round; capacity: all
  SlotList<&ConnectionSlot::ready> ready_;  // the handler is to be told something
  SlotList<&ConnectionSlot::deferred> lingering_;
  std::array<Listener, kListenersMax> listeners_{};
  std::size_t listener_count_ = 0;
  netif interface_{};
  ip4_addr_t own_{};
  ip4_addr_t mask_{};
  ip4_addr_t gateway_{};

  pbuf* looped_head_ = nullptr;  // packets to ourselves, linked by pbuf::next
  pbuf* looped_tail_ = nullptr;
  std::size_t looped_ = 0;

  // Where next() is.
  std::size_t left_ = 0;  // slots of the ready list that this round still serves
  std::uint32_t serving_ = kNone;
  int chunks_left_ = 0;
  std::span<std::byte> lent_;  // what give_space() said
  bool space_asked_ = false;
  std::uint32_t delivered_to_ = kNone;  // finish_step() owes this connection its window
  pbuf* delivered_packet_ = nullptr;    // and frees this
  std::uint32_t closing_ = kNone;       // on_close was called for this one
  unsigned turns_unacknowledged_ = 0;
  bool in_poll_ = false;
  bool any_starved_ = false;

  std::uint32_t now_ms_ = 0;
  std::uint32_t timers_ran_ms_ = 0;
  std::uint32_t looked_for_loss_ms_ = 0;
  std::uint64_t looked_at_clock_ticks_ = 0;
  std::optional<TscClock> clock_;
  std::int64_t tai_offset_ns_ = 0;
  std::uint64_t tai_offset_of_anchor_ = 0;
  TscInstant wake_stamp_;
  TransportCounters counters_;
  XdpCounters xdp_counters_;
  std::uint64_t device_calls_ = 0;
  sockets::Descriptor wake_descriptor_;
  std::atomic<bool> wake_requested_{false};  // written by any thread
};

}  // namespace feedbench::transports::xdp
