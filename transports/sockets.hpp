#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "transports/rings/descriptor.hpp"
#include "transports/transport.hpp"

/// Cold socket work shared by the kernel transports: all of it set-up, none of it on the path of a
/// message.
namespace feedbench::transports::sockets {

/// A listening, non-blocking TCP socket and the endpoint it is bound to.
struct Listening {
  int descriptor = -1;
  Endpoint endpoint;
};

/// A non-blocking TCP socket whose connect() was started.
struct Connecting {
  int descriptor = -1;
  int os_error =
      0;  ///< not 0: the network answered at once with this errno (refused, unreachable).
  bool established = false;  ///< connect() returned 0.
};

/// errors: `endpoint` has no numeric address. what: what is being tried, for the message.
Expected<void> require_numeric(std::string_view what, const Endpoint& endpoint);

/// Listens on `endpoint`; accepted sockets inherit `options`. errors: bad address, port in use, no
/// permission.
Expected<Listening> listen(std::string_view transport, const Endpoint& endpoint,
                           const ConnOptions& options);

/// Opens a socket and starts to connect. errors: bad address, out of descriptors. What the network
/// answers is not an error here.
Expected<Connecting> connect(std::string_view transport, const Endpoint& endpoint,
                             const ConnOptions& options);

/// Makes a connected socket of another process (hand_over.hpp) this one's. errors: no connected TCP socket.
Expected<int> adopt(std::string_view what, rings::Descriptor connection,
                    const ConnOptions& options);
/// The same for a listening one.
Expected<Listening> adopt_listener(std::string_view what, rings::Descriptor listener,
                                   const ConnOptions& options);

/// Makes the close of this socket send RST instead of FIN.
void set_reset_on_close(int descriptor) noexcept;

/// Ends the connection of a socket with RST and lets go of what it was to send; the socket stays.
void disconnect(int descriptor) noexcept;

/// The pending error of a socket (SO_ERROR), which this call clears.
int take_error(int descriptor) noexcept;

/// Lets the kernel delay its acknowledgements (TCP_QUICKACK off). Of an open connection: opening one resets it.
void delay_acks(int descriptor) noexcept;

/// See offload_tls.hpp. keys: what TLS_TX takes. returns 0 or an errno.
int offload_tls(int descriptor, std::span<const std::byte> keys) noexcept;
/// One record of that type. false: it did not leave.
bool send_tls_record(int descriptor, std::uint8_t type, std::span<const std::byte> bytes) noexcept;

/// Builds "listen epoll: bind 127.0.0.1:80: Permission denied (hint)".
Error make_error(std::string_view what, std::string_view detail, int os_error,
                 std::string_view hint = {});

/// errno of a failed connect, receive or send -> the reason on_close tells.
CloseInfo close_info(int os_error) noexcept;

/// Owns a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) noexcept : descriptor_(descriptor) {}
  ~Descriptor();
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

/// A descriptor kept in reserve: when the process runs out of descriptors it is given up for a
/// moment, so that a waiting connection can be accepted and refused instead of being reported as
/// ready for ever.
class SpareDescriptor {
 public:
  SpareDescriptor() noexcept;
  ~SpareDescriptor();
  SpareDescriptor(const SpareDescriptor&) = delete;
  SpareDescriptor& operator=(const SpareDescriptor&) = delete;
  /// Accepts one connection of `listener` and closes it. returns false when there was none or no
  /// spare.
  bool refuse_one(int listener) noexcept;

 private:
  int descriptor_ = -1;
};

}  // namespace feedbench::transports::sockets
