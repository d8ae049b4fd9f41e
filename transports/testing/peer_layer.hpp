#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

namespace feedbench::transports::testing {

/// What a RawSocket speaks over its bytes, TLS for example: ciphertext in and out, plaintext in and out.
class PeerLayer {
 public:
  virtual ~PeerLayer() = default;
  [[nodiscard]] virtual bool established() const = 0;
  /// The next bytes received. Only when read() has said that there is nothing.
  virtual void feed(std::span<const std::byte> received) = 0;
  /// > 0: so many bytes; 0: the stream has ended; -1: nothing.
  virtual ssize_t read(std::span<std::byte> space) = 0;
  virtual void write(std::span<const std::byte> bytes) = 0;
  /// Says that nothing more will be written.
  virtual void finish() = 0;
  /// What is to be sent.
  [[nodiscard]] virtual std::span<const std::byte> output() = 0;
  virtual void consume_output(std::size_t bytes) = 0;
};

}  // namespace feedbench::transports::testing
