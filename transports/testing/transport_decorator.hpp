#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>

#include "transports/transport.hpp"

namespace feedbench::transports::testing {

/// A transport in front of a transport: passes everything on. Decorators derive from it and change what they are about.
template <class T>
class TransportDecorator {
 public:
  explicit TransportDecorator(const TransportOptions& options) : inner_(options) {}

  static constexpr std::string_view name() noexcept { return T::name(); }
  Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options) {
    return inner_.listen(endpoint, options);
  }
  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) {
    return inner_.connect(endpoint, options);
  }
  SendStatus send(Conn conn, std::span<const ConstRange> ranges) {
    return inner_.send(conn, ranges);
  }
  void cancel_send(Conn conn) { inner_.cancel_send(conn); }
  void resume_receive(Conn conn) { inner_.resume_receive(conn); }
  void close(Conn conn) { inner_.close(conn); }
  void abort(Conn conn) { inner_.abort(conn); }
  void stop_listening() { inner_.stop_listening(); }
  void wake() noexcept { inner_.wake(); }
  [[nodiscard]] MonotonicInstant now() const { return inner_.now(); }
  [[nodiscard]] const TransportCounters& counters() const { return inner_.counters(); }

  [[nodiscard]] T& inner() noexcept { return inner_; }

 protected:
  T inner_;
};

}  // namespace feedbench::transports::testing
