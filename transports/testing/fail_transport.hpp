#pragma once

#include <cerrno>
#include <cstdint>
#include <vector>

#include "transports/testing/transport_decorator.hpp"

namespace feedbench::transports::testing {

/// Lets the N-th operation fail as if the peer had reset the connection: the N-th of connect(), send() and chunk received,
/// counted together. A program is sound when its scenario ends in order for N = 0, 1, 2 ... until no operation fails.
template <class T>
class FailTransport : public TransportDecorator<T> {
  using Base = TransportDecorator<T>;

 public:
  explicit FailTransport(const TransportOptions& options)
      : Base(options), failed_(options.connections_max) {}

  void fail_at(std::uint64_t operation) noexcept { fail_at_ = operation; }
  /// How many operations were counted, and whether one of them was failed.
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }
  [[nodiscard]] bool has_failed() const noexcept { return operations_ > fail_at_; }

  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) {
    auto conn = Base::connect(endpoint, options);
    if (conn) {
      failed_[conn->index] = false;
      if (due()) reset(*conn);
    }
    return conn;
  }

  SendStatus send(Conn conn, std::span<const ConstRange> ranges) {
    if (!due()) return Base::send(conn, ranges);
    reset(conn);
    return SendStatus::closed;
  }

  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline) {
    Failing<H> failing{*this, handler};
    return this->inner_.poll(failing, deadline);
  }

 private:
  template <class H>
  struct Failing {
    FailTransport& fail;
    H& handler;

    void on_open(Conn conn, bool accepted) {
      fail.failed_[conn.index] = false;
      handler.on_open(conn, accepted);
    }
    void on_receive(Conn conn, std::span<std::byte> bytes, const RxStamps& stamps) {
      if (fail.due()) {
        fail.reset(conn);
      } else {
        handler.on_receive(conn, bytes, stamps);
      }
    }
    void on_sent(Conn conn, std::size_t n) { handler.on_sent(conn, n); }
    void on_close(Conn conn, CloseInfo info) {
      if (fail.failed_[conn.index]) info = {CloseReason::reset, ECONNRESET};
      handler.on_close(conn, info);
    }
    void on_wake() { handler.on_wake(); }
    std::span<std::byte> receive_space(Conn conn) { return handler.receive_space(conn); }
  };

  bool due() noexcept { return operations_++ == fail_at_; }
  void reset(Conn conn) {
    if (conn.index < failed_.size()) failed_[conn.index] = true;
    this->inner_.abort(conn);
  }

  std::uint64_t fail_at_ = UINT64_MAX;
  std::uint64_t operations_ = 0;
  std::vector<bool> failed_;
};

}  // namespace feedbench::transports::testing
