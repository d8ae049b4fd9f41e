#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "transports/testing/transport_decorator.hpp"

namespace feedbench::transports::testing {

/// Delivers completions later: each callback waits a seeded number of polls, in order for each connection. Sends that
/// completed at once are told as pending half of the time, so that both paths are taken. Allocates: for tests alone.
template <class T>
class DelayTransport : public TransportDecorator<T> {
  using Base = TransportDecorator<T>;

 public:
  explicit DelayTransport(const TransportOptions& options, std::uint64_t seed = 1)
      : Base(options),
        random_(seed),
        states_(options.connections_max),
        lends_(options.connections_max) {}

  /// Each callback waits 0 .. polls_max polls.
  void delay(unsigned polls_max) noexcept { polls_max_ = polls_max; }

  Expected<Endpoint> listen(const Endpoint& endpoint, const ConnOptions& options) {
    lending_accepted_ = options.lend_memory;
    return Base::listen(endpoint, options);
  }
  Expected<Conn> connect(const Endpoint& endpoint, const ConnOptions& options) {
    auto conn = Base::connect(endpoint, options);
    if (conn) lends_[conn->index] = options.lend_memory;
    return conn;
  }

  SendStatus send(Conn conn, std::span<const ConstRange> ranges) {
    State* state = find(conn);
    if (state == nullptr || state->closing) return SendStatus::closed;
    if (state->sending) return SendStatus::busy;
    const SendStatus status = Base::send(conn, ranges);
    if (status == SendStatus::pending) state->sending = true;
    if (status != SendStatus::completed || random_() % 2 == 0) return status;
    std::size_t total = 0;
    for (const ConstRange& range : ranges) total += range.bytes;
    state->sending = true;
    Event event{Kind::sent, conn};
    event.sent = total;
    push(std::move(event));
    return SendStatus::pending;
  }
  void resume_receive(Conn conn) {
    State* state = find(conn);
    if (state == nullptr) return;
    state->paused = false;
    if (!state->undelivered) Base::resume_receive(conn);
  }
  void close(Conn conn) {
    forget(conn);
    Base::close(conn);
  }
  void abort(Conn conn) {
    forget(conn);
    Base::abort(conn);
  }

  template <TransportHandler H>
  std::size_t poll(H& handler, MonotonicInstant deadline) {
    Delaying<H> delaying{*this, handler};
    this->inner_.poll(delaying, events_.empty() ? deadline : this->inner_.now());
    ++polls_;
    return deliver_due(handler);
  }

 private:
  enum class Kind : std::uint8_t { open, receive, sent, close, dropped };
  struct Event {
    Kind kind = Kind::open;
    Conn conn;
    bool accepted = false;
    std::vector<std::byte> bytes = {};  // of connections that lend no memory
    std::span<std::byte> lent = {};     // of those that do
    RxStamps stamps = {};
    std::size_t sent = 0;
    CloseInfo info = {};
    std::uint64_t due_poll = 0;
  };
  /// What the handler was told, by index; the transport may be ahead of it.
  struct State {
    std::uint32_t generation = 0;
    bool open = false;  // on_open was delivered, on_close not yet
    bool sending = false;
    bool closing = false;
    bool paused = false;       // by the handler
    bool undelivered = false;  // lent memory holds a chunk that was not told yet
  };

  template <class H>
  struct Delaying {
    DelayTransport& delay;
    H& handler;
    void on_open(Conn conn, bool accepted) {
      if (accepted) delay.lends_[conn.index] = delay.lending_accepted_;
      Event event{Kind::open, conn};
      event.accepted = accepted;
      delay.push(std::move(event));
    }
    void on_receive(Conn conn, std::span<std::byte> bytes, const RxStamps& stamps) {
      Event event{Kind::receive, conn};
      event.stamps = stamps;
      if (delay.lends_[conn.index]) {
        delay.states_[conn.index].undelivered = true;
        event.lent = bytes;
      } else {
        event.bytes.assign(bytes.begin(), bytes.end());
      }
      delay.push(std::move(event));
    }
    void on_sent(Conn conn, std::size_t n) {
      Event event{Kind::sent, conn};
      event.sent = n;
      delay.push(std::move(event));
    }
    void on_close(Conn conn, CloseInfo info) {
      Event event{Kind::close, conn};
      event.info = info;
      delay.push(std::move(event));
    }
    void on_wake() { handler.on_wake(); }
    std::span<std::byte> receive_space(Conn conn) {
      // Not before the handler has been told of the connection and of the chunk before.
      State* state = delay.find(conn);
      if (state == nullptr || state->undelivered || state->paused) return {};
      const std::span<std::byte> space = handler.receive_space(conn);
      if (space.empty()) state->paused = true;
      return space;
    }
  };

  State* find(Conn conn) noexcept {
    if (conn.index >= states_.size()) return nullptr;
    State& state = states_[conn.index];
    return state.open && state.generation == conn.generation ? &state : nullptr;
  }

  /// After close() the handler is told of nothing but the close.
  void forget(Conn conn) {
    if (State* state = find(conn)) state->closing = true;
    for (Event& event : events_) {
      if (event.conn == conn && event.kind != Kind::close) event.kind = Kind::dropped;
    }
  }

  void push(Event event) {
    event.due_poll = polls_ + random_() % (polls_max_ + 1);
    events_.push_back(std::move(event));
  }

  template <class H>
  std::size_t deliver_due(H& handler) {
    std::size_t made = 0;
    // An event that waits holds back the later ones of its index, also those of the connection that has it next.
    std::vector<std::uint32_t> held;
    for (std::size_t left = events_.size(); left > 0; --left) {
      Event event = std::move(events_.front());
      events_.pop_front();
      if (event.kind == Kind::dropped) continue;
      const bool behind = std::find(held.begin(), held.end(), event.conn.index) != held.end();
      if (event.due_poll > polls_ || behind) {
        held.push_back(event.conn.index);
        events_.push_back(std::move(event));
      } else {
        deliver(handler, event);
        ++made;
      }
    }
    return made;
  }

  template <class H>
  void deliver(H& handler, Event& event) {
    State& state = states_[event.conn.index];
    const bool lends = lends_[event.conn.index];
    switch (event.kind) {
      case Kind::open:
        state = State{};
        state.open = true;
        state.generation = event.conn.generation;
        handler.on_open(event.conn, event.accepted);
        if (lends) Base::resume_receive(event.conn);
        break;
      case Kind::receive:
        state.undelivered = false;
        handler.on_receive(event.conn, event.lent.empty() ? std::span(event.bytes) : event.lent,
                           event.stamps);
        if (lends && !state.paused) Base::resume_receive(event.conn);
        break;
      case Kind::sent:
        state.sending = false;
        handler.on_sent(event.conn, event.sent);
        break;
      case Kind::close:
        state.open = false;
        handler.on_close(event.conn, event.info);
        break;
      case Kind::dropped:
        break;
    }
  }

  std::mt19937_64 random_;
  std::vector<State> states_;
  std::vector<bool> lends_;  // the transport's connections, which may be newer than the handler's
  std::deque<Event> events_;
  std::uint64_t polls_ = 0;
  unsigned polls_max_ = 3;
  bool lending_accepted_ = false;
};

}  // namespace feedbench::transports::testing
