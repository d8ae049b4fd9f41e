#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "transports/transport.hpp"
#include "transports/xdp/frame_device.hpp"
#include "transports/xdp/xdp_options.hpp"

/// What stands behind XdpTransport. It knows no handler: it says step by step what the handler is
/// to be told.
namespace feedbench::transports::xdp {

/// One callback to make.
struct Step {
  enum class Kind : std::uint8_t {
    opened,
    space_wanted,  ///< answer with give_space() before the next step
    received,
    sent,
    closed,
    woken,
  };
  Kind kind = Kind::woken;
  bool accepted = false;
  Conn conn;
  std::span<std::byte> bytes;
  RxStamps stamps;
  std::size_t sent_bytes = 0;
  CloseInfo close;
};

/// Counted, never logged. Single writer: the polling thread.
struct XdpCounters {
  std::uint64_t frames_received = 0;
  std::uint64_t frames_sent = 0;
  std::uint64_t frames_copied = 0;  ///< received while too many were held: copied to stack memory
  std::uint64_t dropped_short = 0;  ///< received, and too short for any packet
  std::uint64_t dropped_no_memory = 0;  ///< received, and stack memory was used up
  std::uint64_t dropped_no_room =
      0;                    ///< to be sent, and neither a frame nor a place in the ring was free
  std::uint64_t kicks = 0;  ///< system calls that made the kernel send
  std::uint64_t half_open_given_up = 0;  ///< handshakes dropped for newer ones
};

class Engine {
 public:
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  virtual ~Engine() = default;

  virtual Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options) = 0;
  virtual Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) = 0;
  virtual SendStatus send(Conn conn, std::span<const ConstRange> ranges) noexcept = 0;
  virtual void cancel_send(Conn conn) noexcept = 0;
  virtual void resume_receive(Conn conn) noexcept = 0;
  virtual void close(Conn conn) noexcept = 0;
  virtual void abort(Conn conn) noexcept = 0;
  virtual void stop_listening() noexcept = 0;
  virtual void wake() noexcept = 0;

  /// Waits as it was told to, takes up what has arrived, runs timers.
  /// errors: throws Error when the interface is gone for good, within a second of it.
  virtual void begin_poll(MonotonicInstant deadline) = 0;
  /// The next callback to make; false when this round has no more, and everything due was sent.
  virtual bool next(Step& step) noexcept = 0;
  /// The answer to space_wanted.
  virtual void give_space(std::span<std::byte> space) noexcept = 0;

  [[nodiscard]] virtual MonotonicInstant now() const noexcept = 0;
  [[nodiscard]] virtual const TransportCounters& counters() const noexcept = 0;
  [[nodiscard]] virtual const XdpCounters& xdp_counters() const noexcept = 0;
  [[nodiscard]] virtual const std::string& mode() const noexcept = 0;
};

/// Why this build has no engine; empty when it has one.
std::string absent_reason();
/// Opens the interface and the stack on it. errors: throws Error, also when this build has no
/// AF_XDP.
std::unique_ptr<Engine> make_engine(const TransportOptions& options, const XdpOptions& xdp);
/// A device between the interface and the stack, or in place of it: for tests.
std::unique_ptr<Engine> make_engine_on(const TransportOptions& options, const XdpOptions& xdp,
                                       std::unique_ptr<FrameDevice> device);
/// The interface as a device. errors: throws Error.
std::unique_ptr<FrameDevice> open_device(const XdpOptions& xdp);

}  // namespace feedbench::transports::xdp
