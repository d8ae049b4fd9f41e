#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "transports/testing/transport_decorator.hpp"

namespace feedbench::transports::testing {

/// Cuts every chunk that is received into pieces of at most `piece_bytes`: a parser that survives every piece size
/// survives every way in which TCP may cut a stream. The pieces of a chunk come in one poll(); the receive stamp stays
/// with the last, which holds the byte it belongs to.
template <class T>
class ChopTransport : public TransportDecorator<T> {
  using Base = TransportDecorator<T>;

 public:
  explicit ChopTransport(const TransportOptions& options)
      : Base(options), dead_(options.connections_max) {}

  void chop(std::size_t piece_bytes) noexcept { piece_bytes_ = piece_bytes; }

  void close(Conn conn) {
    mark(conn);
    Base::close(conn);
  }
  void abort(Conn conn) {
    mark(conn);
    Base::abort(conn);
  }

  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline) {
    Chopper<H> chopper{*this, handler};
    const std::size_t made = this->inner_.poll(chopper, deadline);
    return made + chopper.more;
  }

 private:
  template <class H>
  struct Chopper {
    ChopTransport& chop;
    H& handler;
    std::size_t more = 0;

    void on_open(Conn conn, bool accepted) {
      chop.dead_[conn.index] = false;
      handler.on_open(conn, accepted);
    }
    void on_receive(Conn conn, std::span<std::byte> bytes, const RxStamps& stamps) {
      while (bytes.size() > chop.piece_bytes_ && !chop.dead_[conn.index]) {
        RxStamps without = stamps;
        without.nic = {};
        const std::span<std::byte> piece = bytes.first(chop.piece_bytes_);
        bytes = bytes.subspan(chop.piece_bytes_);
        ++more;
        handler.on_receive(conn, piece, without);
      }
      if (!chop.dead_[conn.index]) handler.on_receive(conn, bytes, stamps);
    }
    void on_sent(Conn conn, std::size_t n) { handler.on_sent(conn, n); }
    void on_close(Conn conn, CloseInfo info) { handler.on_close(conn, info); }
    void on_wake() { handler.on_wake(); }
    std::span<std::byte> receive_space(Conn conn) { return handler.receive_space(conn); }
  };

  void mark(Conn conn) {
    if (conn.index < dead_.size()) dead_[conn.index] = true;
  }

  std::size_t piece_bytes_ = 1;
  std::vector<bool> dead_;  // closed in the middle of a chunk: the rest is not delivered
};

}  // namespace feedbench::transports::testing
